//! 64 redeemers of one voucher, each on a connection of its own, in two processes: the test runs itself once more for each.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use chrono::Duration;
use mintcode_core::ids::RedemptionId;
use mintcode_core::ports::{Begin, BeginBy, Begun, Storage};
use mintcode_core::redemption::Holder;
use mintcode_core::testing::sample;
use mintcode_core::voucher::{Refusal, VoucherHash};

/// Redeemers in each process.
pub(crate) const REDEEMERS: usize = 32;
const PROCESSES: usize = 2;

/// Where the database is that a process of redeemers opens.
const DATABASE: &str = "CROWD_DATABASE";
/// Which of the processes it is.
const PLACE: &str = "CROWD_PLACE";
/// Before each line that is meant for the test: the test's harness talks as well.
const MARK: &str = "crowd: ";

/// `MINTCODE_TEST_ROUNDS`, or 500.
pub(crate) fn rounds() -> u32 {
    std::env::var("MINTCODE_TEST_ROUNDS").map_or(500, |rounds| rounds.parse().unwrap())
}

/// What a process of redeemers is told to open.
pub(crate) fn database() -> String {
    std::env::var(DATABASE).expect("the test that races processes starts this one")
}

/// In a process of redeemers: lets each of `stores` race for the vouchers that the test names, and tells how many won.
pub(crate) async fn redeem(stores: Vec<Arc<dyn Storage>>) {
    assert_eq!(stores.len(), REDEEMERS);
    let place: usize = std::env::var(PLACE).unwrap().parse().unwrap();
    say("ready");
    for (round, line) in std::io::stdin().lines().enumerate() {
        let voucher = VoucherHash::from_bytes(line.unwrap().parse::<u128>().unwrap().to_be_bytes());
        let redeeming: Vec<_> = stores
            .iter()
            .enumerate()
            .map(|(redeemer, store)| {
                let number = (round * PROCESSES + place) * REDEEMERS + redeemer;
                let (store, wish) = (Arc::clone(store), wish(voucher, round, number));
                tokio::spawn(async move { store.begin(wish).await.unwrap() })
            })
            .collect();
        let mut won = 0;
        for begun in redeeming {
            match begun.await.unwrap() {
                Begun::New(_) => won += 1,
                Begun::Refused(Refusal::Busy) => {}
                other => panic!("round {round}: {other:?}"),
            }
        }
        say(&won.to_string());
    }
}

fn wish(voucher: VoucherHash, round: usize, number: usize) -> Begin {
    let id: RedemptionId = format!("rdm_{number:026}").parse().unwrap();
    Begin {
        by: BeginBy::Code(vec![voucher]),
        holder: Holder::default(),
        address: None,
        rules: sample::rules(),
        id,
        owner: Some(format!("wrk_{:026}", 1).parse().unwrap()),
        // So far apart that no cap counts many of them.
        now: sample::now() + Duration::minutes(i64::try_from(round).unwrap()),
    }
}

fn say(what: &str) {
    // The harness leaves a line open.
    println!("\n{MARK}{what}");
}

/// Two processes of redeemers.
pub(crate) struct Crowd {
    halves: Vec<Half>,
}

struct Half {
    process: Child,
    told: ChildStdin,
    says: BufReader<ChildStdout>,
}

impl Half {
    fn hear(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.says.read_line(&mut line).unwrap(), 0, "a process of redeemers ended");
            if let Some(said) = line.strip_prefix(MARK) {
                return said.trim().to_owned();
            }
        }
    }
}

impl Crowd {
    /// Starts processes that open `database` in `test`, an ignored one of this very program.
    pub(crate) fn gather(test: &str, database: &str) -> Self {
        let start = |place: usize| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--ignored", "--nocapture", "--exact", test]);
            command.env(DATABASE, database).env(PLACE, place.to_string());
            let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let (told, says) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
            Half { process, told, says: BufReader::new(says) }
        };
        let mut halves: Vec<_> = (0..PROCESSES).map(start).collect();
        for half in &mut halves {
            assert_eq!(half.hear(), "ready");
        }
        Self { halves }
    }

    /// Lets all of them race for each of `vouchers` in turn: exactly one wins.
    pub(crate) fn race(&mut self, vouchers: &[VoucherHash]) {
        for (round, voucher) in vouchers.iter().enumerate() {
            for half in &mut self.halves {
                writeln!(half.told, "{}", u128::from_be_bytes(voucher.to_bytes())).unwrap();
            }
            let won: Vec<usize> = self.halves.iter_mut().map(|half| half.hear().parse().unwrap()).collect();
            assert_eq!(won.iter().sum::<usize>(), 1, "round {round}: {won:?} won");
        }
    }

    /// Sends all of them home.
    pub(crate) fn leave(self) {
        for Half { mut process, told, says } in self.halves {
            drop(told);
            // Read to its end, so that what it still says finds somebody who listens.
            drop(std::io::read_to_string(says).unwrap());
            assert!(process.wait().unwrap().success());
        }
    }
}
