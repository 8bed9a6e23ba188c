//! What must hold in every state, what must come about on every path, and what has to be met on some.
//!
//! The invariants are numbered as in the project's list. Each is asked of storage, of the supplier's own books and of
//! what customers are shown; none reads a switch of the model.

use std::collections::BTreeSet;
use std::time::Duration;

use mintcode_core::ledger::{self, Book, Entry, Kind};
use mintcode_core::money::Amount;
use mintcode_core::order::{OrderId, OrderStatus};
use mintcode_core::redemption::{AttemptRow, Event, Outcome, Phase, Redemption};
use mintcode_core::voucher::VoucherState;
use stateright::Property;

use crate::scene::{SUPPLIER, Scene};
use crate::storage::Claimant;
use crate::supplier::{CODE, ORDER, PHONE, Sold};
use crate::world::World;

/// What may happen at one moment; a worker that turns in a circle is caught here.
pub(crate) const MOST_AT_ONCE: u16 = 100;

pub(crate) const ONE_LIVE: &str = "I1: one live adopted order per voucher";
pub(crate) const FULFILLED: &str = "I2: fulfilled and delivered are one, and a code that was shown stays";
pub(crate) const INTENT: &str = "I3: no order without an earlier intent, and one for each permit";
pub(crate) const ONE_CHARGED: &str = "I4: one charged adopted order per voucher";
pub(crate) const BOOKS: &str = "I5: the books are proved, and tell what the supplier's tell";
pub(crate) const LIMITS: &str = "I6: redemptions, plans and purchases within their limits";
pub(crate) const CLAIMS: &str = "I7: an order is claimed by one attempt for ever";
pub(crate) const OWNED: &str = "I8: nobody but the owner changes a redemption";
pub(crate) const HEARD: &str = "no answer that reached somebody is thrown away";
pub(crate) const SECRET: &str = "I9: no number and no code in what may be logged";
pub(crate) const UNNAMED: &str = "I10: no supplier, order, number or code in what customers are shown";
pub(crate) const ENDS: &str = "I11: where nothing more happens, everything is settled";
pub(crate) const IN_TIME: &str = "I11: a redemption ends in time once trouble is over";
pub(crate) const NO_CIRCLE: &str = "I11: no worker turns in a circle";
pub(crate) const SETTLES: &str = "I11: every path comes to rest";
pub(crate) const FITS: &str = "no change fits no state of the voucher";

pub(crate) fn all(scene: &Scene) -> Vec<Property<Scene>> {
    let mut all = vec![
        Property::<Scene>::always(ONE_LIVE, |_, world| one_live(world)),
        Property::<Scene>::always(FULFILLED, |_, world| fulfilled(world)),
        Property::<Scene>::always(INTENT, |_, world| intended(world)),
        Property::<Scene>::always(ONE_CHARGED, |_, world| one_charged(world)),
        Property::<Scene>::always(BOOKS, |_, world| books(world)),
        Property::<Scene>::always(LIMITS, limits),
        Property::<Scene>::always(CLAIMS, |_, world| claims(world)),
        Property::<Scene>::always(OWNED, |_, world| !world.storage.was_intruded),
        Property::<Scene>::always(HEARD, |_, world| heard(world)),
        Property::<Scene>::always(SECRET, |_, world| every(world, |it| it.is_secret)),
        Property::<Scene>::always(UNNAMED, |_, world| every(world, |it| it.is_unnamed)),
        Property::<Scene>::always(ENDS, ends),
        Property::<Scene>::always(IN_TIME, in_time),
        Property::<Scene>::always(NO_CIRCLE, |_, world| world.happenings < MOST_AT_ONCE),
        Property::<Scene>::always(FITS, |_, world| fits(world)),
        Property::<Scene>::eventually(SETTLES, |scene, world| world.is_settled(scene)),
    ];
    all.extend(sometimes().into_iter().filter(|property| scene.meets.contains(&property.name)));
    debug_assert!(scene.meets.iter().all(|name| all.iter().any(|property| property.name == *name)));
    all
}

