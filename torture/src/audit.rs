//! What must hold in the end: the supplier's books against the tables, and against what customers were shown.

use std::collections::{BTreeMap, BTreeSet};

use crate::books::{Books, Sold};
use crate::customer::Receipt;
use crate::shop::{BUYS, TRIES};
use crate::tables::{AttemptRow, Tables};

/// What is not at its end yet.
pub(crate) fn restless(books: &Books, tables: &Tables) -> Vec<String> {
    let open = books.orders.iter().filter(|order| order.is_open());
    let live = tables.redemptions.iter().filter(|row| !row.is_at_rest);
    let owed = tables.orphans.iter().filter(|row| !row.is_settled);
    open.map(|order| format!("I3: order {} is open in the end", order.id))
        .chain(live.map(|row| format!("I11: redemption {} is not at rest, but {}", row.id, row.status)))
        .chain(owed.map(|row| format!("I3: the orphan {} is not settled", row.order)))
        .collect()
}

/// Everything that must not be, once all is at rest.
pub(crate) fn violations(books: &Books, tables: &Tables, receipts: &[Receipt]) -> Vec<String> {
    let mut audit = Audit { tables, orders: books.by_name(), voucher_of: BTreeMap::new(), found: Vec::new() };
    audit.voucher_of = tables.redemptions.iter().map(|row| (&*row.id, &*row.voucher)).collect();
    audit.orders_have_owners();
    audit.money();
    audit.vouchers();
    audit.one_at_a_time();
    audit.counts();
    audit.receipts(receipts);
    audit.found
}

struct Audit<'a> {
    tables: &'a Tables,
    orders: BTreeMap<String, &'a Sold>,
    voucher_of: BTreeMap<&'a str, &'a str>,
    found: Vec<String>,
}

/// Whether the order was the customer's, rather than one that is given back unseen.
fn is_adopted(row: &AttemptRow) -> bool {
    row.order.is_some() && !matches!(row.outcome.as_deref(), Some("too_dear" | "late"))
}

