//! How to unit-test fulfilment: the real engine, storage in memory, paused time, and a supplier that says what the
//! test is about.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::sync::Arc;
use std::time::Duration;

use mintcode_core::engine::{Engine, MintRequest, Proof};
use mintcode_core::ids::SupplierName;
use mintcode_core::money::{Amount, Currency};
use mintcode_core::ports::{BuyError, Capabilities, Catalogue, Clock, MockSupplier, Profile, Put};
use mintcode_core::redemption::{Redemption, Status};
use mintcode_core::testing::{MemoryStorage, SeededEntropy, TokioClock, sample};
use mintcode_core::voucher::{VoucherKeys, VoucherSecret};

fn supplier() -> MockSupplier {
    let mut supplier = MockSupplier::new();
    supplier.expect_currency().return_const(Currency::USD);
    supplier.expect_capabilities().return_const(Capabilities {
        lists_orders: false,
        bans: false,
        minimum_cancel_age: Duration::ZERO,
    });
    // The engine looks at the account now and then, whatever is redeemed.
    supplier.expect_profile().returning(|| {
        let (id, balance) = ("test".to_owned(), Amount::from_micros(100_000_000));
        Ok(Profile { id, balance, currency: Currency::USD, rating_milli: None })
    });
    supplier
}

/// Redeems one voucher of a SKU with one plan, and returns where that ends.
async fn redeem_with(supplier: MockSupplier) -> Redemption {
    let storage = Arc::new(MemoryStorage::default());
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::default());
    let keys = VoucherKeys::new(&VoucherSecret::new("only for this test, 32 bytes and more").unwrap(), &[]);
    let sku = sample::sku("tg");
    storage.put_sku(sku.clone(), Put::Create).await.unwrap();
    let engine = Engine::builder(storage, clock, Arc::new(SeededEntropy::new(1)), keys)
        .supplier(SupplierName::default(), Arc::new(supplier), false, 50)
        .build()
        .unwrap();
    let request = MintRequest {
        sku: &sku.id,
        count: 1,
        expires_in: None,
        note: None,
        minted_by: "test".to_owned(),
        idempotency: None,
    };
    let code = engine.issuer().mint(request).await.unwrap().codes.next().unwrap();
    let redeemer = engine.redeemer();
    let _running = engine.start();
    let begun = redeemer.redeem(&code.reveal(), Proof::default()).await.unwrap().redemption;
    let mut changes = redeemer.subscribe(begun.id);
    loop {
        let now = redeemer.redemption(begun.id).await.unwrap().unwrap();
        if now.is_at_rest() {
            return now;
        }
        changes.changed().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_purchase_is_tried_again_with_the_same_plan() {
    let mut supplier = supplier();
    let mut answers = vec![
        Err(BuyError::OutOfStock),
        Err(BuyError::Throttled { retry_after: Some(Duration::from_secs(40)) }),
    ];
    supplier.expect_buy().times(2).returning(move |_| answers.pop().expect("asked twice"));
    let redemption = redeem_with(supplier).await;
    assert_eq!(redemption.status(), Status::Failed);
    let attempts = redemption.attempt_rows();
    let plans: Vec<_> = attempts.iter().map(|attempt| attempt.plan.as_str()).collect();
    assert_eq!(plans, ["A", "A"]);
    assert_eq!((attempts[1].started_at - attempts[0].started_at).num_seconds(), 40);
}

#[tokio::test(start_paused = true)]
async fn without_stock_no_order_is_asked_for_but_the_purchase() {
    let mut supplier = supplier();
    supplier.expect_buy().once().returning(|_| Err(BuyError::OutOfStock));
    // Any other call would panic: the mock expects none.
    let redemption = redeem_with(supplier).await;
    assert_eq!(redemption.tries_left(), 3);
}
