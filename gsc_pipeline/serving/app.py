"""The pages: /health/sync, /health/live, /metrics.

Belongs here: paths, statuses, content types. Does not: sockets and signals (`server`), the numbers.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gsc_pipeline.health import HealthMonitor

NOT_KEPT = {"Cache-Control": "no-store"}


def make_app(monitor: HealthMonitor, metrics_text: Callable[[], bytes]) -> Starlette:
    """The application. Pages that look at the lake are plain functions, which run in threads."""

    def health_sync(request: Request) -> Response:
        health = monitor.look().health
        return JSONResponse(health.as_json(), status_code=200 if health.ok else 503, headers=NOT_KEPT)

    async def health_live(request: Request) -> Response:
        return JSONResponse({"ok": True}, headers=NOT_KEPT)

    def metrics(request: Request) -> Response:
        return Response(metrics_text(), headers={**NOT_KEPT, "Content-Type": CONTENT_TYPE_LATEST})

    return Starlette(
        routes=[
            Route("/health/sync", health_sync),
            Route("/health/live", health_live),
            Route("/metrics", metrics),
        ]
    )
