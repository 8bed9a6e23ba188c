//! Redeems one voucher from start to finish, with nothing but memory: `cargo run -p examples --bin redeem_in_memory`.
//!
//! This is all an embedding service does: put an engine together from its ports, mint, start, redeem, watch.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use mintcode_core::engine::{Engine, MintRequest, Proof};
use mintcode_core::ids::SupplierName;
use mintcode_core::ports::{Catalogue, Put};
use mintcode_core::redemption::Phase;
use mintcode_core::testing::{FakeSupplier, Line, MemoryStorage, SeededEntropy, TokioClock, sample};
use mintcode_core::voucher::{VoucherKeys, VoucherSecret};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // The ports. A real service brings its own storage, supplier, clock and entropy.
    let storage = Arc::new(MemoryStorage::default());
    let clock = Arc::new(TokioClock::default());
    let entropy = Arc::new(SeededEntropy::new(42));
    let supplier = FakeSupplier::new(clock.clone());
    supplier.stock("canada", "virtual4", Line { stock: 0, ..Line::default() });
    supplier.stock(
        "england",
        "virtual66",
        Line { sms_after: Some(Duration::from_millis(1500)), ..Line::default() },
    );

    // What is sold: two plans, the second for when the first is out of stock.
    let mut sku = sample::sku("tg");
    sku.plans.push(sample::plan("B", "england", "virtual66"));
    sku.policy.further_sms = Duration::ZERO;
    storage.put_sku(sku.clone(), Put::Create).await?;

    let keys = VoucherKeys::new(&VoucherSecret::new("only an example: 32 bytes or more of it")?, &[]);
    let engine = Engine::builder(storage, clock, entropy, keys)
        .supplier(SupplierName::default(), Arc::new(supplier.clone()), true, 50)
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
    println!("minted     {}", code.grouped(4));

    let redeemer = engine.redeemer();
    let running = engine.start();
    let proof = Proof { session: Some("this customer"), ..Proof::default() };
    let begun = redeemer.redeem(&code.reveal(), proof).await?;
    let id = begun.redemption.id;
    // Subscribed before the first read, so that no change falls between the two.
    let mut changes = redeemer.subscribe(id);
    let mut shown = None;
    let redemption = loop {
        let redemption = redeemer.redemption(id).await?.ok_or("a redemption is never forgotten")?;
        if shown.replace(redemption.status()) != Some(redemption.status()) {
            println!("status     {}", redemption.status().name());
        }
        if redemption.is_at_rest() {
            break redemption;
        }
        changes.changed().await?;
    };
    running.stop().await;

    let Phase::Delivered(delivery) = &redemption.phase else {
        return Err("the sample plan B delivers".into());
    };
    println!("number     {}", delivery.held.order.phone.reveal());
    println!("code       {}", delivery.code().unwrap_or_default());
    for attempt in redemption.attempt_rows() {
        let outcome = attempt.outcome.map_or("running", mintcode_core::redemption::Outcome::name);
        println!("attempt {}  plan {}: {outcome}", attempt.number, attempt.plan);
    }
    println!(
        "supplier   {} sold, {} charged, {} open",
        supplier.orders().len(),
        supplier.charged(),
        supplier.open()
    );
    Ok(())
}
