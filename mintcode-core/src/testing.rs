//! For tests of your own: storage in memory, a supplier with books, samples, and the suite every storage must pass.

pub mod conformance;
mod fake_supplier;
mod faults;
mod manual_clock;
mod memory_storage;
mod permit;
mod recorded_alerts;
pub mod sample;
mod seeded_entropy;
mod world;

pub use self::fake_supplier::{FakeSupplier, Line, SoldOrder};
pub use self::faults::{Fault, Faults, Faulty};
pub use self::manual_clock::TokioClock;
pub use self::memory_storage::MemoryStorage;
pub use self::permit::permit;
pub use self::recorded_alerts::RecordedAlerts;
pub use self::seeded_entropy::SeededEntropy;
pub use self::world::{World, WorldBuilder};
