//! Storage and engine, put together from what is configured.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mintcode_core::engine::{Engine, EngineBuilder, Issuer, Support};
use mintcode_core::ports::Clock;
use mintcode_store::{OpenError, Secrets, SqliteStore};
use mintcode_supplier::rest::RestSupplier;
use secrecy::SecretString;
use url::Url;

use crate::config::{Database, Sources, SupplierSettings};
use crate::exit::{Failure, chain};
use crate::system::{SystemClock, SystemEntropy};

/// How long an answer to a purchase is listened for after the engine went on without it.
const LATE_ANSWERS: Duration = Duration::from_secs(60);

/// Opens the configured database, which has to be there: a command that looks or mints makes none by a slip of the
/// working directory.
pub(crate) fn open_existing(sources: &Sources) -> Result<Arc<SqliteStore>, Failure> {
    existing(sources)?;
    open(sources)
}

/// The file of the configured database, which has to be there.
pub(crate) fn existing(sources: &Sources) -> Result<PathBuf, Failure> {
    let Database { path } = sources.database()?;
    if path.exists() {
        return Ok(path);
    }
    let path = path.display();
    Err(Failure::work(format!(
        "there is no database {path}; name it with --database-url or MINTCODE_DATABASE_URL,\n\
             or make it with `mintcode sku apply FILE.toml`"
    )))
}

/// Opens the configured database beside whoever uses it, or makes it. Without a voucher secret it is opened all the
/// same, and only what is sealed cannot be read: many commands need none of it.
pub(crate) fn open(sources: &Sources) -> Result<Arc<SqliteStore>, Failure> {
    let secrets = given_secrets(sources)?;
    opened(SqliteStore::open(sources.database()?.path, secrets.as_ref()))
}

/// What opens and seals the database's documents.
pub(crate) fn secrets(sources: &Sources) -> Result<Secrets, Failure> {
    Ok(Secrets::new(sources.voucher_keys()?, Arc::new(SystemEntropy)))
}

/// The same, where there is a voucher secret.
pub(crate) fn given_secrets(sources: &Sources) -> Result<Option<Secrets>, Failure> {
    if sources.is_given("voucher.secret") { secrets(sources).map(Some) } else { Ok(None) }
}

/// What became of opening a database, in words.
pub(crate) fn opened(store: Result<SqliteStore, OpenError>) -> Result<Arc<SqliteStore>, Failure> {
    store.map(Arc::new).map_err(|error| Failure::work(chain(&error)))
}

/// What mints into `store`.
pub(crate) fn issuer(sources: &Sources, store: &Arc<SqliteStore>) -> Result<Issuer, Failure> {
    let (store, clock) = (Arc::clone(store), Arc::new(SystemClock));
    let keys = sources.voucher_keys()?;
    Ok(Issuer::new(store, clock, Arc::new(SystemEntropy), keys, sources.shape(None)?))
}

/// What does support work on `store`, beside whoever serves it.
pub(crate) fn support(sources: &Sources, store: &Arc<SqliteStore>) -> Result<Support, Failure> {
    let rules = Arc::new(sources.rules()?);
    Ok(Support::new(Arc::clone(store), issuer(sources, store)?, rules))
}

/// An engine over `store` that has no supplier yet.
pub(crate) fn builder(
    sources: &Sources,
    store: &Arc<SqliteStore>,
    clock: &Arc<dyn Clock>,
) -> Result<EngineBuilder, Failure> {
    let (store, clock) = (Arc::clone(store), Arc::clone(clock));
    let engine = Engine::builder(store, clock, Arc::new(SystemEntropy), sources.voucher_keys()?);
    Ok(engine.shape(sources.shape(None)?).rules(sources.rules()?))
}

/// Adds a supplier whose answers may take as long as `timeout`.
pub(crate) fn add_supplier(
    engine: EngineBuilder,
    settings: SupplierSettings,
    clock: &Arc<dyn Clock>,
    timeout: Duration,
) -> Result<EngineBuilder, Failure> {
    let (name, is_exclusive) = (settings.name.clone(), settings.is_exclusive);
    let requests_per_second = settings.requests_per_second;
    let supplier = client(settings, clock, timeout)?;
    Ok(engine.supplier(name, Arc::new(supplier), is_exclusive, requests_per_second))
}

/// The client of a supplier whose answers may take as long as `timeout`.
pub(crate) fn client(
    settings: SupplierSettings,
    clock: &Arc<dyn Clock>,
    timeout: Duration,
) -> Result<RestSupplier, Failure> {
    let SupplierSettings { name, url, api_key, currency, .. } = settings;
    let supplier =
        rest(url, api_key, clock).currency(currency).timeout(timeout).late_answers(LATE_ANSWERS).build();
    supplier.map_err(|error| Failure::usage(format!("supplier {name}: {}", chain(&error))))
}

fn rest(
    url: Url,
    api_key: SecretString,
    clock: &Arc<dyn Clock>,
) -> mintcode_supplier::rest::RestSupplierBuilder {
    RestSupplier::builder(url, api_key, Arc::clone(clock))
}
