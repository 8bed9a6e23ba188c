//! Changes of redemptions share their commits: whoever waits while one is under way goes with the next.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mintcode_core::ports::storage::{Commit, StorageError};
use mintcode_core::voucher::VoucherHash;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::commit::PreparedCommit;
use super::connection::{Connection, Database};
use super::notices::Notices;
use super::outlook;
use super::transaction::{Parameters, commit, is_in_the_way, roll_back, rows, unavailable};
use crate::vault::Vault;

/// Changes that may wait; whoever comes later waits to be let in, so that load costs no memory.
const QUEUE: usize = 1024;

/// The most changes of one commit: bounds how long the first of them waits for the others.
const GROUP: usize = 64;

/// Commits under way at once.
const COMMITTERS: usize = 4;

/// Hands changes to those who commit them.
pub(super) struct Committer {
    queue: mpsc::Sender<Waiting>,
    vault: Arc<Vault>,
    commits: Arc<AtomicU64>,
}

struct Waiting {
    change: Arc<PreparedCommit>,
    answer: oneshot::Sender<Result<(), StorageError>>,
}

/// Why a group was not stored; every change of it gets a copy.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
struct Shared(Arc<StorageError>);

#[derive(Debug, thiserror::Error)]
#[error("nobody commits any more")]
struct Gone;

impl Committer {
    pub(super) fn start(database: &Database, vault: &Arc<Vault>, notices: &Arc<Notices>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let (waiting, commits) = (Arc::new(Mutex::new(waiting)), Arc::new(AtomicU64::new(0)));
        for _ in 0..COMMITTERS {
            // Each ends when nobody can send any more.
            let committing = Committing {
                database: database.clone(),
                notices: Arc::clone(notices),
                commits: Arc::clone(&commits),
            };
            drop(tokio::spawn(work(committing, Arc::clone(&waiting))));
        }
        Self { queue, vault: Arc::clone(vault), commits }
    }

