"""Probabilistic linkage: which citizen a record speaks of when no number and no exact name settles it.

``load`` reads the reviewed model, ``link`` scores records against citizens and gives a verdict for each pair worth
one. ``record_keys`` and ``citizen_keys_sql`` let a caller fetch only citizens who share a blocking key with a record.
"""

from p06.linkage.blocking import citizen_keys_sql, record_keys
from p06.linkage.model import Model, load
from p06.linkage.name import plain_sql
from p06.linkage.verdict import link

__all__ = ["Model", "citizen_keys_sql", "link", "load", "plain_sql", "record_keys"]
