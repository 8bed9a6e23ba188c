//! The pages, as a browser without JavaScript uses them.

use std::time::Duration;

use mintcode_core::testing::Line;
use mintcode_http::Site;

use crate::shop::{Shop, silent, sku};

#[tokio::test(start_paused = true)]
async fn a_form_leads_to_the_code_without_a_script() {
    let shop = Shop::open().await;
    let code = shop.mint_one().await;
    let page = shop.get("/").await;
    assert!(page.body.contains("action=\"/redeem\"") && page.body.contains("name=\"code\""), "{}", page.body);

    let cookie = page.cookie();
    let posted = shop.form("/redeem", &format!("code={code}"), &[("cookie", &cookie)]).await;
    assert_eq!(posted.status, 303, "{posted:?}");
    let progress = posted.header("location").unwrap().to_owned();
    let id = progress.strip_prefix("/r/").unwrap().to_owned();
    // Sending the form again leads to the same place.
    let again = shop.form("/redeem", &format!("code={code}"), &[("cookie", &cookie)]).await;
    assert_eq!(again.header("location"), Some(progress.as_str()));

    shop.until(&id, "waiting_sms").await;
    let waiting = shop.get(&progress).await;
    let phone = shop.supplier.orders()[0].order.phone.reveal().to_owned();
    for shown in [phone.as_str(), "http-equiv=\"refresh\"", "data-until", "/cancel\"", "/replace\""] {
        assert!(waiting.body.contains(shown), "{shown}: {}", waiting.body);
    }
    shop.until(&id, "delivered").await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let delivered = shop.get(&progress).await;
    for shown in [">482915<", "Your code is 482915", phone.as_str()] {
        assert!(delivered.body.contains(shown), "{shown}: {}", delivered.body);
    }
    for gone in ["http-equiv=\"refresh\"", "/cancel\"", "/replace\"", "/retry\""] {
        assert!(!delivered.body.contains(gone), "{gone}: {}", delivered.body);
    }
}

#[tokio::test(start_paused = true)]
async fn several_codes_are_redeemed_at_once() {
    let shop = Shop::open().await;
    let codes = shop.mint(3).await;
    let typed =
        format!("code={}%0D%0A{}%0D%0A%0D%0A{}%0D%0A{0}", codes[0], codes[1].to_lowercase(), codes[2]);
    let posted = shop.form("/redeem", &typed, &[]).await;
    assert_eq!(posted.status, 303, "{posted:?}");
    let together = posted.header("location").unwrap();
    assert_eq!(together.split(',').count(), 3, "a code that stands twice is redeemed once: {together}");
    let page = shop.get(together).await;
    assert_eq!(page.body.matches("data-id=").count(), 3);
    assert_eq!(shop.get(together).await.status, 200, "reloading is harmless");
}

#[tokio::test(start_paused = true)]
async fn wrong_codes_are_explained_and_kept_and_the_good_ones_begin() {
    let shop = Shop::open().await;
    let code = shop.mint_one().await;
    let posted = shop.form("/redeem", &format!("code={code}%0Awrong+%3Cone%3E"), &[]).await;
    assert_eq!(posted.status, 200);
    assert!(posted.body.contains("href=\"/r/rdm_"), "{}", posted.body);
    assert!(posted.body.contains("This is no voucher of ours"), "{}", posted.body);
    assert!(posted.body.contains("\nwrong &#60;one&#62;</textarea>"), "{}", posted.body);
    assert!(!posted.body.contains(&code), "what began need not be typed again");

    let none = shop.form("/redeem?lang=zh", "code=nope", &[]).await;
    assert_eq!(none.status, 404);
    assert!(none.body.contains("兑换码无效") && none.body.contains(">\nnope</textarea>"), "{}", none.body);
    assert_eq!(shop.form("/redeem", "code=", &[]).await.status, 404);
    let many = shop.form("/redeem", &format!("code={}", "x%0A".repeat(21)), &[]).await;
    assert_eq!(many.status, 400);
    assert!(
        many.body.contains("At most 20 codes") && many.body.matches("x\n").count() >= 20,
        "{}",
        many.body
    );
}

