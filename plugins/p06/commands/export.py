"""``p06 export``: a mart as a file to take away."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from p06.commands.printing import show_json
from p06.commands.progress import Bar


def export(
    mart: Annotated[str, typer.Argument(metavar="MART", help="A view of schema marts, such as indicator.")],
    to: Annotated[Path, typer.Option("--to", metavar="FILE|DIR", help="Where to; a package is a folder.")],
    period: Annotated[str | None, typer.Option(help="A month, YYYY-MM; every published month by default.")] = None,
    release: Annotated[str | None, typer.Option(help="A kept release; what readers see by default.")] = None,
    kind: Annotated[
        str | None, typer.Option("--format", help="csv, xlsx, parquet or package; by the file's ending by default.")
    ] = None,
    bom: Annotated[bool, typer.Option("--bom", help="Of csv: the mark by which spreadsheets know UTF-8.")] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Leave text as it stands: a cell may be a formula to a spreadsheet.")
    ] = False,
    restricted: Annotated[
        bool,
        typer.Option(
            "--restricted", help="Read as role sensitive: marts whose contract says `access: restricted`; wants --why."
        ),
    ] = False,
    why: Annotated[
        str | None, typer.Option("--why", help="What a restricted mart is for; it stands in the access log.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """A mart as csv, workbook, parquet or data package, as analysts see it, with where it comes from.

    Xuất kho dữ liệu chuyên đề ra tệp csv, bảng tính, parquet hoặc gói dữ liệu, kèm nguồn gốc.
    """
    from p06 import export as exporting
    from p06.period import Period

    month = Period.parse(period) if period else None
    with Bar(f"exporting {mart}") as bar:
        done = exporting.export(
            mart,
            to,
            exporting.kind_of(to, kind),
            month,
            release,
            bom,
            raw,
            bar.move,
            (why or "") if restricted else None,
        )
    if as_json:
        show_json(done.as_dict())
        return
    for one in done.files:
        print(f"{one.path}: {one.bytes} bytes, sha256 {one.sha256}")
    print(f"{done.rows} rows of {done.mart}, release {' '.join(done.releases) or 'none'}")
