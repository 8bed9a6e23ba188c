-- The operator's rules: the books, how sources and accounts do, alerts, choices, counts, and support work on vouchers.
-- As before, times are microseconds since 1970-01-01 UTC, and `state`, `alert` and `record` are JSON.

-- Why it was taken back, or is to be when its redemption ends.
ALTER TABLE voucher ADD COLUMN void_reason TEXT CHECK (void_reason IS NULL OR CASE state
    WHEN 'locked' THEN TRUE
    WHEN 'redeeming' THEN TRUE
    WHEN 'cancelled' THEN TRUE
    ELSE FALSE END);
-- Whether its tries are to be given back when its redemption ends.
ALTER TABLE voucher ADD COLUMN reset_wished INTEGER NOT NULL DEFAULT 0 CHECK (CASE reset_wished
    WHEN 0 THEN TRUE
    WHEN 1 THEN state IN ('locked', 'redeeming')
    ELSE FALSE END);
-- The fulfilled voucher that it was issued in place of.
ALTER TABLE voucher ADD COLUMN replaces BLOB REFERENCES voucher (hash) CHECK (length(replaces) = 16);
CREATE UNIQUE INDEX one_replacement ON voucher (replaces) WHERE replaces IS NOT NULL;
-- Only vouchers with an end pay for it.
CREATE INDEX voucher_to_expire ON voucher (expires_at)
    WHERE expires_at IS NOT NULL AND state IN ('issued', 'retryable_failed');
ALTER TABLE batch ADD COLUMN replaces BLOB CHECK (length(replaces) = 16);

CREATE INDEX redemption_by_age ON redemption (created_at, id);

ALTER TABLE attempt ADD COLUMN sms_at INTEGER;
CREATE INDEX attempt_by_start ON attempt (started_at);

CREATE TABLE ledger (
    redemption TEXT NOT NULL REFERENCES redemption (id),
    -- 0 for sales.
    attempt    INTEGER NOT NULL CHECK (attempt >= 0),
    book       TEXT NOT NULL,
    kind       TEXT NOT NULL,
    -- Empty where no order is known, which no supplier's id is: NULL is never equal to itself.
    order_id   TEXT NOT NULL,
    -- The redemption's version that booked it, and its place among what that version booked.
    version    INTEGER NOT NULL,
    line       INTEGER NOT NULL,
    sku        TEXT NOT NULL,
    plan       TEXT,
    supplier   TEXT,
    -- Micro-units of `currency`, and their worth in micro-units of the selling currency.
    amount     INTEGER NOT NULL,
    currency   TEXT NOT NULL,
    value      INTEGER NOT NULL,
    booked_at  INTEGER NOT NULL,
    PRIMARY KEY (redemption, attempt, book, kind, order_id),
    CHECK (CASE book WHEN 'cost' THEN TRUE WHEN 'sale' THEN TRUE ELSE FALSE END),
    CHECK (CASE kind
        WHEN 'charge' THEN TRUE
        WHEN 'refund' THEN TRUE
        WHEN 'hold' THEN TRUE
        WHEN 'capture' THEN TRUE
        WHEN 'release' THEN TRUE
        WHEN 'loss' THEN TRUE
        WHEN 'recovery' THEN TRUE
        ELSE FALSE END)
) STRICT, WITHOUT ROWID;
CREATE INDEX ledger_by_time ON ledger (booked_at);
CREATE TRIGGER what_is_booked_stays BEFORE DELETE ON ledger
BEGIN
    SELECT RAISE(ABORT, 'what is booked stays');
END;
CREATE TRIGGER what_is_booked_never_changes BEFORE UPDATE ON ledger
BEGIN
    SELECT RAISE(ABORT, 'what is booked never changes');
END;

CREATE TABLE source_health (
    supplier TEXT NOT NULL,
    product  TEXT NOT NULL,
    country  TEXT NOT NULL,
    operator TEXT NOT NULL,
    state    TEXT NOT NULL,
    PRIMARY KEY (supplier, product, country, operator)
) STRICT, WITHOUT ROWID;

CREATE TABLE account (
    supplier TEXT NOT NULL PRIMARY KEY,
    state    TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE alert (
    -- AUTOINCREMENT: an id that was used is never used again.
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    key        TEXT NOT NULL,
    alert      TEXT NOT NULL,
    raised_at  INTEGER NOT NULL,
    cleared_at INTEGER,
    tries      INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
    -- NULL once it is told.
    tell_at    INTEGER
) STRICT;
CREATE UNIQUE INDEX one_open_alert ON alert (key) WHERE cleared_at IS NULL;
CREATE INDEX untold_alert ON alert (tell_at) WHERE tell_at IS NOT NULL;

CREATE TABLE choice (
    redemption TEXT NOT NULL REFERENCES redemption (id),
    version    INTEGER NOT NULL,
    record     TEXT NOT NULL,
    PRIMARY KEY (redemption, version)
) STRICT, WITHOUT ROWID;

-- How many redemptions a session, an address or a SKU has begun lately.
CREATE TABLE begun (
    key     TEXT NOT NULL PRIMARY KEY,
    state   TEXT NOT NULL,
    -- No cap looks at it any more from then on.
    ends_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX begun_by_end ON begun (ends_at);
