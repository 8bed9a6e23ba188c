//! Large batches: stored in steps, between which others get their turn, and seen by nobody before the last one.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mintcode_core::ports::NewVouchers;
use mintcode_core::ports::storage::StorageError;
use mintcode_core::ports::vouchers::{Inserted, NewBatch};
use mintcode_core::voucher::{Mask, VoucherHash};
use rusqlite::Connection;
use tokio::time::Instant;

use super::minting::{self, NotInserted, Taken};
use super::redemptions::{execute, row, rows};
use super::writer::Writer;
use super::{SqliteStore, unavailable};
use crate::rows::{Row, micros};

/// How many vouchers a batch has at most that is stored in one transaction.
const SMALL: usize = 4096;
/// The fewest and the most vouchers of a step.
const STEP: std::ops::RangeInclusive<usize> = 512..=16_384;
/// What a step's statements may take: its commit takes about as long again, and together they keep others waiting.
const STEP_TIME: Duration = Duration::from_millis(8);
/// How long the file is left to other processes between two steps: they look for their turn once a millisecond.
const PAUSE: Duration = Duration::from_millis(1);
/// How long after a step a batch is given up whose next one did not come.
const LEASE: TimeDelta = TimeDelta::seconds(30);
/// Vouchers removed in a step.
const REMOVED_AT_ONCE: u32 = 2048;

/// Whoever stored the batch was not heard of for so long that it was given up.
#[derive(Debug, thiserror::Error)]
#[error("storing the batch was held up for so long that it was given up; nothing is stored")]
struct GivenUp;

impl SqliteStore {
    pub(super) async fn mint(
        &self,
        batch: NewBatch,
        vouchers: NewVouchers,
    ) -> Result<Inserted, StorageError> {
        let stored = if vouchers.count() <= SMALL || batch.replaces.is_some() {
            self.mint_at_once(batch, &vouchers).await
        } else {
            // What is left of others would pass for codes that are under way.
            self.remove_given_up(batch.minted_at).await?;
            self.mint_in_steps(batch, &vouchers).await
        };
        match stored {
            Ok(inserted) => Ok(inserted),
            Err(NotInserted::Taken(taken)) if taken.stored.is_empty() => Ok(Inserted::InFlight),
            Err(NotInserted::Taken(taken)) => Ok(Inserted::Duplicate(vouchers.places_of(&taken.stored))),
            Err(NotInserted::Storage(error)) => Err(error),
        }
    }

    async fn mint_at_once(&self, batch: NewBatch, vouchers: &NewVouchers) -> Result<Inserted, NotInserted> {
        let rows = vouchers.in_key_order();
        let inserted =
            self.writer.write(move |connection| minting::insert_whole(connection, &batch, &rows)).await?;
        vouchers.stored(vouchers.count());
        Ok(inserted)
    }

    async fn mint_in_steps(&self, batch: NewBatch, vouchers: &NewVouchers) -> Result<Inserted, NotInserted> {
        let (begun, batch) = (Instant::now(), Arc::new(batch));
        let lease = {
            let minted_at = batch.minted_at;
            move || {
                let passed = TimeDelta::from_std(begun.elapsed()).unwrap_or(TimeDelta::MAX);
                minted_at.checked_add_signed(passed + LEASE).unwrap_or(DateTime::<Utc>::MAX_UTC)
            }
        };
        let (staged, until) = (Arc::clone(&batch), lease());
        let number = match self.writer.write(move |connection| begin(connection, &staged, until)).await? {
            Begun::Staged(number) => number,
            Begun::Answered(answer) => return Ok(answer),
        };
        let staged = Staged { writer: &self.writer, number, is_open: true };

        let source = vouchers.clone();
        let rows = tokio::task::spawn_blocking(move || source.in_key_order()).await;
        let rows = Arc::new(rows.map_err(|panic| StorageError::Unavailable(Box::new(panic)))?);
        let (mut next, mut size, mut taken) = (0, SMALL, Taken::default());
        while next < rows.len() {
            let end = rows.len().min(next + size);
            let step = Step { number, batch: Arc::clone(&batch), until: lease() };
            let range = (Arc::clone(&rows), next..end);
            let (more, took) = self
                .writer
                .write(move |connection| step.store(connection, &range.0[range.1.clone()]))
                .await?;
            taken.add(more);
            vouchers.stored(end - next);
            (next, size) = (end, size_after(size, took));
            tokio::time::sleep(PAUSE).await;
        }
        if !taken.is_empty() {
            self.take_back(number, &batch).await?;
            return Err(NotInserted::Taken(taken));
        }
        let (whole, count) = (Arc::clone(&batch), rows.len());
        match self.writer.write(move |connection| finish(connection, number, &whole, count)).await? {
            None => {
                staged.let_go();
                Ok(Inserted::New)
            }
            Some(refused) => {
                self.take_back(number, &batch).await?;
                Ok(refused)
            }
        }
    }

    /// Removes a batch that is not going to be whole.
    async fn take_back(&self, number: i64, batch: &NewBatch) -> Result<(), StorageError> {
        let now = DateTime::<Utc>::MAX_UTC;
        self.writer.write(move |connection| minting::give_up(connection, number, now)).await?;
        self.remove_given_up(batch.minted_at).await.map(drop)
    }

