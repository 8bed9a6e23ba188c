//! One step of a walk.

use chrono::Duration;
use rand::RngExt;

use super::{Told, Walk};
use crate::alert::{Alert, AlertChange};
use crate::health::HealthEvent;
use crate::ids::{RedemptionId, SupplierName};
use crate::money::{Amount, Currency, Rate};
use crate::order::{ListedOrder, OrderId, OrderStatus, Sight};
use crate::orphan::{Orphan, OrphanPhase};
use crate::ports::{
    Adopt, Begin, BeginBy, Commit, Inbox, Observed, PlanChange, Put, RedemptionSearch, WorkerRow,
};
use crate::redemption::{Redemption, Wish};
use crate::testing::conformance::stage::{
    at, enlisted, happened, keyed, meant, nothing_observed, post, rdm, session, source, wanted, worker,
};
use crate::testing::sample;
use crate::voucher::{VoidReason, VoucherEvent, VoucherHash};

/// The same call to both; their answers are compared, and the storage's own comes back.
macro_rules! both {
    ($walk:ident, $what:literal, |$storage:ident| $call:expr) => {{
        let $storage = &$walk.store;
        let of_storage = $call.await;
        let $storage = &$walk.memory;
        let of_memory = $call.await;
        let told = of_storage.told();
        $walk.same($what, &told, &of_memory.told());
        $walk.note($what, &told);
        told
    }};
}

impl Walk {
    /// Three SKUs, and vouchers of each.
    pub(super) async fn open_shop(&mut self) {
        for _ in 0..3 {
            self.skus += 1;
            let sku = sample::sku(&format!("s{}", self.skus));
            both!(self, "put_sku", |to| to.put_sku(sku.clone(), Put::Create));
            self.mint().await;
        }
    }

    pub(super) async fn step(&mut self) {
        match self.dice.random_range(0..100_u8) {
            0..15 => self.begin().await,
            15..70 => self.commit().await,
            70..75 => self.wish().await,
            75..79 => self.ownership().await,
            79..84 => self.post().await,
            84..86 => self.orphans().await,
            86..89 => self.catalogue().await,
            89..93 => self.mint().await,
            93..94 => self.batches().await,
            94..96 => self.alerts().await,
            96..97 => self.chores().await,
            97..99 => self.observe().await,
            _ => self.compare_everything().await,
        }
    }

    async fn begin(&mut self) {
        let mut hash = [0; 16];
        self.dice.fill(&mut hash);
        let known = self.any(&self.vouchers.clone());
        let voucher = known.filter(|_| !self.one_in(30)).unwrap_or(VoucherHash::from_bytes(hash));
        self.begun += 1;
        // Mostly the voucher's own holder, so that some come back.
        let own = voucher.to_bytes()[0];
        let (holder, number) = (if self.one_in(3) { self.few(40) } else { own }, self.begun);
        let holder = if self.one_in(3) { keyed(holder) } else { session(holder) };
        let mut begin = Begin { now: at(self.at), ..post(voucher, holder, number) };
        if self.one_in(4)
            && let Some((last, _)) = self.any(&self.redemptions.clone())
        {
            begin.by = BeginBy::Again(last);
        }
        begin.address = self.one_in(2).then(|| crate::redemption::HolderKey::new(&[99; 32]));
        begin.owner = (!self.one_in(5)).then(|| worker(if self.one_in(2) { 1 } else { 2 }));
        both!(self, "begin", |with| with.begin(begin.clone()));
        if let Some(redemption) = self.memory.redemption(rdm(number)).await.unwrap() {
            self.redemptions.push((redemption.id, redemption.voucher));
            self.compare(redemption.id, redemption.voucher).await;
        }
    }

    async fn commit(&mut self) {
        let Some((id, voucher)) = self.running().await else { return };
        let before = self.stored(id).await;
        let Some(mut next) = self.next(&before) else { return };
        if self.one_in(15) {
            next.version = (next.version + 1).saturating_sub(u64::from(self.few(3))).max(1);
        }
        if self.one_in(15) {
            next.epoch += 1;
        }
        let mut commit = meant(&before, next);
        if self.one_in(10) {
            commit.voucher.clear();
        }
        if self.one_in(10) {
            let delivered = VoucherEvent::Deliver;
            commit.voucher.push(delivered);
        }
        let takes_mail = self.one_in(2);
        let (mut of_storage, mut of_memory) = (commit.clone(), commit);
        if takes_mail {
            of_storage.consumed = self.store.inbox(id).await.unwrap().iter().map(|item| item.id).collect();
            of_memory.consumed = self.memory.inbox(id).await.unwrap().iter().map(|item| item.id).collect();
        }
        self.committed(of_storage, of_memory).await;
        self.compare(id, voucher).await;
    }

    async fn committed(&mut self, of_storage: Commit, of_memory: Commit) {
        let answers =
            (self.store.commit(of_storage).await.told(), self.memory.commit(of_memory).await.told());
        self.same("commit", &answers.0, &answers.1);
        self.note("commit", &answers.0);
    }

