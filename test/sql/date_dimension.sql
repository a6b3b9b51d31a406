-- date_dimension: what calendars say of a day
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/oracle.sql
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
CREATE SCHEMA dd;
SELECT strata.define_date_dimension('dd.dim_date', '2015-12-25', '2028-12-31', locale => 'fr', fiscal_year_start => 4, holidays => '{"2026-01-01": "Jour de l''an", "2026-08-07": "Fête de l''Indépendance"}');
SELECT status, inserted FROM strata.refresh('dd.dim_date');
SELECT count(*) = date '2028-12-31' - date '2015-12-25' + 2 AS every_day_and_the_unknown, count(DISTINCT date_key), min(date_key), max(date_key) FROM dd.dim_date;
-- ---- ISO weeks around the new year ----
SELECT date, iso_year, iso_week, year_week, day_of_week, day_name FROM dd.dim_date
 WHERE date IN ('2015-12-31', '2016-01-03', '2016-01-04', '2018-12-30', '2018-12-31', '2020-12-31', '2021-01-03', '2021-01-04', '2024-12-29', '2024-12-30', '2026-12-31', '2027-01-03', '2027-01-04') ORDER BY date;
-- ---- leap years ----
SELECT date, day_of_year, last_of_month, first_of_month FROM dd.dim_date WHERE date IN ('2016-02-29', '2016-12-31', '2017-02-28', '2017-12-31', '2020-02-29', '2024-02-29') ORDER BY date;
-- ---- fiscal years from April ----
SELECT date, fiscal_year, fiscal_quarter, fiscal_month, year, quarter, year_quarter, year_month FROM dd.dim_date WHERE date IN ('2026-01-01', '2026-03-31', '2026-04-01', '2026-06-30', '2026-07-01', '2026-12-31') ORDER BY date;
-- ---- names, weekends, holidays ----
SELECT date_key, month_name, month_name_en, month_name_fr, day_name, day_name_en, day_name_fr, is_weekend, is_holiday, holiday FROM dd.dim_date WHERE date IN ('2026-01-01', '2026-02-01', '2026-08-07', '2026-08-08') ORDER BY date;
SELECT DISTINCT month, month_name_en, month_name_fr FROM dd.dim_date WHERE date IS NOT NULL ORDER BY 1;
-- ---- every day against what PostgreSQL says ----
SELECT count(*) AS wrong FROM dd.dim_date WHERE date IS NOT NULL AND NOT (
    date_key = to_char(date, 'YYYYMMDD')::integer AND (year, month, day) = (date_part('year', date), date_part('month', date), date_part('day', date))
    AND quarter = to_char(date, 'Q')::integer AND iso_week = to_char(date, 'IW')::integer AND iso_year = to_char(date, 'IYYY')::integer
    AND day_of_year = to_char(date, 'DDD')::integer AND day_of_week = to_char(date, 'ID')::integer AND is_weekend = (to_char(date, 'ID') IN ('6', '7'))
    AND first_of_month = to_char(date, 'YYYY-MM-01')::date AND last_of_month = (to_char(date, 'YYYY-MM-01')::date + interval '1 month')::date - 1
    AND day_name_en = trim(to_char(date, 'Day')) AND month_name_en = trim(to_char(date, 'Month')));
