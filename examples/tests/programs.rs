//! The programs do what they say.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

#[test]
fn a_voucher_is_redeemed_in_memory() {
    let ran = Command::new(env!("CARGO_BIN_EXE_redeem_in_memory")).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let said = String::from_utf8(ran.stdout).unwrap();
    for line in [
        "status     waiting_sms\n",
        "code       482915\n",
        "attempt 1  plan A: out_of_stock\n",
        "attempt 2  plan B: delivered\n",
        "supplier   1 sold, 1 charged, 0 open\n",
    ] {
        assert!(said.contains(line), "{line:?} in {said}");
    }
}

/// A program that runs until it is told to end; killed when dropped.
struct Service {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Service {
    fn start(program: &str) -> Self {
        let mut child = Command::new(program).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    /// The next line, which begins with `name`, without it.
    fn told(&mut self, name: &str) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.strip_prefix(name).unwrap_or_else(|| panic!("{line:?} tells no {name}")).trim().to_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request and returns status and body of its answer.
fn send(address: &str, route: &str, body: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "{route} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nPrefer: wait=20\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
}

#[test]
fn a_service_of_ones_own_redeems_beside_its_own_routes_and_ends_when_told() {
    let mut service = Service::start(env!("CARGO_BIN_EXE_mount_in_axum"));
    let url = service.told("listening");
    let code = service.told("voucher");
    let address = url.strip_prefix("http://").unwrap();

    assert_eq!(send(address, "GET /hello", ""), ("200".to_owned(), "hello from our shop".to_owned()));
    let (status, page) = send(address, "GET /", "");
    assert!(status == "200" && page.contains("Our shop"), "{page}");
    assert_eq!(send(address, "GET /nothing", "").0, "404");

    let (status, begun) = send(address, "POST /redeem", &json!({ "code": code }).to_string());
    assert_eq!(status, "202", "{begun}");
    let begun: Value = serde_json::from_str(&begun).unwrap();
    let route = format!("GET /redeem/{}", begun["id"].as_str().unwrap());
    // Each answer comes with the next change.
    let shown = std::iter::repeat_with(|| send(address, &route, "").1);
    let mut seen = shown.map(|body| serde_json::from_str::<Value>(&body).unwrap());
    let delivered = seen.find(|redemption| redemption["status"] == "delivered").unwrap();
    assert_eq!(delivered["code"], "482915");

    let pid = service.child.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    service.told("stopped");
    assert!(service.child.wait().unwrap().success());
}
