//! How the suppliers' accounts stand, and how the sources do where numbers are bought.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use mintcode_core::health::{Account, AccountStanding, Health, HealthRules, Off, Source, WhyOff};
use mintcode_core::ids::SupplierName;
use mintcode_core::money::{Amount, Currency};
use serde::Serialize;

use super::List;
use crate::app::Shared;
use crate::error::ApiError;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/admin/suppliers", get(suppliers))
}

/// An account, with the sources that are bought from on it.
#[derive(Serialize)]
struct SupplierView {
    name: SupplierName,
    object: &'static str,
    balance: Option<Amount>,
    currency: Option<Currency>,
    rating: Option<f64>,
    /// When balance and rating were seen.
    seen_at: Option<DateTime<Utc>>,
    given_back_10m: u32,
    standing: &'static str,
    /// Until when a paused account waits.
    paused_until: Option<DateTime<Utc>>,
    sources: Vec<SourceView>,
}

#[derive(Serialize)]
struct SourceView {
    product: String,
    country: String,
    operator: String,
    /// Within the breaker's window.
    tries: u32,
    /// How many of them found nothing in stock.
    empty: u32,
    state: &'static str,
    /// Until when it is off, or its probe is waited for.
    until: Option<DateTime<Utc>>,
    why: Option<&'static str>,
    /// What an order cost that was too dear.
    dear_price: Option<Amount>,
    /// Numbers looked back on, at most the last ten.
    last_numbers: usize,
    /// How many of them got no SMS.
    silent_numbers: usize,
    is_silent: bool,
}

/// `GET /admin/suppliers`
async fn suppliers(State(shared): State<Shared>) -> Result<Json<List<SupplierView>>, ApiError> {
    let (rules, now) = (&shared.support.rules().health, shared.clock.now());
    let mut by_supplier: BTreeMap<SupplierName, SupplierView> = BTreeMap::new();
    for (name, account) in shared.support.accounts().await? {
        by_supplier.insert(name.clone(), SupplierView::new(name, &account, rules, now));
    }
    for (source, health) in shared.support.sources().await? {
        let unseen = || SupplierView::new(source.supplier.clone(), &Account::default(), rules, now);
        let supplier = by_supplier.entry(source.supplier.clone()).or_insert_with(unseen);
        supplier.sources.push(SourceView::new(source, &health, rules, now));
    }
    Ok(Json(List::new(by_supplier.into_values().collect(), false)))
}

impl SupplierView {
    fn new(name: SupplierName, account: &Account, rules: &HealthRules, now: DateTime<Utc>) -> Self {
        let seen = account.seen;
        let rating_milli = seen.and_then(|seen| seen.rating_milli);
        let (standing, paused_until) = match account.standing(rules, now) {
            AccountStanding::Open => ("open", None),
            AccountStanding::Paused { until } => ("paused", Some(until)),
            AccountStanding::BelowFloor => ("below_floor", None),
        };
        Self {
            name,
            object: "supplier",
            balance: seen.map(|seen| seen.balance),
            currency: seen.map(|seen| seen.currency),
            rating: rating_milli
                .and_then(|milli| i32::try_from(milli).ok())
                .map(|milli| f64::from(milli) / 1000.0),
            seen_at: seen.map(|seen| seen.at),
            given_back_10m: account.given_back.within(HealthRules::GIVE_BACK_WINDOW, now).0,
            standing,
            paused_until,
            sources: Vec::new(),
        }
    }
}

impl SourceView {
    fn new(source: Source, health: &Health, rules: &HealthRules, now: DateTime<Utc>) -> Self {
        let Source { supplier: _, product, country, operator } = source;
        let (tries, empty) = health.tries.within(rules.window, now);
        let (state, until) = state(health.off.as_ref(), now);
        let (why, dear_price) = match health.off.as_ref().map(|off| off.why) {
            None => (None, None),
            Some(WhyOff::Empty) => (Some("empty"), None),
            Some(WhyOff::Dear { price, .. }) => (Some("dear"), Some(price)),
        };
        let (last_numbers, silent_numbers) = health.silence.counts();
        Self {
            product,
            country,
            operator,
            tries,
            empty,
            state,
            until,
            why,
            dear_price,
            last_numbers,
            silent_numbers,
            is_silent: health.silence.is_silent(),
        }
    }
}

/// Where a source stands, and until when.
fn state(off: Option<&Off>, now: DateTime<Utc>) -> (&'static str, Option<DateTime<Utc>>) {
    match off {
        None => ("on", None),
        Some(off) if now < off.until => ("off", Some(off.until)),
        Some(Off { probe: Some(probe), .. }) if now < probe.until => ("probing", Some(probe.until)),
        Some(_) => ("to_be_probed", None),
    }
}