-- ---- the unknown day ----
SELECT * FROM dd.dim_date WHERE date_key = 0;
-- ---- again changes nothing; a longer range adds days, keys stay; a shorter one takes them away ----
SELECT oracle.note('dd.dim_date');
SELECT strata.define_date_dimension('dd.dim_date', '2015-12-25', '2028-12-31', locale => 'fr', fiscal_year_start => 4, holidays => '{"2026-01-01": "Jour de l''an", "2026-08-07": "Fête de l''Indépendance"}');
SELECT strata.define_date_dimension('dd.dim_date', '2015-12-25', '2029-12-31', locale => 'fr', fiscal_year_start => 4, holidays => '{"2026-01-01": "Jour de l''an", "2026-08-07": "Fête de l''Indépendance"}');
SELECT inserted, updated, deleted FROM strata.refresh('dd.dim_date');
SELECT oracle.moved('dd.dim_date');
SELECT strata.define_date_dimension('dd.dim_date', '2026-01-01', '2026-12-31', holidays => '{"2026-12-25": "Christmas"}');
SELECT inserted, updated, deleted FROM strata.refresh('dd.dim_date');
SELECT month_name, day_name, fiscal_year, holiday FROM dd.dim_date WHERE date = '2026-12-25';
-- ---- holidays, whatever the DateStyle ----
SET DateStyle = 'German';
SELECT strata.define_date_dimension('dd.dim_style', '2026-12-24', '2026-12-26', holidays => '{"2026-12-25": "Noël"}');
SELECT inserted FROM strata.refresh('dd.dim_style');
SELECT date, is_holiday, holiday, year_month FROM dd.dim_style WHERE date_key > 0 ORDER BY 1;
RESET DateStyle;
-- ---- far dates ----
SELECT strata.define_date_dimension('dd.dim_old', '1582-10-01', '1582-10-20');
SELECT inserted FROM strata.refresh('dd.dim_old');
SELECT strata.define_date_dimension('dd.one_day', '9999-12-31', '9999-12-31', fiscal_year_start => 12);
SELECT inserted FROM strata.refresh('dd.one_day');
SELECT date_key, fiscal_year, fiscal_quarter, fiscal_month FROM dd.one_day WHERE date_key > 0;
-- ---- refused ----
SELECT oracle.attempt($$ SELECT strata.define_date_dimension('dd.bad', '2026-01-02', '2026-01-01') $$);
SELECT oracle.attempt($$ SELECT strata.define_date_dimension('dd.bad', '2026-01-01', 'infinity') $$);
SELECT oracle.attempt($$ SELECT strata.define_date_dimension('dd.bad', NULL, '2026-01-01') $$);
SELECT oracle.attempt($$ SELECT strata.define_date_dimension('dd.bad', '0001-01-01', '2026-01-01') $$);
SELECT oracle.attempt($$ SELECT strata.define_date_dimension('dd.bad', '0044-03-15 BC', '0044-03-16 BC') $$);
SELECT oracle.attempt($$ SELECT strata.define_date_dimension('dd.bad', '10000-01-01', '10000-01-02') $$);
SELECT oracle.attempt($$ SELECT strata.define_date_dimension('dd.bad', '2026-01-01', '2026-01-02', locale => 'de') $$);
SELECT oracle.attempt($$ SELECT strata.define_date_dimension('dd.bad', '2026-01-01', '2026-01-02', fiscal_year_start => 13) $$);
SELECT oracle.attempt($$ SELECT strata.define_date_dimension('dd.bad', '2026-01-01', '2026-01-02', holidays => '["2026-01-01"]') $$);
SELECT oracle.attempt($$ SELECT strata.define_date_dimension('dd.bad', '2026-01-01', '2026-01-02', holidays => '{"01/01/2026": "x"}') $$);
SELECT oracle.attempt($$ SELECT strata.define_date_dimension('dd.bad', '2026-01-01', '2026-01-02', holidays => '{"2026-02-30": "x"}') $$);
SELECT oracle.attempt($$ SELECT strata.define_date_dimension('dd.bad', '2026-01-01', '2026-01-02', holidays => '{"2026-01-01": ["x"]}') $$);
SELECT oracle.attempt($$ SELECT strata.define_date_dimension('dd.good', '2026-01-01', '2026-01-02', holidays => '{"2026-01-01": "''); DROP SCHEMA dd; --"}') $$);
SELECT inserted FROM strata.refresh('dd.good');
SELECT holiday FROM dd.good WHERE is_holiday;
SET client_min_messages = error;
SELECT count(*) FROM (SELECT strata.drop_model(model) FROM strata.models WHERE model LIKE 'dd.%') AS d;
DROP SCHEMA oracle, dd CASCADE;
