-- Later days of SIGETI: SELECT * FROM sigeti.next_day(1), then 2, 3... Each day does to the source what breaks a careless warehouse:
-- rows that arrive weeks late, amounts corrected afterwards, new statuses, soft and hard deletes, enterprises that leave, return
-- and change their legal form. As the load, every day is a function of its number.

-- The rows of a day are the first k by this rank: always the same ones, and others for another day or another purpose (salt).
CREATE FUNCTION sigeti.rank_of(id bigint, salt bigint, n integer) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN pg_catalog.hashint8extended(id, salt * 1000003 + n);

CREATE FUNCTION sigeti.day_of_enterprises(n integer, scale integer) RETURNS TABLE (happened text, row_count bigint) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last_id bigint := (SELECT max(id) FROM sigeti.entreprises);
BEGIN
    -- Of those that left at least two days ago, the latest come back; one in two under another legal form
    RETURN QUERY WITH c AS (
        UPDATE sigeti.entreprises e
        SET deleted_at = NULL, updated_at = sigeti.office_hour(sigeti.day(n), e.id, 201),
            forme_juridique = CASE WHEN sigeti.pick(e.id, 202, 2) = 0 THEN e.forme_juridique ELSE 'SA' END
        WHERE e.id IN (SELECT id FROM sigeti.entreprises WHERE deleted_at < sigeti.closing(n - 2)
                       ORDER BY deleted_at DESC, id LIMIT 2 * scale)
        RETURNING 1) SELECT 'enterprises returned', count(*) FROM c;
    RETURN QUERY WITH c AS (
        UPDATE sigeti.entreprises e
        SET forme_juridique = CASE WHEN e.forme_juridique = 'SA' THEN 'SAS' ELSE 'SA' END, updated_at = sigeti.office_hour(sigeti.day(n), e.id, 204)
        WHERE e.id IN (SELECT id FROM sigeti.entreprises WHERE deleted_at IS NULL AND updated_at < sigeti.day(n)::timestamp AT TIME ZONE 'UTC'
                       ORDER BY sigeti.rank_of(id, 205, n), id LIMIT 12 * scale)
        RETURNING 1) SELECT 'enterprises with another legal form', count(*) FROM c;
    RETURN QUERY WITH c AS (
        UPDATE sigeti.entreprises e
        SET secteur = CASE WHEN e.secteur = 'Énergie' THEN 'Logistique' ELSE 'Énergie' END, updated_at = sigeti.office_hour(sigeti.day(n), e.id, 206)
        WHERE e.id IN (SELECT id FROM sigeti.entreprises WHERE deleted_at IS NULL AND updated_at < sigeti.day(n)::timestamp AT TIME ZONE 'UTC'
                       ORDER BY sigeti.rank_of(id, 207, n), id LIMIT 10 * scale)
        RETURNING 1) SELECT 'enterprises in another sector', count(*) FROM c;
    RETURN QUERY WITH c AS (
        UPDATE sigeti.entreprises e
        SET telephone = format('+225 07 %s', lpad(sigeti.pick(e.id, 208 + n, 100000000)::text, 8, '0')),
            updated_at = sigeti.office_hour(sigeti.day(n), e.id, 209)
        WHERE e.id IN (SELECT id FROM sigeti.entreprises WHERE deleted_at IS NULL AND updated_at < sigeti.day(n)::timestamp AT TIME ZONE 'UTC'
                       ORDER BY sigeti.rank_of(id, 210, n), id LIMIT 8 * scale)
        RETURNING 1) SELECT 'enterprises with another telephone', count(*) FROM c;
    RETURN QUERY WITH c AS (
        UPDATE sigeti.entreprises e SET deleted_at = sigeti.office_hour(sigeti.day(n), e.id, 211)
        WHERE e.id IN (SELECT id FROM sigeti.entreprises WHERE deleted_at IS NULL AND updated_at < sigeti.day(n)::timestamp AT TIME ZONE 'UTC'
                       ORDER BY sigeti.rank_of(id, 212, n), id LIMIT 3 * scale)
        RETURNING 1) SELECT 'enterprises left (soft delete)', count(*) FROM c;
    RETURN QUERY WITH c AS (
        DELETE FROM sigeti.entreprises e
        WHERE e.id IN (SELECT id FROM sigeti.entreprises WHERE id % 50 = 0 AND id <= 1500 * scale ORDER BY sigeti.rank_of(id, 213, n), id LIMIT scale)
        RETURNING 1) SELECT 'enterprises deleted for good', count(*) FROM c;
    RETURN QUERY SELECT 'new enterprises', sigeti.new_enterprises(last_id + 1, last_id + 5 * scale, n);
