//! What operators set, see and do, over the real engine: breakers, accounts, alerts, support work, withheld messages.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod alerts;
mod plans;
mod rules;
mod vouchers;

use mintcode_core::engine::{Proof, RedeemError};
use mintcode_core::health::Source;
use mintcode_core::ids::RedemptionId;
use mintcode_core::ports::Vouchers;
use mintcode_core::redemption::{FailureKind, Phase, Redemption};
use mintcode_core::rules::Rules;
use mintcode_core::sku::Sku;
use mintcode_core::testing::{Line, World, sample};
use mintcode_core::voucher::Voucher;
use std::time::Duration;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const BANK: &str = "Sberbank: payment 5,000 RUB, card *1234. Code 482915";

pub(crate) fn one_plan() -> Sku {
    let mut sku = sample::sku("tg");
    sku.policy.further_sms = Duration::ZERO;
    sku.policy.cooldown = SECOND;
    sku
}

pub(crate) fn two_plans() -> Sku {
    let mut sku = one_plan();
    sku.plans.push(sample::plan("B", "england", "virtual66"));
    sku
}

pub(crate) fn silent() -> Line {
    Line { sms_after: None, ..Line::default() }
}

pub(crate) fn empty() -> Line {
    Line { stock: 0, ..Line::default() }
}

pub(crate) fn of_a_bank() -> Line {
    Line { text: BANK.to_owned(), code: Some("482915".to_owned()), ..Line::default() }
}

pub(crate) async fn world(sku: Sku, rules: Rules) -> World {
    let world = World::builder(sku).rules(rules).start().await;
    world.supplier.stock("canada", "virtual4", Line::default());
    world.supplier.stock("england", "virtual66", Line::default());
    world
}

pub(crate) async fn redeem(world: &World, code: &str) -> Result<RedemptionId, RedeemError> {
    let session = format!("whoever has {code}");
    let proof = Proof { session: Some(&session), ..Proof::default() };
    world.redeemer.redeem(code, proof).await.map(|redeemed| redeemed.redemption.id)
}

/// A redemption of a fresh voucher, when nothing is left to do for it.
pub(crate) async fn run(world: &World) -> Redemption {
    let code = world.mint().await;
    let id = redeem(world, &code).await.unwrap();
    world.at_rest(id).await
}

pub(crate) fn failure(redemption: &Redemption) -> FailureKind {
    let Phase::Failed(failure) = &redemption.phase else { panic!("not failed: {:?}", redemption.phase) };
    failure.kind
}

pub(crate) fn plans(redemption: &Redemption) -> Vec<String> {
    redemption.attempt_rows().iter().map(|row| row.plan.to_string()).collect()
}

pub(crate) async fn voucher(world: &World, redemption: &Redemption) -> Voucher {
    world.storage.trail(&[redemption.voucher]).await.unwrap().unwrap().voucher
}

pub(crate) fn source() -> Source {
    Source::of_plan(&sample::plan("A", "canada", "virtual4"), "telegram")
}

pub(crate) fn told(world: &World, kind: &str) -> usize {
    world.alerts.told().iter().filter(|alert| alert.kind() == kind).count()
}

/// Waits, at most an hour, until the alert is told that often.
pub(crate) async fn until_told(world: &World, kind: &str, times: usize) {
    for _ in 0..3_600 {
        if told(world, kind) == times {
            return;
        }
        tokio::time::sleep(SECOND).await;
    }
    panic!("{kind} was told {} times", told(world, kind));
}