fn sometimes() -> Vec<Property<Scene>> {
    fn phase(world: &World, name: &str) -> bool {
        world.storage.all().any(|redemption| redemption.phase.name() == name)
    }
    vec![
        Property::<Scene>::sometimes("queued", |_, world| phase(world, "queued")),
        Property::<Scene>::sometimes("ordering", |_, world| phase(world, "ordering")),
        Property::<Scene>::sometimes("uncertain", |_, world| phase(world, "uncertain")),
        Property::<Scene>::sometimes("waiting", |_, world| phase(world, "waiting")),
        Property::<Scene>::sometimes("releasing", |_, world| phase(world, "releasing")),
        Property::<Scene>::sometimes("cooling down", |_, world| phase(world, "cooling_down")),
        Property::<Scene>::sometimes("delivered", |_, world| phase(world, "delivered")),
        Property::<Scene>::sometimes("withheld", |_, world| phase(world, "withheld")),
        Property::<Scene>::sometimes("failed", |_, world| phase(world, "failed")),
        Property::<Scene>::sometimes("cancelled", |_, world| phase(world, "cancelled")),
        Property::<Scene>::sometimes("adopted", |_, world| world.marks.adopted),
        Property::<Scene>::sometimes("late buy adopted", |_, world| world.marks.adopted_late),
        Property::<Scene>::sometimes("surplus", |_, world| world.marks.surplus),
        Property::<Scene>::sometimes("swept", |_, world| world.marks.swept),
        Property::<Scene>::sometimes("zombie write refused", |_, world| world.marks.fenced),
        Property::<Scene>::sometimes("zombie acted", |_, world| world.marks.zombie_acted),
        Property::<Scene>::sometimes("sent late", |_, world| world.marks.sent_late),
        Property::<Scene>::sometimes("claim lost", |_, world| world.marks.claim_lost),
        Property::<Scene>::sometimes("code while giving back", |_, world| {
            world.marks.delivered_while_releasing
        }),
        Property::<Scene>::sometimes("released", |_, world| {
            world.storage.deliveries().any(|(_, delivery)| delivery.is_released)
        }),
        Property::<Scene>::sometimes("release refused", |_, world| world.marks.release_refused),
        Property::<Scene>::sometimes("unresolved", |_, world| {
            let closed = world.storage.all().flat_map(|redemption| &redemption.closed);
            closed.into_iter().any(|attempt| attempt.outcome == Outcome::Unresolved)
        }),
        Property::<Scene>::sometimes("probed", |_, world| world.marks.probed),
        Property::<Scene>::sometimes("late commit refused", |_, world| world.marks.commit_repeated),
        Property::<Scene>::sometimes("second redemption delivers", |_, world| {
            world.storage.deliveries().any(|(redemption, _)| redemption == 1)
        }),
    ]
}

fn ends(scene: &Scene, world: &World) -> bool {
    world.storage.latest().is_none() || world.is_settled(scene) || !scene.must(world).is_empty()
}

fn one_live(world: &World) -> bool {
    let live = world.storage.all().filter(|redemption| {
        let is_adopted =
            matches!(redemption.phase, Phase::Waiting(_) | Phase::Releasing(_) | Phase::Delivered(_));
        let sold = redemption.held().and_then(|held| world.supplier.find(&held.order.id));
        is_adopted && sold.is_some_and(Sold::is_open)
    });
    live.count() <= 1
}

fn fulfilled(world: &World) -> bool {
    let is_fulfilled = world.storage.voucher.state == VoucherState::Fulfilled;
    let delivered: Vec<_> = world.storage.deliveries().collect();
    let is_kept = world.storage.shown.as_ref().is_none_or(|(redemption, code)| {
        delivered.iter().any(|(index, delivery)| {
            let still_there = |message: &mintcode_core::order::Message| {
                code.as_ref().is_none_or(|code| message.text.contains(code.as_str()))
            };
            index == redemption && delivery.held.shown().any(still_there)
        })
    });
    delivered.len() == usize::from(is_fulfilled) && is_kept
}

fn intended(world: &World) -> bool {
    let orders = &world.supplier.orders;
    let buyers: BTreeSet<_> = orders.iter().map(|sold| sold.buyer).collect();
    let is_intended = |sold: &Sold| {
        let redemption = world.storage.stored(sold.buyer.redemption);
        redemption
            .intent(sold.buyer.attempt)
            .is_some_and(|intent| intent.wanted == sold.wanted && intent.intended_at <= sold.order.created_at)
    };
    buyers.len() == orders.len() && orders.iter().all(is_intended)
}

/// Orders that the supplier was paid for and that an attempt took for its customer. What was withheld is booked as
/// lost, and so is a surplus.
fn one_charged(world: &World) -> bool {
    let is_charged = |row: &AttemptRow| {
        let sold = row.order.as_ref().and_then(|order| world.supplier.find(order));
        sold.is_some_and(|sold| sold.status == OrderStatus::Finished)
            && !matches!(row.outcome, Some(Outcome::Late | Outcome::TooDear | Outcome::Withheld))
    };
    world.storage.all().flat_map(Redemption::attempt_rows).filter(is_charged).count() <= 1
}

fn books(world: &World) -> bool {
    world.storage.redemptions.iter().all(|kept| {
        kept.findings.is_proved && (!kept.redemption.is_at_rest() || agrees_with_supplier(world, kept))
    })
}

/// At rest every order ended here as it ended there, and what was paid is what the supplier keeps.
fn agrees_with_supplier(world: &World, kept: &crate::storage::Kept) -> bool {
    let rows = kept.redemption.attempt_rows();
    let orders = rows.iter().filter_map(|row| Some((row, row.order.as_ref()?)));
    let (mut keeps, mut forgotten) = (Amount::ZERO, Amount::ZERO);
    for (row, order) in orders {
        let Some(sold) = world.supplier.find(order) else { return false };
        if row.price != Some(sold.order.price) {
            return false;
        }
        let sum = if row.order_end.is_none() && sold.is_forgotten {
            // Nobody will ever tell what became of it.
            forgotten = forgotten.checked_add(sold.order.price).unwrap_or(Amount::MAX);
            continue;
        } else {
            keeps.checked_add(sold.kept())
        };
        if row.order_end != Some(sold.status) {
            return false;
        }
        keeps = sum.unwrap_or(Amount::MAX);
    }
    let total = |kind: Kind| {
        let entries = kept.booked.iter().filter(|entry| entry.book == Book::Cost && entry.kind == kind);
        Amount::checked_sum(entries.map(|entry| entry.amount)).unwrap_or(Amount::MAX)
    };
    total(Kind::Charge).checked_sub(total(Kind::Refund)) == keeps.checked_add(forgotten)
}