    /// A redemption that may go on, if there is one.
    async fn running(&mut self) -> Option<(RedemptionId, VoucherHash)> {
        let mut running = Vec::new();
        for (id, voucher) in &self.redemptions {
            if !self.stored(*id).await.is_at_rest() {
                running.push((*id, *voucher));
            }
        }
        self.any(&running)
    }

    async fn stored(&self, id: RedemptionId) -> Redemption {
        self.memory.redemption(id).await.unwrap().expect("it began")
    }

    /// What an operator wishes of a voucher.
    async fn wish(&mut self) {
        let Some(voucher) = self.any(&self.vouchers.clone()) else { return };
        let event = match self.few(12) {
            1 => VoucherEvent::Void { reason: VoidReason::default() },
            2..=6 => VoucherEvent::Reset,
            _ => VoucherEvent::Extend { expires_at: at(self.at + 20 * i64::from(self.few(200))) },
        };
        both!(self, "change_voucher", |of| of.change_voucher(voucher, event.clone()));
    }

    async fn ownership(&mut self) {
        let mine = u32::from(self.few(2));
        match self.few(5) {
            1 => {
                // Whoever died comes back, so that there is always somebody.
                let silent = |row: &&WorkerRow| row.worker == worker(mine);
                for twin in self.both() {
                    let rows = twin.workers().await.unwrap();
                    if let Some(row) = rows.iter().find(silent) {
                        assert!(twin.strike_off(*row).await.unwrap());
                    }
                }
            }
            2 => {
                for twin in self.both() {
                    enlisted(twin, mine).await;
                }
            }
            3 => {
                let limit = self.few(4).into();
                let adopt = Adopt { worker: worker(mine), limit, most_takeovers: 1_000, now: at(self.at) };
                both!(self, "adopt", |by| by.adopt(adopt));
            }
            4 => {
                let Some((id, _)) = self.any(&self.redemptions.clone()) else { return };
                both!(self, "adopt_one", |by| by.adopt_one(worker(mine), id));
                both!(self, "outlived", |by| by.outlived(worker(mine), &[id]));
            }
            _ => {
                let Some((id, _)) = self.any(&self.redemptions.clone()) else { return };
                both!(self, "resume", |by| by.resume(id));
                both!(self, "inboxes", |of| of.inboxes(worker(mine), 1_000));
            }
        }
    }

    /// Inboxes.
    async fn post(&mut self) {
        let Some((id, voucher)) = self.any(&self.redemptions.clone()) else { return };
        if self.one_in(3) {
            let before = self.stored(id).await;
            let epoch = before.epoch + u64::from(self.one_in(4));
            let mut answers = Vec::new();
            for twin in self.both() {
                let items = twin.inbox(id).await.unwrap();
                let first: Vec<i64> = items.iter().take(1).map(|item| item.id).collect();
                answers.push(twin.discard_inbox(id, epoch, &first).await.told());
            }
            self.same("discard_inbox", &answers[0], &answers[1]);
        } else {
            let item = match self.few(3) {
                1 => Inbox::Wish(Wish::Cancel),
                2 => Inbox::News { order: OrderId::new("99") },
                _ => Inbox::OrderSeen { attempt: 1, order: self.listed() },
            };
            both!(self, "append_inbox", |to| to.append_inbox(id, item.clone()));
        }
        self.compare(id, voucher).await;
    }

    async fn orphans(&mut self) {
        let supplier = SupplierName::default();
        let crate::ports::Wanted { product, country, operator, .. } = wanted();
        let mut found: Vec<Orphan> = Vec::new();
        for _ in 0..self.few(3) {
            let sight = Sight { status: OrderStatus::Open, messages: Vec::new() };
            let (product, country, operator) = (product.clone(), country.clone(), operator.clone());
            let listed = ListedOrder { order: self.listed(), product, country, operator, sight };
            let orphan = Orphan::found(&supplier, listed, Currency::USD, Rate::ONE, at(self.at));
            if found.iter().all(|other| other.order.id != orphan.order.id) {
                found.push(orphan);
            }
        }
        let orders: Vec<OrderId> = found.iter().map(|orphan| orphan.order.id.clone()).collect();
        let (except, now) = (rdm(0), at(self.at));
        both!(self, "claims", |of| of.claims(&supplier, &wanted(), &orders, except));
        both!(self, "claim_orphans", |by| by.claim_orphans(found.clone(), now));
        both!(self, "claims", |of| of.claims(&supplier, &wanted(), &orders, except));
        let open = self.memory.open_orphans(&supplier, 1_000).await.unwrap();
        if let Some(orphan) = self.any(&open) {
            let phase = OrphanPhase::Settled { end: Some(OrderStatus::Cancelled), at: now };
            let version = orphan.version + 1 + u64::from(self.one_in(5));
            let next = Orphan { phase, version, ..orphan.clone() };
            let alerts = next.alerts(Some(&orphan));
            both!(self, "update_orphan", |by| by.update_orphan(next.clone(), alerts.clone(), now));
        }
    }

