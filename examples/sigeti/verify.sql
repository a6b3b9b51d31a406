-- Seven things the first SIGETI warehouse got wrong, and the proof that this one gets them right: plain SQL over the source, which shares
-- nothing with the models, against what the warehouse holds. Stops with an error when a single row differs.
-- "at stake" is how much the old way would get wrong on the very same data; a proof with nothing at stake proves nothing, and fails.
-- Expects that the warehouse was refreshed after the load and after each later day.

\set ON_ERROR_STOP on
\set QUIET on
SET TimeZone = 'Africa/Abidjan';
SET client_min_messages = warning;
DROP TABLE IF EXISTS pg_temp.proof, pg_temp.true_payment;
DROP VIEW IF EXISTS pg_temp.difference_payments, pg_temp.difference_invoices, pg_temp.difference_requests, pg_temp.difference_collections,
    pg_temp.true_versions, pg_temp.kept_versions, pg_temp.dated;
RESET client_min_messages;

CREATE TEMP TABLE proof (n integer, the_original_was_wrong text, compared bigint, at_stake numeric, wrong bigint);

-- What a cashier typed, read by a regular expression instead of a cast
CREATE TEMP TABLE true_payment AS
SELECT id, facture_id, date_paiement, amount
FROM (SELECT id, facture_id, date_paiement,
             CASE WHEN typed ~ '^[0-9]+(\.[0-9]+)?$' THEN typed::numeric END AS amount
      FROM (SELECT *, replace(regexp_replace(montant_saisi, U&'[ \00a0\202f]', '', 'g'), ',', '.') AS typed
            FROM sigeti.paiements WHERE deleted_at IS NULL) t) t
WHERE amount > 0;
CREATE INDEX ON true_payment (facture_id);
ANALYZE true_payment;

-- 1. Late rows and later corrections: every fact table equals the source, both ways
CREATE TEMP VIEW difference_payments AS
    (SELECT id, facture_id, date_paiement, amount FROM true_payment
     EXCEPT ALL SELECT paiement_id, facture_id, date_paiement, montant FROM dwh.fait_paiements)
    UNION ALL
    (SELECT paiement_id, facture_id, date_paiement, montant FROM dwh.fait_paiements
     EXCEPT ALL SELECT id, facture_id, date_paiement, amount FROM true_payment);
CREATE TEMP VIEW difference_invoices AS
    (SELECT id, entreprise_id, date_emission, montant_ttc FROM sigeti.factures WHERE deleted_at IS NULL
     EXCEPT ALL SELECT facture_id, entreprise_id, date_emission, montant_ttc FROM dwh.fait_factures)
    UNION ALL
    (SELECT facture_id, entreprise_id, date_emission, montant_ttc FROM dwh.fait_factures
     EXCEPT ALL SELECT id, entreprise_id, date_emission, montant_ttc FROM sigeti.factures WHERE deleted_at IS NULL);
CREATE TEMP VIEW difference_requests AS
    (SELECT id, entreprise_id, lot_id, statut::text, date_demande, date_decision FROM sigeti.demandes WHERE deleted_at IS NULL
     EXCEPT ALL SELECT demande_id, entreprise_id, lot_id, statut, date_demande, date_decision FROM dwh.fait_attributions)
    UNION ALL
    (SELECT demande_id, entreprise_id, lot_id, statut, date_demande, date_decision FROM dwh.fait_attributions
     EXCEPT ALL SELECT id, entreprise_id, lot_id, statut::text, date_demande, date_decision FROM sigeti.demandes WHERE deleted_at IS NULL);
CREATE TEMP VIEW difference_collections AS
    (SELECT id, entreprise_id, zone_id, date_collecte, montant_attendu, montant_recouvre FROM sigeti.collectes WHERE deleted_at IS NULL
     EXCEPT ALL SELECT collecte_id, entreprise_id, zone_id, date_collecte, montant_attendu, montant_recouvre FROM dwh.fait_collectes)
    UNION ALL
    (SELECT collecte_id, entreprise_id, zone_id, date_collecte, montant_attendu, montant_recouvre FROM dwh.fait_collectes
     EXCEPT ALL SELECT id, entreprise_id, zone_id, date_collecte, montant_attendu, montant_recouvre FROM sigeti.collectes WHERE deleted_at IS NULL);

