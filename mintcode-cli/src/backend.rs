//! Storage and engine, put together from what is configured.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mintcode_core::engine::{Engine, EngineBuilder, Issuer, Support};
use mintcode_core::ports::Clock;
use mintcode_store::{DatabaseUrl, PostgresStore, Secrets, SqliteStore};
use mintcode_supplier::rest::RestSupplier;
use secrecy::SecretString;
use url::Url;

use crate::config::{Sources, SupplierSettings};
use crate::exit::{Failure, chain};
use crate::store::Store;
use crate::system::{SystemClock, SystemEntropy};

/// How long an answer to a purchase is listened for after the engine went on without it.
const LATE_ANSWERS: Duration = Duration::from_secs(60);

/// Opens the configured database, which has to be there: a command that looks or mints makes none by a slip of the
/// working directory.
pub(crate) async fn open_existing(sources: &Sources) -> Result<Store, Failure> {
    if let DatabaseUrl::Sqlite(path) = sources.database()? {
        existing_file(&path)?;
    }
    open(sources).await
}

/// Fails where there is no file, with what to do about it.
pub(crate) fn existing_file(path: &Path) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    let path = path.display();
    Err(Failure::work(format!(
        "there is no database {path}; name it with --database-url or MINTCODE_DATABASE_URL,\n\
         or make it with `mintcode sku apply FILE.toml`"
    )))
}

/// Opens the configured database beside whoever uses it, or makes it. Without a voucher secret it is opened all the
/// same, and only what is sealed cannot be read: many commands need none of it.
pub(crate) async fn open(sources: &Sources) -> Result<Store, Failure> {
    let secrets = given_secrets(sources)?;
    match sources.database()? {
        DatabaseUrl::Sqlite(path) => Store::of_file(SqliteStore::open(path, secrets.as_ref())),
        DatabaseUrl::Postgres(url) => Store::of_server(PostgresStore::open(&url, secrets.as_ref()).await),
    }
}

/// What opens and seals the database's documents.
pub(crate) fn secrets(sources: &Sources) -> Result<Secrets, Failure> {
    Ok(Secrets::new(sources.voucher_keys()?, Arc::new(SystemEntropy)))
}

/// The same, where there is a voucher secret.
pub(crate) fn given_secrets(sources: &Sources) -> Result<Option<Secrets>, Failure> {
    if sources.is_given("voucher.secret") { secrets(sources).map(Some) } else { Ok(None) }
}

/// Opens a database to serve it.
pub(crate) async fn open_serving(database: &DatabaseUrl, secrets: &Secrets) -> Result<Store, Failure> {
    match database {
        DatabaseUrl::Sqlite(path) => Store::of_file(SqliteStore::open_serving(path, secrets)),
        DatabaseUrl::Postgres(url) => Store::of_server(PostgresStore::open_serving(url, secrets).await),
    }
}

/// What mints into `store`.
pub(crate) fn issuer(sources: &Sources, store: &Store) -> Result<Issuer, Failure> {
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let (keys, shape) = (sources.voucher_keys()?, sources.shape(None)?);
    Ok(match store {
        Store::Sqlite(store) => Issuer::new(Arc::clone(store), clock, entropy, keys, shape),
        Store::Postgres(store) => Issuer::new(Arc::clone(store), clock, entropy, keys, shape),
    })
}

/// What does support work on `store`, beside whoever serves it.
pub(crate) fn support(sources: &Sources, store: &Store) -> Result<Support, Failure> {
    let (issuer, rules) = (issuer(sources, store)?, Arc::new(sources.rules()?));
    Ok(match store {
        Store::Sqlite(store) => Support::new(Arc::clone(store), issuer, rules),
        Store::Postgres(store) => Support::new(Arc::clone(store), issuer, rules),
    })
}

/// An engine over `store` that has no supplier yet.
pub(crate) fn builder(
    sources: &Sources,
    store: &Store,
    clock: &Arc<dyn Clock>,
) -> Result<EngineBuilder, Failure> {
    let (clock, entropy, keys) = (Arc::clone(clock), Arc::new(SystemEntropy), sources.voucher_keys()?);
    let engine = match store {
        // The lock beside the file keeps every other server away.
        Store::Sqlite(store) => Engine::builder(Arc::clone(store), clock, entropy, keys).alone(),
        Store::Postgres(store) => {
            Engine::builder(Arc::clone(store), clock, entropy, keys).limits(Arc::clone(store) as Arc<_>)
        }
    };
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
