//! Servers that refuse, hang up, stall and cut short: what may have been sent is never taken for "not sent".

use std::error::Error;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mintcode_core::order::{Order, OrderId};
use mintcode_core::ports::Clock;
use mintcode_core::ports::supplier::{BuyError, CallError, Stop, Supplier};
use mintcode_core::testing::permit;
use mintcode_supplier::rest::{BuildError, Failure, RestSupplier};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{HandClock, KEY, client, start, telegram, unclear, unclear_call};

const PATIENCE: Duration = Duration::from_secs(30);

async fn bind() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    (listener, base)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    tokio::time::timeout(PATIENCE, listener.accept()).await.expect("nobody connected").unwrap().0
}

/// Reads up to the end of the request's head.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(request).unwrap()
}

/// Whether somebody connected whom nobody has accepted.
fn is_waited_for(listener: TcpListener) -> bool {
    let listener = listener.into_std().unwrap();
    match listener.accept() {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            false
        }
    }
}

async fn buy_with(supplier: &RestSupplier) -> Result<Order, BuyError> {
    buy_within(supplier, HandClock::new()).await
}

/// Buys within five seconds by the engine's `clock`.
async fn buy_within(supplier: &RestSupplier, clock: Arc<dyn Clock>) -> Result<Order, BuyError> {
    supplier.buy(permit(telegram(), start() + TimeDelta::seconds(5), clock).await).await
}

