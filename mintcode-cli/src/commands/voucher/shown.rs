//! Vouchers and what happened to them, as JSON and as lines.

use mintcode_core::money::Currency;
use mintcode_core::ports::{RedemptionTrail, VoucherTrail};
use mintcode_core::redemption::{AttemptRow, Outcome};
use mintcode_core::voucher::{Voucher, VoucherHash};
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::money;
use crate::time;

/// A voucher's id.
pub(in crate::commands) fn id(hash: VoucherHash) -> String {
    format!("vch_{hash}")
}

/// A voucher as JSON.
pub(super) fn voucher(voucher: &Voucher) -> Value {
    json!({
        "id": id(voucher.hash),
        "object": "voucher",
        "state": voucher.state.name(),
        "mask": voucher.mask,
        "sku": voucher.sku,
        "batch": voucher.batch,
        "expires_at": voucher.expires_at,
        "void_reason": voucher.void,
        "replaces": voucher.replaces.map(id),
    })
}

/// A voucher with everything that happened to it as JSON.
pub(super) fn trail(trail: &VoucherTrail, currency: Currency) -> Result<Value, Failure> {
    let redemptions = trail
        .redemptions
        .iter()
        .map(|redemption| redemption_shown(redemption, currency))
        .collect::<Result<_, _>>()?;
    let mut shown = voucher(&trail.voucher);
    shown["replaced_by"] = json!(trail.replaced_by.map(id));
    shown["redemptions"] = Value::Array(redemptions);
    Ok(shown)
}

fn redemption_shown(redemption: &RedemptionTrail, currency: Currency) -> Result<Value, Failure> {
    Ok(json!({
        "id": redemption.id,
        "status": redemption.status,
        "created_at": redemption.created_at,
        "updated_at": redemption.updated_at,
        "money": money::earned(&redemption.ledger, currency)?,
        "attempts": redemption.attempts.iter().map(attempt_shown).collect::<Vec<_>>(),
    }))
}

/// An attempt as JSON.
pub(in crate::commands) fn attempt_shown(attempt: &AttemptRow) -> Value {
    json!({
        "number": attempt.number,
        "plan": attempt.plan,
        "supplier": attempt.supplier,
        "supplier_order": attempt.order,
        "supplier_order_end": attempt.order_end,
        "price": attempt.price,
        "currency": attempt.price.map(|_| attempt.currency),
        "outcome": attempt.outcome.map(Outcome::name),
        "reason": attempt.reason,
        "is_probe": attempt.is_probe,
        "started_at": attempt.started_at,
        "sms_at": attempt.sms_at,
        "ended_at": attempt.ended_at,
    })
}

/// A voucher with everything that happened to it as lines.
pub(super) fn described(trail: &VoucherTrail, currency: Currency) -> Result<Vec<String>, Failure> {
    let VoucherTrail { voucher, replaced_by, redemptions } = trail;
    let mut lines = vec![
        format!("{}  {}  {}  {}", voucher.mask, voucher.state.name(), voucher.sku, voucher.batch),
        format!("  id {}", id(voucher.hash)),
    ];
    if let Some(end) = voucher.expires_at {
        lines.push(format!("  good until {} UTC", time::shown(end)));
    }
    lines.extend(voucher.void.as_ref().map(|reason| format!("  taken back: {reason}")));
    lines.extend(voucher.replaces.map(|other| format!("  issued in place of {}", id(other))));
    lines.extend(replaced_by.map(|other| format!("  replaced by {}", id(other))));
    for redemption in redemptions {
        let at = time::shown(redemption.created_at);
        lines.push(format!("  {at}  {}  {}", redemption.id, redemption.status.name()));
        lines.extend(redemption.attempts.iter().map(|attempt| format!("    {}", attempt_described(attempt))));
        lines.push(format!("    {}", money::described(&money::earned(&redemption.ledger, currency)?)));
    }
    Ok(lines)
}

/// An attempt as a line.
pub(in crate::commands) fn attempt_described(attempt: &AttemptRow) -> String {
    let outcome = attempt.outcome.map_or("under way", Outcome::name);
    let price = attempt.price.map_or_else(String::new, |price| format!("  {price} {}", attempt.currency));
    let order = attempt.order.as_ref().map_or_else(String::new, |order| format!("  order {order}"));
    format!("attempt {}  plan {}  {outcome}{order}{price}  {}", attempt.number, attempt.plan, attempt.reason)
}