END $$;

CREATE FUNCTION sigeti.day_of_requests(n integer, scale integer) RETURNS TABLE (happened text, row_count bigint) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last_id bigint := (SELECT max(id) FROM sigeti.demandes);
BEGIN
    RETURN QUERY WITH c AS (
        UPDATE sigeti.demandes d
        SET statut = CASE WHEN d.statut = 'EN_ATTENTE' THEN 'EN_COURS' WHEN sigeti.pick(d.id, 221, 4) = 0 THEN 'REJETEE' ELSE 'APPROUVEE'
                     END::sigeti.statut_demande,
            date_decision = CASE WHEN d.statut = 'EN_COURS' THEN sigeti.day(n) END,
            updated_at = sigeti.office_hour(sigeti.day(n), d.id, 222)
        WHERE d.id IN (SELECT id FROM sigeti.demandes WHERE statut IN ('EN_ATTENTE', 'EN_COURS') AND deleted_at IS NULL
                       ORDER BY sigeti.rank_of(id, 223, n), id LIMIT 20 * scale)
        RETURNING 1) SELECT 'requests moved on', count(*) FROM c;
    RETURN QUERY SELECT 'lots attributed', sigeti.occupy_lots(n);
    RETURN QUERY WITH c AS (
        UPDATE sigeti.demandes d SET deleted_at = sigeti.office_hour(sigeti.day(n), d.id, 224), updated_at = sigeti.office_hour(sigeti.day(n), d.id, 224)
        WHERE d.id IN (SELECT id FROM sigeti.demandes WHERE statut = 'ANNULEE' AND deleted_at IS NULL
                       ORDER BY sigeti.rank_of(id, 225, n), id LIMIT 2 * scale)
        RETURNING 1) SELECT 'requests soft-deleted', count(*) FROM c;
    RETURN QUERY SELECT 'new requests', sigeti.new_requests(last_id + 1, last_id + 15 * scale, n, 0);
    RETURN QUERY SELECT 'requests entered 40 days late', sigeti.new_requests(last_id + 15 * scale + 1, last_id + 18 * scale, n, 40);
END $$;

