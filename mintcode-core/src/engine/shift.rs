//! One worker's life after another: enlist, work, and begin anew after a loss.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::driver::Driver;
use super::house::{keep_house, prove_books};
use super::issuer::Issuer;
use super::journal::persist;
use super::life::live;
use super::poller::Poller;
use super::post::Post;
use super::pulse::Pulse;
use super::supplier_desk::Chain;
use super::sweeper::Sweeper;
use super::teller::Teller;
use super::watch::{watch_accounts, watch_prices};
use super::worker::{Command, Ending, Orders, Worker};
use crate::ids::WorkerId;
use crate::ports::{AlertSink, Alerts, Clock, Reports, StorageError};

/// How long something beside the redemptions rests that panicked.
const AFTER_PANIC: Duration = Duration::from_secs(5);
/// How long a supplier may take to tell its newest orders before the worker begins without.
const PATIENCE: Duration = Duration::from_secs(3);

/// Everything that works in this process.
pub(super) struct Shifts {
    pub(super) driver: Arc<Driver>,
    pub(super) post: Arc<Post>,
    pub(super) issuer: Issuer,
    pub(super) reports: Arc<dyn Reports>,
    pub(super) alerts: Arc<dyn Alerts>,
    pub(super) sink: Option<Arc<dyn AlertSink>>,
    pub(super) is_alone: bool,
}

impl Shifts {
    /// Works until `orders`. A worker that lost its redemptions, because it was not heard of for too long, is followed by
    /// another one.
    pub(super) async fn run(self, mut commands: mpsc::Receiver<Command>, orders: Orders) {
        loop {
            let pulse = tokio::select! {
                biased;
                () = orders.stop.cancelled() => return,
                enlisted = self.enlist() => match enlisted {
                    Ok(pulse) => Arc::new(pulse),
                    Err(error) => {
                        tracing::error!(error = %Chain(&error), "no worker can be enlisted");
                        return;
                    }
                },
            };
            let ending = {
                let _beside = self.beside(&pulse);
                if !orders.drain.is_cancelled() {
                    self.post.set(Some(pulse.worker));
                }
                tokio::select! {
                    biased;
                    () = orders.stop.cancelled() => {}
                    () = pulse.ended() => {}
                    () = self.prepare() => {}
                }
                let draining = async {
                    orders.drain.cancelled().await;
                    self.post.set(None);
                    std::future::pending().await
                };
                let work = Worker::new(
                    Arc::clone(&self.driver),
                    Arc::clone(&pulse),
                    &mut commands,
                    orders.drain.clone(),
                );
                tokio::select! {
                    biased;
                    ending = draining => ending,
                    ending = work.run(orders.clone()) => ending,
                }
            };
            self.post.set(None);
            pulse.end();
            self.driver.clock_is_nobodys(&pulse).await;
            let workers = &self.driver.workers;
            let retired = persist("retiring", || workers.retire(pulse.worker));
            if ending == Ending::Stopped {
                // Whoever comes next can wait for the worker's end as well, so storage that is away is not waited for.
                if let Err(error) = workers.retire(pulse.worker).await {
                    tracing::warn!(error = %Chain(&error), "the worker could not retire");
                }
                return;
            }
            tracing::warn!("the worker was not heard of for too long: another one begins");
            tokio::select! {
                biased;
                () = orders.stop.cancelled() => return,
                retired = retired => if let Err(error) = retired {
                    tracing::error!(error = %Chain(&error), "the worker could not retire");
                },
            }
        }
    }

    async fn enlist(&self) -> Result<Pulse, StorageError> {
        let driver = &self.driver;
        persist("asking storage for its time", || driver.clock.agree(&*driver.workers)).await?;
        let worker = WorkerId::draw(&*driver.entropy);
        let mut sent_at = driver.clock.uptime();
        let theirs = persist("enlisting", || {
            sent_at = driver.clock.uptime();
            driver.workers.enlist(worker, self.is_alone, driver.clock.now())
        });
        let theirs = theirs.await?;
        let clock = Arc::clone(&driver.clock) as Arc<dyn Clock>;
        let pulse = Pulse::new(worker, clock, driver.timing.worker_ttl, sent_at);
        // Whether that is worth an alert is seen with the first beat.
        theirs.and_then(|theirs| pulse.compare(theirs));
        Ok(pulse)
    }

