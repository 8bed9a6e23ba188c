//! What redemptions cost and earned, as commands show it.

use mintcode_core::ledger::Entry;
use mintcode_core::ledger::margin::Earned;
use mintcode_core::money::Currency;

use crate::exit::Failure;

/// What one redemption came to; `selling` is the selling currency of today.
pub(crate) fn earned(ledger: &[Entry], selling: Currency) -> Result<Earned, Failure> {
    Earned::of(ledger, selling).map_err(|error| Failure::because("the books cannot be summed up", &error))
}

/// The same as a line.
pub(crate) fn described(earned: &Earned) -> String {
    let Earned { revenue, cost, loss, margin, currency } = earned;
    format!("revenue {revenue}  cost {cost}  loss {loss}  margin {margin}  {currency}")
}
