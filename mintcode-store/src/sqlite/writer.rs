//! The one thread that writes: whoever waits shares a commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use mintcode_core::ports::StorageError;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot, watch};

use crate::crash_point::{self, Stored};

/// Operations that may wait; whoever comes later waits to be let in, so that load costs no memory.
const QUEUE: usize = 1024;

/// The most operations of one commit: bounds how long the first of them waits for the others.
const GROUP: usize = 256;

/// Sends operations to the writing thread.
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    failed: watch::Receiver<Option<Arc<str>>>,
    commits: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

enum Message {
    Work(Box<dyn Work>),
    Close(oneshot::Sender<()>),
}

/// What became of a group of operations.
enum Fate {
    Stored,
    NotStored(Cause),
    Unknown(Cause),
}

/// Why a group was not stored; every operation of it gets a copy.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Cause {
    #[error("SQLite failed")]
    Sqlite(#[source] Arc<rusqlite::Error>),
    #[error("SQLite gave up the whole transaction: {0}")]
    GivenUp(Arc<str>),
    #[error("storage failed earlier and has to be opened again: {0}")]
    FailedEarlier(Arc<str>),
    #[error("storage is closed")]
    Closed,
    #[error("the writing thread ended")]
    Gone,
}

impl From<Cause> for StorageError {
    fn from(cause: Cause) -> Self {
        Self::Unavailable(Box::new(cause))
    }
}

trait Work: Send {
    /// Does the work inside the open transaction; an error, told in words, takes it back.
    fn run(&mut self, connection: &Connection) -> Result<(), String>;
    /// What is stored, in words; `None` where nothing is.
    fn stored(&self) -> Option<&Stored>;
    /// Answers whoever asked for it.
    fn answer(self: Box<Self>, fate: &Fate);
}

