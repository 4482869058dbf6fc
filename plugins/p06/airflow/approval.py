"""The tasks of an approval: ask whoever may answer, then publish what was approved. The ledger decides, Airflow asks."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, NoReturn

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, task
from airflow.sdk.exceptions import AirflowFailException

from p06 import airflow_api, answer
from p06.airflow import run
from p06.airflow.schedule import QUESTION
from p06.approval import Question, Verdict
from p06.errors import P06Error, UsageError, Waiting

_ASKED = "question"


class Approval(ApprovalOperator):
    """Asks the quality officers about the build of the run's period, when the ledger waits for them; returns the build.

    A period that waits for nobody does not park. Whoever answers first, here or at the command line, is in the ledger.
    """

    def __init__(self, **kwargs: Any) -> None:
        why = Param(
            "",
            type="string",
            maxLength=answer.WHY_LIMIT,
            title="Lý do · Why",
            description="Không ghi tên hay số của cá nhân · No names and no numbers of people",
        )
        super().__init__(subject="", body="", params={"why": why}, assigned_users=[], **kwargs)

    def execute(self, context: Any) -> Any:
        """Park until somebody answers, or until the time to answer is over."""
        with run.told_safely():
            question = answer.waiting(run.period())
            if question is None or question.state != "waiting":
                return self._follow(context, question)
            left = question.answer_by - datetime.now(timezone.utc)
            self.subject, self.body = answer.subject(question), answer.body(question)
            self.response_timeout = max(left, timedelta(seconds=1))
            # The account that starts runs carries answers over that were given at the command line, and gives none.
            named = (*airflow_api.officers(), airflow_api.SERVICE)
            self.assigned_users = [{"id": name, "name": name} for name in named]
            context["ti"].xcom_push(_ASKED, question.request_id)
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Write what was answered into the ledger, unless somebody was faster, and follow the ledger."""
        with run.told_safely():
            number = int(context["ti"].xcom_pull(task_ids=self.task_id, key=_ASKED))
            if "error" not in event:
                self._enter(number, event)
            return self._follow(context, answer.settled(number))

    def _enter(self, number: int, event: dict[str, Any]) -> None:
        user = (event.get("responded_by_user") or {}).get("name")
        if user is None or user == airflow_api.SERVICE:
            return
        verdict: Verdict = "approve" if event["chosen_options"] == [self.APPROVE] else "reject"
        why = str((event.get("params_input") or {}).get("why") or "").strip()[: answer.WHY_LIMIT] or None
        try:
            answer.enter(number, verdict, user, "airflow", why)
        except UsageError as error:
            run.log.warning("%s", error)

    def _follow(self, context: Any, question: Question | None) -> int:
        """The build to publish. Skips what follows when it was rejected or overtaken; fails when nobody answered."""
        if question is None or question.state in ("overtaken", "repeated"):
            raise run.nothing_to_do("nothing waits for approval")
        if question.state in ("waiting", "expired"):
            self._out_of_time(question)
        run.log.info("%s: %s by %s", question.period, question.state, question.who)
        if question.state == "rejected":
            self.skip(ti=context["ti"], tasks=context["task"].get_direct_relatives(upstream=False))
        return question.build_id

    def _out_of_time(self, question: Question) -> NoReturn:
        raise AirflowFailException(str(Waiting("P06-RELEASE-013", period=question.period)))


@task(task_display_name="Hỏi duyệt · ask for approval", outlets=[QUESTION])
def ask_for_approval(build_id: int) -> int:
    """Wake the approval of the run's period; skipped, and no event, when the build waits for nobody."""
    with run.told_safely():
        if not answer.asked(build_id):
            raise run.nothing_to_do("nobody has to approve it")
        return build_id


@task(task_display_name="Công bố · publish")
def publish(build_id: int) -> str:
    """Point readers at the build that was approved; one that was overtaken meanwhile is left to the next release."""
    with run.told_safely():
        from p06 import release as releasing

        try:
            return releasing.publish_build(build_id)
        except P06Error as error:
            if error.code in ("P06-RELEASE-002", "P06-RELEASE-003"):
                raise run.nothing_to_do(str(error)) from None
            raise
