"""Theo dõi nơi nhận, sổ cái và lịch: khởi động nạp, gọi công bố, nêu nguồn trễ hạn, dọn dẹp, làm mới các trang.

Looks at landing, the ledger and the calendar: starts loads, wakes releases, names what is overdue, tidies up, renews the
pages.
"""

from airflow.sdk import dag

from p06.airflow.schedule import now_and_then, retried
from p06.airflow.watch import ask_officers, load_what_arrived, renew_pages, tell_what_is_missing, tidy, wake_releases


@dag(
    dag_id="watch",
    dag_display_name="Theo dõi · Watch",
    description="Đối chiếu nguồn đến hạn với nguồn đã nhận · Expected against arrived; nothing stays unnoticed",
    doc_md=__doc__,
    schedule=now_and_then(),
    tags=["watch", "theo dõi"],
    default_args=retried("data engineering", retries=1),
    catchup=False,
    max_active_runs=1,
)
def watch() -> None:
    """What arrived, what is stale, what is late, what is left over."""
    load_what_arrived() >> wake_releases() >> ask_officers() >> tell_what_is_missing() >> tidy() >> renew_pages()


watch()
