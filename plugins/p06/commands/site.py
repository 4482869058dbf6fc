"""``p06 site``: the pages about deliveries, quality, figures and releases, written from the warehouse."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from p06.commands.printing import show_json
from p06.commands.progress import Bar


def site(
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Where to; P06_SITE or the home's `site` by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a line.")] = False,
) -> None:
    """Write the pages, in Vietnamese and English: static, no script, nothing fetched from elsewhere.

    Ghi các trang thông tin bằng tiếng Việt và tiếng Anh: tĩnh, không mã lệnh, không tải gì từ nơi khác.
    """
    from p06.site import write

    with Bar("writing pages") as bar:
        made = write(to, bar.move)
    if as_json:
        show_json(
            {
                "folder": str(made.folder), "pages": made.pages, "bytes": made.bytes, "largest_page": made.largest,
                "changed": made.changed,
            }
        )  # fmt: skip
        return
    print(f"{made.pages} pages, {made.bytes / 1e6:.1f} MB, the largest {made.largest / 1000:.0f} kB")
    print(f"{made.folder / 'index.html'}{'' if made.changed else '  (nothing has changed)'}")
