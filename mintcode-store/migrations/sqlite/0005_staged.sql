-- Large batches are stored in many small transactions, and are to be seen by nobody before the last of them.

-- Renamed with all references to it, so that what is asked of `batch` is only ever answered with whole ones.
ALTER TABLE batch RENAME TO every_batch;
-- NULL for a whole one. Until then whoever stores its vouchers has to be heard of again; 0 where that did not happen, and
-- what there is of it is removed.
ALTER TABLE every_batch ADD COLUMN staged_until INTEGER
    CHECK (staged_until IS NULL OR staged_until > 0 OR (staged_until = 0 AND idempotency_key IS NULL));
CREATE INDEX staged_batch ON every_batch (staged_until) WHERE staged_until IS NOT NULL;
CREATE VIEW batch AS
    SELECT number, id, sku, label, shape, key_id, nonce, count, expires_at, note, minted_by, minted_at, idempotency_key,
        fingerprint, replaces
    FROM every_batch WHERE staged_until IS NULL;
-- A voucher that is removed is looked for wherever one is referred to.
CREATE INDEX idempotency_of_voucher ON idempotency (voucher);
