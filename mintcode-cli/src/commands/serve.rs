//! `mintcode serve`: everything in one process, or, on a database that several share, one part of it.

mod sandbox;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use mintcode_core::engine::Engine;
use mintcode_core::ports::Clock;
use mintcode_core::ports::vouchers::SecretUse;
use mintcode_http::{App, Proxy, Site, WebhookAlerts};
use mintcode_store::DatabaseUrl;
use secrecy::SecretString;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::sandbox::Sandbox;
use crate::args::{Cli, DatabaseArgs};
use crate::config::{Flag, Sources, SupplierSettings};
use crate::exit::Failure;
use crate::server::{self, Signals};
use crate::store::Store;
use crate::system::{SystemClock, SystemEntropy};
use crate::{backend, logging, output};

#[derive(Args)]
#[command(after_help = "\
Needs MINTCODE_ADMIN_API_KEY, MINTCODE_VOUCHER_SECRET, MINTCODE_SUPPLIER_URL and MINTCODE_SUPPLIER_API_KEY, or the \
same in mintcode.toml; with --sandbox it needs nothing. Ctrl-C ends it cleanly.
  mintcode serve --sandbox
  mintcode serve --listen 0.0.0.0:8080 --database-url sqlite:/var/lib/mintcode/mintcode.db
  mintcode serve --role api --database-url postgres://mint:SECRET@db/mintcode      any number of these
  mintcode serve --role worker --listen 127.0.0.1:8081 --database-url postgres://mint:SECRET@db/mintcode   and of these, \
with the same settings")]
pub(crate) struct Arguments {
    /// Run the whole product with a simulated supplier, demo SKUs and ten vouchers; keeps nothing unless
    /// --database-url is given.
    #[arg(long)]
    sandbox: bool,
    /// Where to listen [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Which part to be.
    #[arg(long, value_enum, default_value_t = Role::All)]
    role: Role,
    /// Print one line of JSON instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// The parts that a process can be.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    /// The API, the pages and the worker.
    All,
    /// The API and the pages alone; needs PostgreSQL.
    Api,
    /// The worker alone, which listens for nothing but /healthz and /readyz; needs PostgreSQL.
    Worker,
}

