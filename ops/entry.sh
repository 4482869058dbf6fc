#!/bin/sh
# Secrets come from the files of docker-compose.yml; nothing secret stands in the image, the compose file or a log.
set -eu
umask 077

secret() { tr -d '\r\n' < "/run/secrets/$1"; }

P06_DATABASE_URL="postgresql://p06_setup:$(secret warehouse_password)@warehouse-db:5432/p06"
AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="postgresql+psycopg://airflow:$(secret airflow_db_password)@airflow-db:5432/airflow"
AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC=$AIRFLOW__DATABASE__SQL_ALCHEMY_CONN
AIRFLOW__CORE__FERNET_KEY=$(secret fernet_key)
AIRFLOW__API__SECRET_KEY=$(secret api_secret)
AIRFLOW__API_AUTH__JWT_SECRET=$(secret jwt_secret)
export P06_DATABASE_URL AIRFLOW__DATABASE__SQL_ALCHEMY_CONN AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC \
    AIRFLOW__CORE__FERNET_KEY AIRFLOW__API__SECRET_KEY AIRFLOW__API_AUTH__JWT_SECRET

# Airflow opens the file of passwords for writing, which a mounted secret does not allow.
mkdir -p "$P06_HOME/secrets"
cp /run/secrets/airflow_users "$P06_HOME/secrets/.airflow-users.$$"
mv "$P06_HOME/secrets/.airflow-users.$$" "$P06_HOME/secrets/airflow-users.json"

exec "$@"