INSERT INTO proof
SELECT 1, 'date >= max(date) lost late rows and later corrections (rows lost)',
       (SELECT count(*) FROM dwh.fait_paiements) + (SELECT count(*) FROM dwh.fait_factures) + (SELECT count(*) FROM dwh.fait_attributions)
           + (SELECT count(*) FROM dwh.fait_collectes),
       (SELECT count(*) FROM sigeti.paiements WHERE updated_at > sigeti.closing(0) AND date_paiement < updated_at::date)
           + (SELECT count(*) FROM sigeti.factures WHERE updated_at > sigeti.closing(0) AND date_emission < updated_at::date)
           + (SELECT count(*) FROM sigeti.demandes WHERE updated_at > sigeti.closing(0) AND date_demande < updated_at::date),
       (SELECT count(*) FROM difference_payments) + (SELECT count(*) FROM difference_invoices) + (SELECT count(*) FROM difference_requests)
           + (SELECT count(*) FROM difference_collections);

-- 2. History of enterprises: the versions in the dimension, in order, are the states in the journal of the source
CREATE TEMP VIEW true_versions AS
    SELECT entreprise_id, row_number() OVER (PARTITION BY entreprise_id ORDER BY rang) AS version, forme_juridique, secteur
    FROM (SELECT *, lag(presente) OVER w AS was_present, lag(forme_juridique) OVER w AS old_form, lag(secteur) OVER w AS old_sector
          FROM sigeti.journal_entreprises
          WINDOW w AS (PARTITION BY entreprise_id ORDER BY rang)) j
    WHERE presente AND (was_present IS NOT TRUE OR forme_juridique <> old_form OR secteur <> old_sector);
CREATE TEMP VIEW kept_versions AS
    SELECT entreprise_id, row_number() OVER (PARTITION BY entreprise_id ORDER BY valid_from) AS version, forme_juridique, secteur
    FROM dwh.dim_entreprise
    WHERE entreprise_key <> 0 AND forme_juridique IS NOT NULL;   -- an inferred member has no attributes before its row comes

-- ... and each fact carries the version that was true on its date: the last state written before that date, the first one known for facts
-- that are older than the register, the unknown member while the enterprise was gone
CREATE TEMP VIEW dated AS
    SELECT 'p' || paiement_id AS fact, entreprise_id, entreprise_key, date_paiement AS day FROM dwh.fait_paiements
    UNION ALL SELECT 'f' || facture_id, entreprise_id, entreprise_key, date_emission FROM dwh.fait_factures
    UNION ALL SELECT 'd' || demande_id, entreprise_id, entreprise_key, date_demande FROM dwh.fait_attributions
    UNION ALL SELECT 'c' || collecte_id, entreprise_id, entreprise_key, date_collecte FROM dwh.fait_collectes;

INSERT INTO proof
SELECT 2, 'its "SCD2" kept one row per enterprise (versions lost)',
       (SELECT count(*) FROM true_versions) + (SELECT count(*) FROM dated),
       (SELECT count(*) FROM true_versions WHERE version > 1),
       (SELECT count(*) FROM ((TABLE true_versions EXCEPT ALL TABLE kept_versions) UNION ALL (TABLE kept_versions EXCEPT ALL TABLE true_versions)) t)
       + (SELECT count(*)
          FROM dated f
               JOIN dwh.dim_entreprise d USING (entreprise_key)
               LEFT JOIN LATERAL (SELECT * FROM sigeti.journal_entreprises j
                                  WHERE j.entreprise_id = f.entreprise_id AND j.moment <= f.day AND
                                        (j.presente OR EXISTS (SELECT FROM sigeti.journal_entreprises o
                                                               WHERE o.entreprise_id = j.entreprise_id AND o.presente AND o.rang < j.rang))
                                  ORDER BY j.rang DESC LIMIT 1) past ON true
               LEFT JOIN LATERAL (SELECT * FROM sigeti.journal_entreprises j
                                  WHERE j.entreprise_id = f.entreprise_id AND j.presente ORDER BY j.rang LIMIT 1) first ON true
          WHERE CASE WHEN past.presente IS FALSE THEN f.entreprise_key <> 0
                     ELSE d.entreprise_id IS DISTINCT FROM f.entreprise_id
                          OR d.forme_juridique IS DISTINCT FROM coalesce(past.forme_juridique, first.forme_juridique)
                          OR d.secteur IS DISTINCT FROM coalesce(past.secteur, first.secteur) END)
       + (SELECT count(*) FROM dated f WHERE NOT EXISTS (SELECT FROM dwh.dim_entreprise d WHERE d.entreprise_key = f.entreprise_key));

