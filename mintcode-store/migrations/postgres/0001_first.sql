-- Times are microseconds since 1970-01-01 UTC; `state`, `spec`, `snapshot`, `item`, `alert` and `record` are documents in
-- text, which no statement looks into. What orders or identifies is compared byte by byte (COLLATE "C"), whatever the
-- language of the database. Numbers are bigint, so that one type fits all parameters.

-- What time it is here, whenever the transaction began.
CREATE FUNCTION now_micros() RETURNS bigint LANGUAGE sql VOLATILE
    AS $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint $$;

CREATE TABLE sku (
    id    text COLLATE "C" NOT NULL PRIMARY KEY,
    label text COLLATE "C" NOT NULL UNIQUE,
    spec  text NOT NULL
);

CREATE TABLE batch (
    -- Vouchers name their batch by this small number; it grows in the order of minting.
    number          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              text COLLATE "C" NOT NULL UNIQUE,
    sku             text COLLATE "C" NOT NULL REFERENCES sku (id),
    label           text COLLATE "C" NOT NULL,
    shape           text COLLATE "C" NOT NULL,
    key_id          bytea NOT NULL CHECK (length(key_id) = 4),
    nonce           bytea CHECK (length(nonce) = 32),
    count           bigint NOT NULL CHECK (count >= 0),
    expires_at      bigint,
    note            text,
    minted_by       text NOT NULL,
    minted_at       bigint NOT NULL,
    idempotency_key text COLLATE "C" UNIQUE,
    fingerprint     text,
    -- The fulfilled voucher in whose place its one voucher is issued.
    replaces        bytea CHECK (length(replaces) = 16),
    CHECK ((idempotency_key IS NULL) = (fingerprint IS NULL))
);
CREATE INDEX batch_of_sku ON batch (sku);
CREATE INDEX unsealed_batch ON batch (minted_at) WHERE nonce IS NOT NULL;

-- Kept small: a million unsold vouchers are a million of these rows and nothing else.
CREATE TABLE voucher (
    batch        bigint NOT NULL REFERENCES batch (number),
    expires_at   bigint,
    ready_at     bigint,
    tries        integer NOT NULL DEFAULT 0 CHECK (tries >= 0),
    buys         integer NOT NULL DEFAULT 0 CHECK (buys >= 0),
    -- Whether its tries are to be given back when its redemption ends.
    reset_wished boolean NOT NULL DEFAULT false,
    hash         bytea NOT NULL PRIMARY KEY CHECK (length(hash) = 16),
    -- The first and last four symbols of the code.
    mask         text COLLATE "C" NOT NULL CHECK (length(mask) = 8),
    state        text COLLATE "C" NOT NULL,
    came_from    text COLLATE "C" CHECK (came_from IN ('issued', 'retryable_failed')),
    start_behind text,
    redemption   text COLLATE "C",
    -- Why it was taken back, or is to be when its redemption ends.
    void_reason  text,
    -- The fulfilled voucher that it was issued in place of.
    replaces     bytea REFERENCES voucher (hash) CHECK (length(replaces) = 16),
    CHECK (CASE state
        WHEN 'issued' THEN came_from IS NULL
        WHEN 'locked' THEN came_from IS NOT NULL
        WHEN 'redeeming' THEN came_from IS NOT NULL
        WHEN 'retryable_failed' THEN came_from IS NULL
        WHEN 'fulfilled' THEN came_from IS NULL
        WHEN 'expired' THEN came_from IS NOT NULL
        WHEN 'cancelled' THEN came_from IS NULL
        ELSE FALSE END),
    CHECK (void_reason IS NULL OR state IN ('locked', 'redeeming', 'cancelled')),
    CHECK (NOT reset_wished OR state IN ('locked', 'redeeming'))
) WITH (fillfactor = 90);
CREATE UNIQUE INDEX one_replacement ON voucher (replaces) WHERE replaces IS NOT NULL;
-- Only vouchers with an end pay for it.
CREATE INDEX voucher_to_expire ON voucher (expires_at)
    WHERE expires_at IS NOT NULL AND state IN ('issued', 'retryable_failed');

-- So that a batch is counted without reading its vouchers: what came to a state and what left it, to be summed. Whoever
-- redeems adds lines and waits for nobody, as he would for a counter of which there is one; a chore sums lines up.
CREATE TABLE batch_count (
    batch    bigint NOT NULL REFERENCES batch (number),
    state    text COLLATE "C" NOT NULL,
    vouchers bigint NOT NULL
);
CREATE INDEX batch_count_of_batch ON batch_count (batch);
CREATE FUNCTION a_voucher_is_counted_where_it_is() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO batch_count (batch, state, vouchers)
        SELECT moved.batch, moved.state, sum(moved.vouchers)
        FROM (SELECT batch, state, -1 AS vouchers FROM before UNION ALL SELECT batch, state, 1 FROM after) AS moved
        GROUP BY moved.batch, moved.state HAVING sum(moved.vouchers) <> 0;
    RETURN NULL;