CREATE FUNCTION sigeti.day_of_invoices(n integer, scale integer) RETURNS TABLE (happened text, row_count bigint) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last_id bigint := (SELECT max(id) FROM sigeti.factures);
BEGIN
    RETURN QUERY WITH c AS (
        UPDATE sigeti.factures f
        SET montant_ttc = f.montant_ttc + 50000 * (1 + sigeti.pick(f.id, 231 + n, 9)), updated_at = sigeti.office_hour(sigeti.day(n), f.id, 232)
        WHERE f.id IN (SELECT id FROM sigeti.factures WHERE deleted_at IS NULL ORDER BY sigeti.rank_of(id, 233, n), id LIMIT 10 * scale)
        RETURNING 1) SELECT 'invoices corrected', count(*) FROM c;
    -- An invoice that is deleted takes its payments with it
    RETURN QUERY WITH c AS (
        UPDATE sigeti.factures f SET deleted_at = sigeti.office_hour(sigeti.day(n), f.id, 234), updated_at = sigeti.office_hour(sigeti.day(n), f.id, 234)
        WHERE f.id IN (SELECT id FROM sigeti.factures WHERE deleted_at IS NULL ORDER BY sigeti.rank_of(id, 235, n), id LIMIT 5 * scale)
        RETURNING f.id, f.deleted_at), p AS (
        UPDATE sigeti.paiements p SET deleted_at = c.deleted_at, updated_at = c.deleted_at
        FROM c WHERE p.facture_id = c.id AND p.deleted_at IS NULL
        RETURNING 1)
        SELECT * FROM (SELECT 'invoices soft-deleted', count(*) FROM c UNION ALL SELECT 'payments soft-deleted with them', count(*) FROM p) t;
    RETURN QUERY WITH c AS (
        DELETE FROM sigeti.factures f
        WHERE f.id IN (SELECT id FROM sigeti.factures f WHERE NOT EXISTS (SELECT FROM sigeti.paiements p WHERE p.facture_id = f.id)
                       ORDER BY sigeti.rank_of(id, 236, n), id LIMIT 3 * scale)
        RETURNING 1) SELECT 'invoices deleted for good', count(*) FROM c;
    RETURN QUERY SELECT 'new invoices', sigeti.new_invoices(last_id + 1, last_id + 12 * scale, n, 0);
    RETURN QUERY SELECT 'invoices entered 60 days late', sigeti.new_invoices(last_id + 12 * scale + 1, last_id + 15 * scale, n, 60);
END $$;

CREATE FUNCTION sigeti.day_of_payments(n integer, scale integer) RETURNS TABLE (happened text, row_count bigint) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last_id bigint := (SELECT max(id) FROM sigeti.paiements);
BEGIN
    -- Someone looked at the slip: what was no amount becomes one
    RETURN QUERY WITH c AS (
        UPDATE sigeti.paiements p
        SET montant_saisi = (50000 * (1 + sigeti.pick(p.id, 241, 20)))::text, updated_at = sigeti.office_hour(sigeti.day(n), p.id, 242)
        WHERE p.id IN (SELECT id FROM sigeti.paiements WHERE montant_saisi !~ '^[0-9]' AND deleted_at IS NULL
                       ORDER BY sigeti.rank_of(id, 243, n), id LIMIT 6 * scale)
        RETURNING 1) SELECT 'unreadable payments put right', count(*) FROM c;
    RETURN QUERY WITH c AS (
        UPDATE sigeti.paiements p
        SET montant_saisi = '25000', updated_at = sigeti.office_hour(sigeti.day(n), p.id, 244)
        WHERE p.id IN (SELECT id FROM sigeti.paiements WHERE montant_saisi ~ '^[0-9]+$' AND deleted_at IS NULL
                       ORDER BY sigeti.rank_of(id, 245, n), id LIMIT 8 * scale)
        RETURNING 1) SELECT 'payments corrected', count(*) FROM c;
    RETURN QUERY WITH c AS (
        DELETE FROM sigeti.paiements p
        WHERE p.id IN (SELECT id FROM sigeti.paiements WHERE deleted_at IS NULL ORDER BY sigeti.rank_of(id, 246, n), id LIMIT 3 * scale)
        RETURNING 1) SELECT 'payments deleted for good', count(*) FROM c;
    -- A fifth of the invoice each; three in ten of the rows reach the office weeks after the money did
    RETURN QUERY WITH c AS (
        INSERT INTO sigeti.paiements
        SELECT last_id + f.k, f.id, sigeti.typed(last_id + f.k, f.montant_ttc / 5),
               sigeti.choose(last_id + f.k, 72, '{VIREMENT,VIREMENT,CHEQUE,ESPECES,MOBILE_MONEY}')::sigeti.mode_paiement,
               greatest(f.date_emission, sigeti.day(n) - CASE WHEN f.k % 10 < 3 THEN 30 + sigeti.pick(f.k, 247, 60)::integer ELSE 0 END), t.made, t.made
        FROM (SELECT id, montant_ttc, date_emission, row_number() OVER (ORDER BY sigeti.rank_of(id, 248, n), id) AS k
              FROM sigeti.factures WHERE deleted_at IS NULL AND statut IN ('EMISE', 'PARTIELLEMENT_PAYEE')
              ORDER BY sigeti.rank_of(id, 248, n), id LIMIT 30 * scale) f,
             LATERAL (SELECT sigeti.office_hour(sigeti.day(n), f.k, 249) AS made) t
        RETURNING date_paiement)
        SELECT * FROM (SELECT 'new payments', count(*) FILTER (WHERE date_paiement = sigeti.day(n)) FROM c
                       UNION ALL SELECT 'payments entered weeks late', count(*) FILTER (WHERE date_paiement < sigeti.day(n)) FROM c) t;
    UPDATE sigeti.factures f SET statut = 'PARTIELLEMENT_PAYEE', updated_at = sigeti.office_hour(sigeti.day(n), f.id, 250)
    WHERE f.statut = 'EMISE' AND f.id IN (SELECT facture_id FROM sigeti.paiements WHERE id > last_id);
