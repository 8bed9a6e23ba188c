//! How many requests an account may make.

use chrono::{DateTime, Utc};
use mintcode_core::budget::Budget;
use mintcode_core::ids::SupplierName;
use mintcode_core::ports::storage::StorageError;

use super::connection::Connection;
use super::transaction::{execute, hold};
use super::workers::own_time;
use crate::rows::{Row, json};

/// Makes `change` to the account's budget at the time it is here, after everybody who asked before.
pub(super) async fn change<T>(
    connection: &Connection,
    supplier: &SupplierName,
    change: impl FnOnce(&mut Budget, DateTime<Utc>) -> T,
) -> Result<T, StorageError> {
    let name = format!("budget {supplier}");
    let sql = "SELECT state FROM budget WHERE supplier = $1 FOR NO KEY UPDATE";
    let state = hold(connection, &name, sql, &[&supplier.as_str()]).await?;
    let stored: Option<Budget> = state.map(|state| Row::of("budget", supplier).json(&state)).transpose()?;
    let mut budget = stored.clone().unwrap_or_default();
    // Asked for once the budget is held: whoever comes later has the later time.
    let answer = change(&mut budget, own_time(connection).await?);
    // A budget that is blocked is asked for often, and stays as it is.
    if stored.as_ref() != Some(&budget) {
        let sql = "INSERT INTO budget (supplier, state) VALUES ($1, $2)
                   ON CONFLICT (supplier) DO UPDATE SET state = excluded.state";
        let row = || Row::of("budget", supplier);
        execute(connection, sql, &[&supplier.as_str(), &json(&budget)], row).await?;
    }
    Ok(answer)
}
