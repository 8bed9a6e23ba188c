//! Redemptions as JSON, as rows and as lines: never a number, a code or a text.

use mintcode_core::ledger::Entry;
use mintcode_core::money::Currency;
use mintcode_core::ports::{RedemptionTrail, Stop};
use mintcode_core::redemption::{Phase, Redemption};
use serde_json::{Value, json};

use crate::commands::voucher::{attempt_described, attempt_shown, id};
use crate::exit::Failure;
use crate::money;
use crate::time;

/// A redemption in a list, as JSON.
pub(super) fn brief(redemption: &Redemption) -> Value {
    let failure = redemption.snapshot().failure;
    json!({
        "id": redemption.id,
        "object": "redemption",
        "status": redemption.status(),
        "phase": redemption.phase.name(),
        "sku": redemption.sku,
        "voucher": redemption.mask,
        "voucher_id": id(redemption.voucher),
        "price": redemption.price,
        "currency": redemption.currency,
        "failure": failure.map(|failure| json!({ "type": failure.kind.name(), "stop": stop(redemption) })),
        "withheld": withheld(redemption),
        "next": redemption.next,
        "deadline": redemption.deadline,
        "created_at": redemption.created_at,
        "updated_at": redemption.updated_at,
    })
}

/// A redemption with its attempts and entries, as JSON.
pub(super) fn whole(
    redemption: &Redemption,
    trail: &RedemptionTrail,
    currency: Currency,
) -> Result<Value, Failure> {
    let mut shown = brief(redemption);
    shown["attempts"] = trail.attempts.iter().map(attempt_shown).collect();
    shown["ledger"] = trail.ledger.iter().map(entry_shown).collect();
    shown["money"] = json!(money::earned(&trail.ledger, currency)?);
    Ok(shown)
}

fn entry_shown(entry: &Entry) -> Value {
    json!({
        "book": entry.book.name(),
        "kind": entry.kind.name(),
        "attempt": entry.attempt,
        "plan": entry.plan,
        "supplier": entry.supplier,
        "supplier_order": entry.order,
        "amount": entry.amount,
        "currency": entry.currency,
        "value": entry.value,
    })
}

/// A redemption as a row of a table.
pub(super) fn row(redemption: &Redemption) -> [String; 7] {
    [
        redemption.id.to_string(),
        time::shown(redemption.created_at),
        redemption.status().name().to_owned(),
        redemption.sku.to_string(),
        redemption.mask.to_string(),
        numbers(redemption).to_string(),
        why(redemption).unwrap_or_default(),
    ]
}

/// A redemption with its attempts and entries, as lines.
pub(super) fn described(
    redemption: &Redemption,
    trail: &RedemptionTrail,
    currency: Currency,
) -> Result<Vec<String>, Failure> {
    let Redemption { id, mask, sku, price, currency: sold_in, .. } = redemption;
    let status = redemption.status().name();
    let why = why(redemption).map_or_else(String::new, |why| format!(" ({why})"));
    let [began, changed, deadline] =
        [redemption.created_at, redemption.updated_at, redemption.deadline].map(time::shown);
    let mut lines = vec![
        format!("{id}  {status}{why}"),
        format!("  {mask} of {sku}, price {price} {sold_in}"),
        format!("  began {began}, changed {changed}, deadline {deadline} UTC"),
    ];
    lines.extend(redemption.next.map(|next| format!("  followed by {next}")));
    lines.extend(trail.attempts.iter().map(|attempt| format!("  {}", attempt_described(attempt))));
    lines.extend(trail.ledger.iter().map(|entry| format!("  {entry}")));
    lines.push(format!("  {}", money::described(&money::earned(&trail.ledger, currency)?)));
    Ok(lines)
}

/// What the operator may want to know beside the status.
fn why(redemption: &Redemption) -> Option<String> {
    match &redemption.phase {
        Phase::Failed(failure) => Some(match failure.stop {
            Some(stop) => format!("{}: {}", failure.kind.name(), format!("{stop:?}").to_lowercase()),
            None => failure.kind.name().to_owned(),
        }),
        Phase::Withheld(_) => Some(format!("withheld: {}", withheld(redemption).join(", "))),
        Phase::Uncertain(_) => Some("a purchase is looked for".to_owned()),
        Phase::Queued
        | Phase::Ordering(_)
        | Phase::Waiting(_)
        | Phase::Releasing(_)
        | Phase::CoolingDown { .. }
        | Phase::Delivered(_)
        | Phase::Cancelled => None,
    }
}

/// What the operator has to see to.
fn stop(redemption: &Redemption) -> Option<Stop> {
    match &redemption.phase {
        Phase::Failed(failure) => failure.stop,
        _ => None,
    }
}

/// The patterns that withheld a message.
fn withheld(redemption: &Redemption) -> Vec<&str> {
    let patterns = redemption.held().map(|held| held.withheld.values().map(String::as_str).collect());
    patterns.unwrap_or_default()
}

/// How many numbers it got.
fn numbers(redemption: &Redemption) -> usize {
    redemption.attempt_rows().iter().filter(|row| row.order.is_some()).count()
}
