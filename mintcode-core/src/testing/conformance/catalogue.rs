//! SKUs and their plans.

use super::Subject;
use super::stage::minted;
use crate::ids::SkuId;
use crate::money::Amount;
use crate::ports::{PlanChange, Put, SkuError};
use crate::sku::{OnNoSms, Policy, Sku};
use crate::testing::sample;

fn full_sku() -> Sku {
    let mut sku = sample::sku("tg");
    sku.policy = Policy {
        max_cost: Some(Amount::from_micros(300_000)),
        max_buys: Some(7),
        on_no_sms: OnNoSms::Ban,
        ..Policy::default()
    };
    sku.plans.push(sample::plan("B", "usa", "virtual5"));
    sku
}

/// A SKU comes back as it was given.
pub async fn a_sku_is_read_back_whole(store: &Subject) {
    let sku = full_sku();
    assert!(store.put_sku(sku.clone(), Put::Create).await.unwrap());
    assert_eq!(store.sku(&sku.id).await.unwrap(), Some(sku.clone()));
    assert_eq!(store.sku(&SkuId::new("nope").unwrap()).await.unwrap(), None);
    assert_eq!(store.skus().await.unwrap(), [sku]);
}

/// All of them, by id.
pub async fn skus_are_listed_by_id(store: &Subject) {
    for id in ["b", "c", "a"] {
        store.put_sku(sample::sku(id), Put::Create).await.unwrap();
    }
    let ids: Vec<_> = store.skus().await.unwrap().into_iter().map(|sku| sku.id.to_string()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
}

/// Creating what exists changes nothing.
pub async fn a_sku_that_exists_is_not_created_again(store: &Subject) {
    let sku = sample::sku("tg");
    store.put_sku(sku.clone(), Put::Create).await.unwrap();
    let error = store.put_sku(Sku { price: Amount::ZERO, ..sku.clone() }, Put::Create).await.unwrap_err();
    assert!(matches!(error, SkuError::Exists), "{error:?}");
    assert_eq!(store.sku(&sku.id).await.unwrap(), Some(sku));
}

/// Replacing what does not exist creates nothing.
pub async fn a_sku_that_does_not_exist_is_not_replaced(store: &Subject) {
    let error = store.put_sku(sample::sku("tg"), Put::Replace).await.unwrap_err();
    assert!(matches!(error, SkuError::NoSku), "{error:?}");
    assert_eq!(store.skus().await.unwrap(), []);
}

/// Applying does whatever is needed, and tells which.
pub async fn an_applied_sku_is_new_or_replaced(store: &Subject) {
    let sku = sample::sku("tg");
    assert!(store.put_sku(sku.clone(), Put::Apply).await.unwrap());
    let dearer = Sku { price: Amount::from_micros(900_000), ..sku };
    assert!(!store.put_sku(dearer.clone(), Put::Apply).await.unwrap());
    assert_eq!(store.sku(&dearer.id).await.unwrap(), Some(dearer.clone()));
    let full = Sku { plans: full_sku().plans, ..dearer };
    assert!(!store.put_sku(full.clone(), Put::Replace).await.unwrap());
    assert_eq!(store.skus().await.unwrap(), [full]);
}

/// Before anything was minted, label and product are free.
pub async fn label_and_product_are_free_before_the_first_batch(store: &Subject) {
    let sku = sample::sku("tg");
    store.put_sku(sku.clone(), Put::Create).await.unwrap();
    let other = Sku { label: "OTHER".parse().unwrap(), product: "whatsapp".into(), ..sku };
    store.put_sku(other.clone(), Put::Replace).await.unwrap();
    assert_eq!(store.sku(&other.id).await.unwrap(), Some(other));
}

/// Minted codes carry the label, so it stays.
pub async fn label_and_product_are_fixed_once_a_batch_exists(store: &Subject) {
    let sku = sample::sku("tg");
    minted(store, &sku, 1).await;
    let relabelled = Sku { label: "OTHER".parse().unwrap(), ..sku.clone() };
    let error = store.put_sku(relabelled, Put::Apply).await.unwrap_err();
    assert!(matches!(error, SkuError::Fixed("label")), "{error:?}");
    let error =
        store.put_sku(Sku { product: "whatsapp".into(), ..sku.clone() }, Put::Replace).await.unwrap_err();
    assert!(matches!(error, SkuError::Fixed("product")), "{error:?}");
    assert_eq!(store.sku(&sku.id).await.unwrap(), Some(sku));
}

/// A label tells which SKU a code is for.
pub async fn two_skus_never_share_a_label(store: &Subject) {
    let first = sample::sku("tg");
    store.put_sku(first.clone(), Put::Create).await.unwrap();
    let second = sample::sku("wa");
    let error =
        store.put_sku(Sku { label: first.label.clone(), ..second.clone() }, Put::Apply).await.unwrap_err();
    assert!(matches!(error, SkuError::LabelTaken), "{error:?}");
    store.put_sku(second.clone(), Put::Create).await.unwrap();
    let error =
        store.put_sku(Sku { label: first.label.clone(), ..second.clone() }, Put::Replace).await.unwrap_err();
    assert!(matches!(error, SkuError::LabelTaken), "{error:?}");
    assert_eq!(store.skus().await.unwrap(), [first, second]);
}

/// An archived SKU stays readable, and is back on sale once it is replaced.
pub async fn an_archived_sku_comes_back_when_replaced(store: &Subject) {
    let sku = sample::sku("tg");
    store.put_sku(sku.clone(), Put::Create).await.unwrap();
    for _ in 0..2 {
        store.archive_sku(&sku.id).await.unwrap();
        assert_eq!(store.skus().await.unwrap(), [Sku { archived: true, ..sku.clone() }]);
    }
    assert!(!store.put_sku(sku.clone(), Put::Replace).await.unwrap());
    assert_eq!(store.sku(&sku.id).await.unwrap(), Some(sku));
    let error = store.archive_sku(&SkuId::new("nope").unwrap()).await.unwrap_err();
    assert!(matches!(error, SkuError::NoSku), "{error:?}");
}

/// A switch of one plan leaves everything else alone.
pub async fn one_plan_is_changed_alone(store: &Subject) {
    let mut sku = full_sku();
    store.put_sku(sku.clone(), Put::Create).await.unwrap();
    let change = PlanChange { enabled: Some(false), priority: Some(1), ..PlanChange::default() };
    let changed = store.change_plan(&sku.id, &sample::plan_id("B"), change).await.unwrap();
    sku.plans[1].enabled = false;
    sku.plans[1].priority = 1;
    assert_eq!(changed, sku);
    assert_eq!(store.sku(&sku.id).await.unwrap(), Some(sku));
}

/// A change that cannot be made changes nothing.
pub async fn a_wrong_plan_change_changes_nothing(store: &Subject) {
    let sku = sample::sku("tg");
    store.put_sku(sku.clone(), Put::Create).await.unwrap();
    let (plan, off) = (sample::plan_id("A"), PlanChange { enabled: Some(false), ..PlanChange::default() });

    let error = store.change_plan(&SkuId::new("nope").unwrap(), &plan, off.clone()).await.unwrap_err();
    assert!(matches!(error, SkuError::NoSku), "{error:?}");
    let error = store.change_plan(&sku.id, &sample::plan_id("Z"), off).await.unwrap_err();
    assert!(matches!(error, SkuError::NoPlan), "{error:?}");
    let cheap =
        PlanChange { max_cost: Some(Amount::from_micros(1)), enabled: Some(false), ..PlanChange::default() };
    let error = store.change_plan(&sku.id, &plan, cheap).await.unwrap_err();
    assert!(matches!(error, SkuError::Invalid(_)), "{error:?}");
    assert_eq!(store.sku(&sku.id).await.unwrap(), Some(sku));
}

/// All of them, each as it would be stored after those before it, with the news of which are new.
pub async fn several_skus_are_stored_together(store: &Subject) {
    let sku = sample::sku("tg");
    store.put_sku(sku.clone(), Put::Create).await.unwrap();
    // The first gives its label up, so that the second can have it.
    let relabelled = Sku { label: "OTHER".parse().unwrap(), ..sku.clone() };
    let successor = Sku { label: sku.label.clone(), ..sample::sku("wa") };
    let stored = store.put_skus(vec![relabelled.clone(), successor.clone()], Put::Apply).await.unwrap();
    assert_eq!(stored, [false, true]);
    assert_eq!(store.skus().await.unwrap(), [relabelled, successor]);
    assert_eq!(store.put_skus(Vec::new(), Put::Apply).await.unwrap(), Vec::<bool>::new());
}

/// One that is refused leaves nothing of the others, and is named by its place.
pub async fn a_refused_sku_leaves_nothing_of_the_others(store: &Subject) {
    let sold = sample::sku("tg");
    minted(store, &sold, 1).await;
    let (dearer, fresh) = (Sku { price: Amount::from_micros(900_000), ..sold.clone() }, sample::sku("wa"));
    let taken = Sku { label: fresh.label.clone(), ..sample::sku("zz") };
    let fixed = Sku { product: "whatsapp".into(), ..sold.clone() };

    let skus = vec![dearer.clone(), fresh.clone(), taken];
    let (place, error) = store.put_skus(skus, Put::Apply).await.unwrap_err();
    assert!(matches!((place, &error), (2, SkuError::LabelTaken)), "{place} {error:?}");
    assert_eq!(store.sku(&sold.id).await.unwrap(), Some(sold.clone()));
    assert_eq!(store.skus().await.unwrap().len(), 1);

    let (place, error) = store.put_skus(vec![fresh.clone(), fixed, dearer], Put::Apply).await.unwrap_err();
    assert!(matches!((place, &error), (1, SkuError::Fixed("product"))), "{place} {error:?}");
    let (place, error) = store.put_skus(vec![fresh, sold.clone()], Put::Create).await.unwrap_err();
    assert!(matches!((place, &error), (1, SkuError::Exists)), "{place} {error:?}");
    assert_eq!(store.skus().await.unwrap(), [sold]);
}
