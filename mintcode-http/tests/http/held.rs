//! Requests that wait: conditional ones, long polls, event streams.

use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use futures_util::StreamExt;
use mintcode_http::Site;
use serde_json::Value;
use tokio::time::Instant;
use tower::ServiceExt;

use crate::shop::{Shop, request, silent, sku};

#[tokio::test(start_paused = true)]
async fn what_is_known_is_not_sent_again() {
    let shop = Shop::with(sku(), silent(), Site::default()).await;
    let (id, _) = shop.redemption("waiting_sms").await;
    let path = format!("/redeem/{id}");
    let seen = shop.get(&path).await;
    let etag = seen.header("etag").unwrap();
    assert_eq!(seen.header("cache-control"), Some("no-store"));

    let known = shop.get_with(&path, &[("if-none-match", etag)]).await;
    assert_eq!((known.status.as_u16(), known.body.as_str()), (304, ""));
    assert_eq!(known.header("etag"), Some(etag));
    assert_eq!(shop.get_with(&path, &[("if-none-match", "\"0\"")]).await.status, 200);

    shop.post(&format!("{path}/cancel")).await;
    shop.until(&id, "cancelled").await;
    let changed = shop.get_with(&path, &[("if-none-match", etag)]).await;
    assert_eq!((changed.status.as_u16(), &changed.value()["status"]), (200, &Value::from("cancelled")));
}

#[tokio::test(start_paused = true)]
async fn the_redemption_that_followed_makes_a_new_tag() {
    let mut without_pause = sku();
    without_pause.policy.cooldown = Duration::ZERO;
    let shop = Shop::with(without_pause, silent(), Site::default()).await;
    let (id, _) = shop.redemption("failed").await;
    let path = format!("/redeem/{id}");
    let etag = shop.get(&path).await.header("etag").unwrap().to_owned();
    assert_eq!(shop.post(&format!("{path}/retry")).await.status, 202);
    assert_eq!(shop.get_with(&path, &[("if-none-match", &etag)]).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_held_answer_comes_with_the_change() {
    let shop = Shop::open().await;
    let (id, _) = shop.redemption("waiting_sms").await;
    let path = format!("/redeem/{id}");
    let etag = shop.get(&path).await.header("etag").unwrap().to_owned();

    let begun = Instant::now();
    let held = shop.get_with(&path, &[("prefer", "wait=60"), ("if-none-match", &etag)]).await;
    assert_eq!((held.status.as_u16(), &held.value()["status"]), (200, &Value::from("delivered")));
    assert_eq!(held.header("preference-applied"), Some("wait=60"));
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(1) && took < Duration::from_secs(15), "{took:?}");

    // A final status is not waited for again, and a tag that is old is answered at once.
    let begun = Instant::now();
    assert_eq!(shop.get_with(&path, &[("prefer", "wait=60")]).await.status, 200);
    let stale = shop.get_with(&path, &[("prefer", "wait=60"), ("if-none-match", &etag)]).await;
    assert_eq!(stale.status, 200);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_held_answer_without_a_change_comes_when_patience_ends() {
    let shop = Shop::with(sku(), silent(), Site::default()).await;
    let (id, _) = shop.redemption("waiting_sms").await;
    let path = format!("/redeem/{id}");
    let etag = shop.get(&path).await.header("etag").unwrap().to_owned();
    for (known, status) in [(None, 200), (Some(("if-none-match", etag.as_str())), 304)] {
        let mut headers = vec![("prefer", "wait=20")];
        headers.extend(known);
        let begun = Instant::now();
        assert_eq!(shop.get_with(&path, &headers).await.status, status);
        assert_eq!(begun.elapsed().as_secs(), 20);
    }
}

/// Events as a client reads them: id, name and data.
fn events(text: &str) -> Vec<(u64, String, Value)> {
    let field = |event: &str, name: &str| {
        let line = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.trim().to_owned())
    };
    let events = text.split("\n\n").filter(|event| field(event, "id").is_some());
    let read = events.map(|event| {
        let id = field(event, "id").unwrap().parse().unwrap();
        let data = serde_json::from_str(&field(event, "data").unwrap()).unwrap();
        (id, field(event, "event").unwrap(), data)
    });
    read.collect()
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_every_change_once_and_in_order_and_ends() {
    let shop = Shop::open().await;
    let (id, _) = shop.begun().await;

    let stream = shop.get_with(&format!("/redeem/{id}/events"), &[("last-event-id", "0")]).await;
    assert_eq!(stream.header("content-type"), Some("text/event-stream"));
    let seen = events(&stream.body);
    let ids: Vec<u64> = seen.iter().map(|(id, _, _)| *id).collect();
    let last = *ids.last().unwrap();
    assert_eq!(ids, (1..=last).collect::<Vec<_>>(), "every version once, in order");
    assert!(seen.iter().all(|(id, name, data)| name == "redemption" && data["version"] == *id));
    let mut statuses: Vec<_> = seen.iter().map(|(_, _, data)| data["status"].as_str().unwrap()).collect();
    statuses.dedup();
    assert_eq!(statuses, ["queued", "ordering", "waiting_sms", "delivered"]);
    for (_, _, data) in &seen {
        let has = |field: &str| !data[field].is_null();
        assert_eq!(has("code"), data["status"] == "delivered", "{data}");
        assert_eq!(has("phone"), data["status"] == "waiting_sms" || data["status"] == "delivered", "{data}");
    }
    // Whoever comes late or comes back gets exactly what is missing; at the end there is nothing to come back for.
    for from in 0..last {
        let resumed =
            shop.get_with(&format!("/redeem/{id}/events"), &[("last-event-id", &from.to_string())]).await;
        assert_eq!(events(&resumed.body), seen[usize::try_from(from).unwrap()..]);
    }
    let late = events(&shop.get(&format!("/redeem/{id}/events")).await.body);
    assert_eq!(late, seen[seen.len() - 1..]);
    let over = shop.get_with(&format!("/redeem/{id}/events"), &[("last-event-id", &last.to_string())]).await;
    assert_eq!(over.status, 204);
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_comments() {
    let shop = Shop::with(sku(), silent(), Site::default()).await;
    let (id, _) = shop.redemption("waiting_sms").await;
    let request = request(Method::GET, &format!("/redeem/{id}/events"), &[], Body::empty());
    let mut body = shop.router.clone().oneshot(request).await.unwrap().into_body().into_data_stream();
    let first = body.next().await.unwrap().unwrap();
    assert!(first.starts_with(b"event:"), "{first:?}");
    let begun = Instant::now();
    let second = body.next().await.unwrap().unwrap();
    assert!(second.starts_with(b":"), "{second:?}");
    assert_eq!(begun.elapsed().as_secs(), 15);
}
