"""Airflow's connections as a keeper of credentials. The library asks by name and never knows who answered."""

from __future__ import annotations

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from p06.credentials import Credentials


def find(name: str) -> Credentials | None:
    """The connection of that id; None when Airflow has none. Texts of its extra outrank login and password."""
    try:
        found = Connection.get(name)
    except AirflowNotFoundException:
        return None
    who, secret = found.login, found.password
    values = {"user": who, "client_id": who, "key": who, "password": secret, "client_secret": secret, "secret": secret}
    values |= {"host": found.host, "port": str(found.port or ""), "database": found.schema}
    values |= {field: text for field, text in found.extra_dejson.items() if isinstance(text, str)}
    return Credentials(name, {field: text for field, text in values.items() if text})
