"""One DAG per contract: what a sender delivered for a month, or lets us pull, is verified, staged, gated and accepted."""

from airflow.sdk import dag

from p06 import contract
from p06.airflow.load import accept, gate, pull, stage
from p06.airflow.schedule import monthly, retried


def load_of(source: contract.Contract) -> None:
    """The load of one source; the run's partition key is the period."""

    @dag(
        dag_id=f"load__{source.source}",
        dag_display_name=f"Nạp {source.title_vi} · Load {source.title_en}",
        description=f"{source.title_vi} · {source.title_en}",
        doc_md=source.doc_md,
        schedule=monthly(source),
        tags=["load", "nạp", source.sector],
        default_args=retried(source.owner),
        catchup=False,
        max_active_runs=4,
    )
    def load() -> None:
        staged = stage(source.source, pull(source))
        passed = gate(staged)
        accept(source)(passed)

    load()


for each in contract.load_all().values():
    load_of(each)
