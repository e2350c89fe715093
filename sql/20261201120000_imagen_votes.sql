-- Which of two pictures somebody found better: facts, which are added and never changed. A vote is
-- taken back by another one. The pictures need no row: a vote outlives its pictures, and may be here
-- before them. The key begins with the owner, so that nobody takes an id from another user.
CREATE TABLE IF NOT EXISTS imagen.votes (
  owner_user_id UUID NOT NULL REFERENCES auth.users(id),
  id UUID NOT NULL, -- made with the vote
  question TEXT NOT NULL, -- what was asked
  voter TEXT NOT NULL, -- who answered
  left_id UUID NOT NULL, -- the picture that was shown on the left
  right_id UUID NOT NULL,
  outcome TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  seconds DOUBLE PRECISION, -- between showing the pictures and the answer
  takes_back UUID, -- the id of the vote that this one takes back
  PRIMARY KEY (owner_user_id, id),
  CONSTRAINT imagen_votes_question CHECK (length(question) <= 200),
  CONSTRAINT imagen_votes_voter CHECK (length(voter) <= 100),
  CONSTRAINT imagen_votes_pictures CHECK (left_id <> right_id),
  CONSTRAINT imagen_votes_outcome CHECK (outcome IN ('left', 'right', 'tie', 'skip')),
  CONSTRAINT imagen_votes_created_at CHECK (
    extract(YEAR FROM created_at AT TIME ZONE 'UTC') BETWEEN 1970 AND 9998
  ),
  CONSTRAINT imagen_votes_seconds CHECK (seconds >= 0 AND seconds < 'Infinity')
);

-- For lists, newest first.
CREATE INDEX IF NOT EXISTS imagen_votes_owner_created_idx
  ON imagen.votes (owner_user_id, created_at DESC, id DESC);

ALTER TABLE imagen.votes ENABLE ROW LEVEL SECURITY;

-- Whoever signs in sees, adds and deletes their own. No policy for UPDATE: a vote stays as it was cast.
-- Nothing of imagen_nb deletes any; but voters are people, and who keeps their names may remove them.
DROP POLICY IF EXISTS imagen_votes_select ON imagen.votes;

CREATE POLICY imagen_votes_select ON imagen.votes FOR SELECT TO authenticated
  USING (owner_user_id = (SELECT auth.uid()));

DROP POLICY IF EXISTS imagen_votes_insert ON imagen.votes;

CREATE POLICY imagen_votes_insert ON imagen.votes FOR INSERT TO authenticated
  WITH CHECK (owner_user_id = (SELECT auth.uid()));

DROP POLICY IF EXISTS imagen_votes_delete ON imagen.votes;

CREATE POLICY imagen_votes_delete ON imagen.votes FOR DELETE TO authenticated
  USING (owner_user_id = (SELECT auth.uid()));

REVOKE ALL ON TABLE imagen.votes FROM PUBLIC, anon, authenticated, service_role;

GRANT SELECT, INSERT, DELETE ON TABLE imagen.votes TO authenticated;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE imagen.votes TO service_role;

NOTIFY pgrst, 'reload schema';
