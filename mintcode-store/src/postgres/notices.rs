//! Tells the processes that share a database what each of them stores, beside the commits and never in them: a commit with
//! a notice of its own would wait for every other one that has one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use mintcode_core::ids::RedemptionId;
use mintcode_core::ports::News;
use mintcode_core::ports::supplier::BoxError;
use mintcode_core::redemption::Redemption;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Connection, Socket};

use super::connection::Database;

/// Changes that wait to be told. What comes later is not told: readers look now and then all the same.
const QUEUE: usize = 4096;

/// News that a reader may be behind before it is told that it missed some.
const BACKLOG: usize = 4096;

/// How long changes are gathered, to be told together.
const GATHER: Duration = Duration::from_millis(5);

/// The longest payload: PostgreSQL takes less than 8,000 bytes.
const PAYLOAD: usize = 7_500;

/// Payloads told at once. Where there is more to tell, all are told to look.
const PAYLOADS: usize = 16;

/// Stands for more than can be told.
const ANYTHING: &str = "*";

/// How long to wait before connecting again.
const AFTER_LOSS: Duration = Duration::from_secs(1);

/// Tells other processes, and hears of them.
pub(super) struct Notices {
    queue: mpsc::Sender<(RedemptionId, u64)>,
    heard: broadcast::Sender<News>,
}

impl Notices {
    pub(super) fn start(database: &Database) -> Self {
        let (queue, told) = mpsc::channel(QUEUE);
        let (heard, _) = broadcast::channel(BACKLOG);
        // Ends when nobody can tell anything any more.
        drop(tokio::spawn(attend(database.clone(), told, heard.clone())));
        Self { queue, heard }
    }

    /// Tells that `redemption` is stored as it is, as far as there is room.
    pub(super) fn tell(&self, redemption: &Redemption) {
        // A notice that is lost costs its reader time and nothing else.
        let _ = self.queue.try_send((redemption.id, redemption.version));
    }

    pub(super) fn news(&self) -> broadcast::Receiver<News> {
        self.heard.subscribe()
    }
}

/// Keeps a connection for notices, through losses of it.
async fn attend(
    database: Database,
    mut told: mpsc::Receiver<(RedemptionId, u64)>,
    heard: broadcast::Sender<News>,
) {
    loop {
        match tell_and_hear(&database, &mut told, &heard).await {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(%error, "notices of other processes are not heard; storage is looked at instead");
            }
        }
        tokio::time::sleep(AFTER_LOSS).await;
        if told.is_closed() && told.is_empty() {
            return;
        }
    }
}

/// `Ok` once nobody can tell anything any more.
async fn tell_and_hear(
    database: &Database,
    told: &mut mpsc::Receiver<(RedemptionId, u64)>,
    heard: &broadcast::Sender<News>,
) -> Result<(), BoxError> {
    let (client, connection) = database.connect_apart().await?;
    let (lost, mut is_lost) = oneshot::channel();
    let own = Arc::new(AtomicI32::new(0));
    let listening = AbortOnDrop(tokio::spawn(listen(connection, heard.clone(), Arc::clone(&own), lost)));
    let sql = "SELECT pg_backend_pid(), 'mintcode_' || md5(coalesce(current_schema(), ''))";
    let row = client.query_one(sql, &[]).await?;
    own.store(row.try_get(0)?, Ordering::Relaxed);
    let channel: String = row.try_get(1)?;
    client.batch_execute(&format!("LISTEN {channel}")).await?;
    // What was told before this is not known. Nobody may be listening here.
    let _ = heard.send(News::Anything);
    loop {
        let first = tokio::select! {
            first = told.recv() => first,
            _ = &mut is_lost => return Err("the connection was lost".into()),
        };
        let Some((redemption, version)) = first else {
            drop(listening);
            return Ok(());
        };
        tokio::time::sleep(GATHER).await;
        let mut changes = BTreeMap::from([(redemption, version)]);
        while let Ok((redemption, version)) = told.try_recv() {
            changes.insert(redemption, version);
        }
        tell(&client, &channel, &changes).await?;
    }
}

/// A task that ends with its handle.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn tell(
    client: &Client,
    channel: &str,
    changes: &BTreeMap<RedemptionId, u64>,
) -> Result<(), tokio_postgres::Error> {
    let payloads = payloads(changes);
    client
        .execute("SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload", &[&channel, &payloads])
        .await?;
    Ok(())
}

/// A line for each change, in as few texts as it takes.
fn payloads(changes: &BTreeMap<RedemptionId, u64>) -> Vec<String> {
    let mut payloads = vec![String::new()];
    for (redemption, version) in changes {
        let mut line = String::new();
        writeln!(line, "{redemption} {version}").expect("a String takes whatever is written");
        match payloads.last_mut() {
            Some(last) if last.len() + line.len() <= PAYLOAD => last.push_str(&line),
            _ => payloads.push(line),
        }
    }
    if payloads.len() > PAYLOADS { vec![ANYTHING.to_owned()] } else { payloads }
}

/// What a payload says, whoever wrote it.
fn read(payload: &str) -> impl Iterator<Item = News> {
    payload.lines().map(|line| {
        let change = line.split_once(' ').and_then(|(redemption, version)| {
            Some(News::Version { redemption: redemption.parse().ok()?, version: version.parse().ok()? })
        });
        change.unwrap_or(News::Anything)
    })
}

/// Hears what other connections tell, until this one is lost.
async fn listen<T>(
    mut connection: Connection<Socket, T>,
    heard: broadcast::Sender<News>,
    own: Arc<AtomicI32>,
    _lost: oneshot::Sender<()>,
) where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            Ok(AsyncMessage::Notification(notification))
                if notification.process_id() != own.load(Ordering::Relaxed) =>
            {
                for news in read(notification.payload()) {
                    // Nobody may be listening here.
                    let _ = heard.send(news);
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "the connection for notices was lost");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mintcode_core::testing::SeededEntropy;

    use super::*;

    fn changes(count: u64) -> BTreeMap<RedemptionId, u64> {
        let entropy = SeededEntropy::new(7);
        (1..=count).map(|version| (RedemptionId::draw(&entropy), version)).collect()
    }

    #[test]
    fn what_is_told_is_heard_in_few_payloads() {
        let changes = changes(1_000);
        let payloads = payloads(&changes);
        assert!(payloads.len() < 8, "{}", payloads.len());
        assert!(payloads.iter().all(|payload| payload.len() <= PAYLOAD));
        let heard: Vec<_> = payloads.iter().flat_map(|payload| read(payload)).collect();
        let told = changes.into_iter().map(|(redemption, version)| News::Version { redemption, version });
        assert_eq!(heard, told.collect::<Vec<_>>());
    }

    #[test]
    fn where_there_is_too_much_to_tell_all_are_told_to_look() {
        let payloads = payloads(&changes(100_000));
        assert_eq!(payloads, [ANYTHING]);
        assert_eq!(read(&payloads[0]).collect::<Vec<_>>(), [News::Anything]);
        assert_eq!(read("something else").collect::<Vec<_>>(), [News::Anything]);
    }
}
