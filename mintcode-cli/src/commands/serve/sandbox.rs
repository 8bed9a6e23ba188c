//! `serve --sandbox`: a simulated supplier, demo SKUs and vouchers to try.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mintcode_core::engine::{Issuer, MintRequest};
use mintcode_core::ids::SupplierName;
use mintcode_core::ports::Put;
use mintcode_core::sku::Sku;
use mintcode_core::span;
use mintcode_store::{DatabaseUrl, SqliteStore};
use mintcode_supplier::simulator::{Scenario, Simulator};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::commands::sku::SkuFile;
use crate::config::{Address, Sources, SupplierSettings};
use crate::exit::{Failure, chain};
use crate::store::Store;
use crate::system::{SystemClock, random_secret};
use crate::{backend, output, server};

/// What a kept sandbox's vouchers are keyed by, so that they are good after a restart. Everybody knows it.
const KNOWN_SECRET: &str = "mintcode sandbox: vouchers worth nothing";

/// Times of an engine whose supplier is in the same process: what got lost is found within seconds.
const TIMES: [(&str, &str); 7] = [
    ("engine.buy_timeout", "5s"),
    ("engine.settle_time", "6s"),
    ("engine.late_max", "2s"),
    ("engine.backoff_min", "1s"),
    ("engine.backoff_max", "3s"),
    ("engine.poll_min", "500ms"),
    ("engine.poll_max", "1s"),
];

/// How many vouchers of each demo SKU are printed, in the order of `demo_skus.toml`, and what each is for.
const DEMO: [(u32, &str); 3] = [
    (5, "delivers a code"),
    (3, "is out of stock at its first plan and delivers a code by its second"),
    (2, "gets no SMS within 30 seconds, and fails so that it can be tried again"),
];

/// A sandbox in the making, and then its supplier.
pub(super) struct Sandbox {
    is_kept: bool,
    sms_after: Option<Duration>,
    skus: Vec<Sku>,
    stop: CancellationToken,
    supplier: Option<JoinHandle<std::io::Result<()>>>,
}

impl Sandbox {
    /// Takes database and supplier out of what is configured, and fills in what a sandbox needs.
    pub(super) fn prepare(sources: &mut Sources) -> Self {
        sources.forget(&["database.", "supplier.", "suppliers."]);
        let is_kept = sources.is_given("database.url");
        for (key, value) in TIMES {
            sources.set_default(key, value);
        }
        sources.set_default("admin_api_key", format!("adm_{}", random_secret()));
        sources
            .set_default("voucher.secret", if is_kept { KNOWN_SECRET.to_owned() } else { random_secret() });
        Self { is_kept, sms_after: None, skus: Vec::new(), stop: CancellationToken::new(), supplier: None }
    }

    /// Opens the sandbox's database and puts the demo SKUs into it.
    pub(super) async fn open(&mut self, sources: &Sources) -> Result<Store, Failure> {
        self.sms_after = Some(sources.sandbox_sms_after()?);
        self.skus =
            SkuFile::parse(Path::new("the demo SKUs"), include_str!("demo_skus.toml").to_owned())?.skus;
        let secrets = backend::secrets(sources)?;
        let store = if self.is_kept {
            let database = sources.database()?;
            let store = backend::open_serving(&database, &secrets).await?;
            self.refuse_a_real_one(&store, &database).await?;
            store
        } else {
            Store::of_file(SqliteStore::open_temporary(&secrets))?
        };
        let put = store.put_skus(self.skus.clone(), Put::Apply).await;
        put.map_err(|(_, error)| Failure::because("the demo SKUs cannot be stored", &error))?;
        Ok(store)
    }

    /// A database that sells anything else belongs to somebody, and no simulated supplier may serve its customers.
    async fn refuse_a_real_one(&self, store: &Store, database: &DatabaseUrl) -> Result<(), Failure> {
        let stored =
            store.skus().await.map_err(|error| Failure::because("the SKUs cannot be read", &error))?;
        if stored.iter().all(|sku| self.skus.iter().any(|demo| demo.id == sku.id)) {
            return Ok(());
        }
        Err(Failure::usage(format!(
            "{} is not a sandbox's database: it has SKUs of its own;\n\
             name another one, or leave --database-url away",
            match database {
                DatabaseUrl::Sqlite(path) => path.display().to_string(),
                DatabaseUrl::Postgres(url) => url.to_string(),
            }
        )))
    }