-- 3. Approvals: the indicator of every month is what the source counts with its own enum
INSERT INTO proof
SELECT 3, 'status words did not match the enum, every approval KPI was 0 (approvals lost)', count(*),
       sum(s.approved), count(*) FILTER (WHERE (s.approved, s.refused, s.asked) IS DISTINCT FROM (k.nb_approuvees, k.nb_rejetees, k.nb_demandes))
FROM (SELECT date_trunc('month', date_demande)::date AS mois, count(*) AS asked,
             count(*) FILTER (WHERE statut = 'APPROUVEE'::sigeti.statut_demande) AS approved,
             count(*) FILTER (WHERE statut = 'REJETEE'::sigeti.statut_demande) AS refused
      FROM sigeti.demandes WHERE deleted_at IS NULL GROUP BY 1) s
     FULL JOIN (SELECT * FROM marts.kpi_operationnels WHERE nb_demandes > 0) k USING (mois);

-- 4. Revenue: enterprise by enterprise and month by month; at stake is what joining facts to facts would add
INSERT INTO proof
SELECT 4, 'marts joined facts to facts and multiplied revenue (FCFA too much)',
       (SELECT count(*) FROM marts.portefeuille_clients) + (SELECT count(*) FROM marts.performance_financiere),
       (SELECT sum(f.montant_ttc) FROM sigeti.factures f JOIN sigeti.demandes d USING (entreprise_id)
                                       LEFT JOIN true_payment p ON p.facture_id = f.id WHERE f.deleted_at IS NULL)
           - (SELECT sum(montant_ttc) FROM sigeti.factures WHERE deleted_at IS NULL),
       (SELECT count(*)
        FROM (SELECT entreprise_id, sum(montant_ttc) AS invoiced FROM sigeti.factures WHERE deleted_at IS NULL GROUP BY 1) s
             FULL JOIN (SELECT * FROM marts.portefeuille_clients WHERE nb_factures > 0) m USING (entreprise_id)
        WHERE s.invoiced IS DISTINCT FROM m.montant_facture)
       + (SELECT count(*)
          FROM (SELECT date_trunc('month', date_emission)::date AS mois, sum(montant_ttc) AS invoiced
                FROM sigeti.factures WHERE deleted_at IS NULL GROUP BY 1) s
               FULL JOIN (SELECT mois, sum(montant_facture) AS invoiced FROM marts.performance_financiere GROUP BY 1 HAVING sum(nb_factures) > 0) m
                   USING (mois)
          WHERE s.invoiced IS DISTINCT FROM m.invoiced)
       + (SELECT count(*)
          FROM (SELECT date_trunc('month', date_paiement)::date AS mois, sum(amount) AS paid FROM true_payment GROUP BY 1) s
               FULL JOIN (SELECT mois, sum(montant_encaisse) AS paid FROM marts.performance_financiere GROUP BY 1 HAVING sum(nb_paiements) > 0) m
                   USING (mois)
          WHERE s.paid IS DISTINCT FROM m.paid);

-- 5. Dates: the day a fact points to in the calendar is the day of the event, whenever the warehouse was refreshed
INSERT INTO proof
SELECT 5, 'current_date was stored in facts (rows under a wrong day)', count(*), count(*) FILTER (WHERE day <> sigeti.day((SELECT jour FROM sigeti.parametres))),
       count(*) FILTER (WHERE calendar IS DISTINCT FROM day)
