//! What customers ask for: redeem, look, wait, wish, and try again.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, watch};

use super::driver::Driver;
use super::guesses::{Guesser, Guesses};
use super::notices::Notices;
use super::post::Post;
use super::worker::Command;
use crate::ids::RedemptionId;
use crate::ports::{Begin, BeginBy, Begun, Clock, Entropy, Inbox, Storage, StorageError, Vouchers};
use crate::redemption::{Holder, HolderKey, Redemption, Snapshot, Wish, WishAnswer};
use crate::voucher::{LabelKeys, Refusal, Shape, VoucherCode, VoucherHash, VoucherKeys};

/// How often the labels are read again at most, when a code carries none that is known.
const LABELS_FOR: Duration = Duration::from_secs(1);
/// How long a wish is given to show in the answer.
const WISH_SHOWS_WITHIN: Duration = Duration::from_secs(1);
/// How often storage is looked at without a notice: another process may have stored the change.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Redeems vouchers. Cheap to clone.
#[derive(Clone)]
pub struct Redeemer(Arc<Inner>);

pub(super) struct Inner {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) vouchers: Arc<dyn Vouchers>,
    pub(super) keys: VoucherKeys,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) driver: Arc<Driver>,
    pub(super) notices: Notices,
    pub(super) post: Arc<Post>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) labels: Mutex<Labels>,
    pub(super) guesses: Guesses,
}

/// The labels that codes may carry, with when they were read.
#[derive(Default)]
pub(super) struct Labels {
    known: Arc<Vec<(LabelKeys, Shape)>>,
    read_at: Option<DateTime<Utc>>,
}

/// What a caller shows to be recognised when coming back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Proof<'a> {
    /// The secret of the browser session's cookie.
    pub session: Option<&'a str>,
    /// The `Idempotency-Key`.
    pub idempotency: Option<&'a str>,
    /// The network address the request comes from, as text: counted, and never proof of anything.
    pub address: Option<&'a str>,
}

/// A redemption, and whether this call began it.
#[derive(Clone, Debug)]
pub struct Redeemed {
    /// The redemption as it is now.
    pub redemption: Redemption,
    /// Whether it began with this call.
    pub is_new: bool,
}

/// Why a voucher is not being redeemed.
#[derive(Debug, thiserror::Error)]
pub enum RedeemError {
    /// Malformed, unknown, foreign or forged: told apart by nobody.
    #[error("not a voucher")]
    Invalid,
    /// As [`RedeemError::Invalid`], and one of too many of them lately.
    #[error("not a voucher, after too many others")]
    TooManyGuesses {
        /// How long until another wrong code is answered.
        retry_after: Duration,
    },
    /// The voucher is real, but not now, or not for this holder.
    #[error(transparent)]
    Refused(Refusal),
    /// Storage failed; the same call may succeed later.
    #[error("storage failed")]
    Storage(#[from] StorageError),
}

/// Why a wish is not granted.
#[derive(Debug, thiserror::Error)]
pub enum WishError {
    /// There is no such redemption.
    #[error("no such redemption")]
    NotFound,
    /// Not where the redemption stands.
    #[error("the redemption does not allow this where it stands")]
    NotAllowed,
    /// Storage failed; the same call may succeed later.
    #[error("storage failed")]
    Storage(#[from] StorageError),
}

impl Inner {
    /// Stores the beginning and tells the worker, whatever the answer is. A worker that is stopping leaves the rest
    /// to the next start.
    async fn begin(&self, begin: Begin) -> Result<Begun, StorageError> {
        let id = begin.id;
        let answer = self.storage.begin(begin).await;
        let command = match &answer {
            Ok(Begun::New(redemption)) => {
                self.notices.publish(redemption.id, redemption.version);
                Some(Command::Start(redemption.clone()))
            }
            Ok(Begun::Same(redemption)) if !redemption.is_at_rest() => Some(Command::Ensure(redemption.id)),
            // It may have begun all the same.
            Err(StorageError::Unknown(_)) => Some(Command::Ensure(id)),
            Ok(Begun::Same(_) | Begun::Refused(_)) | Err(_) => None,
        };
        if let Some(command) = command {
            self.tell(command).await;
        }
        answer
    }

    /// Tells this process's worker, if there is one: any worker finds what is stored, only later.
    async fn tell(&self, command: Command) {
        if self.post.worker().is_some() {
            drop(self.commands.send(command).await);
        }
    }
}

impl Redeemer {
    pub(super) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Begins a redemption of the voucher with this code, or finds the one the same holder began.
    pub async fn redeem(&self, code: &str, proof: Proof<'_>) -> Result<Redeemed, RedeemError> {
        let begun = match self.genuine(code).await? {
            Some(hashes) => self.begin(BeginBy::Code(hashes), self.holder(proof), proof.address).await,
            None => Err(RedeemError::Invalid),
        };
        match begun {
            Err(RedeemError::Invalid) => Err(self.wrong(proof).await),
            begun => begun,
        }
    }

