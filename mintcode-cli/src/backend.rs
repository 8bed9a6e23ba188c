//! Storage and engine, put together from what is configured.

use std::sync::Arc;
use std::time::Duration;

use mintcode_core::engine::{Engine, EngineBuilder, Issuer, Support};
use mintcode_core::ports::Clock;
use mintcode_store::{DatabaseUrl, SqliteStore};
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
    if let DatabaseUrl::Sqlite(path) = sources.database()?
        && !path.exists()
    {
        let path = path.display();
        return Err(Failure::work(format!(
            "there is no database {path}; name it with --database-url or MINTCODE_DATABASE_URL,\n\
             or make it with `mintcode sku apply FILE.toml`"
        )));
    }
    open(sources).await
}

/// Opens the configured database beside whoever uses it, or makes it.
pub(crate) async fn open(sources: &Sources) -> Result<Store, Failure> {
    Store::open(&sources.database()?, SqliteStore::open).await
}

/// Opens a database to serve it.
pub(crate) async fn open_serving(database: &DatabaseUrl) -> Result<Store, Failure> {
    Store::open(database, SqliteStore::open_serving).await
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
        Store::Postgres(store) => Engine::builder(Arc::clone(store), clock, entropy, keys),
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
    let SupplierSettings { name, url, api_key, currency, is_exclusive, requests_per_second } = settings;
    let supplier =
        rest(url, api_key, clock).currency(currency).timeout(timeout).late_answers(LATE_ANSWERS).build();
    let supplier = supplier.map_err(|error| Failure::usage(format!("supplier {name}: {}", chain(&error))))?;
    Ok(engine.supplier(name, Arc::new(supplier), is_exclusive, requests_per_second))
}

fn rest(
    url: Url,
    api_key: SecretString,
    clock: &Arc<dyn Clock>,
) -> mintcode_supplier::rest::RestSupplierBuilder {
    RestSupplier::builder(url, api_key, Arc::clone(clock))
}
