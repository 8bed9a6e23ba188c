-- Times are microseconds since 1970-01-01 UTC; `state`, `spec`, `snapshot` and `item` are JSON.
-- Names are checked by CASE: an IN of more than two makes SQLite build a table of them with every row it writes.

CREATE TABLE sku (
    id    TEXT NOT NULL PRIMARY KEY,
    label TEXT NOT NULL UNIQUE,
    spec  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE batch (
    -- Vouchers name their batch by this small number; it grows in the order of minting.
    number          INTEGER PRIMARY KEY,
    id              TEXT NOT NULL UNIQUE,
    sku             TEXT NOT NULL REFERENCES sku (id),
    label           TEXT NOT NULL,
    shape           TEXT NOT NULL,
    key_id          BLOB NOT NULL CHECK (length(key_id) = 4),
    nonce           BLOB CHECK (length(nonce) = 32),
    count           INTEGER NOT NULL CHECK (count >= 0),
    expires_at      INTEGER,
    note            TEXT,
    minted_by       TEXT NOT NULL,
    minted_at       INTEGER NOT NULL,
    idempotency_key TEXT UNIQUE,
    fingerprint     TEXT,
    CHECK ((idempotency_key IS NULL) = (fingerprint IS NULL))
) STRICT;
CREATE INDEX batch_of_sku ON batch (sku);
CREATE INDEX unsealed_batch ON batch (minted_at) WHERE nonce IS NOT NULL;

-- Kept small: a million unsold vouchers are a million of these rows and nothing else.
CREATE TABLE voucher (
    hash         BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 16),
    batch        INTEGER NOT NULL REFERENCES batch (number),
    -- The first and last four symbols of the code.
    mask         TEXT NOT NULL CHECK (length(mask) = 8),
    state        TEXT NOT NULL,
    came_from    TEXT CHECK (came_from IN ('issued', 'retryable_failed')),
    tries        INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
    buys         INTEGER NOT NULL DEFAULT 0 CHECK (buys >= 0),
    expires_at   INTEGER,
    ready_at     INTEGER,
    start_behind TEXT,
    redemption   TEXT,
    CHECK (CASE state
        WHEN 'issued' THEN came_from IS NULL
        WHEN 'locked' THEN came_from IS NOT NULL
        WHEN 'redeeming' THEN came_from IS NOT NULL
        WHEN 'retryable_failed' THEN came_from IS NULL
        WHEN 'fulfilled' THEN came_from IS NULL
        WHEN 'expired' THEN came_from IS NOT NULL
        WHEN 'cancelled' THEN came_from IS NULL
        ELSE FALSE END)
) STRICT, WITHOUT ROWID;

