-- What may hold a phone number or a message is sealed; how long ago it ended decides when numbers and messages go.
-- seal(TABLE, ROW, COLUMN, TEXT) is given by the program that runs this.

-- What seals documents, itself sealed with a key derived from the operator's voucher secret.
CREATE TABLE data_key (
    id            INTEGER PRIMARY KEY CHECK (id >= 1),
    wrapped       BLOB NOT NULL,
    -- The fingerprint of the secret.
    secret_key_id BLOB NOT NULL CHECK (length(secret_key_id) = 4),
    created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT;

ALTER TABLE redemption ADD COLUMN sealed BLOB NOT NULL DEFAULT x'';
UPDATE redemption SET sealed = seal('redemption', id, 'state', state);
ALTER TABLE redemption DROP COLUMN state;
ALTER TABLE redemption RENAME COLUMN sealed TO state;

ALTER TABLE inbox ADD COLUMN sealed BLOB NOT NULL DEFAULT x'';
UPDATE inbox SET sealed = seal('inbox', redemption, 'item', item);
ALTER TABLE inbox DROP COLUMN item;
ALTER TABLE inbox RENAME COLUMN sealed TO item;

ALTER TABLE orphan ADD COLUMN sealed BLOB NOT NULL DEFAULT x'';
UPDATE orphan SET sealed = seal('orphan', supplier || '/' || order_id, 'state', state);
ALTER TABLE orphan DROP COLUMN state;
ALTER TABLE orphan RENAME COLUMN sealed TO state;

-- Whether its numbers and messages are gone.
ALTER TABLE redemption ADD COLUMN is_purged INTEGER NOT NULL DEFAULT 0
    CHECK (is_purged = 0 OR (is_purged = 1 AND is_at_rest = 1));
CREATE INDEX redemption_to_purge ON redemption (updated_at) WHERE is_at_rest = 1 AND is_purged = 0;
ALTER TABLE orphan ADD COLUMN is_purged INTEGER NOT NULL DEFAULT 0
    CHECK (is_purged = 0 OR (is_purged = 1 AND settled_at IS NOT NULL));
CREATE INDEX orphan_to_purge ON orphan (settled_at) WHERE settled_at IS NOT NULL AND is_purged = 0;