struct Operation<T, E, F> {
    work: Option<F>,
    stored: Stored,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Work for Operation<T, E, F>
where
    T: Send,
    E: std::error::Error + From<StorageError> + Send,
    F: FnOnce(&Connection) -> Result<T, E> + Send,
{
    fn run(&mut self, connection: &Connection) -> Result<(), String> {
        self.result = self.work.take().map(|work| work(connection));
        match &self.result {
            Some(Err(error)) => Err(Chain(error).to_string()),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    fn stored(&self) -> Option<&Stored> {
        matches!(self.result, Some(Ok(_))).then_some(&self.stored)
    }

    fn answer(self: Box<Self>, fate: &Fate) {
        // What the operation found is only true if the changes stored before it in its group are.
        let result = match fate {
            Fate::Stored => self.result.unwrap_or_else(|| Err(StorageError::from(Cause::Gone).into())),
            Fate::NotStored(cause) => Err(StorageError::from(cause.clone()).into()),
            Fate::Unknown(cause) => Err(StorageError::Unknown(Box::new(cause.clone())).into()),
        };
        // Whoever stopped waiting finds the result in the database.
        let _ = self.answer.send(result);
    }
}

impl Writer {
    pub(super) fn start(connection: Connection) -> std::io::Result<Self> {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let (failure, failed) = watch::channel(None);
        let commits = Arc::new(AtomicU64::new(0));
        let thread = WriterThread { connection, failure: Failure(failure), commits: Arc::clone(&commits) };
        let thread =
            thread::Builder::new().name("sqlite-writer".to_owned()).spawn(move || thread.run(receiver))?;
        Ok(Self { queue, failed, commits, thread: Some(thread) })
    }

    /// Runs `work` in a transaction and answers once that is on disk. An `Err` takes back everything `work` did.
    pub(super) async fn write<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: std::error::Error + From<StorageError> + Send + 'static,
    {
        self.write_as(Stored::by(&work), work).await
    }

    /// As [`Writer::write`], for `work` that can tell better what it stores.
    pub(super) async fn write_as<T, E>(
        &self,
        stored: Stored,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: std::error::Error + From<StorageError> + Send + 'static,
    {
        self.check()?;
        let (answer, answered) = oneshot::channel();
        let work = Box::new(Operation { work: Some(work), stored, result: None, answer });
        if self.queue.send(Message::Work(work)).await.is_err() {
            self.check()?;
            return Err(StorageError::from(Cause::Closed).into());
        }
        answered.await.unwrap_or_else(|_| Err(StorageError::Unknown(Box::new(Cause::Gone)).into()))
    }

    /// Runs `work` as [`write`](Self::write) does, where there is room for it; nobody hears of it.
    pub(super) fn write_unheard(
        &self,
        work: impl FnOnce(&Connection) -> Result<(), StorageError> + Send + 'static,
    ) {
        let (answer, _) = oneshot::channel();
        let stored = Stored::by(&work);
        let work = Operation { work: Some(work), stored, result: None, answer };
        if self.queue.try_send(Message::Work(Box::new(work))).is_err() {
            tracing::debug!("an operation that nobody waits for found no room");
        }
    }

    /// Refuses to go on once a commit failed: what is on disk is not known any more.
    pub(super) fn check(&self) -> Result<(), StorageError> {
        match &*self.failed.borrow() {
            Some(why) => Err(Cause::FailedEarlier(Arc::clone(why)).into()),
            None => Ok(()),
        }
    }

    pub(super) async fn failed(&self) -> Arc<str> {
        let mut failed = self.failed.clone();
        match failed.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(why)) => Arc::clone(why),
            // The thread ended as it was asked to.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Lets everything that waits be stored, then ends the thread.
    pub(super) async fn close(&self) -> Result<(), StorageError> {
        let (answer, answered) = oneshot::channel();
        if self.queue.send(Message::Close(answer)).await.is_ok() {
            // The thread may have failed on the way, which the check below tells.
            let _ = answered.await;
        }
        self.check()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The thread ends when its queue is empty and nobody can send any more.
        self.queue = mpsc::channel(1).0;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the SQLite writer panicked");
        }
    }
}

/// Tells that storage failed, also when the thread dies of a panic.
struct Failure(watch::Sender<Option<Arc<str>>>);

impl Drop for Failure {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.send_replace(Some("the SQLite writer panicked".into()));
        }
    }
}

struct WriterThread {
    connection: Connection,
    failure: Failure,
    commits: Arc<AtomicU64>,
}

impl WriterThread {
    fn run(self, mut queue: mpsc::Receiver<Message>) {
        let mut closing = Vec::new();
        let mut group = Vec::new();
        while let Some(message) = queue.blocking_recv() {
            let mut next = Some(message);
            while let Some(message) = next {
                match message {
                    Message::Work(work) => group.push(work),
                    Message::Close(answer) => {
                        queue.close();
                        closing.push(answer);
                    }
                }
                next = if group.len() < GROUP { queue.try_recv().ok() } else { None };
            }
            if group.is_empty() {
                continue;
            }
            let failed_earlier = self.failure.0.borrow().clone();
            let fate = match failed_earlier {
                Some(why) => Fate::NotStored(Cause::FailedEarlier(why)),
                None => self.store(&mut group),
            };
            if let Fate::Unknown(cause) = &fate {
                tracing::error!(error = %Chain(cause), "a commit failed, storage stops");
                self.failure.0.send_replace(Some(Chain(cause).to_string().into()));
                queue.close();
            }
            group.drain(..).for_each(|work| work.answer(&fate));
        }
        if self.failure.0.borrow().is_none() {
            // Without this the next start reads the whole log; nothing is lost where it fails.
            let checkpoint = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
            if let Err(error) = checkpoint {
                tracing::warn!(%error, "the write-ahead log could not be folded in");
            }
        }
        drop(self.connection);
        for answer in closing {
            // Whoever asked may have stopped waiting.
            let _ = answer.send(());
        }
    }

    /// Runs `group` in one transaction.
    fn store(&self, group: &mut [Box<dyn Work>]) -> Fate {
        if let Err(error) = self.execute("BEGIN IMMEDIATE") {
            return Fate::NotStored(sqlite(error));
        }
        for work in &mut *group {
            if let Err(error) = self.run_alone(&mut **work) {
                self.roll_back();
                return Fate::NotStored(error);
            }
        }
        let stored = || group.iter().filter_map(|work| work.stored());
        crash_point::before_commit(stored());
        match self.execute("COMMIT") {
            Ok(()) => {
                crash_point::after_commit(stored());
                self.commits.fetch_add(1, Ordering::Relaxed);
                Fate::Stored
            }
            // The commit's last frame did not fit, so no reader will ever see any of it.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
                self.roll_back();
                Fate::NotStored(sqlite(error))
            }
            // Some of it may be on disk. Trying again could report as stored what the disk has lost.
            Err(error) => Fate::Unknown(sqlite(error)),
        }
    }

    /// Runs `work` so that it alone is taken back if it fails.
    fn run_alone(&self, work: &mut dyn Work) -> Result<(), Cause> {
        self.execute("SAVEPOINT operation").map_err(sqlite)?;
        let ran = work.run(&self.connection);
        // A full disk, among others, makes SQLite roll back everything, the group's earlier operations included.
        if self.connection.is_autocommit() {
            return Err(Cause::GivenUp(ran.err().unwrap_or_default().into()));
        }
        if ran.is_err() {
            self.execute("ROLLBACK TO operation").map_err(sqlite)?;
        }
        self.execute("RELEASE operation").map_err(sqlite)
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}

fn sqlite(error: rusqlite::Error) -> Cause {
    Cause::Sqlite(Arc::new(error))
}

/// An error with its causes, on one line.
struct Chain<'a, E>(&'a E);

