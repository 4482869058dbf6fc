"""A month that must be approved waits here for a quality officer, beside the releases of other months."""

from airflow.sdk import dag

from p06.airflow.approval import Approval, publish
from p06.airflow.schedule import on_a_question, retried


@dag(
    dag_id="approval",
    description="Ask the quality officers about a build that waits, then publish what they approved",
    doc_md=__doc__,
    schedule=on_a_question(),
    tags=["release"],
    default_args=retried("quality", retries=2),
    max_active_runs=36,
)
def approval() -> None:
    """Ask, publish."""
    publish(Approval(task_id="ask").output)


approval()
