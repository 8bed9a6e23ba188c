//! The tables of the database, as they are.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Row};

use crate::Error;
use crate::cluster::connect;

/// Everything the auditor looks at. Times are microseconds since 1970.
pub(crate) struct Tables {
    pub(crate) vouchers: Vec<VoucherRow>,
    pub(crate) redemptions: Vec<RedemptionRow>,
    pub(crate) attempts: Vec<AttemptRow>,
    pub(crate) claims: Vec<ClaimRow>,
    pub(crate) orphans: Vec<OrphanRow>,
    pub(crate) costs: Vec<CostRow>,
    /// Vouchers by state, as they are counted beside them.
    pub(crate) counted: Vec<(String, i64)>,
}

pub(crate) struct VoucherRow {
    pub(crate) hash: String,
    pub(crate) state: String,
    pub(crate) tries: i64,
    pub(crate) buys: i64,
}

pub(crate) struct RedemptionRow {
    pub(crate) id: String,
    pub(crate) voucher: String,
    pub(crate) status: String,
    pub(crate) is_at_rest: bool,
    pub(crate) epoch: i64,
    /// Whether it lost its owner so often that it waits for the operator.
    pub(crate) is_quarantined: bool,
}

pub(crate) struct AttemptRow {
    pub(crate) redemption: String,
    pub(crate) number: i64,
    pub(crate) order: Option<String>,
    pub(crate) outcome: Option<String>,
}

pub(crate) struct ClaimRow {
    pub(crate) order: String,
    pub(crate) redemption: String,
}

pub(crate) struct OrphanRow {
    pub(crate) order: String,
    pub(crate) is_settled: bool,
}

/// What the books of the service say of one order: charged less refunded, in micro-units.
pub(crate) struct CostRow {
    pub(crate) order: String,
    pub(crate) cost: i64,
}

impl Tables {
    /// Reads an SQLite file that a server may have open.
    pub(crate) fn of_sqlite(file: &Path) -> Result<Self, Error> {
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        // All of it as it is at one moment.
        connection.execute_batch("BEGIN")?;
        let all = All(&connection);
        Ok(Self {
            vouchers: all.rows("SELECT hex(hash), state, tries, buys FROM voucher", |row| {
                Ok(VoucherRow { hash: row.get(0)?, state: row.get(1)?, tries: row.get(2)?, buys: row.get(3)? })
            })?,
            redemptions: all.rows(
                "SELECT id, hex(voucher), status, is_at_rest, epoch, is_quarantined FROM redemption",
                |row| {
                    Ok(RedemptionRow {
                        id: row.get(0)?,
                        voucher: row.get(1)?,
                        status: row.get(2)?,
                        is_at_rest: row.get(3)?,
                        epoch: row.get(4)?,
                        is_quarantined: row.get(5)?,
                    })
                },
            )?,
            attempts: all.rows("SELECT redemption, number, order_id, outcome FROM attempt", |row| {
                Ok(AttemptRow {
                    redemption: row.get(0)?,
                    number: row.get(1)?,
                    order: row.get(2)?,
                    outcome: row.get(3)?,
                })
            })?,
            claims: all.rows("SELECT order_id, redemption FROM claim", |row| {
                Ok(ClaimRow { order: row.get(0)?, redemption: row.get(1)? })
            })?,
            orphans: all.rows("SELECT order_id, settled_at IS NOT NULL FROM orphan", |row| {
                Ok(OrphanRow { order: row.get(0)?, is_settled: row.get(1)? })
            })?,
            costs: all.rows(
                "SELECT order_id, sum(CASE kind WHEN 'charge' THEN amount WHEN 'refund' THEN -amount ELSE 0 END)
                 FROM ledger WHERE book = 'cost' AND order_id <> '' GROUP BY order_id",
                |row| Ok(CostRow { order: row.get(0)?, cost: row.get(1)? }),
            )?,
            counted: all.rows("SELECT state, sum(vouchers) FROM batch_count GROUP BY state", |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?,
        })
    }
}

impl Tables {
    /// Reads a PostgreSQL database that servers may use.
    pub(crate) async fn of_postgres(url: &str) -> Result<Self, Error> {
        let client = connect(url).await?;
        // All of it as it is at one moment.
        client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        let mut tables = Self {
            vouchers: Vec::new(),
            redemptions: Vec::new(),
            attempts: Vec::new(),
            claims: Vec::new(),
            orphans: Vec::new(),
            costs: Vec::new(),
            counted: Vec::new(),
        };
        let sql = "SELECT encode(hash, 'hex'), state, tries::bigint, buys::bigint FROM voucher";
        for row in client.query(sql, &[]).await? {
            tables.vouchers.push(VoucherRow {
                hash: row.try_get(0)?,
                state: row.try_get(1)?,
                tries: row.try_get(2)?,
                buys: row.try_get(3)?,
            });
        }
        let sql =
            "SELECT id, encode(voucher, 'hex'), status, is_at_rest, epoch, is_quarantined FROM redemption";
        for row in client.query(sql, &[]).await? {
            tables.redemptions.push(RedemptionRow {
                id: row.try_get(0)?,
                voucher: row.try_get(1)?,
                status: row.try_get(2)?,
                is_at_rest: row.try_get(3)?,
                epoch: row.try_get(4)?,
                is_quarantined: row.try_get(5)?,
            });
        }
        for row in client.query("SELECT redemption, number, order_id, outcome FROM attempt", &[]).await? {
            tables.attempts.push(AttemptRow {
                redemption: row.try_get(0)?,
                number: row.try_get(1)?,
                order: row.try_get(2)?,
                outcome: row.try_get(3)?,
            });
        }
        for row in client.query("SELECT order_id, redemption FROM claim", &[]).await? {
            tables.claims.push(ClaimRow { order: row.try_get(0)?, redemption: row.try_get(1)? });
        }
        for row in client.query("SELECT order_id, settled_at IS NOT NULL FROM orphan", &[]).await? {
            tables.orphans.push(OrphanRow { order: row.try_get(0)?, is_settled: row.try_get(1)? });
        }
        let sql =
            "SELECT order_id, sum(CASE kind WHEN 'charge' THEN amount WHEN 'refund' THEN -amount ELSE 0 END)::bigint
             FROM ledger WHERE book = 'cost' AND order_id <> '' GROUP BY order_id";
        for row in client.query(sql, &[]).await? {
            tables.costs.push(CostRow { order: row.try_get(0)?, cost: row.try_get(1)? });
        }
        let sql = "SELECT state, sum(vouchers)::bigint FROM batch_count GROUP BY state";
        for row in client.query(sql, &[]).await? {
            tables.counted.push((row.try_get(0)?, row.try_get(1)?));
        }
        Ok(tables)
    }
}

struct All<'a>(&'a Connection);

impl All<'_> {
    fn rows<T>(&self, sql: &str, read: impl Fn(&Row<'_>) -> rusqlite::Result<T>) -> Result<Vec<T>, Error> {
        let mut statement = self.0.prepare(sql)?;
        let rows = statement.query_map([], |row| read(row))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
