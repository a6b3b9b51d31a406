-- The operational database of SIGETI, the management of the industrial zones of Côte d'Ivoire, and a generator that fills it.
--
-- SELECT sigeti.load(1) gives about 4,000 rows of zones, activity domains, enterprises and lots, and 3,000 to 7,000 rows of each
-- kind of fact; load(1000) gives a thousand times as many. Every value is a function of the row's id: two loads of one
-- scale are equal to the last byte, on any machine. Days after the load: 20_later_day.sql.

CREATE SCHEMA sigeti;
COMMENT ON SCHEMA sigeti IS 'Operational database of the industrial zones (source: read by the warehouse, never written by it)';

CREATE TYPE sigeti.statut_lot      AS ENUM ('DISPONIBLE', 'ATTRIBUE', 'EN_LITIGE');
CREATE TYPE sigeti.type_demande    AS ENUM ('ATTRIBUTION', 'EXTENSION', 'TRANSFERT', 'RENOUVELLEMENT');
CREATE TYPE sigeti.statut_demande  AS ENUM ('EN_ATTENTE', 'EN_COURS', 'APPROUVEE', 'REJETEE', 'ANNULEE');
CREATE TYPE sigeti.statut_facture  AS ENUM ('EMISE', 'PARTIELLEMENT_PAYEE', 'PAYEE');
CREATE TYPE sigeti.mode_paiement   AS ENUM ('VIREMENT', 'CHEQUE', 'ESPECES', 'MOBILE_MONEY');
CREATE TYPE sigeti.statut_collecte AS ENUM ('PLANIFIEE', 'TERMINEE', 'ANNULEE');

-- One row: the scale that was loaded and the last day that was played.
CREATE TABLE sigeti.parametres (
    seul    boolean PRIMARY KEY DEFAULT true CHECK (seul),
    echelle integer NOT NULL CHECK (echelle > 0),
    jour    integer NOT NULL CHECK (jour >= 0)
);

CREATE TABLE sigeti.zones_industrielles (
    id            bigint PRIMARY KEY,
    code          text NOT NULL UNIQUE,
    libelle       text NOT NULL,
    commune       text NOT NULL,
    region        text NOT NULL,
    superficie_ha numeric(10,2) NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    deleted_at    timestamptz
);

CREATE TABLE sigeti.domaines_activite (
    id         bigint PRIMARY KEY,
    code       text NOT NULL UNIQUE,
    libelle    text NOT NULL,
    famille    text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);

CREATE TABLE sigeti.entreprises (
    id              bigint PRIMARY KEY,
    rccm            text NOT NULL UNIQUE,
    raison_sociale  text NOT NULL,
    forme_juridique text NOT NULL,
    secteur         text NOT NULL,
    domaine_id      bigint NOT NULL REFERENCES sigeti.domaines_activite,
    ville           text NOT NULL,
    telephone       text,
    courriel        text,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    deleted_at      timestamptz
);

CREATE TABLE sigeti.lots (
    id            bigint PRIMARY KEY,
    zone_id       bigint NOT NULL REFERENCES sigeti.zones_industrielles,
    numero        text NOT NULL,
    superficie_m2 numeric(10,2) NOT NULL,
    prix_m2       numeric(10,2) NOT NULL,
    statut        sigeti.statut_lot NOT NULL,
    entreprise_id bigint REFERENCES sigeti.entreprises,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    deleted_at    timestamptz,
    CHECK ((statut = 'ATTRIBUE') = (entreprise_id IS NOT NULL))
);

CREATE TABLE sigeti.demandes (
    id            bigint PRIMARY KEY,
    reference     text NOT NULL UNIQUE,
    entreprise_id bigint NOT NULL REFERENCES sigeti.entreprises,
    lot_id        bigint NOT NULL REFERENCES sigeti.lots,
    type          sigeti.type_demande NOT NULL,
    statut        sigeti.statut_demande NOT NULL,
    date_demande  date NOT NULL,
    date_decision date,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    deleted_at    timestamptz,
    CHECK ((statut IN ('APPROUVEE', 'REJETEE')) = (date_decision IS NOT NULL))
);

CREATE TABLE sigeti.factures (
    id            bigint PRIMARY KEY,
    numero        text NOT NULL UNIQUE,
    entreprise_id bigint NOT NULL REFERENCES sigeti.entreprises,
    demande_id    bigint REFERENCES sigeti.demandes,
    objet         text NOT NULL,
    montant_ttc   numeric(15,2) NOT NULL,
    date_emission date NOT NULL,
    date_echeance date NOT NULL,
    statut        sigeti.statut_facture NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    deleted_at    timestamptz
);

