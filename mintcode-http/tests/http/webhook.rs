//! Alerts through a webhook, told to a real server.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;
use mintcode_core::alert::Alert;
use mintcode_core::ids::SkuId;
use mintcode_core::ports::{AlertRow, AlertSink, Clock};
use mintcode_core::testing::sample;
use mintcode_http::{WebhookAlerts, WebhookError};
use serde_json::{Value, json};

type Answer = fn() -> Response;
type Posted = Arc<Mutex<Vec<(HeaderMap, Value)>>>;

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        sample::now() + Duration::from_secs(60)
    }

    fn uptime(&self) -> Duration {
        Duration::ZERO
    }
}

/// A server that notes what it is sent and answers as it is told; its URL.
async fn server(answer: Answer) -> (String, Posted) {
    let posted = Posted::default();
    let noted = Arc::clone(&posted);
    let note = move |headers: HeaderMap, body: Bytes| async move {
        noted.lock().unwrap().push((headers, serde_json::from_slice(&body).unwrap()));
        answer()
    };
    let elsewhere = post(async || StatusCode::OK);
    let router = Router::new().route("/alerts", post(note)).route("/elsewhere", elsewhere);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/alerts?token=hush", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, posted)
}

fn alert() -> AlertRow {
    AlertRow {
        id: 17,
        alert: Alert::NoPlanLeft { sku: SkuId::new("tg").unwrap() },
        raised_at: sample::now(),
        cleared_at: None,
        tries: 0,
    }
}

fn sink(url: &str, secret: Option<&str>) -> Result<WebhookAlerts, WebhookError> {
    WebhookAlerts::new(url, secret.map(Into::into).as_ref(), Arc::new(Stopped))
}

/// The error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {}", chain(cause)))
}

#[tokio::test]
async fn an_alert_is_posted_and_signed() {
    let (url, posted) = server(|| StatusCode::NO_CONTENT.into_response()).await;
    sink(&url, Some("whsec_c2VjcmV0")).unwrap().tell(&alert()).await.unwrap();
    sink(&url, None).unwrap().tell(&alert()).await.unwrap();
    let posted = posted.lock().unwrap();
    let data = json!({"id": 17, "kind": "no_plan_left", "sku": "tg", "raised_at": sample::now(), "cleared_at": null});
    let body = json!({"type": "alert.raised", "timestamp": sample::now(), "data": data});
    assert_eq!((&posted[0].1, &posted[1].1), (&body, &body));

    let [signed, unsigned] = [&posted[0].0, &posted[1].0];
    assert_eq!(
        (&signed["content-type"], &signed["webhook-id"]),
        (&"application/json".parse().unwrap(), &"alert_17".parse().unwrap())
    );
    let sent_at = (sample::now().timestamp() + 60).to_string();
    assert_eq!(signed["webhook-timestamp"], sent_at.as_str());
    assert!(signed["webhook-signature"].to_str().unwrap().starts_with("v1,"));
    assert!(unsigned.get("webhook-signature").is_none());
    assert_eq!(unsigned["webhook-id"], "alert_17");
}

#[tokio::test]
async fn anything_but_success_is_told_again_and_nothing_secret_is_said() {
    let refusals: [(Answer, &str); 2] = [
        (|| (StatusCode::INTERNAL_SERVER_ERROR, "token=hush").into_response(), "500"),
        (|| Redirect::temporary("/elsewhere").into_response(), "307"),
    ];
    let secret = Some("whsec_c2VjcmV0");
    let mut errors = Vec::new();
    for (answer, status) in refusals {
        let (url, _) = server(answer).await;
        let error = sink(&url, secret).unwrap().tell(&alert()).await.unwrap_err();
        assert!(chain(&error).contains(status), "{}", chain(&error));
        errors.push(chain(&error));
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = format!("http://user:pass@{}/alerts?token=hush", listener.local_addr().unwrap());
    drop(listener);
    let gone = sink(&gone, secret).unwrap();
    errors.push(chain(&gone.tell(&alert()).await.unwrap_err()));
    errors.push(format!("{gone:?}"));
    for error in errors {
        for secret in ["hush", "c2VjcmV0", "pass@"] {
            assert!(!error.contains(secret), "{error}");
        }
    }
}

#[test]
fn what_cannot_be_a_webhook_is_refused_without_being_repeated() {
    for bad in ["", "example.org/hush", "ftp://example.org/hush", "http://"] {
        let error = sink(bad, None).unwrap_err();
        assert!(matches!(error, WebhookError::Url) && !error.to_string().contains("hush"), "{bad}");
    }
    for bad in ["", "whsec_", "whsec_hush!"] {
        let error = sink("https://example.org", Some(bad)).unwrap_err();
        assert!(matches!(error, WebhookError::Secret) && !error.to_string().contains("hush"), "{bad}");
    }
}
