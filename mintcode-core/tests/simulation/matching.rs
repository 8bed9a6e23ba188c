//! Gives each order of the books a recorded attempt of its own that can have bought it.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};

use super::books::Sold;

/// An attempt that may have bought something.
pub(crate) struct Try {
    /// Country and operator.
    pub(crate) shelf: (String, String),
    /// When its purchase can have been sent.
    pub(crate) asked: RangeInclusive<DateTime<Utc>>,
    /// Its order, if there is one, came to be only after that.
    pub(crate) created_after: Option<DateTime<Utc>>,
    /// The number it claims.
    pub(crate) phone: Option<String>,
}

impl Try {
    fn can_have_bought(&self, sold: &Sold) -> bool {
        self.shelf == sold.shelf
            && self.asked.contains(&sold.asked_at)
            && self.created_after.is_none_or(|after| sold.created_at > after)
    }
}

/// The places of orders that no attempt is left for, however the attempts are shared out.
pub(crate) fn unmatched(sold: &[Sold], tries: &[Try]) -> Vec<usize> {
    let mut matching = Matching { sold, tries, order_of: vec![None; tries.len()] };
    // What an attempt claims is its own, whenever it was sold: orders of a plan are alike, and one attempt may take another's.
    let mut open = Vec::new();
    for (place, order) in sold.iter().enumerate() {
        let claims = |it: &Try| it.phone.as_ref() == Some(&order.phone) && it.shelf == order.shelf;
        match tries.iter().position(claims).filter(|own| matching.order_of[*own].is_none()) {
            Some(own) => matching.order_of[own] = Some(place),
            None => open.push(place),
        }
    }
    open.retain(|place| !matching.find_one(*place, &mut vec![false; tries.len()]));
    open
}

struct Matching<'a> {
    sold: &'a [Sold],
    tries: &'a [Try],
    order_of: Vec<Option<usize>>,
}

impl Matching<'_> {
    /// Finds an attempt for the order at `place`, moving other orders to other attempts where that helps.
    fn find_one(&mut self, place: usize, asked: &mut [bool]) -> bool {
        for candidate in 0..self.tries.len() {
            if asked[candidate] || !self.tries[candidate].can_have_bought(&self.sold[place]) {
                continue;
            }
            asked[candidate] = true;
            let is_free = match self.order_of[candidate] {
                None => true,
                Some(other) => self.find_one(other, asked),
            };
            if is_free {
                self.order_of[candidate] = Some(place);
                return true;
            }
        }
        false
    }
}
