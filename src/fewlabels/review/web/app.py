"""The routes of the review page and of its API. security.py has checked each request before a route is looked for."""

from __future__ import annotations

import re
from importlib import resources
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Query
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import Request

from ..desk import Desk
from ..engine.state import RowQuery
from ..store.values import Answer
from . import schema as models
from .requests import Refused
from .security import Access, Guard

KINDS = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
EXPORTS = {
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


def build_app(desk: Desk, access: Access) -> Guard:
    """The page and its API, behind the checks of security.py."""
    return Guard(build_api(desk), access)


def build_api(desk: Desk) -> FastAPI:
    """The routes, without those checks."""
    app = make_api("fewlabels review", Depends(desk.demand_answers))
    add_page(app)
    _add_reading(app, desk)
    _add_writing(app, desk)
    _add_ends(app, desk)
    return app


def make_api(title: str, *before: Any) -> FastAPI:
    """An app without routes, whose errors are JSON. before: dependencies of every route."""
    app = FastAPI(
        title=title,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        dependencies=before,
    )
    app.add_exception_handler(Refused, _answer_refused)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_failed)
    return app


def add_page(app: FastAPI) -> None:
    """The page itself and its files."""
    files = _read_static_files()

    def send(name: str) -> Response:
        if name not in files:
            raise Refused(404, "W5", "there is no such file")
        return Response(files[name], media_type=f"{KINDS[name.rpartition('.')[2]]}; charset=utf-8")

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return send("index.html")

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        return send(name)


def _add_reading(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/session", responses={**FAILURES, 200: {"model": models.Session}})
    async def session() -> Response:
        return JSONResponse(desk.describe_session())

    @app.get("/api/rows", responses={**FAILURES, 200: {"model": models.Rows}})
    async def rows(asked: Annotated[models.RowsAsked, Query()]) -> Response:
        return JSONResponse(await desk.select_rows(_to_query(asked, desk), asked.first, asked.count))

    @app.get("/api/rows/{row}", responses={**FAILURES, 200: {"model": models.Row}})
    async def one_row(row: RowNumber) -> Response:
        return JSONResponse(desk.describe_row(_parse_row(row)))

    @app.get("/api/rows/{row}/why", responses={**FAILURES, 200: {"model": models.WhyLabel}})
    async def why(row: RowNumber) -> Response:
        return JSONResponse(await desk.explain(_parse_row(row)))

    @app.get("/api/rows/{row}/image", responses=PNG, response_class=Response)
    async def image(row: RowNumber) -> Response:
        picture = await desk.read_image(_parse_row(row))
        return Response(picture.data, 200 if picture.is_whole else 404, media_type="image/png")

    @app.get("/api/preview", responses={**FAILURES, 200: {"model": models.Preview}})
    async def preview(asked: Annotated[models.PreviewAsked, Query()]) -> Response:
        return JSONResponse(await desk.preview(asked.rows, asked.class_name))

    @app.get("/api/graph", responses={**FAILURES, 200: {"model": models.Graph}})
    async def graph(asked: Annotated[models.GraphAsked, Query()]) -> Response:
        return JSONResponse(await desk.wait_for_graph(asked.after))

    @app.get("/api/export", responses={**FAILURES, 200: {"content": {kind: {} for kind, _ in EXPORTS.values()}}})
    async def export(asked: Annotated[models.ExportAsked, Query()]) -> Response:
        event, content = await desk.export(asked.format)
        kind, ending = EXPORTS[asked.format]
        name = {"Content-Disposition": f'attachment; filename="reviewed-{event}.{ending}"'}
        return Response(content, media_type=kind, headers=name)

    @app.get("/api/history", responses={**FAILURES, 200: {"model": models.History}})
    async def history(asked: Annotated[models.HistoryAsked, Query()]) -> Response:
        return JSONResponse(await desk.read_history(asked.first, asked.count, asked.row))


def _add_writing(app: FastAPI, desk: Desk) -> None:
    @app.post("/api/answers", responses=SAVING)
    async def answers(sent: models.Answers) -> Response:
        some = [Answer(one.row, one.action, one.label, one.version) for one in sent.answers]
        return JSONResponse(await desk.write(sent.client, sent.seq, some))

    @app.post("/api/classes", responses=SAVING)
    async def classes(sent: models.ClassesChanged) -> Response:
        return JSONResponse(await desk.change_classes(sent.client, sent.seq, sent.action, sent.name, sent.of))

    @app.post("/api/undo", responses=SAVING)
    async def undo(sent: models.Undo) -> Response:
        return JSONResponse(await desk.write(sent.client, sent.seq, None))


def _add_ends(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/opening", responses={**FAILURES, 200: {"model": models.Opening}})
    async def opening() -> Response:
        return JSONResponse({"state": "ready"})

    @app.get("/api/finish", responses={**FAILURES, 200: {"model": models.Finishing}})
    async def finishing() -> Response:
        return JSONResponse(desk.finishing.describe())

    @app.post("/api/finish", responses={**FAILURES, 200: {"model": models.Finishing}})
    async def finish(sent: models.Finish) -> Response:
        return JSONResponse(desk.finishing.start())


def _to_query(asked: models.RowsAsked, desk: Desk) -> RowQuery:
    """Put what the page asks into the engine's words; the engine knows nothing of skipped rows."""
    skipped = desk.find_skipped()
    return RowQuery(
        order=asked.order,
        class_name=asked.class_name,
        source=None if asked.source == "skipped" else asked.source,
        min_certainty=asked.min_certainty,
        max_certainty=asked.max_certainty,
        text=asked.text,
        like=asked.like,
        leave_out=skipped if asked.order in ("queue", "alike") and asked.source != "skipped" else (),
        only=skipped if asked.source == "skipped" else None,
    )


def _parse_row(text: str) -> int:
    """Parse a row number, ASCII digits only. Raises Refused: 422 for what looks like another number, else 404."""
    if text.isascii() and text.isdecimal() and len(text) <= 15:
        return int(text)
    if re.search(r"\d", text) and not re.search(r"[%/\\]|\.\.", text):
        raise Refused(422, "W6", f"{text[:40]!r} is no row: a whole number from 0 up was expected")
    raise Refused(404, "W5", "there is no such thing")


def _read_static_files() -> dict[str, bytes]:
    """Read the page's files, name -> content, once: no request ever leads to a path."""
    folder = resources.files("fewlabels.review") / "static"
    files = folder.iterdir() if folder.is_dir() else ()
    return {file.name: file.read_bytes() for file in files if STATIC_NAME.fullmatch(file.name)}


async def _answer_refused(request: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused)
    return JSONResponse(refused.body, refused.status)


async def _answer_invalid(request: Request, error: Exception) -> Response:
    """Name the field and the reason, without repeating what was sent."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])[:100]
    refused = Refused(422, "W7", f"{field!r}: {first['msg'][:200]}; nothing was written")
    return JSONResponse(refused.body, 422)


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "W5", 405: "W23"}.get(error.status_code, "W7")
    return JSONResponse(Refused(error.status_code, code, error.detail).body, error.status_code, error.headers)


async def _answer_failed(request: Request, error: Exception) -> Response:
    return JSONResponse(Refused(500, "W24", "an error of fewlabels; the terminal has its traceback").body, 500)