impl<E: std::error::Error> std::fmt::Display for Chain<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::connection;

    struct File {
        _directory: tempfile::TempDir,
        writer: Writer,
    }

    fn file() -> File {
        let directory = tempfile::tempdir().unwrap();
        let connection = connection::open_writer(&directory.path().join("test.db")).unwrap();
        let schema = "CREATE TABLE parent (id INTEGER PRIMARY KEY);
             CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent (id), filling BLOB);";
        connection.execute_batch(schema).unwrap();
        File { writer: Writer::start(connection).unwrap(), _directory: directory }
    }

    async fn run(writer: &Writer, sql: &'static str) -> Result<(), StorageError> {
        writer
            .write(move |connection| connection.execute_batch(sql).map_err(crate::sqlite::unavailable))
            .await
    }

    /// Runs both in one group: the thread is held up until both wait.
    async fn together(
        writer: &Writer,
        one: &'static str,
        other: &'static str,
    ) -> (Result<(), StorageError>, Result<(), StorageError>) {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let gate = writer.write(move |_| Ok::<_, StorageError>(held.recv().is_ok()));
        // Polled in this order, so the release comes when both are in the queue.
        let (_, one, other, ()) = tokio::join!(biased; gate, run(writer, one), run(writer, other), async { release.send(()).unwrap() });
        (one, other)
    }

    async fn children(writer: &Writer) -> i64 {
        let count = |connection: &Connection| {
            let count = connection.query_row("SELECT count(*) FROM child", [], |row| row.get(0));
            count.map_err(crate::sqlite::unavailable)
        };
        writer.write(count).await.unwrap()
    }

    #[tokio::test]
    async fn a_failed_commit_is_unknown_and_stops_the_store() {
        let file = file();
        run(&file.writer, "INSERT INTO child VALUES (1, NULL, NULL)").await.unwrap();
        // A reference that is only checked at the end makes the COMMIT itself fail.
        let broken = "PRAGMA defer_foreign_keys = ON; INSERT INTO child VALUES (2, 7, NULL)";
        let (good, bad) = together(&file.writer, "INSERT INTO child VALUES (3, NULL, NULL)", broken).await;
        for answer in [good, bad] {
            assert!(matches!(answer, Err(StorageError::Unknown(_))), "{answer:?}");
        }
        let later = run(&file.writer, "INSERT INTO child VALUES (4, NULL, NULL)").await;
        assert!(matches!(later, Err(StorageError::Unavailable(_))), "{later:?}");
        assert!(file.writer.failed().await.contains("FOREIGN KEY"));
    }

    #[tokio::test]
    async fn a_full_disk_stores_nothing_and_is_recovered_from() {
        let file = file();
        run(&file.writer, "PRAGMA max_page_count = 8").await.unwrap();
        let hundred =
            "WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 100)
             INSERT INTO child SELECT value, NULL, zeroblob(4000) FROM n";
        let answer = run(&file.writer, hundred).await;
        assert!(matches!(answer, Err(StorageError::Unavailable(_))), "{answer:?}");
        assert_eq!(children(&file.writer).await, 0);
        run(&file.writer, "PRAGMA max_page_count = 10000").await.unwrap();
        run(&file.writer, hundred).await.unwrap();
        assert_eq!(children(&file.writer).await, 100);
    }

    #[tokio::test]
    async fn an_operation_that_fails_is_taken_back_alone() {
        let file = file();
        let twice = "INSERT INTO child VALUES (2, NULL, NULL); INSERT INTO child VALUES (2, NULL, NULL)";
        let (bad, good) = together(&file.writer, twice, "INSERT INTO child VALUES (3, NULL, NULL)").await;
        assert!(matches!(bad, Err(StorageError::Unavailable(_))), "{bad:?}");
        good.unwrap();
        assert_eq!(children(&file.writer).await, 1);
    }

    #[tokio::test]
    async fn a_panic_in_the_thread_is_told_as_a_failure() {
        let file = file();
        let panicking = file.writer.write(|_| -> Result<(), StorageError> { panic!("planted") }).await;
        assert!(matches!(panicking, Err(StorageError::Unknown(_))), "{panicking:?}");
        assert!(file.writer.failed().await.contains("panicked"));
        assert!(file.writer.check().is_err());
    }
}
