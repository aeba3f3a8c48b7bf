#!/bin/sh
# Runs once, when the database is made: the two logins, with their passwords; the migrations give them their rights.
set -eu
psql --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" <<'SQL'
\getenv gateway GATEWAY_PASSWORD
\getenv worker WORKER_PASSWORD
CREATE ROLE scopekit_gateway LOGIN NOINHERIT NOBYPASSRLS PASSWORD :'gateway';
CREATE ROLE scopekit_worker LOGIN NOINHERIT NOBYPASSRLS PASSWORD :'worker';
SQL