    async fn catalogue(&mut self) {
        let number = self.dice.random_range(1..=self.skus + 1);
        let mut sku = sample::sku(&format!("s{number}"));
        match self.few(5) {
            1 => {
                if self.one_in(2) {
                    sku.product = "signal".into();
                }
                let put = self.any(&[Put::Create, Put::Replace, Put::Apply]).unwrap_or(Put::Apply);
                if both!(self, "put_sku", |to| to.put_sku(sku.clone(), put)) == "Ok(true)" {
                    self.skus = self.skus.max(number);
                }
            }
            2 if self.one_in(3) => {
                both!(self, "archive_sku", |of| of.archive_sku(&sku.id));
            }
            3 => {
                let plan = sample::plan_id(if self.one_in(4) { "Z" } else { "A" });
                let change = PlanChange {
                    enabled: Some(!self.one_in(4)),
                    expected_cost: Some(Amount::from_micros(100_000)),
                    ..PlanChange::default()
                };
                both!(self, "change_plan", |of| of.change_plan(&sku.id, &plan, change.clone()));
            }
            _ => {
                both!(self, "outlook", |of| of.outlook(&sku.id));
            }
        }
    }

    pub(super) async fn mint(&mut self) {
        let number = self.dice.random_range(1..=self.skus);
        let sku = sample::sku(&format!("s{number}"));
        let (mut batch, mut vouchers) = sample::batch(&sku, u32::from(self.few(6)));
        batch.minted_at = at(self.at);
        batch.expires_at = self.one_in(2).then(|| at(self.at + 3_000));
        if self.one_in(5) {
            batch.idempotency = Some((format!("key {}", self.few(3)), format!("print {}", self.few(2))));
        }
        if self.one_in(8) {
            batch.replaces = self.any(&self.vouchers.clone());
            vouchers.truncate(1);
        }
        if self.one_in(10)
            && let Some(taken) = self.any(&self.vouchers.clone())
        {
            vouchers[0].0 = taken;
        }
        batch.count = u32::try_from(vouchers.len()).unwrap();
        let answer = both!(self, "insert_batch", |to| to.insert_batch(batch.clone(), vouchers.clone()));
        if answer == "Ok(New)" {
            self.batches.push(batch.id);
            self.vouchers.extend(vouchers.into_iter().map(|(hash, _)| hash));
        }
    }

    async fn batches(&mut self) {
        let Some(batch) = self.any(&self.batches.clone()) else { return };
        match self.few(4) {
            1 => {
                let reason = VoidReason::default();
                both!(self, "void_batch", |of| of.void_batch(batch, &reason));
            }
            2 => {
                let old = at(self.at - 400);
                both!(self, "seal_batch", |of| of.seal_batch(batch));
                both!(self, "seal_batches", |of| of.seal_batches(old));
            }
            _ => {
                both!(self, "batch", |of| of.batch(batch));
                both!(self, "batches", |of| of.batches(Some(batch), 2));
            }
        }
    }

    async fn alerts(&mut self) {
        let now = at(self.at);
        let mut answers = Vec::new();
        let place = usize::from(self.few(5));
        for twin in self.both() {
            let open = twin.alerts(true, 1_000).await.unwrap();
            let acknowledged = match open.get(place) {
                Some(row) => Some(twin.acknowledge(row.id, now).await.unwrap()),
                None => None,
            };
            let untold = twin.untold(now, 3).await.unwrap();
            for (row, again) in untold.iter().zip([None, Some(now + Duration::seconds(60))]) {
                twin.told(row.id, again).await.unwrap();
            }
            let untold: Vec<_> = untold.into_iter().map(|row| (row.alert, row.tries)).collect();
            answers.push((acknowledged, untold));
        }
        self.same("alerts", &answers[0], &answers[1]);
    }

    /// What housekeeping does.
    async fn chores(&mut self) {
        let now = at(self.at);
        both!(self, "expire_vouchers", |of| of.expire_vouchers(now, 1_000));
        both!(self, "forget_idle", |of| of.forget_idle(now));
        let before = at(self.at - 600);
        for twin in self.both() {
            while twin.purge(before, 100, now).await.unwrap() > 0 {}
        }
        let search =
            RedemptionSearch { before: self.redemptions.last().map(|last| last.0), ..Default::default() };
        both!(self, "redemptions", |of| of.redemptions(search.clone(), 5));
    }

    async fn observe(&mut self) {
        let mut observed = Observed { now: at(self.at), ..nothing_observed(0) };
        let event = match self.few(3) {
            1 => HealthEvent::Empty { was_probe: false },
            2 => HealthEvent::Sold { was_probe: false },
            _ => HealthEvent::Number { got_sms: self.one_in(2) },
        };
        observed.health = vec![happened(event)];
        let alert = Alert::ParametersRefused { source: source() };
        observed.alerts =
            vec![if self.one_in(2) { AlertChange::raise(alert) } else { AlertChange::clear(&alert) }];
        both!(self, "observe", |by| by.observe(observed.clone()));
    }
}
