-- Three copies of the orders and the customers: what is written without any view (plain), what pg_strata and the hand-written
-- rules read, and what pg_ivm keeps its views over. psql variables: rows.
CREATE SCHEMA b;
CREATE TABLE b.customer (id integer PRIMARY KEY, region text NOT NULL, name text);
INSERT INTO b.customer SELECT i, 'region' || i % 8, 'customer ' || i FROM generate_series(1, 10000) AS i;
CREATE TABLE b.product (id integer PRIMARY KEY, category text NOT NULL, price numeric(10,2));
INSERT INTO b.product SELECT i, 'cat' || i % 20, i % 100 + 0.5 FROM generate_series(1, 1000) AS i;
CREATE TABLE b.orders (id bigint, customer integer NOT NULL, product integer NOT NULL, amount numeric(12,2) NOT NULL, day date NOT NULL,
                       status smallint);
SELECT setseed(0.5);
INSERT INTO b.orders
SELECT i, 1 + floor(random() * 10000)::integer, 1 + floor(random() * 1000)::integer, (random() * 1000)::numeric(12,2),
       date '2024-01-01' + (i * 730 / :rows)::integer, i % 5
  FROM generate_series(1, :rows::bigint) AS i;
CREATE TABLE b.orders_plain AS TABLE b.orders;
CREATE TABLE b.orders_ivm AS TABLE b.orders;
CREATE TABLE b.customer_plain AS TABLE b.customer;
CREATE TABLE b.customer_ivm AS TABLE b.customer;
ALTER TABLE b.customer_plain ADD PRIMARY KEY (id);
ALTER TABLE b.customer_ivm ADD PRIMARY KEY (id);
ALTER TABLE b.orders ADD PRIMARY KEY (id);
ALTER TABLE b.orders_plain ADD PRIMARY KEY (id);
ALTER TABLE b.orders_ivm ADD PRIMARY KEY (id);
CREATE INDEX ON b.orders (customer);
CREATE INDEX ON b.orders_plain (customer);
CREATE INDEX ON b.orders_ivm (customer);
CREATE INDEX ON b.orders (day);
CREATE INDEX ON b.orders_plain (day);
CREATE INDEX ON b.orders_ivm (day);
-- the signed changes that the hand-written rules read: given to them, not part of their time
CREATE TABLE b.changed_order (sign smallint, LIKE b.orders);
CREATE TABLE b.changed_customer (sign smallint, LIKE b.customer);
-- the rows that a round changes: the same ones in every copy
CREATE TABLE b.pick (id bigint, op "char", new_id bigint, customer integer, product integer, amount numeric(12,2), day date);
CREATE SEQUENCE b.new_id START 1000000000;
