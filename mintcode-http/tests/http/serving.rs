//! The server on a real socket, and its end.

use std::time::Duration;

use mintcode_http::{Site, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::shop::{Shop, silent, sku};

async fn connect(address: std::net::SocketAddr, request: &str) -> TcpStream {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    connection
}

/// Reads until `end` has been seen or the connection is closed.
async fn read_until(connection: &mut TcpStream, end: &str) -> String {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&seen).contains(end) {
        match connection.read(&mut buffer).await.unwrap() {
            0 => break,
            read => seen.extend_from_slice(&buffer[..read]),
        }
    }
    String::from_utf8(seen).unwrap()
}

#[tokio::test]
async fn the_end_makes_nobody_wait() {
    let shop = Shop::with(sku(), silent(), Site::default()).await;
    let (id, _) = shop.redemption("waiting_sms").await;
    let etag = shop.get(&format!("/redeem/{id}")).await.header("etag").unwrap().to_owned();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (closer, ended) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, shop.router.clone(), async {
        ended.await.unwrap();
    }));

    let mut stream = connect(address, &format!("GET /redeem/{id}/events HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    let begun = read_until(&mut stream, "\n\n").await;
    assert!(begun.contains("waiting_sms"), "{begun}");
    let poll =
        format!("GET /redeem/{id} HTTP/1.1\r\nhost: x\r\nprefer: wait=60\r\nif-none-match: {etag}\r\n\r\n");
    let mut held = connect(address, &poll).await;
    let _idle = TcpStream::connect(address).await.unwrap();
    let _half = connect(address, "GET /half HTTP/1.1\r\nhost").await;
    // Whoever answers this has read what was sent before it.
    let mut healthy = connect(address, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(read_until(&mut healthy, "ok").await.starts_with("HTTP/1.1 200"));

    let asked = Instant::now();
    closer.send(()).unwrap();
    assert!(
        read_until(&mut held, "\r\n\r\n").await.starts_with("HTTP/1.1 304"),
        "the held answer comes at once"
    );
    read_until(&mut stream, "never sent").await;
    assert!(asked.elapsed() < Duration::from_millis(1500), "{:?}", asked.elapsed());
    server.await.unwrap().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    assert!(TcpStream::connect(address).await.is_err(), "nothing listens any more");
}
