//! Who drives which redemption, and which nobody does.

use mintcode_core::alert::{Alert, AlertChange};
use mintcode_core::ids::{RedemptionId, WorkerId};
use mintcode_core::ports::storage::{Adopt, StorageError};
use mintcode_core::redemption::Redemption;
use rusqlite::Connection;

use super::alerts;
use super::redemptions::{execute, load, redemption_row, row, rows};
use crate::rows::Row;
use crate::vault::Vault;

/// Owners of redemptions that are to be driven, other than `?1`, that are no workers. One step in the index per owner: however many
/// redemptions an owner has, they are not read.
const OWNERS_GONE: &str = "
    WITH RECURSIVE known (owner) AS (
        SELECT ''
        UNION ALL
        SELECT (SELECT min(redemption.owner) FROM redemption
            WHERE is_at_rest = 0 AND is_quarantined = 0 AND redemption.owner > known.owner)
        FROM known WHERE known.owner IS NOT NULL)
    SELECT owner FROM known WHERE owner <> '' AND owner <> ?1 AND owner NOT IN (SELECT id FROM worker)";

const OLDEST_OF_OWNER: &str = "
    SELECT created_at, id FROM redemption
    WHERE is_at_rest = 0 AND is_quarantined = 0 AND owner = ?1 ORDER BY created_at, id LIMIT ?2";

const OLDEST_OF_NOBODY: &str = "
    SELECT created_at, id FROM redemption
    WHERE is_at_rest = 0 AND is_quarantined = 0 AND owner IS NULL ORDER BY created_at, id LIMIT ?1";

/// Walks through the inbox alone, in the order of arrival.
const INBOXES: &str = "
    SELECT inbox.redemption FROM inbox CROSS JOIN redemption ON redemption.id = inbox.redemption
    WHERE (owner = ?1
            OR (owner IS NULL OR NOT EXISTS (SELECT 1 FROM worker WHERE worker.id = owner)) AND is_quarantined = 0)
        AND NOT EXISTS (SELECT 1 FROM inbox AS earlier
            WHERE earlier.redemption = inbox.redemption AND earlier.id < inbox.id)
    ORDER BY inbox.id LIMIT ?2";

/// The ids of the redemptions, at most `limit`, that are to be driven and that `worker` may take over, oldest first.
pub(super) fn undriven(
    connection: &Connection,
    worker: WorkerId,
    limit: usize,
) -> Result<Vec<String>, StorageError> {
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let read =
        |row: &rusqlite::Row<'_>| -> rusqlite::Result<(i64, String)> { Ok((row.get(0)?, row.get(1)?)) };
    let mut found = rows(connection, OLDEST_OF_NOBODY, [most], read)?;
    let gone: Vec<String> = rows(connection, OWNERS_GONE, [worker.to_string()], |row| row.get(0))?;
    for owner in gone {
        found.extend(rows(connection, OLDEST_OF_OWNER, (owner, most), read)?);
    }
    found.sort_unstable();
    found.truncate(limit);
    Ok(found.into_iter().map(|(_, id)| id).collect())
}

/// Takes over what nobody drives, oldest first, and puts into quarantine what was taken over too often.
pub(super) fn adopt(
    connection: &Connection,
    vault: &Vault,
    adopt: &Adopt,
) -> Result<Vec<Redemption>, StorageError> {
    let worker = adopt.worker.to_string();
    let sql =
        "UPDATE redemption SET owner = ?2, epoch = epoch + 1, takeovers = takeovers + (owner IS NOT NULL)
               WHERE id = ?1 AND takeovers < ?3
               RETURNING id, version, epoch, owner, takeovers, next, state";
    let limit = usize::try_from(adopt.limit).unwrap_or(usize::MAX);
    let mut adopted = Vec::new();
    loop {
        // What went into quarantine makes room for others.
        let undriven = undriven(connection, adopt.worker, limit - adopted.len())?;
        if undriven.is_empty() {
            return Ok(adopted);
        }
        for id in undriven {
            match row(connection, sql, (&id, &worker, adopt.most_takeovers), redemption_row)? {
                None => quarantine(connection, vault, &id, adopt)?,
                Some(row) => match row.read(vault) {
                    Ok(redemption) => adopted.push(redemption),
                    // Taken over all the same and left alone, so that one bad row holds nobody else back.
                    Err(error) => tracing::error!(%error, "a redemption cannot be driven"),
                },
            }
        }
    }
}

