//! Transactions, from their beginning to what their end says.

use std::sync::Arc;

use mintcode_core::ports::StorageError;
use mintcode_core::ports::supplier::BoxError;
use tokio_postgres::error::{DbError, Severity, SqlState};
use tokio_postgres::types::ToSql;

use super::connection::{Connection, Database, Lent};
use crate::crash_point::{self, Stored};
use crate::rows::Row;

/// How often a transaction is run that others keep getting in the way of.
const TRIES: u32 = 8;

/// How often a connection is taken that turns out to be lost.
const STALE: u32 = 16;

/// The parameters of a statement.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A transaction as it works on it.
pub(super) type Transaction = Arc<Lent>;

/// An answer to COMMIT that says nothing.
#[derive(Debug, thiserror::Error)]
#[error("the answer to a commit was lost")]
pub(super) struct LostAnswer(#[source] pub(super) tokio_postgres::Error);

/// A task ended without an answer.
#[derive(Debug, thiserror::Error)]
#[error("a task of the storage panicked")]
struct Panicked(#[source] tokio::task::JoinError);

impl Database {
    /// Runs `work` in a transaction and answers once that is durable. An `Err` takes back everything `work` did. Where
    /// another transaction is in the way, `work` is run again. Goes on to its end though nobody may wait for it.
    pub(super) async fn write<T, E, W, F>(&self, work: W) -> Result<T, E>
    where
        W: Fn(Transaction) -> F + Send + Sync + 'static,
        F: Future<Output = Result<T, E>> + Send,
        T: Send + 'static,
        E: std::error::Error + From<StorageError> + Send + 'static,
    {
        let database = self.clone();
        let stored = Stored::by(&work);
        let running = tokio::spawn(async move { database.run("BEGIN", &[stored], work).await });
        running.await.unwrap_or_else(|panic| Err(StorageError::Unknown(Box::new(Panicked(panic))).into()))
    }

    /// Runs `work`, which only reads, so that all it reads is of one moment.
    pub(super) async fn snapshot<T, W, F>(&self, work: W) -> Result<T, StorageError>
    where
        W: Fn(Transaction) -> F + Send + Sync,
        F: Future<Output = Result<T, StorageError>> + Send,
    {
        self.run("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", &[], work).await
    }

    /// A connection on which `begin` was run.
    pub(super) async fn begin(&self, begin: &str) -> Result<Lent, StorageError> {
        let mut stale = 0;
        loop {
            let lent = self.connection().await?;
            lent.soil();
            match lent.batch_execute(begin).await {
                Ok(()) => return Ok(lent),
                // Lost while it lay in the pool, as with a server that was started again: nothing was asked of it yet.
                Err(error) if lent.is_closed() && stale < STALE => {
                    tracing::debug!(%error, "a connection to PostgreSQL was lost");
                    stale += 1;
                }
                Err(error) => return Err(unavailable(error)),
            }
        }
    }

    async fn run<T, E, W, F>(&self, begin: &str, stored: &[Stored], work: W) -> Result<T, E>
    where
        W: Fn(Transaction) -> F + Send + Sync,
        F: Future<Output = Result<T, E>> + Send,
        E: std::error::Error + From<StorageError> + 'static,
    {
        let mut tries = 1;
        loop {
            let transaction = Arc::new(self.begin(begin).await?);
            let error = match work(Arc::clone(&transaction)).await {
                Ok(done) if !transaction.has_changes() => {
                    roll_back(&transaction).await;
                    return Ok(done);
                }
                Ok(done) => match commit(&transaction, stored).await {
                    Ok(()) => return Ok(done),
                    Err(error) => E::from(error),
                },
                Err(error) => {
                    roll_back(&transaction).await;
                    error
                }
            };
            if !is_in_the_way(&error) || tries == TRIES {
                return Err(error);
            }
            tracing::debug!(tries, "a transaction is run again");
            tries += 1;
        }
    }
}

/// Ends the transaction, which stores what is `stored`; [`StorageError::Unknown`] where nobody can say how it ended.
pub(super) async fn commit(transaction: &Lent, stored: &[Stored]) -> Result<(), StorageError> {
    crash_point::before_commit(stored);
    match transaction.batch_execute("COMMIT").await {
        Ok(()) => {
            crash_point::after_commit(stored);
            transaction.clean();
            Ok(())
        }
        // The server looked at it and said no. Whoever is told to go away, or hears nothing, knows nothing.
        Err(error) if is_refusal(&error) => {
            roll_back(transaction).await;
            Err(unavailable(error))
        }
        Err(error) => Err(StorageError::Unknown(Box::new(LostAnswer(error)))),
    }
}

fn is_refusal(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| error.parsed_severity() == Some(Severity::Error))
}

pub(super) async fn roll_back(transaction: &Lent) {
    match transaction.batch_execute("ROLLBACK").await {
        Ok(()) => transaction.clean(),
        // The connection is closed instead, which does the same.
        Err(error) => tracing::debug!(%error, "a transaction could not be rolled back"),
    }
}

/// Whether the transaction was given up for the sake of another one, and may do better the next time.
pub(super) fn is_in_the_way(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<tokio_postgres::Error>() {
            let code = error.code();
            return code == Some(&SqlState::T_R_DEADLOCK_DETECTED)
                || code == Some(&SqlState::T_R_SERIALIZATION_FAILURE);
        }
        next = error.source();
    }
    false
}