    /// Removes batches whose storing was given up before `now`, with their vouchers, and returns how many of these.
    pub(super) async fn remove_given_up(&self, now: DateTime<Utc>) -> Result<u64, StorageError> {
        let mut removed = 0;
        while let Some(number) = self.read(|connection| first_given_up(connection, now))? {
            self.writer.write(move |connection| minting::give_up(connection, number, now)).await?;
            let mut after = Vec::new();
            loop {
                // Found while others write: there is no index by batch, so that all vouchers between are read.
                let begin = after.clone();
                let found = self.read_long(move |connection| vouchers_of(connection, number, &begin)).await?;
                let Some(last) = found.last() else { break };
                after.clone_from(last);
                removed += found.len() as u64;
                self.writer.write(move |connection| remove_vouchers(connection, number, &found)).await?;
                tokio::time::sleep(PAUSE).await;
            }
            self.writer
                .write(move |connection| {
                    let sql = "DELETE FROM every_batch WHERE number = ?1 AND staged_until = 0";
                    execute(connection, sql, [number], || Row::of("batch", &number))
                })
                .await?;
        }
        Ok(removed)
    }
}

/// How many vouchers the next step has after one of `size` took so long.
fn size_after(size: usize, took: Duration) -> usize {
    let wanted = if took > STEP_TIME {
        size / 2
    } else if took < STEP_TIME / 2 {
        size * 2
    } else {
        size
    };
    wanted.clamp(*STEP.start(), *STEP.end())
}

/// A batch on its way. Dropped before it is whole, as when nobody waits any more, it is left to be removed.
struct Staged<'a> {
    writer: &'a Writer,
    number: i64,
    is_open: bool,
}

impl Staged<'_> {
    fn let_go(mut self) {
        self.is_open = false;
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        let number = self.number;
        if self.is_open {
            // Where there is no room for it, its lease runs out instead.
            self.writer.write_unheard(move |connection| {
                minting::give_up(connection, number, DateTime::<Utc>::MAX_UTC).map(drop)
            });
        }
    }
}

enum Begun {
    Staged(i64),
    Answered(Inserted),
}

fn begin(connection: &Connection, batch: &NewBatch, until: DateTime<Utc>) -> Result<Begun, StorageError> {
    let answer = match minting::answered_before(connection, batch)? {
        None => minting::refusal(connection, batch)?,
        answer => answer,
    };
    match answer {
        Some(answer) => Ok(Begun::Answered(answer)),
        None => minting::insert_batch(connection, batch, Some(until)).map(Begun::Staged),
    }
}

/// Some vouchers of a staged batch, which is heard of until then.
struct Step {
    number: i64,
    batch: Arc<NewBatch>,
    until: DateTime<Utc>,
}

impl Step {
    fn store(
        &self,
        connection: &Connection,
        vouchers: &[(VoucherHash, Mask)],
    ) -> Result<(Taken, Duration), StorageError> {
        let started = Instant::now();
        // By its id as well: where it is gone, its number may be another's.
        let sql =
            "UPDATE every_batch SET staged_until = ?3 WHERE number = ?1 AND id = ?2 AND staged_until > 0";
        let parameters = (self.number, self.batch.id.to_string(), micros(self.until));
        if execute(connection, sql, parameters, || Row::of("batch", &self.number))? == 0 {
            return Err(StorageError::Unavailable(Box::new(GivenUp)));
        }
        let taken = minting::insert_vouchers(connection, self.number, &self.batch, vouchers)?;
        Ok((taken, started.elapsed()))
    }
}

/// Lets a batch be seen whose vouchers are all stored, unless its SKU went off sale meanwhile.
fn finish(
    connection: &Connection,
    number: i64,
    batch: &NewBatch,
    vouchers: usize,
) -> Result<Option<Inserted>, StorageError> {
    if let Some(refused) = minting::refusal(connection, batch)? {
        return Ok(Some(refused));
    }
    let sql = "UPDATE every_batch SET staged_until = NULL WHERE number = ?1 AND id = ?2 AND staged_until > 0";
    let parameters = (number, batch.id.to_string());
    if execute(connection, sql, parameters, || Row::of("batch", &number))? == 0 {
        return Err(StorageError::Unavailable(Box::new(GivenUp)));
    }
    minting::insert_count(connection, number, vouchers)?;
    Ok(None)
}

fn first_given_up(connection: &Connection, now: DateTime<Utc>) -> Result<Option<i64>, StorageError> {
    let sql = "SELECT number FROM every_batch WHERE staged_until IS NOT NULL AND staged_until < ?1
               ORDER BY staged_until LIMIT 1";
    row(connection, sql, [micros(now)], |row| row.get(0))
}

fn vouchers_of(connection: &Connection, number: i64, after: &[u8]) -> Result<Vec<Vec<u8>>, StorageError> {
    let sql = "SELECT hash FROM voucher WHERE hash > ?1 AND batch = ?2 ORDER BY hash LIMIT ?3";
    rows(connection, sql, (after, number, REMOVED_AT_ONCE), |row| row.get(0))
}

fn remove_vouchers(connection: &Connection, number: i64, hashes: &[Vec<u8>]) -> Result<(), StorageError> {
    let sql = "DELETE FROM voucher WHERE hash = ?1 AND batch = ?2";
    let mut remove = connection.prepare_cached(sql).map_err(unavailable)?;
    for hash in hashes {
        remove.execute((hash, number)).map_err(unavailable)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_grow_while_they_are_short_and_shrink_while_they_are_long() {
        let after = |size, millis| size_after(size, Duration::from_millis(millis));
        assert_eq!([after(4096, 1), after(4096, 6), after(4096, 9)], [8192, 4096, 2048]);
        assert_eq!([after(16_384, 1), after(512, 100)], [16_384, 512]);
    }
}
