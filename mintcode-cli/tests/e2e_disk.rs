//! A disk that is full or cannot be written to: nothing is half done, everybody is told clearly, and what began goes on by
//! itself once there is room again.
//!
//! The disk is a small file system in memory, in a mount namespace of the test's own, which needs no privileges where the
//! kernel lets users have namespaces.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "support/command.rs"]
mod command;
#[path = "support/server.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod server;
#[path = "support/shop.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod shop;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use command::run;
use server::{Server, books, books_when, http};
use shop::{SKU, Shop, stopped};

/// How long anything may take that is waited for.
const DEADLINE: Duration = Duration::from_secs(60);

/// What fills the disk.
const BALLAST: &str = "ballast";

/// A file system of a few MiB over the directory `disk` of a shop, with what was in that.
struct Disk {
    holder: Child,
    place: PathBuf,
}

impl Disk {
    fn mount(shop: &Shop) -> Self {
        let script =
            "mkdir new && mount -t tmpfs -o size=6m tmpfs new && cp disk/* new/ && mount --bind new disk &&
                      echo ready && exec cat";
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).current_dir(shop.path());
        let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(
            line, "ready\n",
            "this test needs user and mount namespaces: `unshare --user --map-root-user --mount true`"
        );
        Self { holder, place: shop.path().to_owned() }
    }

    /// `command` where the disk is.
    fn on(&self, command: &Command) -> Command {
        let mut nsenter = Command::new("nsenter");
        let target = format!("--target={}", self.holder.id());
        nsenter.args([&target, "--user", "--mount", "--preserve-credentials"]);
        nsenter.arg(format!("--wdns={}", self.place.display()));
        nsenter.arg("--").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => nsenter.env(name, value),
                None => nsenter.env_remove(name),
            };
        }
        nsenter
    }

    /// A file on the disk, as the test sees it.
    fn file(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.place.strip_prefix("/").unwrap()).join("disk").join(name)
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut ballast = File::create(self.file(BALLAST)).unwrap();
        loop {
            match ballast.write_all(&[0; 4096]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.file(BALLAST)).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A shop whose database is in its directory `disk`, which is not mounted yet.
fn shop(scenario: &str) -> Shop {
    let shop = Shop::open(SKU, scenario);
    fs::create_dir(shop.path().join("disk")).unwrap();
    fs::rename(shop.path().join("mintcode.db"), shop.path().join("disk/mintcode.db")).unwrap();
    let toml = shop.path().join("mintcode.toml");
    let moved = fs::read_to_string(&toml).unwrap().replace("sqlite:mintcode.db", "sqlite:disk/mintcode.db");
    fs::write(toml, moved).unwrap();
    shop
}

/// Starts a server on `disk`, which logs there as well.
fn serve(shop: &Shop, disk: &Disk) -> Server {
    let mut command = disk.on(&shop.command(&["serve", "--json", "--listen", &shop.address]));
    Server::start(command.stderr(File::create(disk.file("serve.log")).unwrap()))
}

async fn post(shop: &Shop, http: &reqwest::Client, code: &str) -> Response {
    let request = http.post(format!("{}/redeem", shop.url())).json(&json!({ "code": code }));
    request.send().await.unwrap()
}

/// The redemption once it is as `wanted`.
async fn when(shop: &Shop, http: &reqwest::Client, id: &str, wanted: &str) -> Value {
    let waiting = async {
        loop {
            let answer = http.get(format!("{}/redeem/{id}", shop.url())).send().await.unwrap();
            // Somebody reads it though nothing can be stored.
            assert_eq!(answer.status(), 200);
            let redemption: Value = answer.json().await.unwrap();
            if redemption["status"] == wanted {
                return redemption;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("it is never {wanted}"))
}

#[tokio::test]
async fn a_full_disk_is_told_and_recovered_from_without_a_restart() {
    let (shop, http) = (shop("sms_after = \"3s\"\n"), http());
    let codes = shop.mint("tg", 3);
    let disk = Disk::mount(&shop);
    let server = serve(&shop, &disk);
    let begun: Value = post(&shop, &http, &codes[0]).await.json().await.unwrap();
    let first = begun["id"].as_str().unwrap();
    when(&shop, &http, first, "waiting_sms").await;

    disk.fill();
    // The message comes to the supplier while it cannot be stored.
    let has_message = |books: &Value| books["orders"][0]["status"] == "RECEIVED";
    books_when(&http, shop.simulator.url(), has_message).await;
    for _ in 0..3 {
        let refused = post(&shop, &http, &codes[1]).await;
        assert_eq!(refused.status(), 503);
        assert!(refused.headers().contains_key("retry-after"), "{refused:?}");
        let refused: Value = refused.json().await.unwrap();
        assert!(refused["type"].as_str().unwrap().ends_with("unavailable"), "{refused}");
        assert_eq!(refused["retryable"], true, "{refused}");
    }
    // The order is neither finished nor given back, and nothing was bought for whoever was refused.
    when(&shop, &http, first, "waiting_sms").await;
    let now = books(&http, shop.simulator.url()).await;
    assert_eq!((&now["counts"]["sold"], &now["counts"]["open"]), (&json!(1), &json!(1)), "{now}");

    disk.make_room();
    let delivered = when(&shop, &http, first, "delivered").await;
    assert!(delivered["code"].is_string(), "{delivered}");
    // What was refused left nothing behind: the voucher begins as if for the first time.
    let begun = timeout(DEADLINE, async {
        loop {
            let answer = post(&shop, &http, &codes[1]).await;
            if answer.status() == 202 {
                return answer.json::<Value>().await.unwrap();
            }
            assert_eq!(answer.status(), 503);
            sleep(Duration::from_millis(50)).await;
        }
    });
    let begun = begun.await.expect("there is room");
    assert_eq!(begun["redemptions_left"], 3, "{begun}");
    when(&shop, &http, begun["id"].as_str().unwrap(), "delivered").await;
    let settled = |books: &Value| books["counts"]["open"] == 0;
    let now = books_when(&http, shop.simulator.url(), settled).await;
    assert_eq!((&now["counts"]["sold"], &now["counts"]["charged"]), (&json!(2), &json!(2)), "{now}");
    let doctor = run(&mut disk.on(&shop.command(&["doctor"])));
    assert_eq!(doctor.code, Some(0), "{doctor:?}");
    stopped(server);
}

/// What `command` says of a disk that it cannot write to.
#[track_caller]
fn refusal(disk: &Disk, command: &Command) -> String {
    let ran = run(&mut disk.on(command));
    assert_eq!((ran.code, ran.stderr.lines().count()), (Some(1), 1), "{ran:?}");
    assert!(ran.stderr.contains("disk/mintcode.db"), "it names the file: {ran:?}");
    ran.stderr
}

fn mount(disk: &Disk, arguments: &[&str]) {
    let mut command = Command::new("mount");
    run(&mut disk.on(command.args(arguments))).done();
}

#[test]
fn a_start_on_a_disk_that_cannot_be_written_to_says_so_in_one_line() {
    let shop = shop("");
    shop.mint("tg", 1);
    let disk = Disk::mount(&shop);
    let serve = shop.command(&["serve", "--json", "--listen", &shop.address]);
    mount(&disk, &["-o", "remount,bind,ro", "disk"]);
    assert!(refusal(&disk, &serve).contains("ead-only"));
    mount(&disk, &["-o", "remount,bind,rw", "disk"]);

    // The file alone.
    mount(&disk, &["--bind", "disk/mintcode.db", "disk/mintcode.db"]);
    mount(&disk, &["-o", "remount,bind,ro", "disk/mintcode.db"]);
    assert!(refusal(&disk, &serve).contains("cannot be written"));
    assert!(
        refusal(&disk, &shop.command(&["mint", "--sku", "tg", "--count", "1"])).contains("cannot be written")
    );
    mount(&disk, &["-o", "remount,bind,rw", "disk/mintcode.db"]);
    stopped(self::serve(&shop, &disk));
}