/// PostgreSQL did not do it; nothing changed.
pub(super) fn unavailable(error: tokio_postgres::Error) -> StorageError {
    StorageError::Unavailable(Box::new(error) as BoxError)
}

/// As [`unavailable`], but what a constraint forbids is a row that fits no state.
fn refused(row: impl FnOnce() -> Row) -> impl FnOnce(tokio_postgres::Error) -> StorageError {
    move |error| match error.code() {
        // Class 22: a value that the column cannot hold. Class 23: a constraint.
        Some(code) if code.code().starts_with("23") || code.code().starts_with("22") => {
            let row = row();
            tracing::error!(
                error = error.as_db_error().map(DbError::message),
                ?row,
                "a constraint held a change back"
            );
            row.corrupt()
        }
        _ => unavailable(error),
    }
}

/// The row that `sql` finds, if any.
pub(super) async fn row<T>(
    connection: &Connection,
    sql: &str,
    parameters: Parameters<'_>,
    read: impl FnOnce(&tokio_postgres::Row) -> Result<T, tokio_postgres::Error>,
) -> Result<Option<T>, StorageError> {
    let statement = connection.prepare_cached(sql).await.map_err(unavailable)?;
    let found = connection.query_opt(&statement, parameters).await.map_err(unavailable)?;
    found.as_ref().map(read).transpose().map_err(unavailable)
}

/// All rows that `sql` finds.
pub(super) async fn rows<T>(
    connection: &Connection,
    sql: &str,
    parameters: Parameters<'_>,
    read: impl FnMut(&tokio_postgres::Row) -> Result<T, tokio_postgres::Error>,
) -> Result<Vec<T>, StorageError> {
    let statement = connection.prepare_cached(sql).await.map_err(unavailable)?;
    let found = connection.query(&statement, parameters).await.map_err(unavailable)?;
    found.iter().map(read).collect::<Result<_, _>>().map_err(unavailable)
}

/// Runs `sql` for `row`, and tells how many rows it changed.
pub(super) async fn execute(
    connection: &Connection,
    sql: &str,
    parameters: Parameters<'_>,
    row: impl FnOnce() -> Row,
) -> Result<u64, StorageError> {
    let statement = connection.prepare_cached(sql).await.map_err(unavailable)?;
    connection.execute(&statement, parameters).await.map_err(refused(row))
}

/// The document that `sql` finds and locks until the transaction's end. Where there is none, whoever else asks for it waits
/// all the same: `name` tells them apart.
pub(super) async fn hold(
    connection: &Connection,
    name: &str,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<Option<String>, StorageError> {
    let document = |row: &tokio_postgres::Row| row.try_get(0);
    if let Some(found) = row(connection, sql, parameters, document).await? {
        return Ok(Some(found));
    }
    lock_name(connection, name).await?;
    // Whoever had it may have made one.
    row(connection, sql, parameters, document).await
}

/// Waits until nobody else of this schema has `name`, and keeps it until the transaction's end.
pub(super) async fn lock_name(connection: &Connection, name: &str) -> Result<(), StorageError> {
    let sql = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema()::text || ' ' || $1, 1))";
    row(connection, sql, &[&name], |_| Ok(())).await.map(drop)
}
