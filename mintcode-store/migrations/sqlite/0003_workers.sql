-- Workers and what they share, orders that no redemption knows of, and redemptions that worker after worker died of.
-- As before, times are microseconds since 1970-01-01 UTC, and `state` is JSON.

-- How often it was taken over since anybody last drove it through a turn.
ALTER TABLE redemption ADD COLUMN takeovers INTEGER NOT NULL DEFAULT 0 CHECK (takeovers >= 0);
-- Whether nobody drives it until the operator resumes it.
ALTER TABLE redemption ADD COLUMN is_quarantined INTEGER NOT NULL DEFAULT 0
    CHECK (is_quarantined = 0 OR (is_quarantined = 1 AND owner IS NULL));
-- By owner first: what has no owner, or one that is gone, is found without reading what is driven.
DROP INDEX redemption_not_at_rest;
CREATE INDEX redemption_to_drive ON redemption (owner, created_at, id) WHERE is_at_rest = 0 AND is_quarantined = 0;

CREATE TABLE worker (
    id    TEXT NOT NULL PRIMARY KEY,
    beats INTEGER NOT NULL CHECK (beats >= 0)
) STRICT, WITHOUT ROWID;

-- What one worker does for all. A worker that was struck off may still have one until it ends.
CREATE TABLE chore (
    name   TEXT NOT NULL PRIMARY KEY,
    worker TEXT NOT NULL,
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE budget (
    supplier TEXT NOT NULL PRIMARY KEY,
    state    TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Since when a supplier's account is worked with.
CREATE TABLE installation (
    supplier     TEXT NOT NULL PRIMARY KEY,
    installed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER an_account_is_installed_once BEFORE UPDATE ON installation
BEGIN
    SELECT RAISE(ABORT, 'an account is installed once');
END;

-- An order that no redemption knows of: claimed for ever, as by an attempt.
CREATE TABLE orphan (
    supplier   TEXT NOT NULL,
    size       INTEGER NOT NULL CHECK (size = octet_length(order_id)),
    order_id   TEXT NOT NULL,
    product    TEXT NOT NULL,
    country    TEXT NOT NULL,
    operator   TEXT NOT NULL,
    found_at   INTEGER NOT NULL,
    version    INTEGER NOT NULL CHECK (version >= 1),
    -- NULL until nothing is left to do.
    settled_at INTEGER,
    state      TEXT NOT NULL,
    PRIMARY KEY (supplier, size, order_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX open_orphan ON orphan (supplier, found_at, size, order_id) WHERE settled_at IS NULL;
CREATE INDEX settled_orphan ON orphan (settled_at) WHERE settled_at IS NOT NULL;
CREATE TRIGGER an_orphan_is_never_forgotten BEFORE DELETE ON orphan
BEGIN
    SELECT RAISE(ABORT, 'an orphan is never forgotten');
END;
CREATE TRIGGER an_orphan_stays_the_same_order
BEFORE UPDATE OF supplier, size, order_id, product, country, operator, found_at ON orphan
BEGIN
    SELECT RAISE(ABORT, 'an orphan stays the same order');
END;
CREATE TRIGGER an_orphans_version_grows BEFORE UPDATE OF version ON orphan WHEN NEW.version <> OLD.version + 1
BEGIN
    SELECT RAISE(ABORT, 'an orphan goes on by one version');
END;
CREATE TRIGGER an_attempts_order_is_no_orphan BEFORE INSERT ON orphan
WHEN EXISTS (SELECT 1 FROM claim
    WHERE supplier = NEW.supplier AND size = NEW.size AND order_id = NEW.order_id)
BEGIN
    SELECT RAISE(ABORT, 'an attempt has claimed the order');
END;
CREATE TRIGGER an_orphan_is_no_attempts_order BEFORE INSERT ON claim
WHEN EXISTS (SELECT 1 FROM orphan
    WHERE supplier = NEW.supplier AND size = NEW.size AND order_id = NEW.order_id)
BEGIN
    SELECT RAISE(ABORT, 'the order is an orphan');
END;
