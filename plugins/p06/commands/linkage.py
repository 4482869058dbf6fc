"""``p06 linkage``: the probabilistic model shown, trained and tried."""

from __future__ import annotations

from math import log2
from pathlib import Path
from typing import Annotated

import typer

from p06.commands.printing import show_json, show_table

app = typer.Typer(
    no_args_is_help=True,
    help="The probabilistic linkage: show its model, train it, try it on people who do not exist.\n\nĐối sánh xác suất: "
    "xem mô hình, huấn luyện, thử trên dân số giả lập.",
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Citizens = Annotated[int, typer.Option(help="How many synthetic citizens.")]
Seed = Annotated[int, typer.Option(min=0, help="The seed: the same one gives the same people and slips.")]
ModelFile = Annotated[Path | None, typer.Option("--model", help="A model file; by default the reviewed one.")]


@app.command(epilog="Example: p06 linkage show --json")
def show(model: ModelFile = None, as_json: Json = False) -> None:
    """The model in force: thresholds, and what each level of agreement is worth in bits."""
    from p06.linkage import load

    found = load(model)
    weights = [
        (comparison, level, item.m, None if item.u == 1 and comparison == "name" else item.u, round(log2(item.m / item.u), 2))
        for comparison, levels in found.evidence.items()
        for level, item in levels.items()
    ]  # fmt: skip
    if as_json:
        names = ("comparison", "level", "m", "u", "bits")
        stated = {
            name: getattr(found, name) for name in ("enabled", "version", "hash", "link_at", "ask_at", "population")
        }
        show_json(stated | {"evidence": [dict(zip(names, row, strict=True)) for row in weights], "about": found.about})
        return
    state = "enabled" if found.enabled else "not enabled: the marts take no link from it"
    print(f"model {found.version} ({found.hash[:12]}), {state}")
    print(f"links at {found.link_at}, asks at {found.ask_at}, in a register of up to {found.population:,}")
    show_table(
        None,
        ("comparison", "level", "m", "u", "bits"),
        [(c, level, m, "the name's frequency" if u is None else u, bits) for c, level, m, u, bits in weights],
    )


@app.command(epilog="Example: p06 linkage train --citizens 200000 --seed 1 --out linkage/model.json")
def train(
    citizens: Citizens = 200_000,
    seed: Seed = 1,
    out: Annotated[Path | None, typer.Option(help="Where to write the model; standard output by default.")] = None,
) -> None:
    """Count a model's weights on a synthetic register and try it on others; the same arguments, the same file."""
    from p06.calibration import train as trained

    content = trained(citizens, seed)
    if out is None:
        print(content.decode(), end="")
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(content)
    print(f"{out.name}: written, not enabled; have it reviewed, then set enabled to true")


@app.command(epilog="Example: p06 linkage evaluate --citizens 200000 --seed 7 --crowd day")
def evaluate(
    citizens: Citizens = 100_000,
    seed: Seed = 7,
    crowd: Annotated[
        str, typer.Option(help="As crowded as the nation where: none, commune (in each), day (on each birth date).")
    ] = "none",
    model: ModelFile = None,
    as_json: Json = False,
) -> None:
    """Precision, recall and F1 of each way of matching, the wrong links by kind, the time per million records."""
    from p06.calibration import evaluate as evaluated
    from p06.linkage import load

    found = evaluated(load(model), citizens, seed, crowd)
    if as_json:
        show_json(found.as_dict())
        return
    show_table(None,
        ("way", "records", "matched", "right", "wrong", "missed", "precision", "recall", "F1"),
        [
            (s.method, s.records, s.matched, s.right, s.wrong, s.missed, f"{s.precision:.5f}", f"{s.recall:.5f}", f"{s.f1:.5f}")
            for s in (*found.scores, found.linkage)
        ],
    )  # fmt: skip
    print(f"asked: {found.asked} records, the right citizen among the candidates of {found.asked_right}")
    print(
        f"open after the cascade: {found.open_share:.1%}; {found.cpu_seconds_per_million:.0f} CPU seconds per million records"
    )
    print("wrong links by kind: " + (", ".join(f"{kind} {n}" for kind, n in found.wrong_by_kind.items()) or "none"))
    show_table(
        None,
        ("slip", "open records", "linked rightly", "asked rightly"),
        [(kind, *counts) for kind, counts in found.open_by_kind.items()],
    )
