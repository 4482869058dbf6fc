"""Kỳ dữ liệu được dựng, kiểm định và công bố ngay khi sổ cái cho biết đã lỗi thời và đủ nguồn.

A month is built, gated and published as soon as the ledger calls it stale and ready.
"""

from airflow.sdk import dag

from p06 import contract
from p06.airflow.approval import ask_for_approval
from p06.airflow.release import REBUILD, build, gate, publish, stale
from p06.airflow.schedule import on_any_acceptance, retried


@dag(
    dag_id="release",
    dag_display_name="Công bố · Release",
    description="Dựng, kiểm định và công bố kỳ của lượt chạy · Build, gate and publish the period of the run",
    doc_md=__doc__,
    schedule=on_any_acceptance(contract.load_all().values()),
    tags=["release", "công bố"],
    default_args=retried("data engineering", retries=3),
    params=REBUILD,
    max_active_runs=1,
)
def release() -> None:
    """Ask the ledger, build, gate, publish; or ask the officers, when one of them must approve it."""
    built = build()
    stale() >> built
    passed = gate(built)
    publish(passed)
    ask_for_approval(passed)


release()