#[tokio::test(start_paused = true)]
async fn the_buttons_work_without_a_script() {
    let shop = Shop::with(sku(), silent(), Site::default()).await;
    let (id, _) = shop.redemption("waiting_sms").await;
    let cancelled = shop.form(&format!("/redeem/{id}/cancel?lang=zh"), "", &[]).await;
    assert_eq!(
        (cancelled.status.as_u16(), cancelled.header("location")),
        (303, Some(&*format!("/r/{id}?lang=zh")))
    );
    shop.until(&id, "cancelled").await;
    let page = shop.get(&format!("/r/{id}")).await;
    assert!(page.body.contains(&format!("action=\"/redeem/{id}/retry\"")), "{}", page.body);

    let early = shop.form(&format!("/redeem/{id}/retry"), "", &[]).await;
    assert_eq!(early.status, 429, "{early:?}");
    assert!(
        early.body.contains("<h1>A short pause</h1>") && early.body.contains(&format!("href=\"/r/{id}\""))
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    let retried = shop.form(&format!("/redeem/{id}/retry"), "", &[]).await;
    assert_eq!(retried.status, 303, "{retried:?}");
    let next = retried.header("location").unwrap();
    assert_ne!(next, format!("/r/{id}"));
    let twice = shop.form(&format!("/redeem/{id}/retry"), "", &[]).await;
    assert_eq!((twice.status.as_u16(), twice.header("location")), (303, Some(next)));
    assert!(shop.get(&format!("/r/{id}")).await.body.contains(&format!("href=\"{next}\"")));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_explained_with_what_to_do_next() {
    let site = Site {
        support_contact: Some("help@example.org".into()),
        terms: Some("https://example.org/terms".into()),
        ..Site::default()
    };
    let shop = Shop::with(sku(), Line { stock: 0, ..Line::default() }, site).await;
    let (id, _) = shop.redemption("failed").await;
    let page = shop.get(&format!("/r/{id}")).await;
    for shown in [
        "No number is in stock",
        "Support: help@example.org",
        "href=\"mailto:help@example.org\"",
        "href=\"https://example.org/terms\"",
        "3 tries left.",
        "/retry\"",
    ] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
}

#[tokio::test(start_paused = true)]
async fn pages_follow_the_readers_language_and_can_be_switched() {
    let shop = Shop::open().await;
    let english = shop.get("/").await;
    assert!(english.body.contains("<html lang=\"en\">") && english.body.contains("href=\"/?lang=zh\""));
    let chinese = shop.get_with("/", &[("accept-language", "zh-CN,zh;q=0.9")]).await;
    assert!(chinese.body.contains("<html lang=\"zh\">") && chinese.body.contains("薄荷码工坊"));
    let switched = shop.get_with("/?lang=en", &[("accept-language", "zh")]).await;
    assert!(
        switched.body.contains("<html lang=\"en\">") && switched.body.contains("action=\"/redeem?lang=en\"")
    );
}

#[tokio::test(start_paused = true)]
async fn pages_load_only_from_here_and_carry_no_script_of_their_own() {
    let shop = Shop::open().await;
    let (id, _) = shop.redemption("waiting_sms").await;
    for path in ["/".to_owned(), format!("/r/{id}"), "/problems/not-found".to_owned()] {
        let page = shop.get(&path).await;
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
        for outside in ["http://", "https://", " style=", " onclick=", "<script>"] {
            assert!(!page.body.contains(outside), "{outside} in {path}: {}", page.body);
        }
        for link in page.body.split(['"']).filter(|text| text.starts_with("/static/")) {
            let file = shop.get(link).await;
            assert_eq!(file.status, 200, "{link}");
            let known = shop.get_with(link, &[("if-none-match", file.header("etag").unwrap())]).await;
            assert_eq!(known.status, 304, "{link}");
        }
    }
    let missing = shop.get_with("/r/rdm_1", &[("accept", "text/html")]).await;
    assert_eq!(missing.status, 404);
    assert!(missing.body.contains("<h1>Not found</h1>"), "{}", missing.body);
}