-- The amount is text: it comes from the cashiers' spreadsheet as it was typed.
CREATE TABLE sigeti.paiements (
    id            bigint PRIMARY KEY,
    facture_id    bigint NOT NULL REFERENCES sigeti.factures,
    montant_saisi text NOT NULL,
    mode          sigeti.mode_paiement NOT NULL,
    date_paiement date NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    deleted_at    timestamptz
);

CREATE TABLE sigeti.collectes (
    id              bigint PRIMARY KEY,
    entreprise_id   bigint NOT NULL REFERENCES sigeti.entreprises,
    zone_id         bigint NOT NULL REFERENCES sigeti.zones_industrielles,
    agent           text NOT NULL,
    date_collecte   date NOT NULL,
    montant_attendu numeric(15,2) NOT NULL,
    montant_recouvre numeric(15,2) NOT NULL DEFAULT 0,
    statut          sigeti.statut_collecte NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    deleted_at      timestamptz
);

CREATE INDEX ON sigeti.lots (zone_id);
CREATE INDEX ON sigeti.demandes (lot_id);
CREATE INDEX ON sigeti.demandes (entreprise_id);
CREATE INDEX ON sigeti.factures (entreprise_id);
CREATE INDEX ON sigeti.factures (demande_id);
CREATE INDEX ON sigeti.paiements (facture_id);
CREATE INDEX ON sigeti.collectes (entreprise_id);

-- What really happened to every enterprise, in order. The warehouse does not read it: verify.sql holds the history that the
-- warehouse made against it.
CREATE TABLE sigeti.journal_entreprises (
    rang            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    jour            integer NOT NULL,
    entreprise_id   bigint NOT NULL,
    presente        boolean NOT NULL,
    forme_juridique text NOT NULL,
    secteur         text NOT NULL,
    moment          timestamptz NOT NULL
);
CREATE INDEX ON sigeti.journal_entreprises (entreprise_id, rang);

CREATE FUNCTION sigeti.tenir_journal() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO sigeti.journal_entreprises (jour, entreprise_id, presente, forme_juridique, secteur, moment)
    SELECT p.jour, c.id, TG_OP <> 'DELETE' AND c.deleted_at IS NULL, c.forme_juridique, c.secteur,
           coalesce(c.deleted_at, c.updated_at)
    FROM changees c, sigeti.parametres p
    ORDER BY c.id;
    RETURN NULL;
END $$;
CREATE TRIGGER journal_ajout AFTER INSERT ON sigeti.entreprises
    REFERENCING NEW TABLE AS changees FOR EACH STATEMENT EXECUTE FUNCTION sigeti.tenir_journal();
CREATE TRIGGER journal_modification AFTER UPDATE ON sigeti.entreprises
    REFERENCING NEW TABLE AS changees FOR EACH STATEMENT EXECUTE FUNCTION sigeti.tenir_journal();
CREATE TRIGGER journal_retrait AFTER DELETE ON sigeti.entreprises
    REFERENCING OLD TABLE AS changees FOR EACH STATEMENT EXECUTE FUNCTION sigeti.tenir_journal();

-- ---------------------------------------------------------------------------------------------------------------------------
-- The generator
-- ---------------------------------------------------------------------------------------------------------------------------

