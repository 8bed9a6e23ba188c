//! Redemptions: search, the whole trail of one, why its plans were chosen, stopping it, letting a message through, and
//! letting workers take it over again.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use mintcode_core::engine::Explained;
use mintcode_core::ids::{PlanId, RedemptionId, SkuId, SupplierName};
use mintcode_core::ledger::Entry;
use mintcode_core::ledger::margin::Earned;
use mintcode_core::money::{Amount, Currency};
use mintcode_core::order::OrderId;
use mintcode_core::ports::{RedemptionSearch, RedemptionTrail, Stop};
use mintcode_core::redemption::{Choice, ChoiceRecord, Phase, Question, Redemption, Status};
use mintcode_core::voucher::Mask;
use serde::{Deserialize, Serialize};

use super::trail::{AttemptView, voucher_id};
use super::{List, page, paged};
use crate::app::Shared;
use crate::error::{ApiError, Slug};
use crate::input::Search;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/admin/redemptions", get(search))
        .route("/admin/redemptions/{id}", get(trail))
        .route("/admin/redemptions/{id}/explain", get(explain))
        .route("/admin/redemptions/{id}/cancel", post(cancel))
        .route("/admin/redemptions/{id}/release", post(release))
        .route("/admin/redemptions/{id}/resume", post(resume))
}

/// A redemption as operators see it: neither number nor message.
#[derive(Serialize)]
struct RedemptionRow {
    id: RedemptionId,
    object: &'static str,
    status: Status,
    /// Where it stands inside, which tells more than the status.
    phase: &'static str,
    sku: SkuId,
    voucher: Mask,
    voucher_id: String,
    price: Amount,
    currency: Currency,
    failure: Option<FailureRow>,
    /// The patterns that withheld a message; empty where none is withheld.
    withheld: Vec<String>,
    next: Option<RedemptionId>,
    deadline: DateTime<Utc>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(Serialize)]
struct FailureRow {
    #[serde(rename = "type")]
    kind: &'static str,
    /// What the operator has to see to.
    stop: Option<Stop>,
}

/// A redemption with everything that happened in it.
#[derive(Serialize)]
struct TrailView {
    #[serde(flatten)]
    redemption: RedemptionRow,
    attempts: Vec<AttemptView>,
    ledger: Vec<EntryView>,
    money: Earned,
}

#[derive(Serialize)]
struct EntryView {
    book: &'static str,
    kind: &'static str,
    /// 0 for sales.
    attempt: u32,
    plan: Option<PlanId>,
    supplier: Option<SupplierName>,
    supplier_order: Option<OrderId>,
    amount: Amount,
    currency: Currency,
    /// In the selling currency.
    value: Amount,
}

/// A choice of a plan, and the same question answered today.
#[derive(Serialize)]
struct ExplainedView {
    at: DateTime<Utc>,
    choice: &'static str,
    plan: Option<PlanId>,
    reason: String,
    question: Question,
    /// The record byte for byte.
    stored: String,
    replayed: String,
    holds: bool,
}

#[derive(Deserialize)]
struct Cursor {
    sku: Option<SkuId>,
    status: Option<Status>,
    starting_after: Option<RedemptionId>,
    limit: Option<u32>,
}

/// `GET /admin/redemptions`
async fn search(
    State(shared): State<Shared>,
    Search(Cursor { sku, status, starting_after, limit }): Search<Cursor>,
) -> Result<Json<List<RedemptionRow>>, ApiError> {
    let limit = page(limit)?;
    let search = RedemptionSearch { sku, status, before: starting_after };
    let (found, has_more) = paged(shared.support.redemptions(search, limit + 1).await?, limit);
    Ok(Json(List::new(found.iter().map(RedemptionRow::from).collect(), has_more)))
}