    /// Counts a wrong code, and says what to answer.
    async fn wrong(&self, proof: Proof<'_>) -> RedeemError {
        let guesser = Guesser { session: self.holder(proof).session, address: self.address(proof.address) };
        match self.0.guesses.wrong(&guesser, self.0.clock.now()).await {
            Some(retry_after) => RedeemError::TooManyGuesses { retry_after },
            None => RedeemError::Invalid,
        }
    }

    fn address(&self, address: Option<&str>) -> Option<HolderKey> {
        address.map(|address| HolderKey::new(&self.0.keys.hmac("address", address.as_bytes())))
    }

    /// Begins another redemption of the voucher of `id`, which failed or was cancelled.
    pub async fn retry(&self, id: RedemptionId, proof: Proof<'_>) -> Result<Redeemed, RedeemError> {
        let Some(last) = self.redemption(id).await? else {
            return Err(RedeemError::Refused(Refusal::NoRedemption));
        };
        // Whoever asks, it counts for the holder with whom the redemption stays.
        let session = last.holder.session.or(self.holder(proof).session);
        self.begin(BeginBy::Again(id), Holder { session, idempotency: None }, proof.address).await
    }

    async fn begin(
        &self,
        by: BeginBy,
        holder: Holder,
        address: Option<&str>,
    ) -> Result<Redeemed, RedeemError> {
        let driver = &self.0.driver;
        driver.clock.agree(&*driver.workers).await?;
        let begin = Begin {
            by,
            holder,
            address: self.address(address),
            rules: Arc::clone(&self.0.driver.rules),
            id: RedemptionId::draw(&*self.0.entropy),
            owner: self.0.post.worker(),
            now: self.0.clock.now(),
        };
        // A task of its own, since a customer who hangs up must not keep the worker from hearing of it.
        let inner = Arc::clone(&self.0);
        let answer = tokio::spawn(async move { inner.begin(begin).await }).await;
        match answer.map_err(|panic| StorageError::Unknown(panic.into()))?? {
            Begun::New(redemption) => Ok(Redeemed { redemption: *redemption, is_new: true }),
            Begun::Same(redemption) => Ok(Redeemed { redemption: *redemption, is_new: false }),
            Begun::Refused(Refusal::Unknown) => Err(RedeemError::Invalid),
            Begun::Refused(refusal) => Err(RedeemError::Refused(refusal)),
        }
    }

    /// The redemption as it is now.
    pub async fn redemption(&self, id: RedemptionId) -> Result<Option<Redemption>, StorageError> {
        self.0.storage.redemption(id).await
    }

