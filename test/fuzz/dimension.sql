-- The random differential tester of dimensions; test/fuzz/dimension runs it. Variables: cases, seed, first.
--
-- A case makes up a definition and batches, refreshes after each batch, and compares the dimension with an oracle that works row
-- by row on other data structures. Each case runs in a subtransaction that is rolled back.
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE SCHEMA fz;
CREATE TYPE fz.vals AS (a text, b numeric, c timestamptz, d json);
-- what the source holds at a batch
CREATE TABLE fz.src (k1 integer, k2 text, v fz.vals, eff timestamptz, op text, seq integer);
-- a feed, all of it, and what was delivered
CREATE TABLE fz.feed (id serial, k1 integer, k2 text, v fz.vals, eff timestamptz, op text, seq integer, sent boolean DEFAULT false);
-- the oracle's observations and versions
CREATE TABLE fz.obs (k1 integer, k2 text, v fz.vals, frm timestamptz, seq integer, added integer, deleted boolean);
CREATE TABLE fz.ver (k1 integer, k2 text, v fz.vals, vf timestamptz, vt timestamptz, del boolean);
CREATE TABLE fz.before (sk bigint, k1 integer, k2 text, vf timestamptz);
CREATE TABLE fz.ever (sk bigint PRIMARY KEY, k1 integer, k2 text);

CREATE FUNCTION fz.pick(VARIADIC choices text[]) RETURNS text LANGUAGE sql VOLATILE AS
$$ SELECT choices[1 + floor(random() * cardinality(choices))::integer] $$;
CREATE FUNCTION fz.number(n integer) RETURNS integer LANGUAGE sql VOLATILE AS $$ SELECT floor(random() * n)::integer $$;
CREATE FUNCTION fz.chance(p float) RETURNS boolean LANGUAGE sql VOLATILE AS $$ SELECT random() < p $$;
-- few values, so that they repeat; NULL and '' are two, 1.0 and 1.00 are one
CREATE FUNCTION fz.random_vals() RETURNS fz.vals LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RETURN ROW(fz.pick(NULL, '', 'x', 'y'), fz.pick(NULL, '1.0', '1.00', '2', 'NaN')::numeric,
             fz.pick(NULL, '2020-01-01 00:00+00', '2020-01-01 01:00+01', 'infinity')::timestamptz,
             fz.pick(NULL, '{"a": 1}', '{"a":1}', '[]')::json)::fz.vals;
END $$;
CREATE FUNCTION fz.instant() RETURNS timestamptz LANGUAGE sql VOLATILE AS
$$ SELECT CASE WHEN random() < 0.03 THEN timestamptz '-infinity' WHEN random() < 0.03 THEN timestamptz '0044-03-15 00:00:00+00 BC'
          ELSE timestamptz '2025-01-01 00:00:00+00' + fz.number(12) * interval '1 day' END $$;

-- Whether a column with history differs: numbers and instants by value, texts and json by their bytes.
CREATE FUNCTION fz.differs(x fz.vals, y fz.vals, roles text[]) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF roles[1] = 'history' AND (x.a IS NULL) <> (y.a IS NULL) THEN RETURN true; END IF;
  IF roles[1] = 'history' AND x.a <> y.a THEN RETURN true; END IF;
  IF roles[2] = 'history' AND (x.b IS NULL) <> (y.b IS NULL) THEN RETURN true; END IF;
  IF roles[2] = 'history' AND x.b <> y.b THEN RETURN true; END IF;
  IF roles[3] = 'history' AND (x.c IS NULL) <> (y.c IS NULL) THEN RETURN true; END IF;
  IF roles[3] = 'history' AND x.c <> y.c THEN RETURN true; END IF;
  IF roles[4] = 'history' AND (x.d IS NULL) <> (y.d IS NULL) THEN RETURN true; END IF;
  IF roles[4] = 'history' AND x.d::text <> y.d::text THEN RETURN true; END IF;
  RETURN false;
