//! Whoever holds a voucher: posts it, comes back after a lost answer, wishes another number, gives up, tries again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mintcode_core::engine::{Proof, RedeemError, Redeemed, Redeemer, WishError};
use mintcode_core::ids::RedemptionId;
use mintcode_core::ports::Storage;
use mintcode_core::redemption::{Phase, Redemption};
use mintcode_core::voucher::Refusal;

use super::sim::Sim;

/// How long a customer waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The processes that can be reached, in their places.
pub(crate) type Doors = Arc<Vec<Mutex<Option<Redeemer>>>>;

pub(crate) struct Customer {
    pub(crate) sim: Arc<Sim>,
    pub(crate) doors: Doors,
    pub(crate) name: String,
    pub(crate) code: String,
}

impl Customer {
    /// Tries until there is a code, or no hope left.
    pub(crate) async fn run(self) {
        let (sim, dice) = (&self.sim, &self.sim.dice);
        tokio::time::sleep(dice.millis(0, sim.setup.arrivals.as_millis().try_into().unwrap())).await;
        let mut last: Option<RedemptionId> = None;
        let mut refusals = 0;
        while !sim.is_calm() && refusals < 20 {
            let Some(redeemed) = self.post(last).await else {
                refusals += 1;
                tokio::time::sleep(dice.secs(2, 15)).await;
                continue;
            };
            sim.count("redemptions begun or found");
            let ended = self.wait(redeemed.redemption.id).await;
            if matches!(ended.phase, Phase::Delivered(_) | Phase::Withheld(_)) {
                return;
            }
            last = Some(ended.id);
            tokio::time::sleep(dice.secs(1, 12)).await;
        }
    }

    /// A process that answers, if there is one.
    fn door(&self) -> Option<Redeemer> {
        self.sim.dice.pick(&self.doors).lock().unwrap().clone()
    }

    async fn post(&self, last: Option<RedemptionId>) -> Option<Redeemed> {
        let door = self.door()?;
        let proof = Proof { session: Some(&self.name), idempotency: Some(&self.name), address: None };
        let answer = async {
            match last.filter(|_| self.sim.dice.chance(3_000)) {
                Some(last) => door.retry(last, proof).await,
                None => door.redeem(&self.code, proof).await,
            }
        };
        let Ok(answer) = tokio::time::timeout(PATIENCE, answer).await else {
            self.sim.count("customers without an answer");
            self.sim.trace(|| format!("{} got no answer", self.name));
            return None;
        };
        match answer {
            Ok(redeemed) => Some(redeemed),
            Err(RedeemError::Storage(_)) => {
                self.sim.count("customers told of trouble");
                None
            }
            // The voucher is real and the holder the same, so it can only be too soon, or too late.
            Err(RedeemError::Refused(
                Refusal::CoolingDown { .. }
                | Refusal::Unavailable { .. }
                | Refusal::Exhausted
                | Refusal::NotAllowed,
            )) => None,
            Err(error) => {
                self.sim.violated(format!("I7: {} was told: {error}", self.name));
                None
            }
        }
    }

    /// Waits for the end, and does what customers do meanwhile.
    async fn wait(&self, id: RedemptionId) -> Redemption {
        let (sim, dice) = (&self.sim, &self.sim.dice);
        loop {
            tokio::time::sleep(dice.secs(3, 9)).await;
            let before = sim.storage.redemption(id).await.unwrap().unwrap();
            if before.is_final() {
                return before;
            }
            if sim.is_calm() {
                continue;
            }
            let (replaces, gives_up, comes_back) = (dice.chance(300), dice.chance(100), dice.chance(1_000));
            if replaces || gives_up {
                self.wish(id, replaces).await;
            }
            if comes_back && let Some(again) = self.post(None).await {
                let is_same = again.redemption.id == id;
                let ended = sim.storage.redemption(id).await.unwrap().unwrap().is_final();
                if !is_same && !ended {
                    sim.violated(format!(
                        "I7: {} came back for {id} and got {}",
                        self.name, again.redemption.id
                    ));
                }
                if !is_same {
                    return self.latest(again.redemption.id).await;
                }
            }
        }
    }

    async fn latest(&self, id: RedemptionId) -> Redemption {
        Box::pin(self.wait(id)).await
    }

    async fn wish(&self, id: RedemptionId, replaces: bool) {
        let Some(door) = self.door() else { return };
        let wish = async { if replaces { door.replace(id).await } else { door.cancel(id).await } };
        match tokio::time::timeout(PATIENCE, wish).await {
            Ok(Ok(_)) => self.sim.count("wishes granted"),
            Ok(Err(WishError::NotAllowed)) => self.sim.count("wishes refused"),
            Ok(Err(WishError::NotFound)) => self.sim.violated(format!("I7: {id} is gone")),
            Ok(Err(WishError::Storage(_))) | Err(_) => self.sim.count("wishes without an answer"),
        }
    }
}
