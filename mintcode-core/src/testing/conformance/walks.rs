//! Random steps, taken by the storage and by [`MemoryStorage`] alike: every answer is the same, and so is what they leave.

mod moves;
mod steps;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::Subject;
use super::stage::{Picture, enlisted, picture};
use crate::ids::{BatchId, RedemptionId, SupplierName};
use crate::ports::{ChangeError, RedemptionSearch, SkuError, StorageError};
use crate::testing::MemoryStorage;
use crate::voucher::VoucherHash;

/// The storage ends where memory ends, a few hundred steps on.
pub async fn random_steps_end_where_memory_ends(store: &Subject) {
    let told = walk(store, 1, 400).await;
    for answer in [
        "begin: New",
        "begin: Same",
        "begin: Refused",
        "commit: ()",
        "commit: the stored version is another one",
        "commit: another worker owns it",
        "commit: the order is claimed already",
        "change_voucher: Voucher",
        "insert_batch: New",
        "insert_batch: Duplicate",
        "claim_orphans: [Orphan",
        "adopt: [Redemption",
    ] {
        assert!(told.keys().any(|told| told.starts_with(answer)), "never {answer}: {told:#?}");
    }
}

/// Takes `steps` random steps, as `seed` decides, in `store` and in memory. Panics at the first that differs, and says
/// which it was. `store` has nothing in it. Tells how often which answer came, by how it begins.
pub async fn walk(store: &Subject, seed: u64, steps: u32) -> BTreeMap<String, u32> {
    let mut walk = Walk::new(Arc::clone(store), seed);
    for twin in walk.both() {
        enlisted(twin, 1).await;
        enlisted(twin, 2).await;
    }
    walk.open_shop().await;
    for _ in 0..steps {
        walk.at += 1 + i64::from(walk.dice.random_range(0..20_u8));
        walk.step().await;
        walk.taken += 1;
    }
    walk.compare_everything().await;
    walk.told
}

/// Two storages on the same way.
struct Walk {
    store: Subject,
    memory: Subject,
    seed: u64,
    dice: ChaCha8Rng,
    /// Seconds since the walk began.
    at: i64,
    /// Steps that are behind it.
    taken: u32,
    skus: u32,
    batches: Vec<BatchId>,
    vouchers: Vec<VoucherHash>,
    begun: u32,
    redemptions: Vec<(RedemptionId, VoucherHash)>,
    /// How often which answer came.
    told: BTreeMap<String, u32>,
}

impl Walk {
    fn new(store: Subject, seed: u64) -> Self {
        Self {
            store,
            memory: Arc::new(MemoryStorage::new()),
            seed,
            dice: ChaCha8Rng::seed_from_u64(seed),
            at: 0,
            taken: 0,
            skus: 0,
            batches: Vec::new(),
            vouchers: Vec::new(),
            begun: 0,
            redemptions: Vec::new(),
            told: BTreeMap::new(),
        }
    }

    fn both(&self) -> [&Subject; 2] {
        [&self.store, &self.memory]
    }

    /// Whether one in `of` comes up.
    fn one_in(&mut self, of: u32) -> bool {
        self.dice.random_ratio(1, of)
    }

    fn any<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        of.choose(&mut self.dice).cloned()
    }

    /// A seed for something small.
    fn few(&mut self, most: u8) -> u8 {
        self.dice.random_range(1..=most)
    }

    fn note(&mut self, what: &str, answer: &str) {
        // As much as tells one kind of answer from another.
        let answer = answer.trim_start_matches("Ok(").trim_start_matches("Err(\"");
        let kind: String =
            answer.chars().take_while(|symbol| !matches!(symbol, '{' | '"')).take(48).collect();
        *self.told.entry(format!("{what}: {}", kind.trim_end())).or_default() += 1;
    }

    #[track_caller]
    fn same<T: Debug + PartialEq>(&self, what: &str, store: &T, memory: &T) {
        assert_eq!(store, memory, "seed {}, step {}: {what} (left: the storage)", self.seed, self.taken);
    }

    /// What the two tell of a redemption and its voucher.
    async fn compare(&self, id: RedemptionId, voucher: VoucherHash) {
        let [store, memory] = self.both();
        let (store, memory) = (picture(store, id, voucher).await, picture(memory, id, voucher).await);
        self.same(&format!("redemption {id}"), &without_ids(store), &without_ids(memory));
    }

    async fn compare_everything(&self) {
        for (id, voucher) in &self.redemptions {
            self.compare(*id, *voucher).await;
        }
        let [store, memory] = self.both();
        for voucher in &self.vouchers {
            let trails = (store.trail(&[*voucher]).await.unwrap(), memory.trail(&[*voucher]).await.unwrap());
            self.same("a voucher's trail", &trails.0, &trails.1);
        }
        let supplier = SupplierName::default();
        let (from, to) = (super::stage::at(0), super::stage::at(1_000_000));
        macro_rules! same {
            ($($call:ident ( $($argument:expr),* )),+ $(,)?) => {
                $(self.same(
                    stringify!($call),
                    &store.$call($($argument),*).await.unwrap(),
                    &memory.$call($($argument),*).await.unwrap(),
                );)+
            };
        }
        same!(
            batches(None, 1_000),
            skus(),
            labels(),
            secrets_in_use(),
            redemptions(RedemptionSearch::default(), 1_000),
            ledger_totals(from, to),
            plan_totals(from, to),
            sources(),
            accounts(),
            open_orphans(&supplier, 1_000),
            orphan_losses(from, to),
            newest_order(&supplier),
        );
    }
}

/// A picture without the numbers that storage gives by itself.
fn without_ids(mut picture: Picture) -> Picture {
    for item in &mut picture.inbox {
        item.id = 0;
    }
    for alert in &mut picture.alerts {
        alert.id = 0;
    }
    picture
}

/// An answer as it is compared: what an error says beside its kind is the storage's own.
trait Told {
    fn told(self) -> String;
}

impl<T: Debug> Told for Result<T, StorageError> {
    fn told(self) -> String {
        self.map_err(|error| kind(&error)).told()
    }
}

impl<T: Debug> Told for Result<T, ChangeError> {
    fn told(self) -> String {
        match self {
            Err(ChangeError::Storage(error)) => Err::<T, _>(kind(&error)).told(),
            other => other.map_err(|error| error.to_string()).told(),
        }
    }
}

impl<T: Debug> Told for Result<T, SkuError> {
    fn told(self) -> String {
        self.map_err(|error| error.to_string()).told()
    }
}

impl<T: Debug> Told for Result<T, String> {
    fn told(self) -> String {
        format!("{self:?}")
    }
}

fn kind(error: &StorageError) -> String {
    match error {
        // Nothing here may fail for a reason of the storage's own.
        StorageError::Unavailable(_) | StorageError::Unknown(_) => panic!("the storage failed: {error:?}"),
        StorageError::Corrupt { table, .. } => format!("corrupt {table}"),
        StorageError::Conflict
        | StorageError::Fenced
        | StorageError::Claimed
        | StorageError::ProbeTaken
        | StorageError::VoucherMoved => error.to_string(),
    }
}