    /// What changed with each version above `after`, oldest first, at most `limit`.
    pub async fn history(
        &self,
        id: RedemptionId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Snapshot>, StorageError> {
        self.0.storage.history(id, after, limit).await
    }

    /// Sees every version of the redemption that is stored from now on.
    #[must_use]
    pub fn subscribe(&self, id: RedemptionId) -> watch::Receiver<u64> {
        self.0.notices.subscribe(id)
    }

    /// Waits until the redemption has another version than `version`, is final, or `patience` has run out, and returns
    /// it as it is then.
    pub async fn wait(
        &self,
        id: RedemptionId,
        version: u64,
        patience: Duration,
    ) -> Result<Option<Redemption>, StorageError> {
        let deadline = tokio::time::Instant::now() + patience;
        // Subscribed before the read, so that no change can fall between the two.
        let mut changes = self.subscribe(id);
        loop {
            let Some(redemption) = self.redemption(id).await? else { return Ok(None) };
            if redemption.version != version || redemption.is_final() {
                return Ok(Some(redemption));
            }
            let next_look = deadline.min(tokio::time::Instant::now() + LOOK_EVERY);
            match tokio::time::timeout_at(next_look, changes.changed()).await {
                Ok(Ok(())) => {}
                // What another process stored may not have been heard of.
                Err(_) if next_look < deadline => {}
                Ok(Err(_)) | Err(_) => return Ok(Some(redemption)),
            }
        }
    }

    /// Asks for another number instead of the one that is shown.
    pub async fn replace(&self, id: RedemptionId) -> Result<Redemption, WishError> {
        let redemption = self.redemption(id).await?.ok_or(WishError::NotFound)?;
        let attempt = redemption.attempts();
        self.wish(redemption, Wish::Replace { attempt }).await
    }

    /// Gives up; the voucher stays good.
    pub async fn cancel(&self, id: RedemptionId) -> Result<Redemption, WishError> {
        let redemption = self.redemption(id).await?.ok_or(WishError::NotFound)?;
        self.wish(redemption, Wish::Cancel).await
    }

    /// The wish is stored before it is answered, and carried out by the worker.
    async fn wish(&self, redemption: Redemption, wish: Wish) -> Result<Redemption, WishError> {
        let id = redemption.id;
        match self.0.driver.weigh(&redemption, wish).await? {
            WishAnswer::Refused => return Err(WishError::NotAllowed),
            WishAnswer::AlreadyGranted => return Ok(redemption),
            WishAnswer::Grantable => {}
        }
        // A task of its own, since a customer who hangs up must not keep the worker from hearing of it.
        let inner = Arc::clone(&self.0);
        let stored = tokio::spawn(async move {
            let stored = inner.storage.append_inbox(id, Inbox::Wish(wish)).await;
            // Where the answer was lost, it may be there all the same.
            if matches!(stored, Ok(()) | Err(StorageError::Unknown(_))) {
                inner.tell(Command::Look(id)).await;
            }
            stored
        });
        stored.await.map_err(|panic| StorageError::Unknown(panic.into()))??;
        // The wish is stored, so an error here would only make the customer wish twice.
        let shown = self.wait(id, redemption.version, WISH_SHOWS_WITHIN).await.ok().flatten();
        Ok(shown.unwrap_or(redemption))
    }

    /// The holder that `proof` shows: keyed hashes, so that storage holds nothing a cookie could be made from.
    fn holder(&self, proof: Proof<'_>) -> Holder {
        let key = |domain: &str, text: &str| HolderKey::new(&self.0.keys.hmac(domain, text.as_bytes()));
        Holder {
            session: proof.session.map(|text| key("holder session", text)),
            idempotency: proof.idempotency.map(|text| key("holder idempotency", text)),
        }
    }

    /// What the code may be stored under, if it carries a tag of ours: a guess never gets as far as the database.
    async fn genuine(&self, text: &str) -> Result<Option<Vec<VoucherHash>>, StorageError> {
        let known = self.labels().await?;
        if let Some(hashes) = self.matching(text, &known) {
            return Ok(Some(hashes));
        }
        let mut fresh = self.read_labels().await?;
        if Arc::ptr_eq(&fresh, &known) && may_be_new(text, &known) {
            // Its label may have been minted since, so it is refused by labels that are newer than the request alone.
            tokio::time::sleep(LABELS_FOR).await;
            fresh = self.read_labels().await?;
        }
        Ok(if Arc::ptr_eq(&fresh, &known) { None } else { self.matching(text, &fresh) })
    }

    fn matching(&self, text: &str, labels: &[(LabelKeys, Shape)]) -> Option<Vec<VoucherHash>> {
        let mut found = None;
        let shapes: HashSet<Shape> = labels.iter().map(|(_, shape)| *shape).collect();
        for shape in shapes {
            let Ok(code) = VoucherCode::parse(text, &shape) else { continue };
            for (label, _) in labels.iter().filter(|(_, of)| *of == shape) {
                if label.matches(&code).is_some() {
                    found =
                        Some(self.0.keys.lookup_hashes(&code).into_iter().map(|(_, hash)| hash).collect());
                }
            }
        }
        found
    }

    async fn labels(&self) -> Result<Arc<Vec<(LabelKeys, Shape)>>, StorageError> {
        let (known, is_read) = {
            let labels = self.0.labels.lock().unwrap_or_else(PoisonError::into_inner);
            (Arc::clone(&labels.known), labels.read_at.is_some())
        };
        if is_read { Ok(known) } else { self.read_labels().await }
    }

    /// Reads the labels again, at most once in [`LABELS_FOR`].
    async fn read_labels(&self) -> Result<Arc<Vec<(LabelKeys, Shape)>>, StorageError> {
        let now = self.0.clock.now();
        {
            let labels = self.0.labels.lock().unwrap_or_else(PoisonError::into_inner);
            if labels.read_at.is_some_and(|at| now < at + LABELS_FOR) {
                return Ok(Arc::clone(&labels.known));
            }
        }
        let stored = self.0.vouchers.labels().await?;
        let known = Arc::new(
            stored.into_iter().map(|(label, shape)| (self.0.keys.label(&label), shape)).collect::<Vec<_>>(),
        );
        let mut labels = self.0.labels.lock().unwrap_or_else(PoisonError::into_inner);
        *labels = Labels { known: Arc::clone(&known), read_at: Some(now) };
        Ok(known)
    }
}

/// Whether `text` is a code in all but its tag: one with a typo is not.
fn may_be_new(text: &str, known: &[(LabelKeys, Shape)]) -> bool {
    let shapes = known.iter().map(|(_, shape)| *shape).chain([Shape::default()]);
    shapes.collect::<HashSet<_>>().iter().any(|shape| VoucherCode::parse(text, shape).is_ok())
}