    /// Notes since when each account is worked with, before anything is bought there: what came before is nobody's to give
    /// back. Learns the newest orders, so that a purchase whose answer is lost can be told from older ones.
    async fn prepare(&self) {
        for (name, desk) in &self.driver.suppliers {
            let (storage, orphans) = (self.driver.journal.storage(), &self.driver.orphans);
            let installed = persist("noting since when an account is worked with", || {
                orphans.installed_at(name, self.driver.clock.now())
            });
            if let Err(error) = installed.await {
                tracing::error!(supplier = %name, error = %Chain(&error), "since when it is worked with is not known");
            }
            match persist("reading the newest order", || storage.newest_order(name)).await {
                Ok(newest) => newest.iter().for_each(|order| desk.know(order)),
                Err(error) => tracing::error!(error = %Chain(&error), "the newest order could not be read"),
            }
            // The supplier's own list tells of orders that are nobody's, too; a slow one is not waited for.
            drop(tokio::time::timeout(PATIENCE, desk.learn_newest()).await);
        }
    }

    /// What is done beside the redemptions, each in a task of its own. It may stop anywhere: the next worker does it again.
    fn beside(&self, pulse: &Arc<Pulse>) -> Vec<AbortOnDropHandle<()>> {
        let driver = || Arc::clone(&self.driver);
        let teller = Teller {
            alerts: Arc::clone(&self.alerts),
            sink: self.sink.clone(),
            driver: driver(),
            pulse: Arc::clone(pulse),
        };
        let (teller, issuer, house) = (Arc::new(teller), self.issuer.clone(), driver());
        let (books, prices) = ((driver(), Arc::clone(&self.reports)), (driver(), Arc::clone(&self.reports)));
        let (accounts, beating) = (driver(), (driver(), Arc::clone(pulse)));
        let mut beside = vec![
            tend("beating", move || live(Arc::clone(&beating.0), Arc::clone(&beating.1))),
            tend("telling alerts", move || Arc::clone(&teller).run()),
            tend("keeping house", move || keep_house(issuer.clone(), Arc::clone(&house))),
            tend("proving the books", move || prove_books(Arc::clone(&books.0), Arc::clone(&books.1))),
            tend("watching accounts", move || watch_accounts(Arc::clone(&accounts))),
            tend("watching prices", move || watch_prices(Arc::clone(&prices.0), Arc::clone(&prices.1))),
        ];
        for (name, desk) in &self.driver.suppliers {
            let (workers, line_of) = (Arc::clone(&self.driver.workers), name.clone());
            let steady = Arc::clone(&self.driver.clock);
            let line = Arc::clone(&desk.line);
            beside.push(tend("keeping a line", move || {
                let clock = Arc::clone(&steady) as Arc<dyn Clock>;
                Arc::clone(&line).keep(line_of.clone(), Arc::clone(&workers), clock)
            }));
            let sweeper = Arc::new(Sweeper {
                name: name.clone(),
                desk: Arc::clone(desk),
                driver: driver(),
                pulse: Arc::clone(pulse),
            });
            beside.push(tend("sweeping", move || Arc::clone(&sweeper).run()));
            let (name, desk, driver, pulse) = (name.clone(), Arc::clone(desk), driver(), Arc::clone(pulse));
            beside.push(tend("polling", move || {
                let parts = (name.clone(), Arc::clone(&desk), Arc::clone(&driver), Arc::clone(&pulse));
                Poller::new(parts.0, parts.1, parts.2, parts.3).run()
            }));
        }
        beside
    }
}

/// Keeps `work` going in a task of its own for as long as the handle lives: a panic in it ends nothing else.
fn tend<F: Future<Output = ()> + Send + 'static>(
    what: &'static str,
    work: impl Fn() -> F + Send + 'static,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        while let Err(error) = AbortOnDropHandle::new(tokio::spawn(work())).await {
            tracing::error!(%error, "{what} ended badly, and begins again");
            tokio::time::sleep(AFTER_PANIC).await;
        }
    }))
}
