//! The connections to a database, and how they are set up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime,
};
use mintcode_core::ports::StorageError;
use mintcode_core::ports::supplier::BoxError;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Config, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls;
use super::url::PostgresUrl;

/// One connection, as statements see it.
pub(super) type Connection = ClientWrapper;

/// What a store takes of its server, and how long it waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at most. Whoever needs one more waits for it.
    pub connections: usize,
    /// How long a connection, or its turn for one, is waited for.
    pub connect: Duration,
    /// The longest a statement may take.
    pub statement: Duration,
    /// The longest a statement may wait for another transaction.
    pub lock: Duration,
}

impl Default for Limits {
    /// 10 connections, 5 s, 60 s and 10 s.
    fn default() -> Self {
        Self {
            connections: 10,
            connect: Duration::from_secs(5),
            statement: Duration::from_secs(60),
            lock: Duration::from_secs(10),
        }
    }
}

/// A pool of connections; clones share it.
#[derive(Clone)]
pub(super) struct Database {
    pool: Pool,
    config: Config,
    tls: MakeRustlsConnect,
}

type TlsStream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

impl Database {
    /// Connects with the first use, not here.
    pub(super) fn new(url: &PostgresUrl, limits: Limits) -> Result<Self, BoxError> {
        let mut config = url.config().clone();
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(limits.connect);
        }
        // A server that went away without a word is noticed.
        config.keepalives_idle(Duration::from_secs(30)).tcp_user_timeout(Duration::from_secs(60));
        let tls = tls::connector(config.get_ssl_mode())?;
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config.clone(), tls.clone(), recycling);
        let settings = settings(limits);
        let set_up = Hook::async_fn(move |connection: &mut ClientWrapper, _| {
            let settings = settings.clone();
            Box::pin(async move { connection.batch_execute(&settings).await.map_err(HookError::Backend) })
        });
        let pool = Pool::builder(manager)
            .max_size(limits.connections.max(2))
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(limits.connect))
            .create_timeout(Some(limits.connect))
            .recycle_timeout(Some(limits.connect))
            .post_create(set_up)
            .build()?;
        Ok(Self { pool, config, tls })
    }

    /// A connection that nobody else uses until it is dropped.
    pub(super) async fn connection(&self) -> Result<Lent, StorageError> {
        match self.pool.get().await {
            Ok(object) => Ok(Lent {
                object: Some(object),
                is_clean: AtomicBool::new(true),
                has_changes: AtomicBool::new(true),
            }),
            Err(error) => Err(StorageError::Unavailable(Box::new(error))),
        }
    }

    /// A connection for purposes of its own, outside of the pool.
    pub(super) async fn connect_apart(
        &self,
    ) -> Result<(tokio_postgres::Client, tokio_postgres::Connection<Socket, TlsStream>), BoxError> {
        let (client, connection) = self.config.connect(self.tls.clone()).await?;
        Ok((client, connection))
    }

    pub(super) fn close(&self) {
        self.pool.close();
    }
}

/// What every session is told. A server that answers before a commit is on disk is asked to wait for it; one that waits
/// for its replicas too goes on doing so.
fn settings(limits: Limits) -> String {
    let Limits { connections: _, connect: _, statement, lock } = limits;
    format!(
        "SET statement_timeout = {statement};
         SET lock_timeout = {lock};
         SET idle_in_transaction_session_timeout = {statement};
         SELECT set_config('synchronous_commit', 'on', false)
             WHERE current_setting('synchronous_commit') IN ('off', 'local');",
        statement = statement.as_millis(),
        lock = lock.as_millis(),
    )
}

/// A connection out of the pool. Where a transaction is left open, it is closed instead of given back.
pub(super) struct Lent {
    object: Option<Object>,
    is_clean: AtomicBool,
    has_changes: AtomicBool,
}

impl Lent {
    /// A transaction begins, or might have.
    pub(super) fn soil(&self) {
        self.is_clean.store(false, Ordering::Release);
    }

    /// Nothing was changed, so there is nothing to commit: whoever only looked does not wait for the disk.
    pub(super) fn nothing_changed(&self) {
        self.has_changes.store(false, Ordering::Release);
    }

    pub(super) fn has_changes(&self) -> bool {
        self.has_changes.load(Ordering::Acquire)
    }

    /// The transaction is over.
    pub(super) fn clean(&self) {
        self.is_clean.store(true, Ordering::Release);
    }
}

impl std::ops::Deref for Lent {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.object.as_ref().expect("it is taken out only when dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(object) = self.object.take()
            && !self.is_clean.load(Ordering::Acquire)
        {
            // The pool makes another one; the server rolls back what this one did.
            drop(Object::take(object));
        }
    }
}
