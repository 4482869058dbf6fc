"""The pages behind Airflow's login: one guarded route over the folder ``p06 site`` writes."""

from __future__ import annotations

from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

PREFIX = "/p06"
KINDS = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".csv": "text/csv; charset=utf-8"}
POLICY = "default-src 'none'; style-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-cache",
}


async def application(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application. FastAPI is imported at the first request: other processes of Airflow read the plugin too."""
    await guarded()(scope, receive, send)


@cache
def guarded() -> Any:
    """One route for every path, which asks Airflow who is there before it looks at anything."""
    from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
    from airflow.api_fastapi.core_api.security import requires_access_view
    from fastapi import Depends, FastAPI, HTTPException, Response

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/{path:path}", dependencies=[Depends(requires_access_view(AccessView.WEBSITE))])
    def page(path: str) -> Response:
        found = file_of(path or "index.html")
        if found is None:
            raise HTTPException(404, "There is no such page; `p06 site` writes them", HEADERS)
        return Response(found.read_bytes(), media_type=KINDS[found.suffix], headers=HEADERS)

    return app


def file_of(path: str) -> Path | None:
    """The file a path names; None for whatever is not a page, a style or a download inside the site."""
    from p06 import site

    folder = site.folder()
    parts = PurePosixPath(path).parts
    if folder is None or not parts or any(part.startswith(".") or "\\" in part or "\0" in part for part in parts):
        return None
    shown = folder.resolve()
    found = shown.joinpath(*parts).resolve()
    return found if found.suffix in KINDS and found.is_relative_to(shown) and found.is_file() else None
