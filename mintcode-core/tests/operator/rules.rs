//! Currencies, caps and the deny list.

use mintcode_core::engine::{Engine, Proof, RedeemError, SetupError};
use mintcode_core::ids::SupplierName;
use mintcode_core::ledger::{self, Kind};
use mintcode_core::money::{Amount, Currency, Rates};
use mintcode_core::ports::{Put, Reports, SkuError};
use mintcode_core::responsible::DenyList;
use mintcode_core::rules::Rules;
use mintcode_core::sku::Sku;
use mintcode_core::testing::{FakeSupplier, Line, MemoryStorage, SeededEntropy, TokioClock, World};
use mintcode_core::velocity::{Cap, Caps};
use mintcode_core::voucher::{Refusal, VoucherKeys, VoucherSecret};
use std::sync::Arc;

use crate::{MINUTE, one_plan, redeem, run, world};

#[tokio::test(start_paused = true)]
async fn costs_are_kept_in_the_suppliers_currency_and_valued_at_the_configured_rate() {
    let euro: Currency = "EUR".parse().unwrap();
    let mut rates = Rates::only(Currency::USD);
    rates.rates.insert(euro, "1.25".parse().unwrap());
    let rules = Rules { rates, ..Rules::default() };
    let world = World::builder(one_plan()).rules(rules).supplier_currency(euro).start().await;
    world.supplier.stock("canada", "virtual4", Line::default());
    let done = run(&world).await;
    let booked = world.storage.booked(done.id).await.unwrap();
    let charge = &booked.iter().find(|booked| booked.entry.kind == Kind::Charge).unwrap().entry;
    assert_eq!((charge.amount, charge.currency), (Amount::from_micros(120_000), euro));
    assert_eq!(charge.value, Amount::from_micros(150_000));
    let totals = ledger::margin::by(&booked, |booked| booked.redemption).unwrap()[&done.id];
    assert_eq!(totals.margin(), Some(Amount::from_micros(650_000)));
}

#[tokio::test(start_paused = true)]
async fn currencies_without_a_rate_are_never_mixed() {
    let clock = Arc::new(TokioClock::default());
    let supplier = FakeSupplier::new(clock.clone());
    supplier.charge_in("EUR".parse().unwrap());
    let secret = VoucherSecret::new("a secret of this test, 32 bytes or more").unwrap();
    let (storage, entropy) = (Arc::new(MemoryStorage::new()), Arc::new(SeededEntropy::new(1)));
    let engine = Engine::builder(storage, clock, entropy, VoucherKeys::new(&secret, &[]))
        .supplier(SupplierName::default(), Arc::new(supplier), true, 50)
        .build();
    let Err(error) = engine else { panic!("an engine was built") };
    assert!(matches!(error, SetupError::NoRate { .. }));
    assert_eq!(error.to_string(), "supplier main charges in EUR, which has no rate in USD");
}

#[tokio::test(start_paused = true)]
async fn a_customer_who_begins_too_many_redemptions_waits_and_nobody_else_does() {
    let caps = Caps { session: Cap { per_hour: 2, per_day: 3 }, ..Caps::default() };
    let world = world(one_plan(), Rules { caps, ..Rules::default() }).await;
    let eager = Proof { session: Some("eager"), ..Proof::default() };
    let redeem = async |proof| world.redeemer.redeem(&world.mint().await, proof).await;
    let first = redeem(eager).await.unwrap().redemption;
    redeem(eager).await.unwrap();
    let refused = redeem(eager).await.unwrap_err();
    let RedeemError::Refused(Refusal::TooMany { until }) = refused else { panic!("{refused:?}") };
    assert_eq!((until - first.created_at).to_std().unwrap(), 60 * MINUTE);
    redeem(Proof { session: Some("patient"), ..Proof::default() }).await.unwrap();

    tokio::time::sleep(61 * MINUTE).await;
    redeem(eager).await.unwrap();
    let refused = redeem(eager).await.unwrap_err();
    assert!(matches!(refused, RedeemError::Refused(Refusal::DailyLimit { .. })), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_denied_is_neither_sold_nor_redeemed() {
    let world = world(one_plan(), Rules::default()).await;
    let bank = Sku { product: "paypal".to_owned(), ..one_plan() };
    let error = world.support.put_sku(bank, Put::Apply).await.unwrap_err();
    assert!(matches!(error, SkuError::Denied(_)), "{error:?}");
    assert!(error.to_string().contains("paypal"), "{error}");

    // An operator who denies what was sold until now keeps its vouchers from being redeemed.
    let deny = DenyList::shipped().with(["telegram".to_owned()], []);
    let strict = self::world(one_plan(), Rules { deny, ..Rules::default() }).await;
    let error = redeem(&strict, &strict.code).await.unwrap_err();
    assert!(matches!(error, RedeemError::Refused(Refusal::NotOffered)), "{error:?}");
}
