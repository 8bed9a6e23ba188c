//! What redemptions cost and earned, as commands show it.

use mintcode_core::ledger::margin::{TooLarge, Totals};
use mintcode_core::ledger::{Book, Entry};
use mintcode_core::money::{Amount, Currency};
use serde_json::{Map, Value, json};

use crate::exit::Failure;

/// The names of [`columns`].
pub(crate) const HEADS: [&str; 5] = ["DELIVERED", "REVENUE", "COST", "LOSS", "MARGIN"];

/// What one redemption came to.
pub(crate) struct Money {
    totals: Totals,
    /// The selling currency of its time.
    currency: Currency,
}

impl Money {
    /// Sums up `ledger`; `selling` is the selling currency of today.
    pub(crate) fn of(ledger: &[Entry], selling: Currency) -> Result<Self, Failure> {
        let mut totals = Totals::default();
        for entry in ledger {
            totals.add(entry.book, entry.kind, 1, entry.value).map_err(too_large)?;
        }
        let sale = ledger.iter().find(|entry| entry.book == Book::Sale);
        Ok(Self { totals, currency: sale.map_or(selling, |sale| sale.currency) })
    }

    /// As a JSON object.
    pub(crate) fn shown(&self) -> Result<Value, Failure> {
        let mut shown = members(&self.totals)?;
        shown.insert("currency".to_owned(), json!(self.currency));
        Ok(Value::Object(shown))
    }

    /// As a line.
    pub(crate) fn described(&self) -> Result<String, Failure> {
        let [_, revenue, cost, loss, margin] = columns(&self.totals)?;
        let currency = self.currency;
        Ok(format!("revenue {revenue}  cost {cost}  loss {loss}  margin {margin}  {currency}"))
    }
}

/// What is left of the revenue.
fn margin(totals: &Totals) -> Result<Amount, Failure> {
    totals.margin().ok_or_else(|| too_large(TooLarge))
}

/// The sums as JSON members.
pub(crate) fn members(totals: &Totals) -> Result<Map<String, Value>, Failure> {
    let Totals { delivered: _, revenue, cost, loss } = totals;
    let margin = margin(totals)?;
    let members = [("revenue", revenue), ("cost", cost), ("loss", loss), ("margin", &margin)];
    Ok(members.into_iter().map(|(name, amount)| (name.to_owned(), json!(amount))).collect())
}

/// The totals as cells of a table under [`HEADS`].
pub(crate) fn columns(totals: &Totals) -> Result<[String; 5], Failure> {
    let Totals { delivered, revenue, cost, loss } = totals;
    let margin = margin(totals)?;
    Ok([delivered.to_string(), revenue.to_string(), cost.to_string(), loss.to_string(), margin.to_string()])
}

/// What is said of books whose sums leave the range of amounts.
pub(crate) fn too_large(error: TooLarge) -> Failure {
    Failure::because("the books cannot be summed up", &error)
}
