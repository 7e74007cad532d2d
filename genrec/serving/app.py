"""The service over HTTP."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from genrec import __version__
from genrec.errors import GenRecError
from genrec.recommender.catalogue import STATUSES
from genrec.recommender.item_changes import Changes
from genrec.recommender.item_search import item_records, search_items
from genrec.serving.http_errors import RefusedError, error_response, validation_error
from genrec.serving.limits import Limits
from genrec.serving.middleware import VALUES, RequestMiddleware, with_limits
from genrec.serving.pages import PageCache, calls_page
from genrec.serving.prometheus import CONTENT_TYPE
from genrec.serving.schemas import (
    BeamsBody,
    Changed,
    ExplainBody,
    Explained,
    FoundItems,
    Health,
    ItemIdsBody,
    ItemsBody,
    Problem,
    Recommendations,
    RecommendBody,
    Searched,
    Similar,
    SimilarBody,
)
from genrec.serving.service import Service

_LONG = 300  # items of a list that cost as much as another history
_SHORT = 1_000  # characters of filters, which are read in less than a millisecond
_BEARER = HTTPBearer(auto_error=False, description="the admin token that the service was started with")
_ERROR_ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in {
        400: "No JSON.",
        408: "The body came too slowly.",
        413: "The body is too long.",
        422: "The request cannot be met; the answer has the offending value.",
        429: "The queue is full; Retry-After says when to come back.",
        503: "No answer in time, or the service is stopping.",
    }.items()
}
_ADMIN_ANSWERS: dict[int | str, dict[str, Any]] = _ERROR_ANSWERS | {
    401: {"model": Problem, "description": "Another token than the service's."},
    403: {"model": Problem, "description": "The service was started without an admin token."},
}


def create_app(
    service: Service,
    bundle: Path,
    *,
    token: str | None = None,
    plugins: Sequence[str] = (),
    external: Mapping[str, str | Path] | None = None,
    log_histories: bool = False,
) -> FastAPI:
    """Declares the routes.

    Args:
        service: answers; closed when the app shuts down.
        bundle: its path, opened again by ``POST /reload``.
        token: the token of admin calls; None: they are refused.
        plugins: packages beside genrec whose classes a bundle may name.
        external: files and folders outside a bundle that it may read for new items, by the place that needs them.
        log_histories: write the bodies of requests to the log.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(service.close)

    app = _Service(
        limits=service.limits,
        title="genrec",
        description="Recommendations by generated semantic IDs.",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's page would load scripts from other servers
        redoc_url=None,
    )
    app.router.route_class = _Route
    app.add_middleware(RequestMiddleware, service=service, log_histories=log_histories)
    _add_error_answers(app, service.metrics.count_refusal)
    limits, recommender, admin = service.limits, service.recommender, [Depends(_admin_check(token))]

    async def check_filters(filter: str | None, steer: Iterable[str] = ()) -> None:
        """Refuses filters that would take too long, before anything waits for them. Long ones are read in a thread."""
        texts = [*steer] if filter is None else [filter, *steer]
        if sum(map(len, texts)) > _SHORT:
            await run_in_threadpool(recommender.catalogue.table.filters.check_cost, texts, limits.filtering)
        else:
            recommender.catalogue.table.filters.check_cost(texts, limits.filtering)

    @app.post("/recommend", response_model=Recommendations, responses=_ERROR_ANSWERS)
    async def recommend(body: RecommendBody) -> JSONResponse:
        """The most likely next items of one or many histories."""
        limits.check("k", "k", body.k)
        limits.check("listed", "k times histories", body.k * len(body.histories))
        await check_filters(body.filter, body.steer)
        return JSONResponse({"lists": await service.ask(body.asked(), weight=1 + body.k // _LONG)})

    @app.post("/similar", response_model=Similar, responses=_ERROR_ANSWERS)
    async def similar(body: SimilarBody) -> JSONResponse:
        """The items most like a given one."""
        limits.check("k", "k", body.k)
        await check_filters(body.filter)
        return JSONResponse((await service.ask(body.asked()))[0])

    @app.post("/explain", response_model=Explained, responses=_ERROR_ANSWERS)
    async def explain(body: ExplainBody) -> JSONResponse:
        """Why an item may come next: the path of its ID, and which items of the history speak for it."""
        return JSONResponse((await service.ask(body.asked()))[0])

    @app.post("/beams", response_model=Searched, responses=_ERROR_ANSWERS)
    async def beams(body: BeamsBody) -> JSONResponse:
        """The prefixes of IDs that the search for a list kept after each level, best first."""
        limits.check("k", "k", body.k)
        await check_filters(body.filter, body.steer)
        return JSONResponse((await service.ask(body.asked()))[0])

    @app.get("/items", response_model=FoundItems, responses=_ERROR_ANSWERS)
    def find_items(
        query: Annotated[str, Query(max_length=200, description="words of a title, or an id; none: the popular items")] = "",
        item_id: Annotated[list[str] | None, Query(description="these items instead, once for each")] = None,
        status: Annotated[str | None, Query(description=f"all items of it instead: {', '.join(STATUSES)}")] = None,
        limit: Annotated[int, Query(ge=1, description="items of the answer")] = 20,
        offset: Annotated[int, Query(ge=0, le=2**53, description="of all items of a status, how many to pass over")] = 0,
    ) -> JSONResponse:
        """What the catalogue knows of items that are looked for by words, named by id, or have a status."""
        limits.check("items" if status else "k", "limit", limit)
        limits.check("items", "item_id", item_id or [])
        catalogue = recommender.catalogue
        if status is not None:
            chosen = catalogue.rows_with(status)
            rows, number = chosen[offset : offset + limit], len(chosen)
        elif item_id is not None:
            rows = [row for name in item_id if (row := catalogue.table.idx.get(name)) is not None]
            number = len(rows)
        else:
            rows, number = search_items(catalogue, query, limit)
        unknown = [name for name in item_id or [] if name not in catalogue.table.idx]
        return JSONResponse({"items": item_records(catalogue, rows), "num_found": number, "unknown": unknown})

    def changes_response(changes: Changes) -> JSONResponse:
        catalogue, counts = recommender.catalogue, changes.counts()
        counts["num_taken_down"] = counts.pop("num_removed")
        sizes = {"num_items": len(catalogue.table), "num_removed": len(catalogue.removed)}
        return JSONResponse({**sizes, **counts, "unknown": list(changes.unknown)})

    @app.post("/items", response_model=Changed, responses=_ADMIN_ANSWERS, dependencies=admin)
    def add_items(body: ItemsBody) -> JSONResponse:
        """Recommends more items from now on, and gives known ones the content of today; answered once it is on disk."""
        return changes_response(recommender.add_items(body.items, reassign=body.reassign))

    @app.patch("/items", response_model=Changed, responses=_ADMIN_ANSWERS, dependencies=admin)
    def update_items(body: ItemsBody) -> JSONResponse:
        """Changes what is named of known items; ids that the catalogue does not have are named in the answer."""
        return changes_response(recommender.update_items(body.items, reassign=body.reassign, quiet=True))

    @app.delete("/items", response_model=Changed, responses=_ADMIN_ANSWERS, dependencies=admin)
    def remove_items(item_id: Annotated[list[str], Query(min_length=1, description="once for each item")]) -> JSONResponse:
        """Recommends items no longer: no request that begins after the answer lists one; answered once it is on disk."""
        limits.check("items", "item_id", item_id)
        return changes_response(recommender.remove_items(item_id, quiet=True))

    @app.post("/items/remove", response_model=Changed, responses=_ADMIN_ANSWERS, dependencies=admin)
    def remove_many(body: ItemIdsBody) -> JSONResponse:
        """The same by a body, for many or long ids."""
        return changes_response(recommender.remove_items(body.item_ids, quiet=True, absent=body.absent))

    @app.post("/items/restore", response_model=Changed, responses=_ADMIN_ANSWERS, dependencies=admin)
    def restore_items(body: ItemIdsBody) -> JSONResponse:
        """Recommends items again that were taken down; nothing else puts them back."""
        return changes_response(recommender.restore_items(body.item_ids, quiet=True, absent=body.absent))

    @app.post("/reload", response_model=Changed, responses=_ADMIN_ANSWERS, dependencies=admin)
    def reload() -> JSONResponse:
        """Opens the bundle's path anew and answers from what is there now; no request waits or fails meanwhile."""
        service.reload(bundle, plugins, external)
        return changes_response(Changes())

    page = PageCache(limits)

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def try_it() -> HTMLResponse:
        """A page to try it."""
        html, policy = page.page_for(recommender.catalogue)
        return HTMLResponse(html, headers={"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"})

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    def docs() -> HTMLResponse:
        """Returns a page for people that lists the calls."""
        html, policy = calls_page(app.openapi())
        return HTMLResponse(html, headers={"Content-Security-Policy": policy})

    @app.get("/favicon.ico", status_code=204, response_class=Response, include_in_schema=False)
    def no_icon() -> None:
        """Browsers ask for one."""

    @app.get("/healthz", response_model=Health)
    async def healthz() -> JSONResponse:
        """Whether the process lives."""
        return JSONResponse({"status": "ok", **service.facts()})

    @app.get("/readyz", response_model=Health, responses={503: {"model": Health, "description": "It is stopping."}})
    async def readyz() -> JSONResponse:
        """Whether to send requests here."""
        is_ready = service.batcher.alive
        return JSONResponse({"status": "ok" if is_ready else "stopping", **service.facts()}, 200 if is_ready else 503)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> PlainTextResponse:
        """Counts and times, as Prometheus reads them."""
        return PlainTextResponse(service.metrics.text(), media_type=CONTENT_TYPE)

    return app


class _Service(FastAPI):
    def __init__(self, *, limits: Limits, **more: Any) -> None:
        super().__init__(**more)
        self._limits = limits

    def openapi(self) -> dict[str, Any]:
        """Returns the OpenAPI document with the limits of the service."""
        return with_limits(super().openapi(), self._limits)


class _Route(APIRoute):
    """A route that takes the values of a body as the middleware has read them."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See fastapi."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(_ParsedRequest(request.scope, request.receive))

        return handle


class _ParsedRequest(Request):
    async def json(self) -> Any:
        """What the body stands for."""
        return self.scope[VALUES] if VALUES in self.scope else await super().json()


def _admin_check(token: str | None) -> Callable[..., None]:
    """Returns a check that a caller knows the token. It takes the same time for every wrong one."""

    def admin(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> None:
        if token is None:
            fix = "set GENREC_ADMIN_TOKEN or --token-file and start it again"
            raise RefusedError(403, "authorization", expected="a service with an admin token", got="one without", fix=fix)
        sent_token = "" if credentials is None else credentials.credentials
        if not hmac.compare_digest(sent_token.encode(), token.encode()):
            got, fix = "another" if sent_token else "none", "send Authorization: Bearer TOKEN"
            challenge = {"WWW-Authenticate": "Bearer"}
            raise RefusedError(401, "authorization", expected="the admin token", got=got, fix=fix, headers=challenge)

    return admin


def _add_error_answers(app: FastAPI, count_refusal: Callable[[GenRecError], None]) -> None:
    @app.exception_handler(GenRecError)
    async def genrec_error(request: Request, error: GenRecError) -> JSONResponse:
        count_refusal(error)
        return error_response(error)

    @app.exception_handler(RequestValidationError)
    async def invalid_body(request: Request, error: RequestValidationError) -> JSONResponse:
        count_refusal(problem := validation_error(error.errors()))
        return error_response(problem)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        got = f"{request.method} {request.url.path}"
        expected, fix = f"a request of /openapi.json ({error.detail})", "see there"
        headers = dict(error.headers or {})
        problem = RefusedError(error.status_code, "request", expected=expected, got=got, fix=fix, headers=headers)
        count_refusal(problem)
        return error_response(problem)
