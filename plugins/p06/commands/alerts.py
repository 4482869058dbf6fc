"""``p06 alerts``: what was told to whom, what waits, and a test of the channels."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from p06.commands.printing import show_json, show_table
from p06.errors import P06Error

if TYPE_CHECKING:
    from p06.alert import Sent

app = typer.Typer(
    invoke_without_command=True,
    help="What was told to whom, and what waits to be told: newest first.\n\n"
    "Các thông báo: đã gửi cho ai, còn chờ gửi, mới nhất trước.",
    epilog="Example: p06 alerts --json",
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.callback()
def alerts(
    context: typer.Context,
    limit: Annotated[int, typer.Option(help="Alerts at most.", min=1)] = 50,
    as_json: Json = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
    from p06 import alert

    found = alert.outbox(limit)
    if as_json:
        show_json(
            [
                one.message.document
                | {
                    "state": one.state,
                    "channel": one.channel,
                    "recipient": one.recipient,
                    "attempts": one.attempts,
                    "sent_at": one.sent_at,
                    "next_at": one.next_at if one.state == "waiting" else None,
                    "failure": one.failure,
                }
                for one in found
            ]
        )
        return
    show_table(
        "Alerts",
        ("noted", "kind", "source", "period", "channel", "recipient", "state", "attempts", "failure"),
        [
            (
                one.message.noted_at.isoformat(timespec="seconds"), one.message.kind, one.message.source,
                one.message.period, one.channel, one.recipient, one.state, one.attempts, one.failure,
            )
            for one in found
        ],
    )  # fmt: skip


@app.command(epilog="Example: p06 alerts send")
def send() -> None:
    """Send what waits and is due; the watch does it by itself."""
    from p06 import alert

    _tell(alert.send(lambda text: print(text, file=sys.stderr)))


@app.command(epilog="Example: p06 alerts test")
def test() -> None:
    """Tell everyone any alert could reach that this is a test."""
    from p06 import alert

    _tell(alert.test(lambda text: print(text, file=sys.stderr)))


def send_what_waits(report: Callable[[str], None]) -> None:
    """After a command's work: what it noted leaves now. Whatever fails here never fails the command."""
    from p06 import alert

    try:
        alert.send(report)
    except P06Error as error:
        report(str(error))
    except Exception as error:  # the work is done and committed; the watch, or the next command, sends
        report(f"alerts could not be sent now: {type(error).__name__}")


def _tell(done: Sent) -> None:
    print(f"sent {done.sent}, failed {len(done.failed)}")
    raise typer.Exit(1 if done.failed else 0)