END $$;

CREATE FUNCTION sigeti.day_of_collections(n integer, scale integer) RETURNS TABLE (happened text, row_count bigint) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last_id bigint := (SELECT max(id) FROM sigeti.collectes);
BEGIN
    RETURN QUERY WITH c AS (
        UPDATE sigeti.collectes c
        SET statut = 'TERMINEE', montant_recouvre = c.montant_attendu * (30 + 10 * sigeti.pick(c.id, 261, 8)) / 100,
            updated_at = sigeti.office_hour(sigeti.day(n), c.id, 262)
        WHERE c.statut = 'PLANIFIEE' AND c.date_collecte <= sigeti.day(n) AND c.deleted_at IS NULL
        RETURNING 1) SELECT 'collections closed', count(*) FROM c;
    RETURN QUERY WITH c AS (
        DELETE FROM sigeti.collectes c
        WHERE c.id IN (SELECT id FROM sigeti.collectes WHERE statut = 'ANNULEE' ORDER BY sigeti.rank_of(id, 263, n), id LIMIT 2 * scale)
        RETURNING 1) SELECT 'collections deleted for good', count(*) FROM c;
    RETURN QUERY WITH c AS (
        INSERT INTO sigeti.collectes
        SELECT i, sigeti.client(i, 91, 1500 * scale), 1 + sigeti.pick(i, 92, 40 * scale), 'Agent ' || sigeti.choose(i, 93, '{Aya,Koffi,Yéo,Désiré,Aïcha}'),
               sigeti.day(n) + sigeti.pick(i, 264, 10)::integer, 100000::numeric * (1 + sigeti.pick(i, 95, 50)), 0, 'PLANIFIEE', t.made, t.made
        FROM generate_series(last_id + 1, last_id + 8 * scale) i, LATERAL (SELECT sigeti.office_hour(sigeti.day(n), i, 265) AS made) t
        RETURNING 1) SELECT 'new collections', count(*) FROM c;
END $$;

-- Plays day n, which must follow the last day played, and says what happened in it.
CREATE FUNCTION sigeti.next_day(n integer) RETURNS TABLE (happened text, row_count bigint) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    p sigeti.parametres%ROWTYPE;
BEGIN
    SELECT * INTO STRICT p FROM sigeti.parametres;
    IF n IS DISTINCT FROM p.jour + 1 THEN
        RAISE EXCEPTION 'day % does not follow day %', n, p.jour USING HINT = format('Call sigeti.next_day(%s).', p.jour + 1);
    END IF;
    UPDATE sigeti.parametres SET jour = n;
    RETURN QUERY SELECT * FROM sigeti.day_of_enterprises(n, p.echelle);
    RETURN QUERY SELECT * FROM sigeti.day_of_requests(n, p.echelle);
    RETURN QUERY SELECT * FROM sigeti.day_of_invoices(n, p.echelle);
    RETURN QUERY SELECT * FROM sigeti.day_of_payments(n, p.echelle);
    RETURN QUERY SELECT * FROM sigeti.day_of_collections(n, p.echelle);
END $$;