    /// Starts the simulated supplier on a port of its own. It charges in the selling currency, which needs no rate.
    pub(super) async fn start_supplier(&mut self, sources: &Sources) -> Result<SupplierSettings, Failure> {
        let broken = |error: &(dyn std::error::Error + 'static)| Failure::work(chain(error));
        let api_key: SecretString = random_secret().into();
        let mut scenario =
            Scenario::from_toml(include_str!("demo_scenario.toml")).map_err(|error| broken(&error))?;
        scenario.api_key = Some(api_key.clone());
        scenario.sms_after = self.sms_after.unwrap_or(scenario.sms_after);

        let (listener, url) = server::listen(&Address("127.0.0.1:0".to_owned())).await?;
        let simulator = Simulator::new(scenario, Arc::new(SystemClock));
        let stopped = self.stop.clone().cancelled_owned();
        self.supplier = Some(tokio::spawn(simulator.serve(listener, stopped)));
        Ok(SupplierSettings {
            name: SupplierName::default(),
            url: format!("{url}/v1").parse().map_err(|error: url::ParseError| broken(&error))?,
            api_key,
            currency: sources.rates()?.selling,
            is_exclusive: true,
            requests_per_second: 200,
        })
    }

    /// Mints the vouchers and prints everything one needs to try them.
    pub(super) fn announce(
        &self,
        issuer: Issuer,
        url: &str,
        admin_key: &SecretString,
        as_json: bool,
    ) -> impl Future<Output = Result<(), Failure>> + use<'_> {
        let (url, admin_key) = (url.to_owned(), admin_key.clone());
        async move {
            let group = if as_json { 0 } else { 4 };
            let mut minted = Vec::new();
            for (sku, (count, does)) in self.skus.iter().zip(DEMO) {
                minted.push((sku, does, mint(&issuer, sku, count, group).await?));
            }
            if as_json {
                let codes: Vec<_> = minted.iter().flat_map(|(_, _, codes)| codes).collect();
                let by_sku: Map<_, _> =
                    minted.iter().map(|(sku, _, codes)| (sku.id.to_string(), json!(codes))).collect();
                output::json(&json!({
                    "url": url,
                    "admin_key": admin_key.expose_secret(),
                    "developer_key": null,
                    "vouchers": codes,
                    "vouchers_by_sku": by_sku,
                }))?;
            } else {
                output::lines(self.described(&minted, &url, admin_key.expose_secret()))?;
            }
            Ok(())
        }
    }

    fn described(&self, minted: &[(&Sku, &str, Vec<String>)], url: &str, admin_key: &str) -> Vec<String> {
        let mut lines = vec![
            format!("MintCode 薄荷码工坊 · sandbox · {url}"),
            String::new(),
            format!("Redeem page  {url}/"),
            format!("Admin key    {admin_key}"),
            format!("In a shell   mintcode redeem CODE --server {url}"),
        ];
        let sms_after = span::show(self.sms_after.unwrap_or_default());
        for (sku, does, codes) in minted {
            lines.push(String::new());
            lines.push(format!("{} / {} ({}): {does}", sku.name.en, sku.name.zh, sku.id));
            lines.extend(codes.iter().map(|code| format!("  {code}")));
        }
        lines.push(String::new());
        lines.push(format!(
            "An SMS comes {sms_after} after its number. Ctrl-C ends it{}.",
            if self.is_kept {
                "; everything but the supplier's side is kept"
            } else {
                ", and nothing is kept"
            }
        ));
        lines
    }

    /// Ends the supplier.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        if let Some(supplier) = self.supplier {
            match supplier.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the simulated supplier did not end well"),
                Err(error) => tracing::warn!(%error, "the simulated supplier did not end well"),
            }
        }
    }
}

async fn mint(issuer: &Issuer, sku: &Sku, count: u32, group: usize) -> Result<Vec<String>, Failure> {
    let request = MintRequest {
        sku: &sku.id,
        count,
        expires_in: None,
        note: None,
        minted_by: "sandbox".to_owned(),
        idempotency: None,
    };
    let minted = issuer.mint(request).await;
    let minted = minted.map_err(|error| Failure::because("the demo vouchers cannot be minted", &error))?;
    Ok(minted.codes.map(|code| code.grouped(group)).collect())
}
