"""What the scheduler's fork server imports once, so that no task pays for it again (``mp_forkserver_preload``).

Only libraries: a change of our own code is seen by the next task. Nothing here opens a connection or a thread.
"""

from __future__ import annotations

import inspect
import os
from importlib import import_module

LIBRARIES = (
    "airflow.executors.local_executor",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.dag_processing.dagbag",
    "psycopg",
    "pyarrow",
    "sqlalchemy.dialects.postgresql.psycopg",
    "dbt.cli.main",
    "dbt.adapters.postgres",
    "dbt.task.build",
    "great_expectations",
)

# OpenBLAS would start its threads before the fork.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
for library in LIBRARIES:
    import_module(library)
# Great Expectations asks for the call stack at each decimal: where every module lies is looked up once, here.
inspect.stack()
