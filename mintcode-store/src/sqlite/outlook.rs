//! How sources and accounts do.

use chrono::{DateTime, Utc};
use mintcode_core::alert::AlertChange;
use mintcode_core::health::{Account, AccountChange, Health, HealthChange, HealthRules, Outlook, Source};
use mintcode_core::ids::SupplierName;
use mintcode_core::ports::storage::{Observed, StorageError};
use mintcode_core::sku::Sku;
use rusqlite::Connection;

use super::alerts;
use super::redemptions::{execute, row, rows};
use crate::rows::{Row, json};

/// What is known of the sources and accounts that the plans of `sku` use.
pub(super) fn of_sku(connection: &Connection, sku: &Sku) -> Result<Outlook, StorageError> {
    let mut outlook = Outlook::default();
    let mut suppliers: Vec<&SupplierName> = Vec::new();
    for plan in &sku.plans {
        let source = Source::of_plan(plan, &sku.product);
        if let Some(health) = source_health(connection, &source)? {
            outlook.sources.insert(source, health);
        }
        if !suppliers.contains(&&plan.supplier) {
            suppliers.push(&plan.supplier);
        }
    }
    for supplier in suppliers {
        if let Some(account) = account(connection, supplier)? {
            outlook.accounts.insert(supplier.clone(), account);
        }
    }
    Ok(outlook)
}

/// Applies `change` to its source and returns what that says to the operator; [`StorageError::ProbeTaken`] where the
/// source cannot take it.
pub(super) fn move_source(
    connection: &Connection,
    change: &HealthChange,
    rules: &HealthRules,
    now: DateTime<Utc>,
) -> Result<Vec<AlertChange>, StorageError> {
    let source = &change.source;
    let stored = source_health(connection, source)?;
    let before = stored.clone().unwrap_or_default();
    let (after, alerts) = before.after(change, rules, now).map_err(|_| StorageError::ProbeTaken)?;
    if stored.as_ref() != Some(&after) {
        let sql = "INSERT INTO source_health (supplier, product, country, operator, state) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT DO UPDATE SET state = excluded.state";
        let Source { supplier, product, country, operator } = source;
        let parameters = (supplier.as_str(), product, country, operator, json(&after));
        execute(connection, sql, parameters, || Row::of("source_health", source))?;
    }
    Ok(alerts)
}

/// Applies `change` to its account and returns what that says to the operator.
pub(super) fn move_account(
    connection: &Connection,
    change: &AccountChange,
    rules: &HealthRules,
    now: DateTime<Utc>,
) -> Result<Vec<AlertChange>, StorageError> {
    let supplier = &change.supplier;
    let stored = account(connection, supplier)?;
    let (after, alerts) = stored.clone().unwrap_or_default().after(change, rules, now);
    if stored.as_ref() != Some(&after) {
        let sql = "INSERT INTO account (supplier, state) VALUES (?1, ?2)
                   ON CONFLICT DO UPDATE SET state = excluded.state";
        execute(connection, sql, (supplier.as_str(), json(&after)), || Row::of("account", supplier))?;
    }
    Ok(alerts)
}

/// Stores what was learnt outside of redemptions.
pub(super) fn observe(connection: &Connection, observed: &Observed) -> Result<(), StorageError> {
    let Observed { health, accounts, alerts, rules, now } = observed;
    let mut told = Vec::new();
    for change in health {
        match move_source(connection, change, rules, *now) {
            Ok(alerts) => told.extend(alerts),
            Err(StorageError::ProbeTaken) => {}
            Err(error) => return Err(error),
        }
    }
    for change in accounts {
        told.extend(move_account(connection, change, rules, *now)?);
    }
    alerts::apply(connection, told.iter().chain(alerts), *now)
}

fn source_health(connection: &Connection, source: &Source) -> Result<Option<Health>, StorageError> {
    let sql = "SELECT state FROM source_health
               WHERE supplier = ?1 AND product = ?2 AND country = ?3 AND operator = ?4";
    let Source { supplier, product, country, operator } = source;
    let state: Option<String> =
        row(connection, sql, (supplier.as_str(), product, country, operator), |row| row.get(0))?;
    state.map(|state| Row::of("source_health", source).json(&state)).transpose()
}

fn account(connection: &Connection, supplier: &SupplierName) -> Result<Option<Account>, StorageError> {
    let sql = "SELECT state FROM account WHERE supplier = ?1";
    let state: Option<String> = row(connection, sql, [supplier.as_str()], |row| row.get(0))?;
    state.map(|state| Row::of("account", supplier).json(&state)).transpose()
}

/// Every source of which something is known, in order.
pub(super) fn sources(connection: &Connection) -> Result<Vec<(Source, Health)>, StorageError> {
    type Columns = (String, String, String, String, String);
    let sql = "SELECT supplier, product, country, operator, state FROM source_health
               ORDER BY supplier, product, country, operator";
    let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Columns> {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
    };
    rows(connection, sql, [], read)?
        .into_iter()
        .map(|(supplier, product, country, operator, state)| {
            let supplier = Row::of("source_health", &supplier).parse(&supplier)?;
            let source = Source { supplier, product, country, operator };
            let health = Row::of("source_health", &source).json(&state)?;
            Ok((source, health))
        })
        .collect()
}

/// Every account of which something is known, in order.
pub(super) fn accounts(connection: &Connection) -> Result<Vec<(SupplierName, Account)>, StorageError> {
    rows(connection, "SELECT supplier, state FROM account ORDER BY supplier", [], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?
    .into_iter()
    .map(|(supplier, state): (String, String)| {
        let row = Row::of("account", &supplier);
        Ok((row.parse(&supplier)?, row.json(&state)?))
    })
    .collect()
}