-- So that a batch is counted without reading its vouchers.
CREATE TABLE batch_count (
    batch    INTEGER NOT NULL REFERENCES batch (number),
    state    TEXT NOT NULL,
    vouchers INTEGER NOT NULL CHECK (vouchers >= 0),
    PRIMARY KEY (batch, state)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER a_voucher_is_counted_where_it_is AFTER UPDATE OF state ON voucher WHEN OLD.state <> NEW.state
BEGIN
    UPDATE batch_count SET vouchers = vouchers - 1 WHERE batch = OLD.batch AND state = OLD.state;
    INSERT INTO batch_count (batch, state, vouchers) VALUES (NEW.batch, NEW.state, 1)
        ON CONFLICT DO UPDATE SET vouchers = vouchers + 1;
END;

CREATE TABLE redemption (
    id         TEXT NOT NULL PRIMARY KEY,
    voucher    BLOB NOT NULL REFERENCES voucher (hash),
    sku        TEXT NOT NULL REFERENCES sku (id),
    status     TEXT NOT NULL,
    phase      TEXT NOT NULL,
    -- What indexes need of the status. Most changes leave it and its indexes alone.
    standing   TEXT NOT NULL,
    is_at_rest INTEGER NOT NULL CHECK (is_at_rest = 0 OR (is_at_rest = 1 AND standing <> 'live')),
    version    INTEGER NOT NULL CHECK (version >= 1),
    epoch      INTEGER NOT NULL CHECK (epoch >= 1),
    owner      TEXT,
    next       TEXT REFERENCES redemption (id),
    deadline   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    state      TEXT NOT NULL,
    CHECK (CASE status
        WHEN 'queued' THEN standing = 'live'
        WHEN 'ordering' THEN standing = 'live'
        WHEN 'waiting_sms' THEN standing = 'live'
        WHEN 'cooling_down' THEN standing = 'live'
        WHEN 'releasing' THEN standing = 'live'
        WHEN 'delivered' THEN standing = 'delivered'
        WHEN 'failed' THEN standing = 'ended'
        WHEN 'cancelled' THEN standing = 'ended'
        ELSE FALSE END),
    CHECK (CASE phase
        WHEN 'queued' THEN TRUE
        WHEN 'ordering' THEN TRUE
        WHEN 'uncertain' THEN TRUE
        WHEN 'waiting' THEN TRUE
        WHEN 'releasing' THEN TRUE
        WHEN 'cooling_down' THEN TRUE
        WHEN 'delivered' THEN TRUE
        WHEN 'failed' THEN TRUE
        WHEN 'cancelled' THEN TRUE
        ELSE FALSE END)
) STRICT;
CREATE UNIQUE INDEX one_live_redemption ON redemption (voucher) WHERE standing = 'live';
CREATE UNIQUE INDEX one_delivery ON redemption (voucher) WHERE standing = 'delivered';
CREATE INDEX redemption_of_voucher ON redemption (voucher, created_at, id);
CREATE INDEX redemption_not_at_rest ON redemption (created_at, id, owner) WHERE is_at_rest = 0;
CREATE TRIGGER an_epoch_only_grows BEFORE UPDATE OF epoch ON redemption WHEN NEW.epoch < OLD.epoch
BEGIN
    SELECT RAISE(ABORT, 'an epoch only grows');
END;
CREATE TRIGGER a_fulfilled_voucher_has_a_delivery BEFORE UPDATE OF state ON voucher
WHEN NEW.state = 'fulfilled'
    AND NOT EXISTS (SELECT 1 FROM redemption WHERE id = NEW.redemption AND status = 'delivered')
BEGIN
    SELECT RAISE(ABORT, 'a fulfilled voucher has a delivery');
END;

CREATE TABLE event (
    redemption TEXT NOT NULL REFERENCES redemption (id),
    version    INTEGER NOT NULL,
    snapshot   TEXT NOT NULL,
    PRIMARY KEY (redemption, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempt (
    redemption    TEXT NOT NULL REFERENCES redemption (id),
    number        INTEGER NOT NULL CHECK (number >= 1),
    plan          TEXT NOT NULL,
    supplier      TEXT NOT NULL,
    product       TEXT NOT NULL,
    country       TEXT NOT NULL,
    operator      TEXT NOT NULL CHECK (operator <> 'any'),
    order_id      TEXT,
    -- Micro-units of the supplier's currency.
    price         INTEGER,
    is_unresolved INTEGER NOT NULL CHECK (is_unresolved IN (0, 1)),
    outcome       TEXT,
    started_at    INTEGER NOT NULL,
    ended_at      INTEGER,
    PRIMARY KEY (redemption, number),
    CHECK (is_unresolved = 0 OR (order_id IS NULL AND outcome IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX unresolved_attempt ON attempt (supplier, product, country, operator, started_at)
    WHERE is_unresolved = 1;

-- A supplier's order belongs to one attempt for ever. Ids of digits grow with time, and the longer one is the newer.
CREATE TABLE claim (
    supplier   TEXT NOT NULL,
    size       INTEGER NOT NULL CHECK (size = octet_length(order_id)),
    order_id   TEXT NOT NULL,
    redemption TEXT NOT NULL REFERENCES redemption (id),
    attempt    INTEGER NOT NULL,
    PRIMARY KEY (supplier, size, order_id)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER a_claim_is_never_given_up BEFORE DELETE ON claim
BEGIN
    SELECT RAISE(ABORT, 'a claim is for ever');
END;
CREATE TRIGGER a_claim_never_changes_hands BEFORE UPDATE ON claim
BEGIN
    SELECT RAISE(ABORT, 'a claim is for ever');
END;

CREATE TABLE idempotency (
    key        TEXT NOT NULL PRIMARY KEY,
    voucher    BLOB NOT NULL REFERENCES voucher (hash),
    redemption TEXT NOT NULL REFERENCES redemption (id)
) STRICT, WITHOUT ROWID;

CREATE TABLE inbox (
    -- AUTOINCREMENT: an id that was used is never used again.
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    redemption TEXT NOT NULL REFERENCES redemption (id),
    item       TEXT NOT NULL
) STRICT;
CREATE INDEX inbox_of_redemption ON inbox (redemption, id);
