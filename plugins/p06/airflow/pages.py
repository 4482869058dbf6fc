"""The pages behind Airflow's login: the folder ``p06 site`` writes, and the desk of those who decide.

Airflow says who is there, the ledger's duties say what that account sees.
"""

# FastAPI reads the signatures below, whose types are imported late: they must not become texts.
import json
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

PREFIX = "/p06"
KINDS = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".csv": "text/csv; charset=utf-8"}
POLICY = "default-src 'none'; style-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action "
HEADERS = {
    "Content-Security-Policy": POLICY + "'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-cache",
}
# Without a referrer a browser would not say where a form came from, and every answer would be refused.
DESK = HEADERS | {
    "Content-Security-Policy": POLICY + "'self'",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
LARGEST_FORM = 16_384  # bytes


async def application(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application. FastAPI is imported at the first request: other processes of Airflow read the plugin too."""
    await guarded()(scope, receive, send)


@cache
def guarded() -> Any:
    """Every route asks Airflow who is there before it looks at anything; what changes the ledger asks for more."""
    from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
    from airflow.api_fastapi.core_api.security import get_user, requires_access_view
    from fastapi import Depends, FastAPI, HTTPException, Request, Response
    from starlette.concurrency import run_in_threadpool

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    guard = [Depends(requires_access_view(AccessView.WEBSITE))]

    @app.get("/{language}/desk/{path:path}", dependencies=guard)
    def desk_page(
        language: str, path: str, request: Request, user: Annotated[Any, Depends(get_user)], done: str = ""
    ) -> Response:
        from p06 import desk

        return reply(desk.get(caller(request, user), language, f"desk/{path}", done))

    @app.post("/{language}/desk/{path:path}", dependencies=guard)
    async def desk_form(
        language: str, path: str, request: Request, user: Annotated[Any, Depends(get_user)]
    ) -> Response:
        from p06 import desk

        asks = caller(request, user)
        if not own(request):
            return reply(await run_in_threadpool(desk.refused, asks, f"{language}/desk/{path}", "P06-DUTY-006"))
        form = await fields(request)
        return reply(await run_in_threadpool(desk.post, asks, language, f"desk/{path}", form))

    @app.get("/{path:path}", dependencies=guard)
    def page(path: str, request: Request, user: Annotated[Any, Depends(get_user)]) -> Response:
        known = file_of(path or "index.html")
        if known is None:
            raise HTTPException(404, "There is no such page; `p06 site` writes them", HEADERS)
        found, area = known
        if not may_see(user.get_name(), area):
            from p06 import desk

            return reply(desk.refused(caller(request, user), path, "P06-DUTY-005", area))
        return Response(found.read_bytes(), media_type=KINDS[found.suffix], headers=HEADERS)

    def reply(said: Any) -> Response:
        if said.go_on is not None:
            return Response(status_code=said.status, headers=DESK | {"Location": said.go_on})
        if not said.html:
            raise HTTPException(said.status, "There is no such page", DESK)
        return Response(said.html, said.status, media_type=KINDS[".html"], headers=DESK)

    async def fields(request: Request) -> dict[str, str]:
        """The fields of a form as browsers send them without a script; nothing larger than such forms are."""
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
            raise HTTPException(415, "Not a form", DESK)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_FORM:
                raise HTTPException(413, "Too large", DESK)
        try:
            return {name: values[-1] for name, values in parse_qs(body.decode("utf-8"), max_num_fields=20).items()}
        except (UnicodeDecodeError, ValueError):
            raise HTTPException(400, "Not a form", DESK) from None

    return app


def caller(request: Any, user: Any) -> Any:
    """The account, and the very token it is signed in with: a form is good for that session alone."""
    from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN

    from p06.desk import Caller

    stated = request.headers.get("authorization") or request.cookies.get(COOKIE_NAME_JWT_TOKEN) or ""
    return Caller(user.get_name(), stated)


def own(request: Any) -> bool:
    """Whether a form was sent from a page of this very server, as the browser says; one that says nothing is refused."""
    from airflow.configuration import conf

    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site not in (None, "same-origin") or origin is None:
        return False
    try:
        sent = urlsplit(origin)
    except ValueError:
        return False
    if sent.scheme not in ("http", "https") or not sent.netloc:
        return False
    stated = urlsplit(conf.get("api", "base_url", fallback="") or "")
    return sent.netloc == request.headers.get("host") or (sent.scheme, sent.netloc) == (stated.scheme, stated.netloc)


def may_see(account: str, area: str | None) -> bool:
    """Whether an account's duties reach the province a page or file is of; most are of none, and everybody's."""
    from p06 import duty

    return area is None or duty.of(account, "reader").holds(area)


@lru_cache(maxsize=4)
def areas(folder: Path) -> dict[str, str]:
    """Which pages of a written site are of a province, or the nation's alone; the folder is named by its content."""
    from p06 import site

    return dict(json.loads((folder / site.AREAS).read_bytes()))


def file_of(path: str) -> tuple[Path, str | None] | None:
    """The file a path names and the area it is of; None for what is no page, style or download inside the site.

    A site that does not say which pages are a province's is not served at all. The style is there without a site, too:
    the desk is made for each request.
    """
    from p06 import site
    from p06.site.page import FOLDER, STYLE

    if path == STYLE:
        return FOLDER / STYLE, None
    folder = site.folder()
    parts = PurePosixPath(path).parts
    if folder is None or not parts or any(part.startswith(".") or "\\" in part or "\0" in part for part in parts):
        return None
    shown = folder.resolve()
    found = shown.joinpath(*parts).resolve()
    try:
        if found.suffix not in KINDS or not found.is_relative_to(shown) or not found.is_file():
            return None
    except OSError:  # a name longer than any file's
        return None
    if not (shown / site.AREAS).is_file():
        return None
    return found, areas(shown).get(found.relative_to(shown).as_posix())