/// `GET /admin/redemptions/{id}`
async fn trail(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Json<TrailView>, ApiError> {
    let not_found = || ApiError::new(Slug::NotFound);
    let redemption = shared.support.redemption(parse(&id)?).await?.ok_or_else(not_found)?;
    let voucher = shared.support.trail(redemption.voucher).await?.ok_or_else(not_found)?;
    let own = voucher.redemptions.into_iter().find(|trail| trail.id == redemption.id);
    let RedemptionTrail { attempts, ledger, .. } = own.ok_or_else(not_found)?;
    Ok(Json(TrailView {
        redemption: RedemptionRow::from(&redemption),
        attempts: attempts.into_iter().map(AttemptView::from).collect(),
        money: Earned::of(&ledger, redemption.currency)?,
        ledger: ledger.into_iter().map(EntryView::from).collect(),
    }))
}

/// `GET /admin/redemptions/{id}/explain`: why each plan was chosen, oldest choice first.
async fn explain(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<List<ExplainedView>>, ApiError> {
    let explained = shared.support.explain(parse(&id)?).await?;
    let explained = explained.ok_or_else(|| ApiError::new(Slug::NotFound))?;
    Ok(Json(List::new(explained.into_iter().map(ExplainedView::from).collect(), false)))
}

/// `POST /admin/redemptions/{id}/cancel`: stops it; the voucher stays good.
async fn cancel(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<RedemptionRow>), ApiError> {
    let redemption = shared.support.cancel(parse(&id)?).await?;
    Ok((StatusCode::ACCEPTED, Json(RedemptionRow::from(&redemption))))
}

/// `POST /admin/redemptions/{id}/release`: the owner lets a withheld message through to the customer.
async fn release(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<RedemptionRow>), ApiError> {
    let redemption = shared.support.release(parse(&id)?).await?;
    Ok((StatusCode::ACCEPTED, Json(RedemptionRow::from(&redemption))))
}

/// `POST /admin/redemptions/{id}/resume`: ends its quarantine, so that a worker takes it over again.
async fn resume(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<RedemptionRow>, ApiError> {
    let redemption = shared.support.resume(parse(&id)?).await?;
    Ok(Json(RedemptionRow::from(&redemption)))
}

fn parse(id: &str) -> Result<RedemptionId, ApiError> {
    id.parse().map_err(|_| ApiError::new(Slug::NotFound))
}

impl From<&Redemption> for RedemptionRow {
    fn from(redemption: &Redemption) -> Self {
        let stop = match &redemption.phase {
            Phase::Failed(failure) => failure.stop,
            _ => None,
        };
        let failure = redemption.snapshot().failure;
        let withheld = redemption.held().map(|held| held.withheld.values().cloned().collect());
        Self {
            id: redemption.id,
            object: "redemption",
            status: redemption.status(),
            phase: redemption.phase.name(),
            sku: redemption.sku.clone(),
            voucher: redemption.mask,
            voucher_id: voucher_id(redemption.voucher),
            price: redemption.price,
            currency: redemption.currency,
            failure: failure.map(|failure| FailureRow { kind: failure.kind.name(), stop }),
            withheld: withheld.unwrap_or_default(),
            next: redemption.next,
            deadline: redemption.deadline,
            created_at: redemption.created_at,
            updated_at: redemption.updated_at,
        }
    }
}

impl From<Entry> for EntryView {
    fn from(entry: Entry) -> Self {
        Self {
            book: entry.book.name(),
            kind: entry.kind.name(),
            attempt: entry.attempt,
            plan: entry.plan,
            supplier: entry.supplier,
            supplier_order: entry.order,
            amount: entry.amount,
            currency: entry.currency,
            value: entry.value,
        }
    }
}

impl From<Explained> for ExplainedView {
    fn from(explained: Explained) -> Self {
        let holds = explained.holds();
        let Explained { record: ChoiceRecord { at, question, answer }, stored, replayed } = explained;
        let (choice, plan) = match answer.choice {
            Choice::Next { plan, .. } => ("next", Some(plan.id)),
            Choice::Wait { plan, .. } => ("wait", Some(plan)),
            Choice::GiveUp { .. } => ("give_up", None),
        };
        Self { at, choice, plan, reason: answer.reason, question, stored, replayed, holds }
    }
}