-- A number from 0 to n - 1 for a row and a purpose (salt). Hash partitioning stands on hashint8extended, so PostgreSQL keeps its results.
CREATE FUNCTION sigeti.pick(id bigint, salt bigint, n bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN pg_catalog.abs(pg_catalog.hashint8extended(id, salt) % n);

CREATE FUNCTION sigeti.choose(id bigint, salt bigint, words text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN words[1 + sigeti.pick(id, salt, pg_catalog.cardinality(words))];

-- Midnight of a day in Abidjan, which keeps UTC all year. Day 0 is the day of the load.
CREATE FUNCTION sigeti.day(n integer) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN DATE '2026-01-05' + n;

-- An instant in the office hours of a date, 08:00 to 18:00
CREATE FUNCTION sigeti.office_hour(d date, id bigint, salt bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (d + TIME '08:00') AT TIME ZONE 'UTC' + sigeti.pick(id, salt, 36000) * INTERVAL '1 second';

-- When day n is over and the warehouse is refreshed
CREATE FUNCTION sigeti.closing(n integer) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (sigeti.day(n) + TIME '23:00') AT TIME ZONE 'UTC';

-- An amount as a cashier types it: plain, with spaces, with no-break spaces, with a decimal comma; 1 in 100 is no amount at all
CREATE FUNCTION sigeti.typed(id bigint, amount numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN sigeti.pick(id, 71, 1000) < 4   THEN 'à vérifier'
    WHEN sigeti.pick(id, 71, 1000) < 7   THEN 'N/A'
    WHEN sigeti.pick(id, 71, 1000) < 10  THEN '-' || amount::bigint::text
    WHEN sigeti.pick(id, 71, 1000) < 110
        THEN pg_catalog.regexp_replace(amount::bigint::text, '(\d)(?=(\d{3})+$)', '\1 ', 'g')
    WHEN sigeti.pick(id, 71, 1000) < 160
        THEN pg_catalog.regexp_replace(amount::bigint::text, '(\d)(?=(\d{3})+$)', E'\\1\u202f', 'g')
    WHEN sigeti.pick(id, 71, 1000) < 260 THEN amount::bigint::text || ',00'
    ELSE amount::bigint::text
END;

CREATE FUNCTION sigeti.legal_form(id bigint, salt bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sigeti.choose(id, salt, '{SARL,SARL,SARL,SA,SA,SAS,SUARL,SNC,"Société coopérative"}');

CREATE FUNCTION sigeti.sector(id bigint, salt bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sigeti.choose(id, salt, '{Agroalimentaire,"Chimie et plastiques","Matériaux de construction","Métallurgie","Textile et habillement",
    "Bois et ameublement",Logistique,"Énergie","Pharmacie et cosmétiques","Électronique"}');

CREATE FUNCTION sigeti.company_name(id bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sigeti.choose(id, 1, '{"Société ivoirienne",Établissements,"Compagnie générale",Groupe,Manufacture,Ateliers,"Comptoir","Industries réunies",
        "Générale africaine","Société nouvelle"}') || ' ' ||
    sigeti.choose(id, 2, '{Kouassi,Koné,Traoré,Bamba,Yao,N''Guessan,Coulibaly,Aké,Konaté,Diabaté,Touré,Kouamé,Adjé,Brou,Éhouman,Tanoh,Zadi,
        Gnahoré,Séka,Méité,Dembélé,Assémien,Bléhiri,Cissé}') || ' ' ||
    sigeti.choose(id, 3, '{Cacao,Anacarde,Plastiques,Béton,Café,Textile,Métaux,Cosmétiques,Hévéa,Énergie,Emballage,Céramique,"Huiles végétales",
        "Matériel électrique",Menuiserie,"Froid industriel"}');

CREATE FUNCTION sigeti.new_enterprises(first_id bigint, last_id bigint, n integer) RETURNS bigint LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
    WITH added AS (
        INSERT INTO sigeti.entreprises
        SELECT i, format('CI-ABJ-%s-B-%s', 1995 + sigeti.pick(i, 4, 27), lpad(i::text, 7, '0')), sigeti.company_name(i),
               sigeti.legal_form(i, 5), sigeti.sector(i, 6), 1 + sigeti.pick(i, 7, 60),
               sigeti.choose(i, 8, '{Abidjan,Abidjan,Abidjan,Bouaké,San-Pédro,Yamoussoukro,Korhogo,Daloa,Gagnoa,Man}'),
               format('+225 27 %s %s %s', lpad(sigeti.pick(i, 9, 100)::text, 2, '0'), lpad(sigeti.pick(i, 10, 100)::text, 2, '0'),
                      lpad(sigeti.pick(i, 11, 10000)::text, 4, '0')),
               format('contact%s@exemple.ci', i), t.born, t.born,
               CASE WHEN n = 0 AND sigeti.pick(i, 13, 100) = 0 THEN sigeti.office_hour(DATE '2025-11-01', i, 14) END
        FROM generate_series(first_id, last_id) i,
             LATERAL (SELECT CASE WHEN n = 0 THEN sigeti.office_hour(DATE '2021-01-04' + sigeti.pick(i, 12, 900)::integer, i, 12)
                                  ELSE sigeti.office_hour(sigeti.day(n), i, 12) END AS born) t
        RETURNING 1)
    SELECT count(*) FROM added
$$;

-- Ids that are multiples of 50 never have facts: they can be deleted for good without breaking a foreign key.
CREATE FUNCTION sigeti.client(id bigint, salt bigint, enterprises bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT CASE WHEN c % 50 = 0 THEN c - 1 ELSE c END FROM (SELECT 1 + sigeti.pick(id, salt, enterprises) AS c) t);

CREATE FUNCTION sigeti.new_requests(first_id bigint, last_id bigint, n integer, days_late integer) RETURNS bigint LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
    WITH added AS (
        INSERT INTO sigeti.demandes
        SELECT i, format('DEM-%s', lpad(i::text, 8, '0')), sigeti.client(i, 21, 1500 * p.echelle), 1 + sigeti.pick(i, 22, 2400 * p.echelle),
               sigeti.choose(i, 23, '{ATTRIBUTION,ATTRIBUTION,ATTRIBUTION,EXTENSION,TRANSFERT,RENOUVELLEMENT}')::sigeti.type_demande,
               s.statut, d.asked,
               CASE WHEN s.statut IN ('APPROUVEE', 'REJETEE')
                    THEN least(d.asked + 15 + sigeti.pick(i, 26, 105)::integer, sigeti.day(0) - 1) END,
               t.made, t.made
        FROM sigeti.parametres p, generate_series(first_id, last_id) i,
             LATERAL (SELECT CASE WHEN n = 0 THEN DATE '2022-01-03' + sigeti.pick(i, 25, 1440)::integer
                                  ELSE sigeti.day(n) - days_late END AS asked) d,
             LATERAL (SELECT sigeti.office_hour(CASE WHEN n = 0 THEN d.asked ELSE sigeti.day(n) END, i, 27) AS made) t,
             LATERAL (SELECT (CASE WHEN n > 0 OR sigeti.pick(i, 24, 100) < 13 THEN 'EN_ATTENTE'
                                   WHEN sigeti.pick(i, 24, 100) < 25 THEN 'EN_COURS'
                                   WHEN sigeti.pick(i, 24, 100) < 80 THEN 'APPROUVEE'
                                   WHEN sigeti.pick(i, 24, 100) < 95 THEN 'REJETEE'
                                   ELSE 'ANNULEE' END)::sigeti.statut_demande AS statut) s
        RETURNING 1)
    SELECT count(*) FROM added
$$;

-- Of an invoice, as functions of its id: its amount, how many payments it gets in the load (0 to 3), whether they settle it
CREATE FUNCTION sigeti.invoice_amount(id bigint) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 250000::numeric * (1 + sigeti.pick(id, 31, 40)) * (1 + sigeti.pick(id, 32, 6));

CREATE FUNCTION sigeti.invoice_payments(id bigint) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN sigeti.pick(id, 33, 100) < 15 THEN 0 WHEN sigeti.pick(id, 33, 100) < 55 THEN 1
            WHEN sigeti.pick(id, 33, 100) < 85 THEN 2 ELSE 3 END;

CREATE FUNCTION sigeti.invoice_settled(id bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sigeti.invoice_payments(id) > 0 AND sigeti.pick(id, 34, 100) < 65;

-- One invoice in two belongs to a request that was approved; it then has that request's enterprise.
CREATE FUNCTION sigeti.new_invoices(first_id bigint, last_id bigint, n integer, days_late integer) RETURNS bigint LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
    WITH added AS (
        INSERT INTO sigeti.factures
        SELECT i, format('FAC-%s', lpad(i::text, 8, '0')), coalesce(r.entreprise_id, sigeti.client(i, 35, 1500 * p.echelle)), r.id,
               CASE WHEN r.id IS NULL THEN sigeti.choose(i, 36, '{"Redevance annuelle","Frais de gestion","Pénalité de retard"}')
                    ELSE 'Attribution de lot' END,
               sigeti.invoice_amount(i), d.issued, d.issued + 30 + 15 * sigeti.pick(i, 39, 3)::integer,
               (CASE WHEN n > 0 OR sigeti.invoice_payments(i) = 0 THEN 'EMISE'
                     WHEN sigeti.invoice_settled(i) THEN 'PAYEE' ELSE 'PARTIELLEMENT_PAYEE' END)::sigeti.statut_facture,
               t.made, t.made,
               CASE WHEN n = 0 AND sigeti.pick(i, 40, 100) < 2 AND sigeti.invoice_payments(i) = 0
                    THEN sigeti.office_hour(DATE '2025-12-15', i, 41) END
        FROM sigeti.parametres p, generate_series(first_id, last_id) i
             LEFT JOIN sigeti.demandes r ON r.id = i AND r.statut = 'APPROUVEE' AND r.deleted_at IS NULL,
             LATERAL (SELECT CASE WHEN n = 0 THEN least(coalesce(r.date_decision + 5, DATE '2022-02-01' + sigeti.pick(i, 37, 1400)::integer),
                                                        sigeti.day(0) - 1)
                                  ELSE sigeti.day(n) - days_late END AS issued) d,
             LATERAL (SELECT sigeti.office_hour(CASE WHEN n = 0 THEN d.issued ELSE sigeti.day(n) END, i, 38) AS made) t
        RETURNING 1)
    SELECT count(*) FROM added
$$;

CREATE FUNCTION sigeti.load(scale integer DEFAULT 1) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    places text[] := '{Yopougon,Koumassi,Vridi,PK24,Anyama,Bouaké,San-Pédro,Yamoussoukro,Korhogo,Daloa,Man,Gagnoa,Abengourou,Bondoukou,Divo,Soubré,
        Grand-Bassam,Bonoua,Dabou,Attinguié,Bingerville,Agboville,Aboisso,Ferkessédougou,Odienné,Séguéla,Dimbokro,Toumodi,Tiassalé,Sassandra}';
    regions text[] := '{Abidjan,Abidjan,Abidjan,Abidjan,Abidjan,Gbêkê,San-Pédro,Yamoussoukro,Poro,Haut-Sassandra,Tonkpi,Gôh,Indénié-Djuablin,Gontougo,
        Lôh-Djiboua,Nawa,Sud-Comoé,Sud-Comoé,"Grands Ponts",Abidjan,Abidjan,Agnéby-Tiassa,Sud-Comoé,Tchologo,Kabadougou,Worodougou,"N''Zi","Bélier",
        Agnéby-Tiassa,Gbôklé}';
    domains text[] := '{"Transformation du cacao","Torréfaction du café","Décorticage d''anacarde","Huiles et corps gras","Boissons et brasserie",
        "Plasturgie","Peintures et vernis","Ciment et béton","Céramique et carrelage","Sidérurgie","Chaudronnerie","Filature et tissage","Confection",
        "Scierie et menuiserie","Entreposage frigorifique","Transport et logistique","Énergie solaire","Médicaments génériques","Cosmétiques",
        "Assemblage électronique"}';
    families text[] := '{"Première transformation","Deuxième transformation","Services à l''industrie"}';
BEGIN
    TRUNCATE sigeti.parametres, sigeti.zones_industrielles, sigeti.domaines_activite, sigeti.entreprises, sigeti.lots, sigeti.demandes,
        sigeti.factures, sigeti.paiements, sigeti.collectes, sigeti.journal_entreprises RESTART IDENTITY;
    INSERT INTO sigeti.parametres (echelle, jour) VALUES (scale, 0);

    INSERT INTO sigeti.zones_industrielles
    SELECT i, format('ZI-%s', lpad(i::text, 4, '0')),
           'Zone industrielle de ' || places[1 + (i - 1) % 30] || CASE WHEN i > 30 THEN format(', extension %s', (i - 1) / 30) ELSE '' END,
           places[1 + (i - 1) % 30], regions[1 + (i - 1) % 30], 20 + sigeti.pick(i, 81, 4000) / 10.0, m.made, m.made
    FROM generate_series(1, 40 * scale) i, LATERAL (SELECT sigeti.office_hour(DATE '2018-03-01' + sigeti.pick(i, 82, 700)::integer, i, 82) AS made) m;

    INSERT INTO sigeti.domaines_activite
    SELECT i, format('D%s', lpad(i::text, 2, '0')), domains[1 + (i - 1) % 20] || CASE WHEN i > 20 THEN format(' (%s)', lower(families[1 + (i - 1) / 20])) ELSE '' END,
           families[1 + (i - 1) / 20], m.made, m.made
    FROM generate_series(1, 60) i, LATERAL (SELECT sigeti.office_hour(DATE '2018-01-15', i, 83) AS made) m;

    PERFORM sigeti.new_enterprises(1, 1500 * scale, 0);

    INSERT INTO sigeti.lots
    SELECT i, 1 + (i - 1) % (40 * scale), format('L-%s', lpad(((i - 1) / (40 * scale) + 1)::text, 3, '0')), 500 + 50 * sigeti.pick(i, 84, 190),
           5000 + 500 * sigeti.pick(i, 85, 40),
           (CASE WHEN sigeti.pick(i, 86, 100) < 3 THEN 'EN_LITIGE' ELSE 'DISPONIBLE' END)::sigeti.statut_lot, NULL, m.made, m.made
    FROM generate_series(1, 2400 * scale) i, LATERAL (SELECT sigeti.office_hour(DATE '2020-06-01' + sigeti.pick(i, 87, 200)::integer, i, 87) AS made) m;

    PERFORM sigeti.new_requests(1, 4000 * scale, 0, 0);
    PERFORM sigeti.occupy_lots(NULL);
    PERFORM sigeti.new_invoices(1, 5000 * scale, 0, 0);

    -- Payments k of n: 30% of the amount each, the last one the rest (settled) or 20% (not settled)
    INSERT INTO sigeti.paiements
    SELECT i, f.id, sigeti.typed(i, f.amount), sigeti.choose(i, 72, '{VIREMENT,VIREMENT,CHEQUE,ESPECES,MOBILE_MONEY}')::sigeti.mode_paiement,
           f.paid, sigeti.office_hour(f.paid, i, 73), sigeti.office_hour(f.paid, i, 73)
    FROM (SELECT row_number() OVER (ORDER BY f.id, k) AS i, f.id,
                 CASE WHEN k < c.n THEN f.montant_ttc * 0.3 WHEN sigeti.invoice_settled(f.id) THEN f.montant_ttc * (1 - 0.3 * (c.n - 1))
                      ELSE f.montant_ttc * 0.2 END AS amount,
                 least(f.date_emission + 10 * k + sigeti.pick(f.id, 74 + k, 40)::integer, sigeti.day(0) - 1) AS paid
          FROM sigeti.factures f, LATERAL (SELECT sigeti.invoice_payments(f.id) AS n) c, generate_series(1, c.n) k) f;

    INSERT INTO sigeti.collectes
    SELECT i, sigeti.client(i, 91, 1500 * scale), 1 + sigeti.pick(i, 92, 40 * scale), 'Agent ' || sigeti.choose(i, 93, '{Aya,Adjoua,Amenan,Fatoumata,Mariam,Koffi,Yéo,Issouf,Désiré,Aïcha}'),
           d.held, m.expected, CASE WHEN s.statut = 'TERMINEE' THEN m.expected * (40 + 10 * sigeti.pick(i, 97, 7)) / 100 ELSE 0 END, s.statut,
           sigeti.office_hour(d.held - 7, i, 98), sigeti.office_hour(least(d.held, sigeti.day(0) - 1), i, 98)
    FROM generate_series(1, 3000 * scale) i,
         LATERAL (SELECT DATE '2023-01-09' + sigeti.pick(i, 94, 1100)::integer AS held) d,
         LATERAL (SELECT 100000::numeric * (1 + sigeti.pick(i, 95, 50)) AS expected) m,
         LATERAL (SELECT (CASE WHEN d.held >= sigeti.day(0) THEN 'PLANIFIEE' WHEN sigeti.pick(i, 96, 100) < 85 THEN 'TERMINEE'
                               ELSE 'ANNULEE' END)::sigeti.statut_collecte AS statut) s;
END $$;

-- A lot goes to the enterprise of its latest approved request. n: only lots whose request was decided on day n; NULL: all.
CREATE FUNCTION sigeti.occupy_lots(n integer) RETURNS bigint LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
    WITH latest AS (
        SELECT DISTINCT ON (lot_id) lot_id, entreprise_id, date_decision
        FROM sigeti.demandes
        WHERE statut = 'APPROUVEE' AND deleted_at IS NULL AND (n IS NULL OR date_decision = sigeti.day(n))
        ORDER BY lot_id, date_decision DESC, id DESC),
    changed AS (
        UPDATE sigeti.lots l
        SET statut = 'ATTRIBUE', entreprise_id = latest.entreprise_id, updated_at = sigeti.office_hour(latest.date_decision, l.id, 88)
        FROM latest
        WHERE l.id = latest.lot_id AND l.statut <> 'EN_LITIGE' AND l.entreprise_id IS DISTINCT FROM latest.entreprise_id
        RETURNING 1)
    SELECT count(*) FROM changed
$$;