fn quarantine(connection: &Connection, vault: &Vault, id: &str, adopt: &Adopt) -> Result<(), StorageError> {
    let sql = "UPDATE redemption SET is_quarantined = 1, owner = NULL, epoch = epoch + 1 WHERE id = ?1";
    execute(connection, sql, [id], || Row::of("redemption", id))?;
    match load(connection, vault, id) {
        Ok(Some(Redemption { mask, sku, .. })) => {
            let alert = AlertChange::raise(Alert::Quarantined { voucher: mask, sku });
            alerts::apply(connection, [&alert], adopt.now)
        }
        Ok(None) => Ok(()),
        Err(error @ StorageError::Corrupt { .. }) => {
            tracing::error!(%error, "a redemption in quarantine cannot be read");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

pub(super) fn adopt_one(
    connection: &Connection,
    vault: &Vault,
    worker: WorkerId,
    id: RedemptionId,
) -> Result<Option<Redemption>, StorageError> {
    let sql =
        "UPDATE redemption SET owner = ?2, epoch = epoch + 1, takeovers = takeovers + (owner IS NOT NULL)
               WHERE id = ?1 AND owner IS NOT ?2 AND is_quarantined = 0
                   AND (owner IS NULL OR owner NOT IN (SELECT id FROM worker))";
    execute(connection, sql, (id.to_string(), worker.to_string()), || Row::of("redemption", &id))?;
    let redemption = load(connection, vault, &id.to_string())?;
    Ok(redemption.filter(|redemption| redemption.owner == Some(worker)))
}

pub(super) fn outlived(
    connection: &Connection,
    worker: WorkerId,
    redemptions: &[RedemptionId],
) -> Result<(), StorageError> {
    let worker = worker.to_string();
    let sql = "UPDATE redemption SET takeovers = 0 WHERE id = ?1 AND owner = ?2 AND takeovers > 0";
    for id in redemptions {
        execute(connection, sql, (id.to_string(), &worker), || Row::of("redemption", id))?;
    }
    Ok(())
}

pub(super) fn resume(connection: &Connection, id: RedemptionId) -> Result<bool, StorageError> {
    let sql = "UPDATE redemption SET is_quarantined = 0, takeovers = 0 WHERE id = ?1 AND is_quarantined = 1";
    Ok(execute(connection, sql, [id.to_string()], || Row::of("redemption", &id))? > 0)
}

pub(super) fn inboxes(
    connection: &Connection,
    worker: WorkerId,
    limit: u32,
) -> Result<Vec<RedemptionId>, StorageError> {
    rows(connection, INBOXES, (worker.to_string(), limit), |row| row.get(0))?
        .into_iter()
        .map(|id: String| Row::of("inbox", &id).parse(&id))
        .collect()
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::sqlite::{connection, migrations};

    const ME: &str = "wrk_00000000000000000000000001";

    /// A database in which a living worker drives `count` redemptions, ten of which were told something.
    fn driven(count: u32) -> (tempfile::TempDir, Connection) {
        let directory = tempfile::tempdir().unwrap();
        let mut connection = connection::open_writer(&directory.path().join("test.db")).unwrap();
        migrations::run(&mut connection, None, false).unwrap();
        let rows = format!(
            "BEGIN;
             INSERT INTO worker VALUES ('{ME}', 3);
             INSERT INTO sku VALUES ('tg', 'TG', '{{}}');
             INSERT INTO every_batch (number, id, sku, label, shape, key_id, count, minted_by, minted_at)
                 VALUES (1, 'bat', 'tg', 'TG', '{{}}', x'01020304', {count}, 'test', 0);
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})
                 INSERT INTO voucher (hash, batch, mask, state, came_from)
                 SELECT cast(printf('%016d', n) AS BLOB), 1, 'ABCDWXYZ', 'redeeming', 'issued' FROM n;
             INSERT INTO redemption (id, voucher, sku, status, phase, standing, is_at_rest, version, epoch, owner, deadline,
                     created_at, updated_at, state)
                 SELECT cast(hash AS TEXT), hash, 'tg', 'waiting_sms', 'waiting', 'live', 0, 3, 1, '{ME}', 0, 0, 0, x'00'
                 FROM voucher;
             INSERT INTO inbox (redemption, item) SELECT id, x'00' FROM redemption ORDER BY id LIMIT 10;
             COMMIT;"
        );
        connection.execute_batch(&rows).unwrap();
        (directory, connection)
    }

    /// Runs `sql`; how many rows it finds, and how many steps SQLite takes for that.
    fn steps(connection: &Connection, sql: &str, parameters: impl rusqlite::Params) -> (usize, i32) {
        let mut statement = connection.prepare(sql).unwrap();
        let found = statement.query_map(parameters, |_| Ok(())).unwrap().count();
        (found, statement.get_status(StatementStatus::VmStep))
    }

    /// What SQLite reads for `sql`, and how.
    fn plan(connection: &Connection, sql: &str) -> Vec<String> {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let details = statement.raw_query().mapped(|row| row.get("detail"));
        details.collect::<rusqlite::Result<_>>().unwrap()
    }

    /// They are made every second.
    #[test]
    fn looks_for_work_cost_the_same_however_much_is_driven() {
        let (few, many) = (driven(50), driven(5_000));
        let look = |connection: &Connection| {
            [
                steps(connection, OWNERS_GONE, ["wrk_2"]),
                steps(connection, OLDEST_OF_NOBODY, [100]),
                steps(connection, INBOXES, (ME, 100)),
                steps(connection, INBOXES, ("wrk_2", 100)),
            ]
        };
        let (few, many) = (look(&few.1), look(&many.1));
        assert_eq!(few, many);
        assert_eq!(many.map(|(found, _)| found), [0, 0, 10, 0]);
    }

    #[test]
    fn looks_for_work_read_by_index_and_sort_nothing() {
        let (_directory, connection) = driven(1);
        for sql in [OWNERS_GONE, OLDEST_OF_OWNER, OLDEST_OF_NOBODY, INBOXES] {
            let plan = plan(&connection, sql);
            assert!(plan.iter().any(|step| step.starts_with("SEARCH redemption USING ")), "{plan:#?}");
            for step in &plan {
                assert!(!step.contains("SCAN redemption"), "{plan:#?}");
                assert!(!step.contains("FOR ORDER BY"), "{plan:#?}");
            }
        }
    }
}