END $$;
CREATE FUNCTION fz.merge(roles text[], history fz.vals, fixed fz.vals, overwrite fz.vals) RETURNS fz.vals LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE r fz.vals;
BEGIN
  r.a := CASE roles[1] WHEN 'history' THEN history.a WHEN 'fixed' THEN fixed.a ELSE overwrite.a END;
  r.b := CASE roles[2] WHEN 'history' THEN history.b WHEN 'fixed' THEN fixed.b ELSE overwrite.b END;
  r.c := CASE roles[3] WHEN 'history' THEN history.c WHEN 'fixed' THEN fixed.c ELSE overwrite.c END;
  r.d := CASE roles[4] WHEN 'history' THEN history.d WHEN 'fixed' THEN fixed.d ELSE overwrite.d END;
  RETURN r;
END $$;

-- Dated by the run: the state of each key now against its open version.
CREATE FUNCTION fz.oracle_runtime(roles text[], deletes text, at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  s record; cur fz.ver; past fz.ver; open boolean; moves boolean;
BEGIN
  FOR s IN SELECT DISTINCT ON (k1, k2) k1, k2, v FROM fz.src LOOP
    SELECT * INTO cur FROM fz.ver WHERE k1 = s.k1 AND k2 = s.k2 AND vt IS NULL;
    open := FOUND;
    IF NOT open THEN
      SELECT * INTO past FROM fz.ver WHERE k1 = s.k1 AND k2 = s.k2 ORDER BY vf LIMIT 1;
      INSERT INTO fz.ver VALUES (s.k1, s.k2, fz.merge(roles, s.v, CASE WHEN FOUND THEN past.v ELSE s.v END, s.v), at, NULL, false);
    ELSIF cur.del OR fz.differs(cur.v, s.v, roles) THEN
      IF cur.vf = at THEN
        UPDATE fz.ver SET v = fz.merge(roles, s.v, cur.v, s.v), del = false WHERE k1 = s.k1 AND k2 = s.k2 AND vt IS NULL;
      ELSE
        UPDATE fz.ver SET vt = at WHERE k1 = s.k1 AND k2 = s.k2 AND vt IS NULL;
        INSERT INTO fz.ver VALUES (s.k1, s.k2, fz.merge(roles, s.v, cur.v, s.v), at, NULL, false);
      END IF;
    END IF;
    UPDATE fz.ver o SET v = fz.merge(roles, o.v, o.v, s.v) WHERE k1 = s.k1 AND k2 = s.k2;
  END LOOP;
  IF deletes = 'ignore' THEN RETURN; END IF;
  FOR cur IN SELECT * FROM fz.ver o WHERE vt IS NULL AND NOT o.del
              AND NOT EXISTS (SELECT 1 FROM fz.src x WHERE x.k1 = o.k1 AND x.k2 = o.k2) LOOP
    IF cur.vf = at AND deletes = 'close' THEN
      DELETE FROM fz.ver WHERE k1 = cur.k1 AND k2 = cur.k2 AND vt IS NULL;
    ELSIF cur.vf = at THEN
      UPDATE fz.ver SET del = true WHERE k1 = cur.k1 AND k2 = cur.k2 AND vt IS NULL;
    ELSE
      UPDATE fz.ver SET vt = at WHERE k1 = cur.k1 AND k2 = cur.k2 AND vt IS NULL;
      IF deletes = 'mark' THEN INSERT INTO fz.ver VALUES (cur.k1, cur.k2, cur.v, at, NULL, true); END IF;
    END IF;
  END LOOP;
END $$;

-- A new definition of a dimension dated by the run.
CREATE FUNCTION fz.oracle_redefined(roles text[], old_deletes text, deletes text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE g record;
BEGIN
  IF old_deletes = 'mark' AND deletes <> 'mark' THEN
    FOR g IN SELECT * FROM fz.ver WHERE del LOOP
      DELETE FROM fz.ver WHERE k1 = g.k1 AND k2 = g.k2 AND vf = g.vf;
      IF g.vt IS NULL AND deletes = 'ignore' THEN
        UPDATE fz.ver SET vt = NULL WHERE k1 = g.k1 AND k2 = g.k2 AND vt = g.vf;
      END IF;
    END LOOP;
  END IF;
  UPDATE fz.ver o SET v = fz.merge(roles, o.v, o.v, (SELECT n.v FROM fz.ver n WHERE n.k1 = o.k1 AND n.k2 = o.k2 ORDER BY vf DESC LIMIT 1));
END $$;

-- Dated by the rows: what is observed is kept, ...
CREATE FUNCTION fz.oracle_observe(roles text[], extracted boolean, deletes text, at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE s record; k record; last fz.obs; here boolean; i record;
BEGIN
  FOR s IN SELECT DISTINCT ON (k1, k2, eff, seq) * FROM fz.src LOOP
    UPDATE fz.obs o SET v = fz.merge(roles, o.v, o.v, s.v) WHERE k1 = s.k1 AND k2 = s.k2 AND frm = s.eff AND seq = s.seq AND added = 0;
    IF NOT FOUND THEN INSERT INTO fz.obs VALUES (s.k1, s.k2, s.v, s.eff, s.seq, 0, s.op = 'D'); END IF;
  END LOOP;
  IF NOT extracted OR deletes = 'ignore' THEN RETURN; END IF;
  FOR k IN SELECT DISTINCT k1, k2 FROM fz.obs LOOP
    SELECT * INTO last FROM fz.obs WHERE k1 = k.k1 AND k2 = k.k2 ORDER BY frm DESC, added DESC, seq DESC LIMIT 1;
    here := EXISTS (SELECT 1 FROM fz.src WHERE k1 = k.k1 AND k2 = k.k2);
    CONTINUE WHEN here <> last.deleted;
    FOR i IN SELECT at AS at UNION SELECT frm FROM fz.obs WHERE k1 = k.k1 AND k2 = k.k2 AND frm > at LOOP
      CONTINUE WHEN here AND NOT EXISTS (SELECT 1 FROM fz.src WHERE k1 = k.k1 AND k2 = k.k2 AND eff <= i.at);
      INSERT INTO fz.obs SELECT k.k1, k.k2, NULL, i.at, 0, coalesce(max(added), 0) + 1, NOT here
        FROM fz.obs WHERE k1 = k.k1 AND k2 = k.k2 AND frm = i.at;
    END LOOP;
  END LOOP;
END $$;

-- ... and the versions are made of it, anew each time.
CREATE FUNCTION fz.oracle_versions(roles text[], deletes text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE k record; i record; o fz.obs; state fz.vals; first fz.vals; last fz.vals; alive boolean; known boolean;
BEGIN
  DELETE FROM fz.ver;
  FOR k IN SELECT DISTINCT k1, k2 FROM fz.obs LOOP
    SELECT (obs.v).* INTO first FROM fz.obs WHERE k1 = k.k1 AND k2 = k.k2 AND added = 0 AND NOT deleted ORDER BY frm, seq DESC LIMIT 1;
    SELECT (obs.v).* INTO last FROM fz.obs WHERE k1 = k.k1 AND k2 = k.k2 AND added = 0 AND NOT deleted ORDER BY frm DESC, seq DESC LIMIT 1;
    known := false; alive := false;
    FOR i IN SELECT DISTINCT frm FROM fz.obs WHERE k1 = k.k1 AND k2 = k.k2 ORDER BY frm LOOP
      SELECT * INTO o FROM fz.obs WHERE k1 = k.k1 AND k2 = k.k2 AND frm = i.frm AND NOT (deleted AND deletes = 'ignore')
       ORDER BY added DESC, seq DESC LIMIT 1;
      CONTINUE WHEN NOT FOUND;
      IF o.deleted THEN
        CONTINUE WHEN NOT alive;
        UPDATE fz.ver SET vt = i.frm WHERE k1 = k.k1 AND k2 = k.k2 AND vt IS NULL;
        IF deletes = 'mark' THEN INSERT INTO fz.ver VALUES (k.k1, k.k2, fz.merge(roles, state, first, last), i.frm, NULL, true); END IF;
        alive := false;
      ELSE
        IF o.added > 0 THEN
          SELECT v INTO o.v FROM fz.obs WHERE k1 = k.k1 AND k2 = k.k2 AND added = 0 AND frm <= i.frm ORDER BY frm DESC, seq DESC LIMIT 1;
        END IF;
        CONTINUE WHEN alive AND NOT fz.differs(state, o.v, roles);
        UPDATE fz.ver SET vt = i.frm WHERE k1 = k.k1 AND k2 = k.k2 AND vt IS NULL;
        INSERT INTO fz.ver VALUES (k.k1, k.k2, fz.merge(roles, o.v, first, last), i.frm, NULL, false);
        state := o.v; alive := true;
      END IF;
    END LOOP;
  END LOOP;
END $$;

-- The next state of the source.
CREATE FUNCTION fz.next_batch(mode text, has_k2 boolean, has_seq boolean, keys integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE n integer; whole boolean;
BEGIN
  DELETE FROM fz.src s USING fz.src d WHERE (s.k1, s.k2, s.seq, s.eff) IS NOT DISTINCT FROM (d.k1, d.k2, d.seq, d.eff) AND s.ctid > d.ctid;
  IF mode = 'runtime' THEN
    DELETE FROM fz.src WHERE fz.chance(0.25);
    UPDATE fz.src SET v = fz.random_vals() WHERE fz.chance(0.35);
    INSERT INTO fz.src SELECT k, l, fz.random_vals() FROM generate_series(1, keys) AS k, unnest(CASE WHEN has_k2 THEN '{p,q}' ELSE '{-}' END::text[]) AS l
     WHERE NOT EXISTS (SELECT 1 FROM fz.src s WHERE s.k1 = k AND s.k2 = l) AND fz.chance(0.4);
  ELSIF mode = 'business' THEN
    DELETE FROM fz.src WHERE fz.chance(0.4);
    -- an extract may say other values for an instant than one before did
    UPDATE fz.src SET v = fz.random_vals() WHERE fz.chance(0.1);
    INSERT INTO fz.src SELECT DISTINCT ON (k1, k2, eff, seq) * FROM (
        SELECT 1 + fz.number(keys) AS k1, CASE WHEN has_k2 THEN fz.pick('p', 'q') ELSE '-' END AS k2, fz.random_vals() AS v, fz.instant() AS eff,
               'I' AS op, CASE WHEN has_seq THEN fz.number(3) ELSE 0 END AS seq FROM generate_series(1, 1 + fz.number(keys * 2))) AS n
     WHERE NOT EXISTS (SELECT 1 FROM fz.src s WHERE (s.k1, s.k2, s.eff, s.seq) = (n.k1, n.k2, n.eff, n.seq));
  ELSE
    IF fz.chance(0.6) THEN DELETE FROM fz.src; END IF;
    WITH sent AS (UPDATE fz.feed SET sent = true WHERE id IN (SELECT id FROM fz.feed WHERE NOT sent AND fz.chance(0.4)) RETURNING *)
    INSERT INTO fz.src SELECT k1, k2, v, eff, op, seq FROM sent;
    -- delivered again
    INSERT INTO fz.src SELECT k1, k2, v, eff, op, seq FROM fz.feed WHERE sent AND fz.chance(0.1);
  END IF;
  -- exact duplicates
  INSERT INTO fz.src SELECT * FROM fz.src WHERE fz.chance(0.08);
END $$;

CREATE FUNCTION fz.check(ok boolean, what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF ok IS NOT TRUE THEN RAISE EXCEPTION 'FOUND: %', what; END IF;
END $$;

CREATE FUNCTION fz.one_case(seed integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  mode text; deletes text; was_deletes text; has_k2 boolean; has_seq boolean; with_eff boolean; roles text[]; names text[]; query text; key text[];
  at timestamptz := '2025-01-02 00:00:00+00'; keys integer; batches integer; told text; r record; shown text; images text; expected text; differences bigint; ctids text;
BEGIN
  PERFORM setseed(seed % 100003 / 100003.0);
  mode := fz.pick('runtime', 'business', 'feed');
  deletes := fz.pick('ignore', 'close', 'mark');
  has_k2 := fz.chance(0.4); has_seq := mode = 'feed' OR mode = 'business' AND fz.chance(0.4);
  with_eff := mode <> 'feed' OR fz.chance(0.5);
  roles := ARRAY(SELECT fz.pick('history', 'history', 'fixed', 'overwrite') FROM generate_series(1, 4));
  -- names that are aliases in the generated statements, or need quotes
  names := ARRAY(SELECT n FROM unnest('{q,c,k,d,o,n,v,l,p,i,f,t,a,b,x,g,r,m,select,Été,A B,a.b,we\"ird,it''s,surrogate,inferred,tstzrange,user,last,strata,row}'::text[]) AS n
                  ORDER BY random() LIMIT 9);
  keys := 1 + fz.number(5); batches := 2 + fz.number(4);
  key := CASE WHEN has_k2 THEN names[1:2] ELSE names[1:1] END;
  query := format('SELECT k1 AS %I%s, (v).a AS %I, (v).b AS %I, (v).c AS %I, (v).d AS %I%s%s%s FROM fz.src', names[1],
    CASE WHEN has_k2 THEN format(', k2 AS %I', names[2]) ELSE '' END, names[3], names[4], names[5], names[6],
    CASE WHEN mode = 'business' OR mode = 'feed' AND with_eff THEN format(', eff AS %I', names[7]) ELSE '' END,
    CASE WHEN mode = 'feed' THEN format(', op AS %I', names[8]) ELSE '' END,
    CASE WHEN NOT has_seq THEN '' WHEN with_eff THEN format(', seq AS %I', names[9]) ELSE format(', eff AS %I', names[9]) END);
  told := format('mode %s, deletes %s, key %s, roles %s, sequence %s, effective_from %s', mode, deletes, key, roles, has_seq, with_eff);
  IF mode = 'feed' THEN
    INSERT INTO fz.feed (k1, k2, v, eff, op, seq)
    SELECT DISTINCT ON (k1, k2, eff, seq) k1, k2, CASE WHEN op = 'D' AND fz.chance(0.7) THEN NULL ELSE v END, eff, op, seq FROM (
      SELECT 1 + fz.number(keys) AS k1, CASE WHEN has_k2 THEN fz.pick('p', 'q') ELSE '-' END AS k2, fz.random_vals() AS v, fz.instant() AS eff,
             fz.pick('I', 'U', 'U', 'D') AS op, CASE WHEN with_eff THEN fz.number(4) ELSE 0 END AS seq FROM generate_series(1, keys * 6)) AS n;
  END IF;
  FOR batch IN 0 .. batches LOOP
    IF batch = 0 OR fz.chance(0.2) THEN
      was_deletes := deletes;
      IF batch > 0 THEN
        roles[1 + fz.number(4)] := fz.pick('history', 'fixed', 'overwrite');
        IF fz.chance(0.3) THEN deletes := fz.pick('ignore', 'close', 'mark'); END IF;
        told := format('%s; before batch %s deletes %s, roles %s', told, batch, deletes, roles);
      END IF;
      SELECT strata.define_dimension('fz.dim', query, key => key,
        history => ARRAY(SELECT names[2 + i] FROM generate_series(1, 4) i WHERE roles[i] = 'history'),
        fixed => ARRAY(SELECT names[2 + i] FROM generate_series(1, 4) i WHERE roles[i] = 'fixed'),
        effective_from => CASE WHEN mode = 'business' OR mode = 'feed' AND with_eff THEN names[7] END,
        operation => CASE WHEN mode = 'feed' THEN names[8] END, sequence => CASE WHEN has_seq THEN names[9] END,
        deletes => deletes, max_shrink => 1, surrogate_key => 'sk') INTO shown;
      -- a definition that is the same in other words changes nothing
      IF mode = 'runtime' AND batch > 0 AND shown NOT LIKE 'unchanged%' THEN PERFORM fz.oracle_redefined(roles, was_deletes, deletes); END IF;
    END IF;
    PERFORM fz.next_batch(mode, has_k2, has_seq, keys);
    IF fz.chance(0.8) THEN at := at + fz.number(3) * interval '1 day' + interval '1 hour'; END IF;
    shown := format('SELECT %I, %s, ROW(%I, %I, %I, %I)::fz.vals, valid_from, valid_to, %s FROM fz.dim WHERE sk <> 0', names[1],
      CASE WHEN has_k2 THEN quote_ident(names[2]) ELSE '''-''' END, names[3], names[4], names[5], names[6],
      CASE WHEN deletes = 'mark' THEN 'is_deleted' ELSE 'false' END);
    DELETE FROM fz.before;
    EXECUTE format('INSERT INTO fz.before SELECT sk, %I, %s, valid_from FROM fz.dim WHERE sk <> 0', names[1], CASE WHEN has_k2 THEN quote_ident(names[2]) ELSE '''-''' END);
    PERFORM * FROM strata.refresh('fz.dim', as_of => at, full_rebuild => fz.chance(0.1));
    IF mode = 'runtime' THEN
      PERFORM fz.oracle_runtime(roles, deletes, at);
    ELSE
      PERFORM fz.oracle_observe(roles, mode = 'business', deletes, at);
      PERFORM fz.oracle_versions(roles, deletes);
    END IF;
    -- the table is what the oracle says, image by image
    EXECUTE format('SELECT count(*), min(d::text) FROM ((SELECT d.k1, d.k2, d.v::text, d.vf, d.vt, d.del FROM (%1$s) AS d (k1, k2, v, vf, vt, del)
                      EXCEPT ALL SELECT k1, k2, v::text, vf, vt, del FROM fz.ver)
                     UNION ALL (SELECT k1, k2, v::text, vf, vt, del FROM fz.ver
                      EXCEPT ALL SELECT d.k1, d.k2, d.v::text, d.vf, d.vt, d.del FROM (%1$s) AS d (k1, k2, v, vf, vt, del))) AS d', shown)
       INTO differences, expected;
    IF differences > 0 THEN
      EXECUTE format('SELECT string_agg(d::text, E''\n'' ORDER BY d.k1, d.k2, d.vf) FROM (%s) AS d (k1, k2, v, vf, vt, del)', shown) INTO images;
      RAISE EXCEPTION E'FOUND: batch %, run %: the table differs from the oracle\n%\ntable:\n%\noracle:\n%\nsource:\n%', batch, at, told, images,
        (SELECT string_agg((v.*)::text, E'\n' ORDER BY v.k1, v.k2, v.vf) FROM fz.ver v), (SELECT string_agg((s.*)::text, E'\n') FROM fz.src s);
    END IF;
    -- surrogate keys: unique, of one natural key for ever, and a version that was there keeps its own
    EXECUTE format('INSERT INTO fz.ever SELECT sk, %1$I, %2$s FROM fz.dim WHERE sk <> 0 ON CONFLICT (sk) DO NOTHING', names[1], CASE WHEN has_k2 THEN quote_ident(names[2]) ELSE '''-''' END);
    EXECUTE format('SELECT bool_and((d.%1$I, %2$s) = (e.k1, e.k2)) FROM fz.dim d JOIN fz.ever e USING (sk)', names[1], CASE WHEN has_k2 THEN format('d.%I', names[2]) ELSE '''-''' END) INTO r;
    PERFORM fz.check(coalesce(r.bool_and, true), 'a surrogate key went to another natural key: ' || told);
    EXECUTE format('SELECT bool_and(b.sk = d.sk) FROM fz.before b JOIN fz.dim d ON d.%1$I = b.k1 AND %2$s = b.k2 AND d.valid_from = b.vf WHERE d.sk <> 0', names[1],
      CASE WHEN has_k2 THEN format('d.%I', names[2]) ELSE '''-''' END) INTO r;
    PERFORM fz.check(coalesce(r.bool_and, true), 'a version changed its surrogate key: ' || told);
    -- verify finds as the oracle does that nothing differs
    SELECT string_agg(format('%s: %s', v.status, v.message), '; ') AS said INTO r FROM strata.verify('fz.dim', sample => CASE WHEN fz.chance(0.3) THEN 0.5 END) AS v WHERE v.status <> 'equal';
    PERFORM fz.check(r.said IS NULL, format('batch %s: verify says %s: %s', batch, r.said, told));
    -- what somebody else did to a version shows, and is mended to the row where the log can tell
    IF mode <> 'runtime' AND fz.chance(0.3) THEN
      BEGIN
        EXECUTE 'SELECT string_agg((d.*)::text, '','' ORDER BY d.sk) FROM fz.dim d' INTO images;
        EXECUTE format(fz.pick('DELETE FROM fz.dim WHERE sk = %s', 'UPDATE fz.dim SET sk = sk + 1000000 WHERE sk = %s', 'UPDATE fz.dim SET %2$I = %2$I || ''!'', %3$I = NULL WHERE sk = %1$s'),
          coalesce((SELECT e.sk FROM fz.ever e JOIN fz.dim d USING (sk) ORDER BY random() LIMIT 1), -1), names[3], names[4]);
        EXECUTE 'SELECT string_agg((d.*)::text, '','' ORDER BY d.sk) FROM fz.dim d' INTO expected;
        SELECT v.status, v.message INTO r FROM strata.verify('fz.dim') AS v;
        PERFORM fz.check((r.status <> 'equal') = (images <> expected), format('batch %s: a version was spoilt, and verify says %s: %s: %s', batch, r.status, r.message, told));
        IF images <> expected THEN
          SELECT v.status, v.message INTO r FROM strata.verify('fz.dim', repair => true) AS v;
          EXECUTE 'SELECT string_agg((d.*)::text, '','' ORDER BY d.sk) FROM fz.dim d' INTO expected;
          PERFORM fz.check(r.status = 'repaired' AND images = expected, format('batch %s: a spoilt version was not mended: %s: %s: %s', batch, r.status, r.message, told));
        END IF;
        RAISE EXCEPTION USING errcode = 'ZZ998', message = 'undo';
      EXCEPTION WHEN SQLSTATE 'ZZ998' THEN NULL;
      END;
    END IF;
    -- the same again changes nothing, not even a row's address
    EXECUTE 'SELECT string_agg(ctid::text || sk, '','' ORDER BY sk) FROM fz.dim' INTO ctids;
    UPDATE fz.src SET seq = seq; -- or the refresh sees that it has nothing to compute
    SELECT coalesce(sum(inserted + updated + deleted), 0) AS n INTO r FROM strata.refresh('fz.dim', as_of => at + fz.number(2) * interval '1 minute', full_rebuild => fz.chance(0.2));
    PERFORM fz.check(r.n = 0, format('batch %s: the same refresh again changed %s rows: %s', batch, r.n, told));
    EXECUTE 'SELECT string_agg(ctid::text || sk, '','' ORDER BY sk) FROM fz.dim' INTO images;
    PERFORM fz.check(ctids = images, 'the same refresh again rewrote rows: ' || told);
    at := at + interval '1 minute';
  END LOOP;
  RETURN told;
END $$;

CREATE FUNCTION fz.run(first integer, cases integer, seed integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE found integer := 0; message text; state text; context text;
BEGIN
  FOR n IN first .. first + cases - 1 LOOP
    BEGIN
      message := fz.one_case(seed * 1000 + n);
      RAISE EXCEPTION USING errcode = 'ZZ999', message = 'done';
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, state = RETURNED_SQLSTATE, context = PG_EXCEPTION_CONTEXT;
      IF state <> 'ZZ999' THEN
        found := found + 1;
        RAISE WARNING E'case %: % %\n%', n, state, message, CASE WHEN message LIKE 'FOUND%' THEN '' ELSE context END;
        EXIT WHEN found >= 5;
      END IF;
    END;
  END LOOP;
  RETURN found;
END $$;
SELECT fz.run(:first, :cases, :seed) > 0 AS found \gset
\if :found
\else
\echo no difference
\endif
DROP SCHEMA fz CASCADE;
