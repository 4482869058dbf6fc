"""Kỳ dữ liệu cần duyệt chờ cán bộ chất lượng ở đây, song song với việc công bố các kỳ khác.

A month that must be approved waits here for a quality officer, beside the releases of other months.
"""

from airflow.sdk import dag

from p06.airflow.approval import Approval, publish
from p06.airflow.schedule import on_a_question, retried


@dag(
    dag_id="approval",
    dag_display_name="Duyệt công bố · Approval",
    description="Hỏi cán bộ chất lượng rồi công bố kỳ đã duyệt · Ask the quality officers, then publish what they approved",
    doc_md=__doc__,
    schedule=on_a_question(),
    tags=["release", "công bố"],
    default_args=retried("quality", retries=2),
    max_active_runs=36,
)
def approval() -> None:
    """Ask, publish."""
    publish(Approval(task_id="ask", task_display_name="Duyệt · ask").output)


approval()
