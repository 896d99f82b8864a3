"""The routes of the review page, and its API. Who may call them, security.py tells before a route is looked for."""

from __future__ import annotations

import re
from importlib import resources
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import Request

from ..desk import Desk
from ..engine.state import Wanted
from ..store.store import Answer
from . import schema as models
from .refusals import Refused
from .security import Access, Guard

KINDS = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
FILES = {
    "csv": ("text/csv; charset=utf-8", "csv"),
    "parquet": ("application/vnd.apache.parquet", "parquet"),
    "label-studio": ("application/json", "json"),
}
STATIC_NAME = re.compile(r"[a-z_]+\.(html|js|css)")
FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": models.Failure} for status in (400, 401, 403, 404, 408, 413, 415, 422, 503)
}
SAVING: dict[int | str, dict[str, Any]] = {
    **FAILURES,
    200: {"model": models.Saved},
    409: {"model": models.ConflictFailure},
    507: {"model": models.Failure},
}
PNG: dict[int | str, dict[str, Any]] = {
    **FAILURES,
    200: {"content": {"image/png": {}}},
    404: {"model": models.Failure, "content": {"image/png": {}}},
}
RowNumber = Annotated[str, Path(json_schema_extra={"type": "integer", "minimum": 0})]


def review_app(desk: Desk, access: Access) -> Guard:
    """The whole page, guarded."""
    return Guard(api(desk), access)


def api(desk: Desk) -> FastAPI:
    """The routes, without the guard."""
    app = FastAPI(title="fewlabels review", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _not_found)
    app.add_exception_handler(Exception, _failed)
    _add_page(app)
    _add_reading(app, desk)
    _add_writing(app, desk)
    return app


def _add_page(app: FastAPI) -> None:
    files = _static_files()

    def sent(name: str) -> Response:
        if name not in files:
            raise Refused(404, "W5", "there is no such file")
        return Response(files[name], media_type=f"{KINDS[name.rpartition('.')[2]]}; charset=utf-8")

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return sent("index.html")

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        return sent(name)


def _add_reading(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/session", responses={**FAILURES, 200: {"model": models.Session}})
    async def session() -> Response:
        return JSONResponse(desk.session())

    @app.get("/api/rows", responses={**FAILURES, 200: {"model": models.Rows}})
    async def rows(asked: Annotated[models.RowsAsked, Query()]) -> Response:
        return JSONResponse(await desk.rows(_wanted(asked, desk), asked.first, asked.count))

    @app.get("/api/rows/{row}", responses={**FAILURES, 200: {"model": models.Row}})
    async def one_row(row: RowNumber) -> Response:
        return JSONResponse(desk.row(_row(row)))

    @app.get("/api/rows/{row}/why", responses={**FAILURES, 200: {"model": models.WhyLabel}})
    async def why(row: RowNumber) -> Response:
        return JSONResponse(await desk.why(_row(row)))

    @app.get("/api/rows/{row}/image", responses=PNG, response_class=Response)
    async def image(row: RowNumber) -> Response:
        picture = await desk.image(_row(row))
        return Response(picture.data, 200 if picture.is_whole else 404, media_type="image/png")

    @app.get("/api/graph", responses={**FAILURES, 200: {"model": models.Graph}})
    async def graph(asked: Annotated[models.GraphAsked, Query()]) -> Response:
        return JSONResponse(await desk.graph(asked.after))

    @app.get("/api/export", responses={**FAILURES, 200: {"content": {kind: {} for kind, _ in FILES.values()}}})
    async def export(asked: Annotated[models.ExportAsked, Query()]) -> Response:
        event, content = await desk.exported(asked.format)
        kind, ending = FILES[asked.format]
        name = {"Content-Disposition": f'attachment; filename="reviewed-{event}.{ending}"'}
        return Response(content, media_type=kind, headers=name)

    @app.get("/api/history", responses={**FAILURES, 200: {"model": models.History}})
    async def history(asked: Annotated[models.HistoryAsked, Query()]) -> Response:
        return JSONResponse(await desk.history(asked.first, asked.count, asked.row))


def _add_writing(app: FastAPI, desk: Desk) -> None:
    @app.post("/api/answers", responses=SAVING)
    async def answers(sent: models.Answers) -> Response:
        some = [Answer(one.row, one.action, one.label, one.version) for one in sent.answers]
        return JSONResponse(await desk.write(sent.client, sent.seq, some))

    @app.post("/api/undo", responses=SAVING)
    async def undo(sent: models.Undo) -> Response:
        return JSONResponse(await desk.write(sent.client, sent.seq, None))


def _wanted(asked: models.RowsAsked, desk: Desk) -> Wanted:
    """The engine's words for what the page asks; it knows nothing of skipped rows."""
    skipped = desk.skipped_rows()
    return Wanted(
        order=asked.order,
        class_name=asked.class_name,
        source=None if asked.source == "skipped" else asked.source,
        min_certainty=asked.min_certainty,
        max_certainty=asked.max_certainty,
        text=asked.text,
        leave_out=skipped if asked.order == "queue" and asked.source != "skipped" else (),
        only=skipped if asked.source == "skipped" else None,
    )


def _row(text: str) -> int:
    """The number of a row, in ASCII digits only. What looks like another number is told so; what does not is no row."""
    if text.isascii() and text.isdecimal() and len(text) <= 15:
        return int(text)
    if re.search(r"\d", text) and not re.search(r"[%/\\]|\.\.", text):
        raise Refused(422, "W6", f"{text[:40]!r} is no row: a whole number from 0 up was expected")
    raise Refused(404, "W5", "there is no such thing")


def _static_files() -> dict[str, bytes]:
    """The page's files by name, read once: no request ever leads to a path."""
    folder = resources.files("fewlabels.review") / "static"
    files = folder.iterdir() if folder.is_dir() else ()
    return {file.name: file.read_bytes() for file in files if STATIC_NAME.fullmatch(file.name)}


async def _refused(request: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused)
    return JSONResponse(refused.body, refused.status)


async def _invalid(request: Request, error: Exception) -> Response:
    """Names the place and the reason, and does not repeat what was sent."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])[:100]
    refused = Refused(422, "W7", f"{place!r}: {first['msg'][:200]}; nothing was written")
    return JSONResponse(refused.body, 422)


async def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "W5", 405: "W23"}.get(error.status_code, "W7")
    return JSONResponse(Refused(error.status_code, code, error.detail).body, error.status_code, error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse(Refused(500, "W24", "an error of fewlabels; the terminal has its traceback").body, 500)
