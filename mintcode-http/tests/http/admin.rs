//! The operator's routes.

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};

use crate::shop::{ADMIN_KEY, COUNTRY, OPERATOR, SUPPLIER, Shop, request};

const GENERATE: &str = "/admin/vouchers/generate";

fn new_sku() -> Value {
    json!({
        "id": "wa_1", "name": {"en": "WhatsApp", "zh": "WhatsApp 验证码"}, "label": "WA1", "product": "whatsapp",
        "price": "0.80", "policy": {"max_duration": "90s", "max_redemptions": 2},
        "plans": [{"id": "A", "supplier": SUPPLIER, "country": COUNTRY, "operator": OPERATOR,
                   "expected_cost": "0.12", "max_cost": "0.20"}],
    })
}

#[tokio::test(start_paused = true)]
async fn without_the_key_nothing_is_told() {
    let shop = Shop::open().await;
    let routes = [
        (Method::POST, GENERATE),
        (Method::GET, "/admin/vouchers/history"),
        (Method::POST, "/admin/vouchers/lookup"),
        (Method::GET, "/admin/skus"),
        (Method::PUT, "/admin/skus/tg"),
        (Method::PATCH, "/admin/skus/tg/plans/PLAN-X"),
        (Method::DELETE, "/admin/skus/tg"),
        (Method::POST, "/admin/vouchers/vch_00112233445566778899aabbccddeeff/void"),
        (Method::POST, "/admin/vouchers/vch_00112233445566778899aabbccddeeff/reissue"),
        (Method::POST, "/admin/vouchers/batches/bat_00000000000000000000000000/void"),
        (Method::GET, "/admin/redemptions"),
        (Method::GET, "/admin/redemptions/rdm_00000000000000000000000000"),
        (Method::GET, "/admin/redemptions/rdm_00000000000000000000000000/explain"),
        (Method::POST, "/admin/redemptions/rdm_00000000000000000000000000/release"),
        (Method::POST, "/admin/redemptions/rdm_00000000000000000000000000/resume"),
        (Method::GET, "/admin/stats"),
        (Method::GET, "/admin/suppliers"),
        (Method::GET, "/admin/alerts"),
        (Method::DELETE, "/admin/alerts/1"),
    ];
    for (method, path) in routes {
        for key in [
            None,
            Some("Bearer wrong".to_owned()),
            Some(format!("Basic {ADMIN_KEY}")),
            Some(ADMIN_KEY.to_owned()),
        ] {
            let headers: Vec<_> = key.iter().map(|key| ("authorization", key.as_str())).collect();
            let answer = shop.send(request(method.clone(), path, &headers, Body::empty())).await;
            answer.problem(401, "unauthorized");
            assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
        }
    }
    assert_eq!(shop.admin(Method::GET, "/admin/skus", None).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_minted_listed_downloaded_again_and_sealed() {
    let shop = Shop::open().await;
    let body = json!({"sku_id": "tg", "count": 2500, "note": "card shop"});
    let minted = shop.admin(Method::POST, GENERATE, Some(&body)).await;
    assert_eq!(minted.status, 200);
    assert!(minted.header("content-type").unwrap().starts_with("text/plain"));
    let batch = minted.header("x-batch-id").unwrap().to_owned();
    let file = minted.header("content-disposition").unwrap();
    assert!(file.starts_with("attachment; filename=\"tg-bat_") && file.ends_with(".txt\""), "{file}");
    assert!(minted.body.ends_with('\n'));
    let mut codes: Vec<_> = minted.body.lines().collect();
    assert!(codes.iter().all(|code| code.len() == 32));
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), 2500);

    let again = shop.admin(Method::GET, &format!("/admin/vouchers/batches/{batch}/codes"), None).await;
    assert_eq!(again.body, minted.body);
    let grouped =
        shop.admin(Method::GET, &format!("/admin/vouchers/batches/{batch}/codes?group=4"), None).await;
    assert_eq!(grouped.body.lines().next().unwrap().split('-').count(), 8);

    let history = shop.admin(Method::GET, "/admin/vouchers/history", None).await.value();
    assert_eq!((&history["object"], &history["has_more"]), (&json!("list"), &json!(false)));
    let shown = &history["data"][0];
    assert_eq!(
        (&shown["id"], &shown["sku_id"], &shown["count"]),
        (&json!(batch), &json!("tg"), &json!(2500))
    );
    assert_eq!((&shown["note"], &shown["sealed"]), (&json!("card shop"), &json!(false)));
    assert_eq!(
        shown["counts"],
        json!({"issued": 2500, "locked": 0, "redeeming": 0, "retryable_failed": 0, "fulfilled": 0, "expired": 0, "cancelled": 0})
    );
    assert_eq!(
        shop.admin(Method::GET, &format!("/admin/vouchers/batches/{batch}"), None).await.value(),
        *shown
    );

    let sealed = shop.admin(Method::POST, &format!("/admin/vouchers/batches/{batch}/seal"), None).await;
    assert_eq!((sealed.status.as_u16(), &sealed.value()["sealed"]), (200, &json!(true)));
    let codes = shop.admin(Method::GET, &format!("/admin/vouchers/batches/{batch}/codes"), None).await;
    codes.problem(410, "batch-sealed");
    for path in ["bat_00000000000000000000000000", "nonsense"] {
        shop.admin(Method::GET, &format!("/admin/vouchers/batches/{path}"), None)
            .await
            .problem(404, "not-found");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_key_mints_the_same_batch_once() {
    let shop = Shop::open().await;
    let auth = format!("Bearer {ADMIN_KEY}");
    let headers = [("authorization", auth.as_str()), ("idempotency-key", "monday")];
    let body = json!({"sku_id": "tg", "count": 3});
    let first = shop.json(GENERATE, &body, &headers).await;
    let again = shop.json(GENERATE, &body, &headers).await;
    assert_eq!((&again.body, again.header("x-batch-id")), (&first.body, first.header("x-batch-id")));
    assert_eq!(
        (first.header("idempotent-replayed"), again.header("idempotent-replayed")),
        (None, Some("true"))
    );
    let other = json!({"sku_id": "tg", "count": 4});
    shop.json(GENERATE, &other, &headers).await.problem(422, "idempotency-mismatch");
    let history = shop.admin(Method::GET, "/admin/vouchers/history", None).await.value();
    assert_eq!(history["data"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn history_is_read_page_by_page_newest_first() {
    let shop = Shop::open().await;
    let mut minted = Vec::new();
    for _ in 0..5 {
        let body = json!({"sku_id": "tg", "count": 1});
        let answer = shop.admin(Method::POST, GENERATE, Some(&body)).await;
        minted.insert(0, answer.header("x-batch-id").unwrap().to_owned());
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    let mut seen: Vec<String> = Vec::new();
    loop {
        let after = seen.last().map(|id| format!("&starting_after={id}")).unwrap_or_default();
        let page =
            shop.admin(Method::GET, &format!("/admin/vouchers/history?limit=2{after}"), None).await.value();
        seen.extend(
            page["data"].as_array().unwrap().iter().map(|batch| batch["id"].as_str().unwrap().to_owned()),
        );
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!(seen, minted);
    for bad in ["limit=0", "limit=101", "limit=x", "starting_after=x"] {
        let path = format!("/admin/vouchers/history?{bad}");
        shop.admin(Method::GET, &path, None).await.problem(400, "invalid-request");
    }
}

#[tokio::test(start_paused = true)]
async fn a_minting_request_that_does_not_fit_names_the_field() {
    let shop = Shop::open().await;
    for (body, field) in [
        (json!({"sku_id": "tg"}), "count"),
        (json!({"count": 1}), "sku_id"),
        (json!({"sku_id": "tg", "count": 0}), "count"),
        (json!({"sku_id": "tg", "count": -1}), "count"),
        (json!({"sku_id": "tg", "count": 1_000_001}), "count"),
        (json!({"sku_id": "nothing", "count": 1}), "sku_id"),
        (json!({"sku_id": "tg", "count": 1, "expires_in": "soon"}), "expires_in"),
        (json!({"sku_id": "tg", "count": 1, "expires_in": "0s"}), "expires_in"),
        (json!({"sku_id": "tg", "count": 1, "expire_in": "1h"}), "expire_in"),
        // No text that a database cannot hold or a terminal acts on.
        (json!({"sku_id": "tg", "count": 1, "note": "a\u{0}b"}), "note"),
        (json!({"sku_id": "tg", "count": 1, "note": "a\u{1b}[2Jb"}), "note"),
        (json!({"sku_id": "tg\u{0}", "count": 1}), "sku_id"),
    ] {
        let problem = shop.admin(Method::POST, GENERATE, Some(&body)).await.problem(400, "invalid-request");
        assert_eq!(problem["errors"][0]["field"], field, "{body}: {problem}");
    }
    shop.admin(Method::POST, &format!("{GENERATE}?group=x"), Some(&json!({"sku_id": "tg", "count": 1})))
        .await
        .problem(400, "invalid-request");
    assert_eq!(shop.admin(Method::GET, "/admin/vouchers/history", None).await.value()["data"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn the_trail_of_a_voucher_is_whole() {
    let shop = Shop::open().await;
    let (id, code) = shop.redemption("delivered").await;
    tokio::time::sleep(std::time::Duration::from_secs(300)).await;
    let lookup = "/admin/vouchers/lookup";
    let by_code = shop.admin(Method::POST, lookup, Some(&json!({"code": code.to_lowercase()}))).await;
    assert_eq!(by_code.status, 200, "{by_code:?}");
    let trail = by_code.value();
    let order = shop.supplier.orders()[0].order.clone();
    assert!(trail["id"].as_str().unwrap().starts_with("vch_"));
    assert_eq!((&trail["state"], &trail["sku"]), (&json!("fulfilled"), &json!("tg")));
    assert_eq!(trail["redemptions"][0]["id"], id);
    let attempt = &trail["redemptions"][0]["attempts"][0];
    assert_eq!((&attempt["number"], &attempt["plan"]), (&json!(1), &json!("PLAN-X")));
    assert_eq!((&attempt["supplier_order"], &attempt["price"]), (&json!(order.id.as_str()), &json!("0.12")));
    assert_eq!((&attempt["currency"], &attempt["outcome"]), (&json!("USD"), &json!("delivered")));
    assert!(
        attempt["reason"].is_string() && attempt["started_at"].is_string() && attempt["ended_at"].is_string()
    );

    let by_mask = shop.admin(Method::POST, lookup, Some(&json!({"mask": trail["mask"]}))).await;
    assert_eq!(by_mask.value(), trail);
    shop.admin(Method::POST, lookup, Some(&json!({"code": "nope"}))).await.problem(404, "not-found");
    shop.admin(Method::POST, lookup, Some(&json!({"mask": "0000****0000"}))).await.problem(404, "not-found");
    for bad in [json!({}), json!({"mask": "x"}), json!({"code": 1}), json!({"code": code, "mask": "x"})] {
        let answer = shop.admin(Method::POST, lookup, Some(&bad)).await;
        answer.problem(400, "invalid-request");
        assert!(!answer.body.contains(&code));
    }
}

#[tokio::test(start_paused = true)]
async fn a_sku_is_created_read_replaced_and_taken_off_sale() {
    let shop = Shop::open().await;
    let created = shop.admin(Method::POST, "/admin/skus", Some(&new_sku())).await;
    assert_eq!(
        (created.status.as_u16(), created.header("location")),
        (201, Some("/admin/skus/wa_1")),
        "{created:?}"
    );
    let sku = created.value();
    assert_eq!((&sku["policy"]["max_duration"], &sku["policy"]["cooldown"]), (&json!("90s"), &json!("1m")));
    assert_eq!((&sku["plans"][0]["max_cost"], &sku["plans"][0]["enabled"]), (&json!("0.20"), &json!(true)));
    assert_eq!(shop.admin(Method::GET, "/admin/skus/wa_1", None).await.value(), sku);
    let list = shop.admin(Method::GET, "/admin/skus", None).await.value();
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
    shop.admin(Method::POST, "/admin/skus", Some(&new_sku())).await.problem(409, "action-not-allowed");

    // What was read can be edited and sent back.
    let mut edited = sku.clone();
    edited["price"] = json!("0.95");
    let replaced = shop.admin(Method::PUT, "/admin/skus/wa_1", Some(&edited)).await;
    assert_eq!((replaced.status.as_u16(), &replaced.value()["price"]), (200, &json!("0.95")), "{replaced:?}");
    let mut fresh = new_sku();
    fresh.as_object_mut().unwrap().remove("id");
    fresh["label"] = json!("WA2");
    assert_eq!(shop.admin(Method::PUT, "/admin/skus/wa_2", Some(&fresh)).await.status, 201);
    let other =
        shop.admin(Method::PUT, "/admin/skus/wa_3", Some(&new_sku())).await.problem(400, "invalid-request");
    assert_eq!(other["errors"][0]["field"], "id");

    assert_eq!(shop.admin(Method::DELETE, "/admin/skus/wa_1", None).await.status, 204);
    assert_eq!(shop.admin(Method::GET, "/admin/skus/wa_1", None).await.value()["archived"], true);
    let mint = json!({"sku_id": "wa_1", "count": 1});
    shop.admin(Method::POST, GENERATE, Some(&mint)).await.problem(400, "invalid-request");
    shop.admin(Method::DELETE, "/admin/skus/none", None).await.problem(404, "not-found");
}

#[tokio::test(start_paused = true)]
async fn a_sku_that_does_not_fit_names_every_field() {
    let shop = Shop::open().await;
    for (pointer, value, field) in [
        ("/plans/0/operator", json!("any"), "plan[0].operator"),
        ("/plans/0/max_cost", json!("0.01"), "plan[0].max_cost"),
        ("/plans/0/max_cost", json!(0.2), "plans[0].max_cost"),
        ("/plans", json!([]), "plan"),
        ("/policy/max_duration", json!("5 minutes"), "policy.max_duration"),
        ("/policy/max_redemptions", json!(0), "policy.max_redemptions"),
        ("/name", json!({"en": "x"}), "name.zh"),
        ("/price", json!("cheap"), "price"),
        ("/id", json!("no spaces"), "id"),
        ("/name/en", json!("What\u{0}sApp"), "name.en"),
        ("/name/zh", json!("two\nlines"), "name.zh"),
        ("/label", json!("W\u{0}"), "label"),
        ("/plans/0/id", json!("A\u{0}"), "plans[0].id"),
        ("/plans/0/supplier", json!("m\u{0}"), "plans[0].supplier"),
    ] {
        let mut body = new_sku();
        *body.pointer_mut(pointer).unwrap() = value;
        let problem =
            shop.admin(Method::POST, "/admin/skus", Some(&body)).await.problem(400, "invalid-request");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let mut twice = new_sku();
    twice["price"] = json!("-1");
    twice["product"] = json!("UPPER");
    let problem = shop.admin(Method::POST, "/admin/skus", Some(&twice)).await.problem(400, "invalid-request");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 2);
    shop.admin(Method::GET, "/admin/skus/wa_1", None).await.problem(404, "not-found");
}

#[tokio::test(start_paused = true)]
async fn label_and_product_are_fixed_once_vouchers_carry_them() {
    let shop = Shop::open().await;
    shop.mint(1).await;
    let mut changed = shop.admin(Method::GET, "/admin/skus/tg", None).await.value();
    changed["label"] = json!("OTHER");
    let problem =
        shop.admin(Method::PUT, "/admin/skus/tg", Some(&changed)).await.problem(409, "action-not-allowed");
    assert_eq!(problem["errors"][0]["field"], "label");
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_switched_and_repriced() {
    let shop = Shop::open().await;
    let plan = "/admin/skus/tg/plans/PLAN-X";
    let body = json!({"enabled": false, "priority": 3, "expected_cost": "0.15", "max_cost": "0.25"});
    let changed = shop.admin(Method::PATCH, plan, Some(&body)).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let stored = shop.admin(Method::GET, "/admin/skus/tg", None).await.value();
    for (field, value) in body.as_object().unwrap() {
        assert_eq!(stored["plans"][0][field], *value);
    }
    for (path, body, status, slug) in [
        ("/admin/skus/tg/plans/NONE", json!({}), 404, "not-found"),
        ("/admin/skus/none/plans/PLAN-X", json!({}), 404, "not-found"),
        (plan, json!({"enabled": "yes"}), 400, "invalid-request"),
        (plan, json!({"operator": "any"}), 400, "invalid-request"),
        (plan, json!({"max_cost": "0.01"}), 400, "invalid-request"),
    ] {
        shop.admin(Method::PATCH, path, Some(&body)).await.problem(status, slug);
    }
}