pub(crate) async fn run(arguments: Arguments, config: Option<&Path>) -> Result<(), Failure> {
    let flags: [Flag<'_>; 2] =
        [("listen", "--listen", arguments.listen.as_deref()), arguments.database.flag()];
    let mut sources = Cli::sources(config, &flags)?;
    let (role, json) = (arguments.role, arguments.json);
    if role != Role::All && arguments.sandbox {
        return Err(Failure::usage("a sandbox is everything at once, so leave --role away"));
    }
    let sandbox = arguments.sandbox.then(|| Sandbox::prepare(&mut sources));
    sources.check()?;
    let database = sources.database()?;
    if role != Role::All && !matches!(database, DatabaseUrl::Postgres(_)) {
        return Err(Failure::usage(
            "--role api and --role worker need PostgreSQL; a SQLite file has one server, so leave --role away",
        ));
    }
    let plan = ServePlan::read(&sources, sandbox.as_ref())?;
    logging::start(sources.log()?);

    let signals = Signals::new()?;
    let (listener, url) = server::listen(&sources.listen()?).await?;
    if let Some(sandbox) = sandbox {
        return in_sandbox(sandbox, plan, &sources, listener, &url, signals, json).await;
    }
    let store = backend::open_serving(&database, &backend::secrets(&sources)?).await?;
    let announce = async {
        let announced = if json { output::json(&json!({ "url": url })) } else { output::line(&url) };
        announced.map_err(Failure::from)
    };
    Parts::build(plan, &sources, &store)?.run(role, listener, signals, announce).await
}

/// What a server needs to know, read before anything is opened.
struct ServePlan {
    admin_key: SecretString,
    suppliers: Vec<SupplierSettings>,
    alerts: Option<WebhookAlerts>,
    trusted_proxies: Vec<Proxy>,
    site: Site,
}

impl ServePlan {
    fn read(sources: &Sources, sandbox: Option<&Sandbox>) -> Result<Self, Failure> {
        let admin_key = sources.admin_key()?;
        sources.voucher_keys()?;
        sources.shape(None)?;
        sources.timing()?;
        sources.rules()?;
        let suppliers = if sandbox.is_some() { Vec::new() } else { sources.suppliers()? };
        sources.check_rates(&suppliers)?;
        let (alerts, trusted_proxies) = (sources.alerts(Arc::new(SystemClock))?, sources.trusted_proxies()?);
        Ok(Self { admin_key, suppliers, alerts, trusted_proxies, site: sources.site()? })
    }
}

async fn in_sandbox(
    mut sandbox: Sandbox,
    mut plan: ServePlan,
    sources: &Sources,
    listener: TcpListener,
    url: &str,
    signals: Signals,
    json: bool,
) -> Result<(), Failure> {
    let store = sandbox.open(sources).await?;
    plan.suppliers.push(sandbox.start_supplier(sources).await?);
    let admin_key = plan.admin_key.clone();
    let parts = Parts::build(plan, sources, &store)?;
    let announce = sandbox.announce(parts.engine.issuer(), url, &admin_key, json);
    let result = parts.run(Role::All, listener, signals, announce).await;
    sandbox.stop().await;
    result
}

/// Everything put together, not yet running.
struct Parts {
    store: Store,
    engine: Engine,
    app: App,
}

impl Parts {
    fn build(plan: ServePlan, sources: &Sources, store: &Store) -> Result<Self, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let timing = sources.timing()?;
        let timeout: Duration = timing.buy_timeout;
        let mut engine = backend::builder(sources, store, &clock)?.timing(timing);
        if let Some(sink) = plan.alerts {
            engine = engine.alerts(Arc::new(sink));
        }
        for supplier in plan.suppliers {
            engine = backend::add_supplier(engine, supplier, &clock, timeout)?;
        }
        let engine = engine.build().map_err(|error| Failure::usage(error.to_string()))?;
        let app = App {
            redeemer: engine.redeemer(),
            issuer: engine.issuer(),
            support: engine.support(),
            clock: engine.clock(),
            entropy: Arc::new(SystemEntropy),
            admin_key: plan.admin_key,
            site: plan.site,
            trusted_proxies: plan.trusted_proxies,
        };
        Ok(Self { store: store.clone(), engine, app })
    }

    /// Refuses to serve vouchers that nobody could redeem.
    async fn check_secrets(&self) -> Result<(), Failure> {
        let missing = self.engine.issuer().missing_secrets().await;
        let missing = missing.map_err(|error| Failure::because("the vouchers cannot be counted", &error))?;
        let Some(SecretUse { secret, live_vouchers, unsealed_batches }) = missing.first() else {
            return Ok(());
        };
        Err(Failure::work(format!(
            "{live_vouchers} vouchers and {unsealed_batches} unsealed batches need the voucher secret of fingerprint \
             {secret}, which is not given;\nadd it to MINTCODE_VOUCHER_SECRET_PREVIOUS, or void and seal what was \
             minted with it"
        )))
    }

    /// Serves until a signal comes or something fails, and then ends in the order in which nothing is lost: no new
    /// requests, no new turns, nothing left unwritten. `announce` runs when everything else does.
    async fn run(
        self,
        role: Role,
        listener: TcpListener,
        mut signals: Signals,
        announce: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        self.check_secrets().await?;
        let Self { store, engine, app } = self;
        let stop = CancellationToken::new();
        let mut running = if role == Role::Api { engine.attend() } else { engine.start() };
        let router =
            if role == Role::Worker { mintcode_http::worker_router(app) } else { mintcode_http::router(app) };
        let mut http = tokio::spawn(mintcode_http::serve(listener, router, stop.clone().cancelled_owned()));

        let mut is_http_over = false;
        let result = tokio::select! {
            result = async {
                announce.await?;
                signals.next().await;
                Ok(())
            } => result,
            why = store.failed() => {
                // What waits can no longer be stored, so there is nothing to wait for.
                return Err(Failure::work(format!("the database failed ({why}); start again once its disk is well")));
            }
            () = running.ended() => {
                return Err(Failure::work("the engine ended by itself; its log says why"));
            }
            ended = &mut http => {
                is_http_over = true;
                Err(Failure::work(match ended {
                    Ok(Ok(())) => "the HTTP server ended by itself".to_owned(),
                    Ok(Err(error)) => format!("the HTTP server ended: {error}"),
                    Err(error) => format!("the HTTP server ended: {error}"),
                }))
            }
        };
        tracing::info!("stopping");
        signals.end_at_next();
        stop.cancel();
        if !is_http_over && let Ok(Err(error)) = http.await {
            tracing::warn!(%error, "the HTTP server did not end well");
        }
        running.stop().await;
        store.close().await?;
        result
    }
}