END $$;
CREATE TRIGGER a_voucher_is_counted_where_it_is AFTER UPDATE ON voucher
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION a_voucher_is_counted_where_it_is();

-- Raises the trigger's argument.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
END $$;

-- What seals documents, itself sealed with a key derived from the operator's voucher secret.
CREATE TABLE data_key (
    id            bigint NOT NULL PRIMARY KEY CHECK (id >= 1),
    wrapped       bytea NOT NULL,
    -- The fingerprint of the secret.
    secret_key_id bytea NOT NULL CHECK (length(secret_key_id) = 4),
    created_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE redemption (
    id             text COLLATE "C" NOT NULL PRIMARY KEY,
    voucher        bytea NOT NULL REFERENCES voucher (hash),
    sku            text COLLATE "C" NOT NULL REFERENCES sku (id),
    status         text COLLATE "C" NOT NULL,
    phase          text COLLATE "C" NOT NULL CHECK (phase IN ('queued', 'ordering', 'uncertain', 'waiting', 'releasing',
                       'cooling_down', 'delivered', 'failed', 'withheld', 'cancelled')),
    -- What indexes need of the status. Most changes leave it and its indexes alone.
    standing       text COLLATE "C" NOT NULL,
    is_at_rest     boolean NOT NULL CHECK (NOT is_at_rest OR standing <> 'live'),
    version        bigint NOT NULL CHECK (version >= 1),
    epoch          bigint NOT NULL CHECK (epoch >= 1),
    owner          text COLLATE "C",
    -- How often it was taken over since anybody last drove it through a turn.
    takeovers      bigint NOT NULL DEFAULT 0 CHECK (takeovers >= 0),
    -- Whether nobody drives it until the operator resumes it.
    is_quarantined boolean NOT NULL DEFAULT false CHECK (NOT is_quarantined OR owner IS NULL),
    next           text COLLATE "C" REFERENCES redemption (id),
    deadline       bigint NOT NULL,
    created_at     bigint NOT NULL,
    updated_at     bigint NOT NULL,
    -- Whether its numbers and messages are gone.
    is_purged      boolean NOT NULL DEFAULT false CHECK (NOT is_purged OR is_at_rest),
    -- Sealed.
    state          bytea NOT NULL,
    CHECK (CASE status
        WHEN 'queued' THEN standing = 'live'
        WHEN 'ordering' THEN standing = 'live'
        WHEN 'waiting_sms' THEN standing = 'live'
        WHEN 'cooling_down' THEN standing = 'live'
        WHEN 'releasing' THEN standing = 'live'
        WHEN 'delivered' THEN standing = 'delivered'
        WHEN 'failed' THEN standing = 'ended'
        WHEN 'cancelled' THEN standing = 'ended'
        ELSE FALSE END)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX one_live_redemption ON redemption (voucher) WHERE standing = 'live';
CREATE UNIQUE INDEX one_delivery ON redemption (voucher) WHERE standing = 'delivered';
CREATE INDEX redemption_of_voucher ON redemption (voucher, created_at, id);
CREATE INDEX redemption_by_age ON redemption (created_at, id);
CREATE INDEX redemption_to_purge ON redemption (updated_at) WHERE is_at_rest AND NOT is_purged;
-- By owner first: what has no owner, or one that is gone, is found without reading what is driven.
CREATE INDEX redemption_to_drive ON redemption (owner, created_at, id) WHERE NOT is_at_rest AND NOT is_quarantined;
CREATE TRIGGER an_epoch_only_grows BEFORE UPDATE OF epoch ON redemption
    FOR EACH ROW WHEN (NEW.epoch < OLD.epoch) EXECUTE FUNCTION refuse('an epoch only grows');

CREATE FUNCTION a_fulfilled_voucher_has_a_delivery() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM redemption WHERE id = NEW.redemption AND status = 'delivered') THEN
        RAISE EXCEPTION 'a fulfilled voucher has a delivery' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER a_fulfilled_voucher_has_a_delivery BEFORE UPDATE OF state ON voucher
    FOR EACH ROW WHEN (NEW.state = 'fulfilled') EXECUTE FUNCTION a_fulfilled_voucher_has_a_delivery();

CREATE TABLE event (
    redemption text COLLATE "C" NOT NULL REFERENCES redemption (id),
    version    bigint NOT NULL,
    snapshot   text NOT NULL,
    PRIMARY KEY (redemption, version)
);

CREATE TABLE attempt (
    redemption    text COLLATE "C" NOT NULL REFERENCES redemption (id),
    number        bigint NOT NULL CHECK (number >= 1),
    plan          text COLLATE "C" NOT NULL,
    supplier      text COLLATE "C" NOT NULL,
    product       text COLLATE "C" NOT NULL,
    country       text COLLATE "C" NOT NULL,
    operator      text COLLATE "C" NOT NULL CHECK (operator <> 'any'),
    order_id      text COLLATE "C",
    -- Micro-units of the supplier's currency.
    price         bigint,
    is_unresolved boolean NOT NULL,
    outcome       text COLLATE "C",
    started_at    bigint NOT NULL,
    ended_at      bigint,
    sms_at        bigint,
    PRIMARY KEY (redemption, number),
    CHECK (NOT is_unresolved OR (order_id IS NULL AND outcome IS NULL))
);
CREATE INDEX unresolved_attempt ON attempt (supplier, product, country, operator, started_at) WHERE is_unresolved;
CREATE INDEX attempt_by_start ON attempt (started_at);

-- A supplier's order belongs to one attempt for ever. Ids of digits grow with time, and the longer one is the newer.
CREATE TABLE claim (
    supplier   text COLLATE "C" NOT NULL,
    size       bigint NOT NULL CHECK (size = octet_length(order_id)),
    order_id   text COLLATE "C" NOT NULL,
    redemption text COLLATE "C" NOT NULL REFERENCES redemption (id),
    attempt    bigint NOT NULL,
    PRIMARY KEY (supplier, size, order_id)
);
CREATE TRIGGER a_claim_is_for_ever BEFORE UPDATE OR DELETE ON claim
    FOR EACH ROW EXECUTE FUNCTION refuse('a claim is for ever');

CREATE TABLE idempotency (
    key        text COLLATE "C" NOT NULL PRIMARY KEY,
    voucher    bytea NOT NULL REFERENCES voucher (hash),
    redemption text COLLATE "C" NOT NULL REFERENCES redemption (id)
);

CREATE TABLE inbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    redemption text COLLATE "C" NOT NULL REFERENCES redemption (id),
    -- Sealed.
    item       bytea NOT NULL
);
CREATE INDEX inbox_of_redemption ON inbox (redemption, id);

