//! A link that cannot be relied upon: what goes through it is now and then cut off, held up or lost on the way.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use crate::Error;

/// How long the answer that is to be lost is waited for, and how long a connection that is half closed stays so.
const LINGER: Duration = Duration::from_secs(3);

/// Where a link leads.
#[derive(Clone)]
pub(crate) enum Upstream {
    Tcp(String),
    Unix(PathBuf),
}

/// What happens to a message on its way up, and to the connection it is sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// It comes late.
    Delay,
    /// It comes so late that whoever sent it may have given up, died, or lost its redemptions.
    Stall,
    /// It is lost with its connection.
    Cut,
    /// It arrives, and its answer is lost with the connection.
    LostAnswer,
    /// It arrives, and the sender hears that nothing more will come, though it may still send.
    HalfClose,
}

impl Fault {
    pub(crate) const ALL: [Self; 5] =
        [Self::Delay, Self::Stall, Self::Cut, Self::LostAnswer, Self::HalfClose];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Delay => "delays on a link",
            Self::Stall => "stalls on a link",
            Self::Cut => "cuts of a link",
            Self::LostAnswer => "answers lost on a link",
            Self::HalfClose => "links half closed",
        }
    }
}

/// A link, up for as long as it lives.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    link: Arc<Link>,
    accepting: AbortHandle,
}

impl Proxy {
    /// Opens a link to `upstream` on which something goes wrong every 0.2 to 1.5 s, until it is calmed down.
    pub(crate) async fn open(upstream: Upstream, seed: u64) -> Result<Self, Error> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let weather = Weather {
            rng: ChaCha8Rng::seed_from_u64(seed),
            next: Some(Instant::now()),
            struck: BTreeMap::new(),
        };
        let link = Arc::new(Link { upstream, weather: Mutex::new(weather) });
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, Arc::clone(&link))).abort_handle();
        Ok(Self { address, link, accepting })
    }

    /// Nothing goes wrong from now on.
    pub(crate) fn calm_down(&self) {
        self.link.weather().next = None;
    }

    /// What went wrong so far, and how often.
    pub(crate) fn struck(&self) -> BTreeMap<Fault, u64> {
        self.link.weather().struck.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Link {
    upstream: Upstream,
    weather: Mutex<Weather>,
}

struct Weather {
    rng: ChaCha8Rng,
    /// When the next message is struck; `None` once nothing is to go wrong any more.
    next: Option<Instant>,
    struck: BTreeMap<Fault, u64>,
}

impl Link {
    fn weather(&self) -> std::sync::MutexGuard<'_, Weather> {
        // Whoever panicked changed one field at most.
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens to the message that is sent now, and how late it comes.
    fn draw(&self) -> Option<(Fault, Duration)> {
        let mut weather = self.weather();
        let now = Instant::now();
        if weather.next.is_none_or(|next| now < next) {
            return None;
        }
        weather.next = Some(now + Duration::from_millis(weather.rng.random_range(200..1_500)));
        let fault = Fault::ALL[weather.rng.random_range(0..Fault::ALL.len())];
        *weather.struck.entry(fault).or_default() += 1;
        let late = match fault {
            Fault::Delay => weather.rng.random_range(20..400),
            Fault::Stall => weather.rng.random_range(1_000..4_500),
            Fault::Cut | Fault::LostAnswer | Fault::HalfClose => 0,
        };
        Some((fault, Duration::from_millis(late)))
    }
}

async fn accept(listener: TcpListener, link: Arc<Link>) {
    // Ends with this task, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A client that is gone already is no client.
                let Ok((client, _)) = accepted else { continue };
                let link = Arc::clone(&link);
                // An error ends its connection, which tells both sides all there is to tell.
                connections.spawn(async move { drop(connect(client, &link).await) });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(mut client: TcpStream, link: &Link) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let is_cut = match &link.upstream {
        Upstream::Tcp(address) => {
            let mut server = TcpStream::connect(address).await?;
            server.set_nodelay(true)?;
            carry(&mut client, &mut server, link).await?
        }
        Upstream::Unix(path) => carry(&mut client, &mut UnixStream::connect(path).await?, link).await?,
    };
    if is_cut {
        client.set_zero_linger()?;
    }
    Ok(())
}

/// Carries what both sides say until one of them has said everything. Tells whether the connection is to be cut off at once.
async fn carry<S>(client: &mut TcpStream, server: &mut S, link: &Link) -> std::io::Result<bool>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            length = client.read(&mut asked) => {
                let message = &asked[..length?];
                if message.is_empty() {
                    return Ok(false);
                }
                match link.draw() {
                    None => server.write_all(message).await?,
                    Some((Fault::Delay | Fault::Stall, late)) => {
                        sleep(late).await;
                        server.write_all(message).await?;
                    }
                    Some((Fault::Cut, _)) => return Ok(true),
                    Some((Fault::LostAnswer, _)) => {
                        server.write_all(message).await?;
                        // Whether the answer came in time or not, nobody hears it.
                        drop(timeout(LINGER, server.read(&mut answered)).await);
                        return Ok(true);
                    }
                    Some((Fault::HalfClose, _)) => {
                        server.write_all(message).await?;
                        client.shutdown().await?;
                        let still_sending = async {
                            while client.read(&mut asked).await.is_ok_and(|length| length > 0) {}
                        };
                        // Whoever does not hang up either is left after a while.
                        drop(timeout(LINGER, still_sending).await);
                        return Ok(false);
                    }
                }
            }
            length = server.read(&mut answered) => {
                let message = &answered[..length?];
                if message.is_empty() {
                    return Ok(false);
                }
                client.write_all(message).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each byte with the next one, and the link to it.
    async fn echo(seed: u64) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    while let Ok(byte) = client.read_u8().await {
                        client.write_u8(byte + 1).await.unwrap();
                    }
                });
            }
        });
        Proxy::open(Upstream::Tcp(address), seed).await.unwrap()
    }

    async fn ask(proxy: &Proxy) -> std::io::Result<u8> {
        let mut client = TcpStream::connect(proxy.address).await?;
        client.write_u8(7).await?;
        client.read_u8().await
    }

    #[tokio::test]
    async fn each_fault_strikes_and_a_calm_link_carries_everything() {
        let mut seen = BTreeMap::<Fault, u64>::new();
        for seed in 0.. {
            let proxy = echo(seed).await;
            // The first message is struck.
            let answer = ask(&proxy).await;
            let (fault, _) = proxy.struck().pop_first().unwrap();
            let is_answered = matches!(fault, Fault::Delay | Fault::Stall);
            assert_eq!(answer.is_ok(), is_answered, "{fault:?}: {answer:?}");
            *seen.entry(fault).or_default() += 1;
            proxy.calm_down();
            assert_eq!(ask(&proxy).await.unwrap(), 8, "{fault:?}");
            if seen.len() == Fault::ALL.len() {
                break;
            }
        }
    }
}
