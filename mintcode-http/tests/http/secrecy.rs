//! Nothing a customer can see names a supplier, a plan or an order of the supplier.

use mintcode_core::ports::Stop;
use mintcode_core::responsible::DenyList;
use mintcode_core::rules::Rules;
use mintcode_core::testing::Line;
use mintcode_core::velocity::Cap;
use mintcode_http::Site;

use crate::shop::{Answer, COUNTRY, OPERATOR, SUPPLIER, Setup, Shop, silent, sku};

async fn everything_seen(shop: &Shop, status: &str) -> Vec<Answer> {
    let (id, code) = shop.redemption(status).await;
    let redemption = format!("/redeem/{id}");
    vec![
        shop.get(&redemption).await,
        shop.get(&format!("{redemption}/result")).await,
        shop.get(&format!("/r/{id}")).await,
        shop.redeem(&code, &[]).await,
        shop.form("/redeem", &format!("code={code}"), &[]).await,
        shop.post(&format!("{redemption}/replace")).await,
        shop.post(&format!("{redemption}/cancel")).await,
        shop.post(&format!("{redemption}/retry")).await,
        // Last: it lasts until the redemption is at rest.
        shop.get(&format!("{redemption}/events")).await,
    ]
}

#[tokio::test(start_paused = true)]
async fn no_answer_to_a_customer_tells_where_numbers_come_from() {
    for (line, statuses) in [
        (Line::default(), vec!["waiting_sms", "delivered"]),
        (silent(), vec!["waiting_sms", "failed"]),
        (Line { stock: 0, ..Line::default() }, vec!["failed"]),
    ] {
        let shop = Shop::with(sku(), line, Site::default()).await;
        let mut answers = Vec::new();
        for status in statuses {
            answers.extend(everything_seen(&shop, status).await);
        }
        assert_nothing_inside(&shop, &answers);
    }
}

fn assert_nothing_inside(shop: &Shop, answers: &[Answer]) {
    let mut inside = vec![SUPPLIER.to_owned(), COUNTRY.to_owned(), OPERATOR.to_owned(), "PLAN-X".to_owned()];
    // The fake's numbers are made of the ends of its ids, so the whole id is looked for.
    inside.extend(shop.supplier.orders().iter().map(|sold| sold.order.id.to_string()));
    for answer in answers {
        let seen = format!("{answer:?}").to_lowercase();
        for secret in &inside {
            assert!(!seen.contains(&secret.to_lowercase()), "{secret} in {seen}");
        }
    }
}

/// Makes rules refuse, with a cap of nothing.
type Change = fn(&mut Rules, Cap);

#[tokio::test(start_paused = true)]
async fn no_refusal_tells_where_numbers_come_from() {
    let none = Cap { per_hour: 0, per_day: 9 };
    let empty = Line { stock: 0, ..Line::default() };
    let changes: [(Change, Line, u16); 4] = [
        (|rules, none| rules.caps.sku = none, Line::default(), 429),
        (|rules, none| rules.caps.session = Cap { per_day: 0, ..none }, Line::default(), 429),
        (|rules, _| rules.deny = DenyList::empty().with([], [COUNTRY.to_owned()]), Line::default(), 403),
        (|rules, _| rules.health.min_tries = 1, empty, 503),
    ];
    for (change, line, status) in changes {
        let mut rules = Rules::default();
        change(&mut rules, none);
        let shop = Shop::of(Setup { line, rules, ..Setup::default() }).await;
        if status == 503 {
            shop.redemption("failed").await;
        }
        let code = shop.mint_one().await;
        let refused = shop.redeem(&code, &[]).await;
        assert_eq!(refused.status.as_u16(), status, "{refused:?}");
        assert_nothing_inside(&shop, &[refused, shop.form("/redeem", &format!("code={code}"), &[]).await]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_stops_at_the_supplier_is_told_to_operators_only() {
    for stop in [Stop::Key, Stop::Balance, Stop::Rating, Stop::Parameters] {
        let shop = Shop::open().await;
        shop.supplier.stop_sales(Some(stop));
        let seen = everything_seen(&shop, "failed").await;
        assert_nothing_inside(&shop, &seen);
        for answer in seen {
            for word in ["balance", "rating", "parameters", "\"key\"", "stop"] {
                assert!(!answer.body.to_lowercase().contains(word), "{word} in {answer:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_problem_repeats_the_code_and_no_answer_shows_it_whole() {
    let shop = Shop::open().await;
    let (id, code) = shop.redemption("delivered").await;
    let answers = [
        shop.redeem(&code, &[]).await,
        shop.redeem(&code[1..], &[]).await,
        shop.json("/redeem", &serde_json::json!(code), &[]).await,
        shop.get(&format!("/redeem/{code}")).await,
        shop.get(&format!("/{code}")).await,
        shop.get(&format!("/redeem/{id}")).await,
        shop.get(&format!("/r/{id}")).await,
    ];
    for answer in answers {
        assert!(!answer.body.contains(&code) && !answer.body.contains(&code[1..]), "{answer:?}");
    }
}
