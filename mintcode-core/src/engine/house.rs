//! What has to be done now and then: sealing old batches, removing what unfinished ones left, letting vouchers expire,
//! forgetting old counts, removing old numbers and messages, and proving the books.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use super::driver::Driver;
use super::issuer::Issuer;
use super::supplier_desk::Chain;
use crate::alert::{Alert, AlertChange};
use crate::ledger::{self, Entry, Imbalance};
use crate::ports::{Clock, Observed, RedemptionSearch, Reports, StorageError};

/// How often.
const EVERY: Duration = Duration::from_secs(60);
/// Vouchers that expire in one transaction.
const EXPIRED_AT_ONCE: u32 = 500;
/// Redemptions whose numbers and messages go in one transaction.
const PURGED_AT_ONCE: u32 = 100;
/// How often the books are proved.
const BOOKS_EVERY: Duration = Duration::from_hours(1);
/// Of redemptions that began so long ago or later.
const BOOKS_SINCE: Duration = Duration::from_hours(2);
/// Redemptions read at once.
const PAGE: u32 = 200;

pub(super) async fn keep_house(issuer: Issuer, driver: Arc<Driver>) {
    let mut every = tokio::time::interval(EVERY);
    loop {
        every.tick().await;
        report("old batches were sealed", issuer.seal_old().await);
        report("vouchers of unfinished batches were removed", issuer.remove_leftovers().await);
        report("vouchers expired", expire(&issuer).await);
        report("old counts were forgotten", driver.journal.storage().forget_idle(driver.clock.now()).await);
        report("redemptions were looked through for old numbers and messages", purge(&driver).await);
    }
}

async fn expire(issuer: &Issuer) -> Result<u64, StorageError> {
    let mut expired = 0;
    loop {
        match issuer.vouchers.expire_vouchers(issuer.clock.now(), EXPIRED_AT_ONCE).await? {
            0 => return Ok(expired),
            more => expired += more,
        }
    }
}

/// Removes numbers and messages that were kept for long enough.
async fn purge(driver: &Driver) -> Result<u64, StorageError> {
    let now = driver.clock.now();
    let retention = TimeDelta::from_std(driver.rules.retention).ok();
    // Longer ago than there are times: everything is kept.
    let Some(before) = retention.and_then(|kept| now.checked_sub_signed(kept)) else { return Ok(0) };
    let mut purged = 0;
    loop {
        match driver.journal.storage().purge(before, PURGED_AT_ONCE, now).await? {
            0 => return Ok(purged),
            more => purged += more,
        }
    }
}

fn report(what: &'static str, done: Result<u64, StorageError>) {
    match done {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "{what}"),
        Err(error) => tracing::warn!(error = %Chain(&error), "not done: {what}"),
    }
}

/// Proves what was booked for the redemptions of the last hours against what became of them.
pub(super) async fn prove_books(driver: Arc<Driver>, reports: Arc<dyn Reports>) {
    let mut every = tokio::time::interval(BOOKS_EVERY);
    loop {
        every.tick().await;
        match imbalance(&driver, &*reports).await {
            Ok(None) => {}
            Ok(Some(imbalance)) => {
                let (voucher, what) = (imbalance.mask, imbalance.why.to_string());
                let alerts = vec![AlertChange::raise(Alert::BooksOff { voucher, what })];
                driver.observe(Observed { alerts, ..driver.nothing_observed() }).await;
            }
            Err(error) => tracing::warn!(error = %Chain(&error), "the books could not be read"),
        }
    }
}

async fn imbalance(driver: &Driver, reports: &dyn Reports) -> Result<Option<Imbalance>, StorageError> {
    let since = driver.clock.now() - BOOKS_SINCE;
    let mut search = RedemptionSearch::default();
    loop {
        let page = reports.redemptions(search.clone(), PAGE).await?;
        let Some(oldest) = page.last() else { return Ok(None) };
        search.before = Some(oldest.id);
        let is_last = oldest.created_at < since;
        // One that still moves could be read before a move and its entries after it.
        for redemption in page.iter().filter(|redemption| redemption.is_at_rest()) {
            let booked = reports.booked(redemption.id).await?;
            let entries: Vec<Entry> = booked.into_iter().map(|booked| booked.entry).collect();
            if let Err(imbalance) = ledger::check([(redemption, &entries[..])]) {
                // One that moved between the two looks says nothing.
                let again = driver.journal.storage().redemption(redemption.id).await?;
                if again.is_some_and(|again| again.version == redemption.version) {
                    return Ok(Some(imbalance));
                }
            }
        }
        if is_last {
            return Ok(None);
        }
    }
}
