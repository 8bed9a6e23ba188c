//! How many requests an account may make.

use mintcode_core::budget::Budget;
use mintcode_core::ids::SupplierName;
use mintcode_core::ports::storage::StorageError;
use rusqlite::Connection;

use super::redemptions::{execute, row};
use crate::rows::{Row, json};

/// Makes `change` to the account's budget.
pub(super) fn change<T>(
    connection: &Connection,
    supplier: &SupplierName,
    change: impl FnOnce(&mut Budget) -> T,
) -> Result<T, StorageError> {
    let stored = load(connection, supplier)?;
    let mut budget = stored.clone().unwrap_or_default();
    let answer = change(&mut budget);
    // A budget that is blocked is asked for often, and stays as it is.
    if stored.as_ref() != Some(&budget) {
        let sql = "INSERT INTO budget (supplier, state) VALUES (?1, ?2)
                   ON CONFLICT DO UPDATE SET state = excluded.state";
        let parameters = (supplier.as_str(), json(&budget));
        execute(connection, sql, parameters, || Row::of("budget", supplier))?;
    }
    Ok(answer)
}

fn load(connection: &Connection, supplier: &SupplierName) -> Result<Option<Budget>, StorageError> {
    let sql = "SELECT state FROM budget WHERE supplier = ?1";
    let state: Option<String> = row(connection, sql, [supplier.as_str()], |row| row.get(0))?;
    state.map(|state| Row::of("budget", supplier).json(&state)).transpose()
}
