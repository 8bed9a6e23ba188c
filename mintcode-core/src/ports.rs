//! What the engine needs from outside, and what each port must promise.

pub mod alerting;
pub mod catalogue;
pub mod clock;
pub mod limits;
pub mod orphans;
pub mod reports;
pub mod storage;
pub mod supplier;
pub mod vouchers;
pub mod workers;

pub use alerting::{AlertError, AlertSink};
pub use catalogue::{Catalogue, PlanChange, Put, SkuError};
pub use clock::{Clock, Entropy};
pub use limits::{Counted, Limits};
pub use orphans::Orphans;
pub use reports::{AlertRow, Alerts, LedgerTotal, PlanTotal, RedemptionSearch, Reports};
pub use storage::{
    Adopt, Begin, BeginBy, Begun, Claims, Commit, Inbox, InboxItem, News, Observed, Storage, StorageError,
};
#[cfg(feature = "mock")]
pub use supplier::MockSupplier;
pub use supplier::{
    BoxError, BuyError, BuyPermit, CallError, Capabilities, Profile, SendWindow, Stop, Supplier, Wanted,
};
pub use vouchers::{
    BatchSummary, ChangeError, Inserted, NewBatch, RedemptionTrail, SecretUse, VoucherTrail, Vouchers,
};
pub use workers::{WorkerRow, Workers};
