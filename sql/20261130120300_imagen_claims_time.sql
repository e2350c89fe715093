-- Who watches asks every other second what was claimed last: a claim is made when its picture is
-- sent, however long ago that was drawn. The index serves the policy as well as the one before.
-- Not concurrently, which no transaction can: writers wait for less than a second per million claims.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX IF NOT EXISTS imagen_claims_owner_time_idx
  ON imagen.claims (owner_user_id, claimed_at DESC, image_id DESC);

-- squawk-ignore require-concurrent-index-deletion
DROP INDEX IF EXISTS imagen.imagen_claims_owner_idx;
