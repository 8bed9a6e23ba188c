//! How sources and accounts do.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use mintcode_core::alert::AlertChange;
use mintcode_core::health::{Account, AccountChange, Health, HealthChange, HealthRules, Outlook, Source};
use mintcode_core::ids::SupplierName;
use mintcode_core::ports::storage::{Observed, StorageError};
use mintcode_core::sku::Sku;

use super::alerts;
use super::connection::Connection;
use super::transaction::{self, execute, row, rows};
use crate::rows::{Row, json};

/// What is known of the sources and accounts that the plans of `sku` use.
pub(super) async fn of_sku(connection: &Connection, sku: &Sku) -> Result<Outlook, StorageError> {
    let mut outlook = Outlook::default();
    let mut suppliers: BTreeSet<&SupplierName> = BTreeSet::new();
    for plan in &sku.plans {
        let source = Source::of_plan(plan, &sku.product);
        if let Some(health) = source_health(connection, &source).await? {
            outlook.sources.insert(source, health);
        }
        suppliers.insert(&plan.supplier);
    }
    for supplier in suppliers {
        if let Some(account) = account(connection, supplier).await? {
            outlook.accounts.insert(supplier.clone(), account);
        }
    }
    Ok(outlook)
}

/// Keeps what is about to change from everybody else until the transaction's end. All who change take them in one order, so
/// that no two wait for each other.
pub(super) async fn hold<'a>(
    connection: &Connection,
    health: impl IntoIterator<Item = &'a HealthChange>,
    accounts: impl IntoIterator<Item = &'a AccountChange>,
) -> Result<(), StorageError> {
    let sources: BTreeSet<&Source> = health.into_iter().map(|change| &change.source).collect();
    for source in sources {
        let Source { supplier, product, country, operator } = source;
        let sql = "SELECT state FROM source_health
                   WHERE supplier = $1 AND product = $2 AND country = $3 AND operator = $4 FOR NO KEY UPDATE";
        let name = format!("source {source}");
        transaction::hold(connection, &name, sql, &[&supplier.as_str(), product, country, operator]).await?;
    }
    let suppliers: BTreeSet<&SupplierName> = accounts.into_iter().map(|change| &change.supplier).collect();
    for supplier in suppliers {
        let sql = "SELECT state FROM account WHERE supplier = $1 FOR NO KEY UPDATE";
        transaction::hold(connection, &format!("account {supplier}"), sql, &[&supplier.as_str()]).await?;
    }
    Ok(())
}

/// Applies `change` to its source, which is held, and returns what that says to the operator;
/// [`StorageError::ProbeTaken`] where the source cannot take it.
pub(super) async fn move_source(
    connection: &Connection,
    change: &HealthChange,
    rules: &HealthRules,
    now: DateTime<Utc>,
) -> Result<Vec<AlertChange>, StorageError> {
    let source = &change.source;
    let stored = source_health(connection, source).await?;
    let before = stored.clone().unwrap_or_default();
    let (after, alerts) = before.after(change, rules, now).map_err(|_| StorageError::ProbeTaken)?;
    if stored.as_ref() != Some(&after) {
        let sql = "INSERT INTO source_health (supplier, product, country, operator, state) VALUES ($1, $2, $3, $4, $5)
                   ON CONFLICT (supplier, product, country, operator) DO UPDATE SET state = excluded.state";
        let Source { supplier, product, country, operator } = source;
        let row = || Row::of("source_health", source);
        let state = json(&after);
        execute(connection, sql, &[&supplier.as_str(), product, country, operator, &state], row).await?;
    }
    Ok(alerts)
}

/// Applies `change` to its account, which is held, and returns what that says to the operator.
pub(super) async fn move_account(
    connection: &Connection,
    change: &AccountChange,
    rules: &HealthRules,
    now: DateTime<Utc>,
) -> Result<Vec<AlertChange>, StorageError> {
    let supplier = &change.supplier;
    let stored = account(connection, supplier).await?;
    let (after, alerts) = stored.clone().unwrap_or_default().after(change, rules, now);
    if stored.as_ref() != Some(&after) {
        let sql = "INSERT INTO account (supplier, state) VALUES ($1, $2)
                   ON CONFLICT (supplier) DO UPDATE SET state = excluded.state";
        let row = || Row::of("account", supplier);
        execute(connection, sql, &[&supplier.as_str(), &json(&after)], row).await?;
    }
    Ok(alerts)
}

/// Stores what was learnt outside of redemptions.
pub(super) async fn observe(connection: &Connection, observed: &Observed) -> Result<(), StorageError> {
    let Observed { health, accounts, alerts, rules, now } = observed;
    hold(connection, health, accounts).await?;
    let mut told = Vec::new();
    for change in health {
        match move_source(connection, change, rules, *now).await {
            Ok(alerts) => told.extend(alerts),
            Err(StorageError::ProbeTaken) => {}
            Err(error) => return Err(error),
        }
    }
    for change in accounts {
        told.extend(move_account(connection, change, rules, *now).await?);
    }
    told.extend(alerts.iter().cloned());
    alerts::apply(connection, &told, *now).await
}

async fn source_health(connection: &Connection, source: &Source) -> Result<Option<Health>, StorageError> {
    let sql = "SELECT state FROM source_health
               WHERE supplier = $1 AND product = $2 AND country = $3 AND operator = $4";
    let Source { supplier, product, country, operator } = source;
    let state: Option<String> =
        row(connection, sql, &[&supplier.as_str(), product, country, operator], |row| row.try_get(0)).await?;
    state.map(|state| Row::of("source_health", source).json(&state)).transpose()
}

async fn account(connection: &Connection, supplier: &SupplierName) -> Result<Option<Account>, StorageError> {
    let sql = "SELECT state FROM account WHERE supplier = $1";
    let state: Option<String> = row(connection, sql, &[&supplier.as_str()], |row| row.try_get(0)).await?;
    state.map(|state| Row::of("account", supplier).json(&state)).transpose()
}

/// Every source of which something is known, in order.
pub(super) async fn sources(connection: &Connection) -> Result<Vec<(Source, Health)>, StorageError> {
    type Columns = (String, String, String, String, String);
    let sql = "SELECT supplier, product, country, operator, state FROM source_health
               ORDER BY supplier, product, country, operator";
    let read = |row: &tokio_postgres::Row| -> Result<Columns, tokio_postgres::Error> {
        Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?))
    };
    rows(connection, sql, &[], read)
        .await?
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
pub(super) async fn accounts(connection: &Connection) -> Result<Vec<(SupplierName, Account)>, StorageError> {
    let read = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
    rows(connection, "SELECT supplier, state FROM account ORDER BY supplier", &[], read)
        .await?
        .into_iter()
        .map(|(supplier, state): (String, String)| {
            let row = Row::of("account", &supplier);
            Ok((row.parse(&supplier)?, row.json(&state)?))
        })
        .collect()
}