    pub(super) async fn commit(&self, change: Commit) -> Result<(), StorageError> {
        // Written out and sealed here, so that those who commit do not have to.
        let change = Arc::new(PreparedCommit::of(change, &self.vault)?);
        let (answer, answered) = oneshot::channel();
        if self.queue.send(Waiting { change, answer }).await.is_err() {
            return Err(StorageError::Unavailable(Box::new(Gone)));
        }
        answered.await.unwrap_or_else(|_| Err(StorageError::Unknown(Box::new(Gone))))
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

/// What it takes to commit.
#[derive(Clone)]
struct Committing {
    database: Database,
    notices: Arc<Notices>,
    commits: Arc<AtomicU64>,
}

async fn work(committing: Committing, queue: Arc<Mutex<mpsc::Receiver<Waiting>>>) {
    loop {
        let mut group = Vec::new();
        if queue.lock().await.recv_many(&mut group, GROUP).await == 0 {
            return;
        }
        let committing = committing.clone();
        // A task of its own, so that a panic costs one group.
        if let Err(error) = tokio::spawn(async move { committing.store(group).await }).await {
            tracing::error!(%error, "a commit panicked");
        }
    }
}

impl Committing {
    /// Stores the group in one transaction, and on its own what others were in the way of.
    async fn store(&self, group: Vec<Waiting>) {
        let changes: Vec<_> = group.iter().map(|waiting| Arc::clone(&waiting.change)).collect();
        let mut again = Vec::new();
        match store_together(&self.database, &changes).await {
            Ok(stored) => {
                self.commits.fetch_add(1, Ordering::Relaxed);
                for (waiting, stored) in group.into_iter().zip(stored) {
                    match stored {
                        Err(error) if is_in_the_way(&error) => again.push(waiting),
                        stored => self.answer(waiting, stored),
                    }
                }
            }
            Err(error) if is_in_the_way(&error) => again = group,
            Err(StorageError::Unknown(error)) => {
                let shared = Shared(Arc::new(StorageError::Unknown(error)));
                for waiting in group {
                    self.answer(waiting, Err(StorageError::Unknown(Box::new(shared.clone()))));
                }
            }
            Err(error) => {
                let shared = Shared(Arc::new(error));
                for waiting in group {
                    self.answer(waiting, Err(StorageError::Unavailable(Box::new(shared.clone()))));
                }
            }
        }
        for waiting in again {
            let change = Arc::clone(&waiting.change);
            let stored = self.database.write(move |connection| {
                let change = Arc::clone(&change);
                async move {
                    hold(&connection, &[Arc::clone(&change)]).await?;
                    change.store(&connection).await
                }
            });
            let stored: Result<(), StorageError> = stored.await;
            if stored.is_ok() {
                self.commits.fetch_add(1, Ordering::Relaxed);
            }
            self.answer(waiting, stored);
        }
    }

    fn answer(&self, waiting: Waiting, stored: Result<(), StorageError>) {
        if stored.is_ok() {
            self.notices.tell(&waiting.change.commit().next);
        }
        // Whoever stopped waiting finds the change in the database.
        let _ = waiting.answer.send(stored);
    }
}

/// What became of each change. An `Err` stands for all of them.
async fn store_together(
    database: &Database,
    changes: &[Arc<PreparedCommit>],
) -> Result<Vec<Result<(), StorageError>>, StorageError> {
    let transaction = database.begin("BEGIN").await?;
    match store_each(&transaction, changes).await {
        Ok(done) => {
            let done_changes = changes.iter().zip(&done).filter(|(_, done)| done.is_ok());
            let stored: Vec<_> = done_changes.map(|(change, _)| change.stored()).collect();
            commit(&transaction, &stored).await.map(|()| done)
        }
        Err(error) => {
            roll_back(&transaction).await;
            Err(error)
        }
    }
}

async fn store_each(
    connection: &Connection,
    changes: &[Arc<PreparedCommit>],
) -> Result<Vec<Result<(), StorageError>>, StorageError> {
    hold(connection, changes).await?;
    let mut stored = Vec::with_capacity(changes.len());
    for change in changes {
        connection.batch_execute("SAVEPOINT change").await.map_err(unavailable)?;
        let one = change.store(connection).await;
        let end = if one.is_ok() { "RELEASE change" } else { "ROLLBACK TO change; RELEASE change" };
        connection.batch_execute(end).await.map_err(unavailable)?;
        stored.push(one);
    }
    Ok(stored)
}

/// Keeps everything that `changes` change from everybody else. Every transaction takes vouchers before redemptions, these
/// before sources, and those before accounts, each in one order, so that no two wait for each other.
async fn hold(connection: &Connection, changes: &[Arc<PreparedCommit>]) -> Result<(), StorageError> {
    let needing = changes.iter().filter(|change| change.commit().needs_voucher());
    let vouchers: BTreeSet<VoucherHash> = needing.map(|change| change.commit().next.voucher).collect();
    if !vouchers.is_empty() {
        let hashes: Vec<_> = vouchers.iter().map(|hash| hash.to_bytes().to_vec()).collect();
        let sql = "SELECT 1 FROM voucher WHERE hash = ANY($1) ORDER BY hash FOR NO KEY UPDATE";
        lock(connection, sql, &[&hashes]).await?;
    }
    let ids: BTreeSet<&str> = changes.iter().map(|change| change.id()).collect();
    let ids: Vec<_> = ids.into_iter().collect();
    let sql = "SELECT 1 FROM redemption WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";
    lock(connection, sql, &[&ids]).await?;
    let health = changes.iter().flat_map(|change| &change.commit().health);
    let accounts = changes.iter().flat_map(|change| &change.commit().accounts);
    outlook::hold(connection, health, accounts).await
}

async fn lock(connection: &Connection, sql: &str, parameters: Parameters<'_>) -> Result<(), StorageError> {
    rows(connection, sql, parameters, |_| Ok(())).await.map(drop)
}
