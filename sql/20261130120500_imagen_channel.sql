-- The private channel imagen:<owner> opens to its owner only. Realtime asks this policy when somebody
-- joins: as who joins, with the channel's topic in a setting, about a message of that topic. Nobody
-- may send: that is done by imagen.announce alone.
-- Realtime makes its table when a project first uses it. Where that is later than this migration,
-- the channel stays closed until somebody who administers the database asks once more, in the SQL
-- editor: SELECT imagen.open_channel();
CREATE OR REPLACE FUNCTION imagen.open_channel() RETURNS BOOLEAN
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = '' AS $open$
BEGIN
  IF to_regclass('realtime.messages') IS NULL OR to_regprocedure('realtime.topic()') IS NULL THEN
    RETURN false;
  END IF;

  EXECUTE 'DROP POLICY IF EXISTS imagen_channel ON realtime.messages';
  EXECUTE $policy$
    CREATE POLICY imagen_channel ON realtime.messages FOR SELECT TO authenticated
    USING (
      messages.extension = 'broadcast'
      AND messages.topic = (SELECT realtime.topic())
      AND (SELECT realtime.topic()) = 'imagen:' || (SELECT auth.uid())::text
    )
  $policy$;
  RETURN true;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE WARNING 'the channel of new pictures stays closed: %', SQLERRM;
  RETURN false;
END
$open$;

REVOKE ALL ON FUNCTION imagen.open_channel() FROM PUBLIC, anon, authenticated, service_role;

SELECT imagen.open_channel();