CREATE TABLE ledger (
    redemption text COLLATE "C" NOT NULL REFERENCES redemption (id),
    -- 0 for sales.
    attempt    bigint NOT NULL CHECK (attempt >= 0),
    book       text COLLATE "C" NOT NULL CHECK (book IN ('cost', 'sale')),
    kind       text COLLATE "C" NOT NULL
        CHECK (kind IN ('charge', 'refund', 'hold', 'capture', 'release', 'loss', 'recovery')),
    -- Empty where no order is known, which no supplier's id is: NULL is never equal to itself.
    order_id   text COLLATE "C" NOT NULL,
    -- The redemption's version that booked it, and its place among what that version booked.
    version    bigint NOT NULL,
    line       bigint NOT NULL,
    sku        text COLLATE "C" NOT NULL,
    plan       text COLLATE "C",
    supplier   text COLLATE "C",
    -- Micro-units of `currency`, and their worth in micro-units of the selling currency.
    amount     bigint NOT NULL,
    currency   text NOT NULL,
    value      bigint NOT NULL,
    booked_at  bigint NOT NULL,
    PRIMARY KEY (redemption, attempt, book, kind, order_id)
);
CREATE INDEX ledger_by_time ON ledger (booked_at);
CREATE TRIGGER what_is_booked_stays BEFORE UPDATE OR DELETE ON ledger
    FOR EACH ROW EXECUTE FUNCTION refuse('what is booked stays as it is');

CREATE TABLE source_health (
    supplier text COLLATE "C" NOT NULL,
    product  text COLLATE "C" NOT NULL,
    country  text COLLATE "C" NOT NULL,
    operator text COLLATE "C" NOT NULL,
    state    text NOT NULL,
    PRIMARY KEY (supplier, product, country, operator)
) WITH (fillfactor = 50);

