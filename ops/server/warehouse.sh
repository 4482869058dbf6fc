#!/bin/sh
# Runs once, in an empty warehouse server: the database, and a user who may make the roles but is no superuser.
set -eu
psql --quiet --set ON_ERROR_STOP=1 --set password="$(tr -d '\r\n' < /run/secrets/warehouse_password)" \
    --username "$POSTGRES_USER" --dbname postgres <<'SQL'
create role p06_setup login createrole password :'password';
create database p06 owner p06_setup encoding 'UTF8' locale_provider builtin locale 'C.UTF-8' template template0;
revoke all on database p06 from public;
SQL
