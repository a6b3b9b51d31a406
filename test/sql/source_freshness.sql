-- How old sources are, by an injected clock.
CREATE SCHEMA fresh_src;
CREATE TABLE fresh_src.paiement (id integer, charge_le timestamptz);
CREATE TABLE fresh_src.facture (id integer, charge_le date);
CREATE TABLE fresh_src.sans_date (id integer);
INSERT INTO fresh_src.paiement VALUES (1, '2024-01-01 00:00+00'), (2, '2024-01-02 00:00+00'), (3, NULL);
SELECT strata.define_source('fresh_src.paiement', loaded_at => 'charge_le', warn_after => '1 day', error_after => '3 days');
SELECT strata.define_source('fresh_src.facture', loaded_at => 'charge_le', error_after => '1 day');
SELECT strata.define_source('fresh_src.sans_date');
SELECT * FROM strata.source_freshness('2024-01-02 12:00+00');
SELECT source, age, status FROM strata.source_freshness('2024-01-03 00:00:01+00');
SELECT source, age, status FROM strata.source_freshness('2024-01-05 00:00:01+00');
-- a source one may not read is not shown; one whose functions are its owner's runs as that owner
CREATE ROLE fresh_owner;
CREATE ROLE fresh_other;
CREATE FUNCTION fresh_src.who(timestamptz) RETURNS timestamptz LANGUAGE plpgsql AS
$$ BEGIN RAISE NOTICE 'runs as %', current_user; RETURN $1; END $$;
CREATE VIEW fresh_src.vue AS SELECT fresh_src.who('2024-01-01 00:00+00') AS charge_le;
GRANT USAGE ON SCHEMA fresh_src TO fresh_owner, fresh_other;
ALTER VIEW fresh_src.vue OWNER TO fresh_owner;
SELECT strata.define_source('fresh_src.vue', loaded_at => 'charge_le', warn_after => '1 day');
SELECT source, status FROM strata.source_freshness('2024-01-05 00:00+00');
SET ROLE fresh_other;
SELECT source, status FROM strata.source_freshness('2024-01-05 00:00+00');
RESET ROLE;
SELECT strata.drop_source('fresh_src.vue');
SELECT strata.drop_source('fresh_src.paiement');
SELECT strata.drop_source('fresh_src.facture');
SELECT strata.drop_source('fresh_src.sans_date');
SELECT strata.drop_source('fresh_src.sans_date');
DROP SCHEMA fresh_src CASCADE;
DROP ROLE fresh_owner, fresh_other;