CREATE TABLE account (
    supplier text COLLATE "C" NOT NULL PRIMARY KEY,
    state    text NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE alert (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key        text COLLATE "C" NOT NULL,
    alert      text NOT NULL,
    raised_at  bigint NOT NULL,
    cleared_at bigint,
    tries      bigint NOT NULL DEFAULT 0 CHECK (tries >= 0),
    -- NULL once it is told.
    tell_at    bigint
);
CREATE UNIQUE INDEX one_open_alert ON alert (key) WHERE cleared_at IS NULL;
CREATE INDEX untold_alert ON alert (tell_at) WHERE tell_at IS NOT NULL;

CREATE TABLE choice (
    redemption text COLLATE "C" NOT NULL REFERENCES redemption (id),
    version    bigint NOT NULL,
    record     text NOT NULL,
    PRIMARY KEY (redemption, version)
);

-- How many redemptions a session, an address or a SKU has begun lately.
CREATE TABLE begun (
    key     text COLLATE "C" NOT NULL PRIMARY KEY,
    state   text NOT NULL,
    -- No cap looks at it any more from then on.
    ends_at bigint NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX begun_by_end ON begun (ends_at);

CREATE TABLE worker (
    id    text COLLATE "C" NOT NULL PRIMARY KEY,
    beats bigint NOT NULL CHECK (beats >= 0)
) WITH (fillfactor = 50);

-- What one worker does for all. A worker that was struck off may still have one until it ends.
CREATE TABLE chore (
    name   text COLLATE "C" NOT NULL PRIMARY KEY,
    worker text COLLATE "C" NOT NULL,
    until  bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE budget (
    supplier text COLLATE "C" NOT NULL PRIMARY KEY,
    state    text NOT NULL
) WITH (fillfactor = 50);

-- Since when a supplier's account is worked with.
CREATE TABLE installation (
    supplier     text COLLATE "C" NOT NULL PRIMARY KEY,
    installed_at bigint NOT NULL
);
CREATE TRIGGER an_account_is_installed_once BEFORE UPDATE ON installation
    FOR EACH ROW EXECUTE FUNCTION refuse('an account is installed once');

-- An order that no redemption knows of: claimed for ever, as by an attempt.
CREATE TABLE orphan (
    supplier   text COLLATE "C" NOT NULL,
    size       bigint NOT NULL CHECK (size = octet_length(order_id)),
    order_id   text COLLATE "C" NOT NULL,
    product    text COLLATE "C" NOT NULL,
    country    text COLLATE "C" NOT NULL,
    operator   text COLLATE "C" NOT NULL,
    found_at   bigint NOT NULL,
    version    bigint NOT NULL CHECK (version >= 1),
    -- NULL until nothing is left to do.
    settled_at bigint,
    -- Whether its numbers and messages are gone.
    is_purged  boolean NOT NULL DEFAULT false CHECK (NOT is_purged OR settled_at IS NOT NULL),
    -- Sealed.
    state      bytea NOT NULL,
    PRIMARY KEY (supplier, size, order_id)
);
CREATE INDEX open_orphan ON orphan (supplier, found_at, size, order_id) WHERE settled_at IS NULL;
CREATE INDEX settled_orphan ON orphan (settled_at) WHERE settled_at IS NOT NULL;
CREATE INDEX orphan_to_purge ON orphan (settled_at) WHERE settled_at IS NOT NULL AND NOT is_purged;
CREATE TRIGGER an_orphan_is_never_forgotten BEFORE DELETE ON orphan
    FOR EACH ROW EXECUTE FUNCTION refuse('an orphan is never forgotten');
CREATE TRIGGER an_orphan_stays_the_same_order
    BEFORE UPDATE OF supplier, size, order_id, product, country, operator, found_at ON orphan
    FOR EACH ROW EXECUTE FUNCTION refuse('an orphan stays the same order');
CREATE TRIGGER an_orphans_version_grows BEFORE UPDATE OF version ON orphan
    FOR EACH ROW WHEN (NEW.version <> OLD.version + 1) EXECUTE FUNCTION refuse('an orphan goes on by one version');

-- Two transactions that claim one order at once do not see each other's row: whoever claims holds the order's lock until
-- its end, and looks into the other table after it has it. Told as a race, so that the transaction is run again and finds
-- out before it writes.
CREATE FUNCTION an_order_has_one_claimant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.supplier || '/' || NEW.order_id, 2));
    IF TG_TABLE_NAME = 'orphan' AND EXISTS (SELECT FROM claim
        WHERE supplier = NEW.supplier AND size = NEW.size AND order_id = NEW.order_id) THEN
        RAISE EXCEPTION 'an attempt has claimed the order' USING ERRCODE = 'serialization_failure';
    END IF;
    IF TG_TABLE_NAME = 'claim' AND EXISTS (SELECT FROM orphan
        WHERE supplier = NEW.supplier AND size = NEW.size AND order_id = NEW.order_id) THEN
        RAISE EXCEPTION 'the order is an orphan' USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER an_attempts_order_is_no_orphan BEFORE INSERT ON orphan
    FOR EACH ROW EXECUTE FUNCTION an_order_has_one_claimant();
CREATE TRIGGER an_orphan_is_no_attempts_order BEFORE INSERT ON claim
    FOR EACH ROW EXECUTE FUNCTION an_order_has_one_claimant();