FROM (SELECT p.date_paiement AS day, t.date AS calendar
      FROM dwh.fait_paiements f JOIN sigeti.paiements p ON p.id = f.paiement_id LEFT JOIN dwh.dim_date t ON t.date_key = f.date_paiement_key
      UNION ALL
      SELECT i.date_emission, t.date
      FROM dwh.fait_factures f JOIN sigeti.factures i ON i.id = f.facture_id LEFT JOIN dwh.dim_date t ON t.date_key = f.date_emission_key
      UNION ALL
      SELECT d.date_demande, t.date
      FROM dwh.fait_attributions f JOIN sigeti.demandes d ON d.id = f.demande_id LEFT JOIN dwh.dim_date t ON t.date_key = f.date_demande_key
      UNION ALL
      SELECT c.date_collecte, t.date
      FROM dwh.fait_collectes f JOIN sigeti.collectes c ON c.id = f.collecte_id LEFT JOIN dwh.dim_date t ON t.date_key = f.date_collecte_key) t;

-- 6. Left to pay: after each payment, and of each invoice, with every payment up to then
INSERT INTO proof
SELECT 6, 'remaining-to-pay ignored earlier payments (payments with a wrong remainder)', count(*), count(*) FILTER (WHERE earlier > 0),
       count(*) FILTER (WHERE f.reste_a_payer IS DISTINCT FROM montant_ttc - p.amount - earlier)
           + (SELECT count(*)
              FROM sigeti.factures i
                   LEFT JOIN dwh.fait_factures f ON f.facture_id = i.id
                   LEFT JOIN LATERAL (SELECT coalesce(sum(amount), 0) AS paid FROM true_payment p WHERE p.facture_id = i.id) p ON true
              WHERE i.deleted_at IS NULL AND (f.montant_paye IS DISTINCT FROM p.paid OR f.reste_a_payer IS DISTINCT FROM i.montant_ttc - p.paid))
FROM true_payment p
     JOIN sigeti.factures i ON i.id = p.facture_id AND i.deleted_at IS NULL
     LEFT JOIN dwh.fait_paiements f ON f.paiement_id = p.id
     CROSS JOIN LATERAL (SELECT coalesce(sum(o.amount), 0) AS earlier FROM true_payment o
                         WHERE o.facture_id = p.facture_id AND (o.date_paiement, o.id) < (p.date_paiement, p.id)) e;

-- 7. Deleted invoices, softly or for good, are in no fact and in no sum
INSERT INTO proof
SELECT 7, 'deleted invoices stayed (invoices deleted)', count(*),
       (SELECT count(*) FROM generate_series(1, (SELECT max(id) FROM sigeti.factures)) g
        WHERE NOT EXISTS (SELECT FROM sigeti.factures i WHERE i.id = g AND i.deleted_at IS NULL)),
       count(*) FILTER (WHERE i.id IS NULL)
           + (SELECT count(*) FROM dwh.fait_paiements p
              WHERE NOT EXISTS (SELECT FROM sigeti.factures i WHERE i.id = p.facture_id AND i.deleted_at IS NULL))
FROM dwh.fait_factures f LEFT JOIN sigeti.factures i ON i.id = f.facture_id AND i.deleted_at IS NULL;

-- And beside the seven: no payment vanishes; what cannot be read is kept apart
INSERT INTO proof
SELECT 8, 'and here: what cannot be read is kept apart, nothing vanishes (payments)', count(*), (SELECT count(*) FROM staging.stg_paiements__rejected),
       abs(count(*) - (SELECT count(*) FROM dwh.fait_paiements) - (SELECT count(*) FROM staging.stg_paiements__rejected))
FROM sigeti.paiements WHERE deleted_at IS NULL;

SELECT n, the_original_was_wrong AS "the original was wrong: (what is at stake)", compared AS "rows compared", to_char(at_stake, 'FM999,999,999,999,999,999') AS "at stake",
       wrong AS "wrong here", CASE WHEN wrong = 0 AND at_stake > 0 THEN 'right' ELSE 'WRONG' END AS verdict
FROM proof ORDER BY n;

DO $$
DECLARE
    failed text := (SELECT string_agg(format('%s (%s wrong of %s, at stake %s)', the_original_was_wrong, wrong, compared, at_stake), '; ' ORDER BY n)
                    FROM pg_temp.proof WHERE wrong > 0 OR at_stake IS NULL OR at_stake <= 0 OR compared = 0);
BEGIN
    IF (SELECT count(*) FROM pg_temp.proof) <> 8 OR failed IS NOT NULL THEN
        RAISE EXCEPTION 'the warehouse differs from its source: %', coalesce(failed, 'a proof is missing');
    END IF;
END $$;