/// Buys from a server that sends `answer` to the first request and then hangs up.
async fn bought_from(answer: &str) -> Result<Order, BuyError> {
    let (listener, base) = bind().await;
    let supplier = client(&base, KEY, HandClock::new(), PATIENCE);
    let serving = async {
        let mut stream = accept(&listener).await;
        let request = read_request(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        request
    };
    let (result, request) = tokio::join!(buy_with(&supplier), serving);
    assert!(
        request.starts_with("GET /v1/user/buy/activation/canada/virtual4/telegram HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(request.to_lowercase().contains(&format!("\r\nauthorization: bearer {KEY}\r\n")));
    assert!(!is_waited_for(listener), "the purchase was sent again, or a redirect followed");
    result
}

#[tokio::test]
async fn a_server_that_reads_and_hangs_up_may_have_sold() {
    assert!(matches!(unclear(bought_from("").await), Failure::Broken(_)));
}

#[tokio::test]
async fn a_refused_connection_sold_nothing() {
    let (listener, base) = bind().await;
    drop(listener);
    let supplier = client(&base, KEY, HandClock::new(), PATIENCE);
    match buy_with(&supplier).await {
        Err(BuyError::NotSent(Some(source))) => {
            let failure = source.downcast::<Failure>().unwrap();
            assert_eq!(*failure, Failure::Connect(Some(ErrorKind::ConnectionRefused)));
        }
        other => panic!("{other:?}"),
    }
    let failure = unclear_call(supplier.check(&OrderId::new("1")).await);
    assert_eq!(failure, Failure::Connect(Some(ErrorKind::ConnectionRefused)));
}

#[tokio::test]
async fn a_server_that_never_answers_may_have_sold() {
    let (listener, base) = bind().await;
    let supplier = client(&base, KEY, HandClock::new(), Duration::from_millis(500));
    let result = buy_with(&supplier).await;
    assert_eq!(unclear(result), Failure::TimedOut);
    let mut stream = accept(&listener).await;
    read_request(&mut stream).await;
}

#[tokio::test]
async fn an_answer_cut_short_or_unlike_any_other_may_have_sold() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"id\":1089955264,\"phone\":\"+1604",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{\"id\":1089955264",
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull",
        "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"id\":109995",
        "HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\n{\"id\":1,\"phone\":\"\",\"price\":0.12} ",
        "HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n{\"phone\":\"+16045550100\",\"id\":0.5}",
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\n\r\nany error",
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 14\r\n\r\nno free phones",
    ] {
        unclear(bought_from(answer).await);
    }
}

#[tokio::test]
async fn a_refusal_is_read_under_any_status_and_a_redirect_is_not_followed() {
    let stock_out = bought_from("HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\nNo free phones\n").await;
    assert!(matches!(stock_out, Err(BuyError::OutOfStock)), "{stock_out:?}");
    let moved = bought_from("HTTP/1.1 302 Found\r\nLocation: /404.html\r\nContent-Length: 0\r\n\r\n").await;
    assert!(matches!(moved, Err(BuyError::Stopped(Stop::Parameters))), "{moved:?}");
}

#[tokio::test]
async fn an_order_is_read_from_a_live_like_answer() {
    let body = r#"{"id":1089955264,"phone":"+16045550100","operator":"virtual4","product":"telegram","price":0.1359,"status":"RECEIVED","expires":"2026-09-11T12:28:33Z","sms":null,"created_at":"2026-09-11T12:13:33Z"}"#;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let order = bought_from(&format!("{head}{body}")).await.unwrap();
    assert_eq!((order.id.as_str(), order.phone.reveal()), ("1089955264", "+16045550100"));
}

#[tokio::test]
async fn no_connection_carries_two_purchases() {
    let (listener, base) = bind().await;
    let supplier = client(&base, KEY, HandClock::new(), PATIENCE);
    let mut kept = Vec::new();
    for _ in 0..2 {
        let serving = async {
            let mut stream = accept(&listener).await;
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nno free phones").await.unwrap();
            stream
        };
        let (result, stream) = tokio::join!(buy_with(&supplier), serving);
        assert!(matches!(result, Err(BuyError::OutOfStock)));
        kept.push(stream);
    }
}

#[tokio::test]
async fn a_purchase_whose_moment_has_passed_is_not_even_connected() {
    let (listener, base) = bind().await;
    let engines = HandClock::new();
    engines.advance(6);
    let result = buy_within(&client(&base, KEY, HandClock::new(), PATIENCE), engines).await;
    assert!(matches!(result, Err(BuyError::NotSent(None))), "{result:?}");
    assert!(!is_waited_for(listener));
}

#[tokio::test]
async fn a_wall_clock_that_was_set_anew_keeps_no_purchase_from_being_sent() {
    let (listener, base) = bind().await;
    let own = HandClock::new();
    own.advance(300);
    let supplier = client(&base, KEY, own, PATIENCE);
    let serving = async {
        let mut stream = accept(&listener).await;
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nno free phones").await.unwrap();
    };
    let (result, ()) = tokio::join!(buy_with(&supplier), serving);
    assert!(matches!(result, Err(BuyError::OutOfStock)), "{result:?}");
}

/// Goes on by four seconds with every look.
struct Hurried(AtomicU64);

impl Clock for Hurried {
    fn now(&self) -> DateTime<Utc> {
        start() + self.uptime()
    }

    fn uptime(&self) -> Duration {
        Duration::from_secs(self.0.fetch_add(4, Ordering::Relaxed))
    }
}

#[tokio::test]
async fn a_purchase_whose_moment_passes_while_connecting_is_not_sent() {
    let (listener, base) = bind().await;
    let supplier = client(&base, KEY, HandClock::new(), PATIENCE);
    let result = buy_within(&supplier, Arc::new(Hurried(AtomicU64::new(4)))).await;
    assert!(matches!(result, Err(BuyError::NotSent(None))), "{result:?}");
    let mut sent = Vec::new();
    accept(&listener).await.read_to_end(&mut sent).await.unwrap();
    assert!(sent.is_empty(), "{} bytes were sent", sent.len());
}

#[tokio::test]
async fn an_answer_about_another_order_is_no_answer() {
    let (listener, base) = bind().await;
    let supplier = client(&base, KEY, HandClock::new(), PATIENCE);
    let serving = async {
        let mut stream = accept(&listener).await;
        read_request(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n{\"id\":2,\"status\":\"CANCELED\"}   ";
        stream.write_all(answer).await.unwrap();
    };
    let order = OrderId::new("1");
    let (result, ()) = tokio::join!(supplier.cancel(&order), serving);
    assert_eq!(unclear_call(result), Failure::Unreadable { status: 200, part: "order id" });
}

#[tokio::test]
async fn errors_and_debug_output_give_nothing_away() {
    let (listener, base) = bind().await;
    let supplier = client(&base, KEY, HandClock::new(), PATIENCE);
    let mut shown = vec![format!("{supplier:?}")];
    for answer in [
        "HTTP/1.1 500 Oops\r\nContent-Length: 22\r\n\r\nsecret words +16045550",
        "HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{\"id\":\"secret +16045550\"}",
        "",
    ] {
        let serving = async {
            let mut stream = accept(&listener).await;
            read_request(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let (result, ()) = tokio::join!(buy_with(&supplier), serving);
        shown.push(chain(&result.unwrap_err()));
    }
    drop(listener);
    shown.push(chain(&buy_with(&supplier).await.unwrap_err()));
    let error: CallError = supplier.profile().await.unwrap_err();
    shown.push(chain(&error));
    for text in shown {
        for secret in [KEY, "127.0.0.1", "/v1", "secret", "16045550"] {
            assert!(!text.contains(secret), "{secret:?} in {text}");
        }
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = format!("{error:?} {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.extend([" <- ".to_owned(), error.to_string(), format!("{error:?}")]);
        cause = error.source();
    }
    text
}

#[test]
fn a_client_that_could_not_work_is_not_built() {
    let build = |base: &str, key: &str, timeout| {
        let builder = RestSupplier::builder(base.parse().unwrap(), key.to_owned().into(), HandClock::new());
        let builder = builder.timeout(timeout);
        assert!(!format!("{builder:?}").contains("hush"));
        builder.build()
    };
    let second = Duration::from_secs(1);
    assert!(build("https://example.com/v1", "hush", second).is_ok());
    assert!(matches!(build("mailto:a@example.com", "hush", second), Err(BuildError::Url)));
    assert!(matches!(build("https://example.com/v1", "hush\nhush", second), Err(BuildError::Key)));
    assert!(matches!(build("https://example.com/v1", " ", second), Err(BuildError::Key)));
    assert!(matches!(build("https://example.com/v1", "hush", Duration::ZERO), Err(BuildError::Timeout)));
}

#[tokio::test]
async fn a_purchase_is_listened_to_for_longer_than_other_calls() {
    let (listener, base) = bind().await;
    let supplier = RestSupplier::builder(base.parse().unwrap(), KEY.to_owned().into(), HandClock::new())
        .timeout(Duration::from_millis(300))
        .late_answers(PATIENCE)
        .build()
        .unwrap();
    let serving = async {
        let mut buying = accept(&listener).await;
        read_request(&mut buying).await;
        // A look that began later gives up first; only then is the purchase answered.
        let order = OrderId::new("7");
        let (look, _stream) = tokio::join!(supplier.check(&order), accept(&listener));
        assert_eq!(unclear_call(look), Failure::TimedOut);
        buying.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nno free phones").await.unwrap();
    };
    let (result, ()) = tokio::join!(buy_with(&supplier), serving);
    assert!(matches!(result, Err(BuyError::OutOfStock)), "{result:?}");
}