fn limits(scene: &Scene, world: &World) -> bool {
    let policy = &scene.sku.policy;
    let most_plans = usize::try_from(policy.max_plans_per_redemption).unwrap_or(usize::MAX);
    let tries = world.storage.all().filter(|redemption| redemption.uses_a_try()).count();
    let purchases = u32::try_from(world.supplier.orders.len()).unwrap_or(u32::MAX);
    let are_plans_within = |redemption: &Redemption| {
        let rows = redemption.attempt_rows();
        let plans: BTreeSet<_> = rows.iter().map(|row| &row.plan).collect();
        let replaced = rows.iter().filter(|row| row.outcome == Some(Outcome::Replaced)).count();
        plans.len() <= most_plans && replaced < most_plans
    };
    u32::try_from(tries).unwrap_or(u32::MAX) <= policy.max_redemptions
        && world.storage.voucher.tries <= policy.max_redemptions
        && purchases <= policy.buys_allowed()
        && world.storage.all().all(are_plans_within)
}

fn claims(world: &World) -> bool {
    let claims = &world.storage.claims;
    let orders: BTreeSet<_> = claims.iter().map(|(order, _)| order).collect();
    let is_claimed = |(redemption, row): (usize, AttemptRow)| {
        row.order.is_none_or(|order| {
            claims.contains(&(order, Claimant::Attempt { redemption, number: row.number }))
        })
    };
    let redemptions = world.storage.all().enumerate();
    let mut rows =
        redemptions.flat_map(|(index, it)| it.attempt_rows().into_iter().map(move |row| (index, row)));
    orders.len() == claims.len() && rows.all(is_claimed)
}

/// An order that somebody told of is claimed, or still to be read.
fn heard(world: &World) -> bool {
    let is_waiting = |order: &OrderId| {
        let items = world.storage.inbox.iter();
        items
            .map(|item| &item.event)
            .any(|event| matches!(event, Event::Bought { order: it, .. } if it.id == *order))
    };
    world.storage.told.iter().all(|order| world.storage.is_claimed(order) || is_waiting(order))
}

/// What holds of one redemption and its books, whatever else there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Findings {
    /// Its entries are those that it stands for.
    is_proved: bool,
    /// What may be logged of it has neither number nor code.
    is_secret: bool,
    /// What its customer is shown names neither supplier nor order.
    is_unnamed: bool,
}

impl Findings {
    pub(crate) fn of(redemption: &Redemption, booked: &[Entry]) -> Self {
        // At rest a redemption has seen everything it ever will.
        let logged = if redemption.is_at_rest() { format!("{redemption:?}") } else { String::new() };
        let shown = serde_json::to_string(&redemption.snapshot()).unwrap();
        Self {
            is_proved: ledger::check([(redemption, booked)]).is_ok(),
            is_secret: [PHONE, CODE].iter().all(|secret| !logged.contains(secret)),
            is_unnamed: [SUPPLIER, ORDER, PHONE, CODE].iter().all(|secret| !shown.contains(secret)),
        }
    }
}

fn every(world: &World, holds: fn(&Findings) -> bool) -> bool {
    world.storage.redemptions.iter().all(|kept| holds(&kept.findings))
}

/// By its deadline, or the end of trouble after it, and a minute.
fn in_time(scene: &Scene, world: &World) -> bool {
    let is_late = |index: usize| {
        let redemption = world.storage.stored(index);
        let is_late_latest = index + 1 == world.storage.redemptions.len();
        let calm_since = world.calm_since.filter(|_| is_late_latest);
        let latest = calm_since.map_or(redemption.deadline, |calm| calm.max(redemption.deadline));
        let is_driven = !world.is_forsaken(scene, index);
        is_driven && !redemption.is_final() && world.now > latest + Duration::from_mins(1)
    };
    !(0..world.storage.redemptions.len()).any(is_late)
}

/// The voucher stands where its latest redemption does.
fn fits(world: &World) -> bool {
    let state = world.storage.voucher.state;
    let Some(latest) = world.storage.latest() else { return state == VoucherState::Issued };
    let may_have_order = matches!(
        latest.phase,
        Phase::Ordering(_) | Phase::Uncertain(_) | Phase::Waiting(_) | Phase::Releasing(_)
    );
    let is_held = matches!(state, VoucherState::Locked { .. } | VoucherState::Redeeming { .. });
    !world.storage.was_corrupt
        && is_held != latest.is_final()
        && may_have_order == matches!(state, VoucherState::Redeeming { .. })
}
