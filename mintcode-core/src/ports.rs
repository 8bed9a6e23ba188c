//! What the engine needs from outside, and what each port must promise.

pub mod alerting;
pub mod catalogue;
pub mod clock;
pub mod reports;
pub mod storage;
pub mod supplier;
pub mod vouchers;

pub use alerting::{AlertError, AlertSink};
pub use catalogue::{Catalogue, PlanChange, Put, SkuError};
pub use clock::{Clock, Entropy};
pub use reports::{AlertRow, Alerts, LedgerTotal, PlanTotal, RedemptionSearch, Reports};
pub use storage::{Begin, BeginBy, Begun, Claims, Commit, Inbox, InboxItem, Observed, Storage, StorageError};
#[cfg(feature = "mock")]
pub use supplier::MockSupplier;
pub use supplier::{BoxError, BuyError, BuyPermit, CallError, Capabilities, Profile, Stop, Supplier, Wanted};
pub use vouchers::{BatchSummary, ChangeError, Inserted, NewBatch, RedemptionTrail, VoucherTrail, Vouchers};
