//! MintCode inside an axum service of one's own: `cargo run -p examples --bin mount_in_axum`, and Ctrl-C to end it.
//!
//! The service has routes of its own; the redeem page and everything else of MintCode stands beside them. One engine works
//! behind it, and ends after the last request.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use mintcode_core::engine::{Engine, MintRequest};
use mintcode_core::ids::SupplierName;
use mintcode_core::ports::{Catalogue, Put};
use mintcode_core::redemption::Timing;
use mintcode_core::testing::{FakeSupplier, Line, MemoryStorage, SeededEntropy, TokioClock, sample};
use mintcode_core::voucher::{VoucherKeys, VoucherSecret};
use mintcode_http::{App, Site};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // The ports. A real service brings its own storage, supplier, clock and entropy: these ones are for tests.
    let storage = Arc::new(MemoryStorage::new());
    let clock = Arc::new(TokioClock::default());
    let entropy = Arc::new(SeededEntropy::new(42));
    let supplier = FakeSupplier::new(clock.clone());
    let line = Line { sms_after: Some(Duration::from_millis(500)), ..Line::default() };
    supplier.stock("canada", "virtual4", line);
    let mut sku = sample::sku("tg");
    sku.policy.further_sms = Duration::ZERO;
    storage.put_sku(sku.clone(), Put::Create).await?;

    let keys = VoucherKeys::new(&VoucherSecret::new("only an example: 32 bytes or more of it")?, &[]);
    let engine = Engine::builder(storage, clock, entropy.clone(), keys)
        .supplier(SupplierName::default(), Arc::new(supplier), true, 50)
        .timing(Timing { poll_min: Duration::from_millis(100), ..Timing::default() })
        // Nobody else can work on a storage that is in this process.
        .alone()
        .build()?;
    let request = MintRequest {
        sku: &sku.id,
        count: 1,
        expires_in: None,
        note: None,
        minted_by: "example".to_owned(),
        idempotency: None,
    };
    let code = engine.issuer().mint(request).await?.codes.next().ok_or("a batch of one has a code")?;

    let mintcode = mintcode_http::router(App {
        redeemer: engine.redeemer(),
        issuer: engine.issuer(),
        support: engine.support(),
        clock: engine.clock(),
        entropy,
        admin_key: "the operator's key".into(),
        site: Site { name: "Our shop".to_owned(), ..Site::default() },
        trusted_proxies: Vec::new(),
    });
    // Merged rather than nested, because its pages link to each other by their paths. It answers what nobody else does.
    let service = Router::new().route("/hello", get(async || "hello from our shop")).merge(mintcode);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening  http://{}", listener.local_addr()?);
    println!("voucher    {}", code.grouped(4));

    let running = engine.start();
    let stop = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            eprintln!("Ctrl-C cannot be heard, so this ends at once: {error}");
        }
    };
    // Ends held requests as well as axum's own server does the others, and knows where each connection comes from.
    mintcode_http::serve(listener, service, stop).await?;
    // First no requests, then the engine: what it has begun is driven to its end, for a while.
    running.drain(Duration::from_secs(10)).await;
    println!("stopped");
    Ok(())
}