impl Audit<'_> {
    fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.found.push(what());
        }
    }

    /// I3 and I7: each order belongs to one attempt, or is one orphan.
    fn orders_have_owners(&mut self) {
        let mut owners = BTreeMap::<&str, Vec<&str>>::new();
        for claim in &self.tables.claims {
            owners.entry(&claim.order).or_default().push(&claim.redemption);
        }
        for orphan in &self.tables.orphans {
            owners.entry(&orphan.order).or_default().push("nobody");
        }
        let names: Vec<_> = self.orders.keys().cloned().collect();
        for name in names {
            let count = owners.remove(&*name).map_or(0, |owners| owners.len());
            self.check(count == 1, || format!("I3, I7: order {name} has {count} owners"));
        }
        self.check(owners.is_empty(), || format!("I3: the supplier knows nothing of {:?}", owners.keys()));
        let claims: BTreeSet<_> =
            self.tables.claims.iter().map(|row| (&*row.redemption, &*row.order)).collect();
        for row in &self.tables.attempts {
            if let Some(order) = &row.order {
                let is_claimed = claims.contains(&(&*row.redemption, &**order));
                let (redemption, number) = (&row.redemption, row.number);
                self.check(is_claimed, || format!("I7: {redemption} #{number} has {order} without a claim"));
            }
        }
    }

    /// I5: what the supplier took for an order is what is booked for it.
    fn money(&mut self) {
        let booked: BTreeMap<_, _> =
            self.tables.costs.iter().map(|row| (row.order.clone(), row.cost)).collect();
        let claimed: BTreeSet<_> = self.tables.claims.iter().map(|row| row.order.clone()).collect();
        for (name, order) in self.orders.clone() {
            let expected = if claimed.contains(&name) { order.cost() } else { 0 };
            let found = booked.get(&name).copied().unwrap_or_default();
            self.check(found == expected, || {
                format!("I5: order {name} ({}) cost {expected}, and {found} is booked", order.status)
            });
        }
    }

    /// I2 and I6: a voucher is spent for one delivery, and its limits hold.
    fn vouchers(&mut self) {
        for voucher in &self.tables.vouchers {
            let redemptions = self.tables.redemptions.iter().filter(|row| row.voucher == voucher.hash);
            let delivered = redemptions.filter(|row| row.status == "delivered").count();
            let expected = usize::from(voucher.state == "fulfilled");
            let (hash, state) = (&voucher.hash, &voucher.state);
            self.check(delivered == expected, || {
                format!("I2: voucher {hash} is {state} and was delivered {delivered} times")
            });
            let is_at_rest = matches!(&**state, "issued" | "retryable_failed" | "fulfilled");
            self.check(is_at_rest, || format!("I11: voucher {hash} is {state} in the end"));
            self.check(voucher.tries <= TRIES, || format!("I6: voucher {hash} used {} tries", voucher.tries));
            self.check(voucher.buys <= BUYS, || format!("I6: {} purchases for voucher {hash}", voucher.buys));
        }
    }

    /// I1 and I4: a voucher has one number at a time, and pays for one.
    fn one_at_a_time(&mut self) {
        let mut adopted = BTreeMap::<&str, Vec<&Sold>>::new();
        for row in self.tables.attempts.iter().filter(|row| is_adopted(row)) {
            let order = row.order.as_ref().and_then(|order| self.orders.get(order));
            if let (Some(order), Some(voucher)) = (order, self.voucher_of.get(&*row.redemption)) {
                adopted.entry(voucher).or_default().push(order);
            }
        }
        for (voucher, mut orders) in adopted {
            orders.sort_by_key(|order| order.id);
            for pair in orders.windows(2) {
                let is_over = pair[0].closed_at.as_ref().is_some_and(|end| *end <= pair[1].created_at);
                self.check(is_over, || {
                    format!("I1: voucher {voucher} had {} and {} at a time", pair[0].id, pair[1].id)
                });
            }
            let paid = orders.iter().filter(|order| order.cost() > 0).count();
            self.check(paid <= 1, || format!("I4: voucher {voucher} paid for {paid} numbers"));
            let bought = i64::try_from(orders.len()).unwrap_or(i64::MAX);
            self.check(bought <= BUYS, || format!("I6: {bought} numbers for voucher {voucher}"));
        }
    }

    /// I11: the counts of states are what there is.
    fn counts(&mut self) {
        let mut states = BTreeMap::<&str, i64>::new();
        for voucher in &self.tables.vouchers {
            *states.entry(&voucher.state).or_default() += 1;
        }
        let counted = self.tables.counted.iter().filter(|(_, vouchers)| *vouchers != 0);
        let counted: BTreeMap<_, _> = counted.map(|(state, vouchers)| (&**state, *vouchers)).collect();
        self.check(states == counted, || format!("I11: {states:?} is counted as {counted:?}"));
    }

    /// What customers were shown: their own numbers, their own codes, and nothing twice.
    fn receipts(&mut self, receipts: &[Receipt]) {
        let mut shown = BTreeMap::<&str, BTreeSet<&str>>::new();
        for receipt in receipts {
            self.found.extend(receipt.oddities.iter().cloned());
            let vouchers: BTreeSet<_> =
                receipt.redemptions.iter().filter_map(|id| self.voucher_of.get(&**id).copied()).collect();
            let known = receipt.redemptions.iter().filter(|id| self.voucher_of.contains_key(&***id)).count();
            self.check(known == receipt.redemptions.len(), || {
                format!("I2: a redemption of {:?} is gone", receipt.redemptions)
            });
            self.check(vouchers.len() <= 1, || {
                format!("I7: {:?} is of several vouchers", receipt.redemptions)
            });
            for phone in &receipt.phones {
                shown.entry(phone).or_default().extend(&vouchers);
            }
            if let Some((id, code)) = &receipt.code {
                let claims = self.tables.claims.iter().filter(|claim| claim.redemption == *id);
                let orders: Vec<_> = claims.filter_map(|claim| self.orders.get(&claim.order)).collect();
                let is_theirs = orders.iter().any(|order| {
                    receipt.phones.contains(&order.phone) && order.sms.iter().any(|sms| sms.tells(code))
                });
                self.check(is_theirs, || format!("I2: the code that {id} was shown is not of its number"));
                let mut rows = self.tables.redemptions.iter();
                let is_delivered = rows.any(|row| row.id == *id && row.status == "delivered");
                self.check(is_delivered, || format!("I2: {id} showed a code, and forgot it"));
            }
        }
        for (phone, vouchers) in shown {
            let count = vouchers.len();
            self.check(count <= 1, || {
                format!("I7: one number was shown for {count} vouchers: …{}", &phone[phone.len() - 4..])
            });
        }
    }
}
