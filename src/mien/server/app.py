"""The application: routes behind the layers that every request passes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.types import Scope

from mien._version import __version__
from mien.recognizer import Recognizer
from mien.server import problems
from mien.server.access import Gate
from mien.server.headers import Envelope
from mien.server.keys import KeyRing
from mien.server.limits import BodyLimit
from mien.server.metrics import MeterMiddleware, Meters
from mien.server.routes import routers
from mien.server.services import Services, open_services
from mien.server.settings import ServerSettings

__all__ = ["create_app"]

_DESCRIPTION = (
    "Find, compare, enroll and identify faces. Images are sent as bytes, multipart or base64, never as paths or URLs; "
    "errors are problem documents (RFC 9457) with a stable `code`."
)


def create_app(settings: ServerSettings | None = None, recognizer: Recognizer | None = None) -> FastAPI:
    """The server's application, for ``mien serve`` or an ASGI server of your own.

    Nothing is opened before the application's lifespan begins.

    Args:
        settings: None for ``ServerSettings()``.
        recognizer: finds faces; None for one of the recognizer's own settings.

    Raises:
        BadSettings: the settings are not valid.
    """
    given = ServerSettings() if settings is None else settings

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with open_services(given, recognizer) as services:
            app.state.services = services
            try:
                yield {"mien_services": services}
            finally:
                del app.state.services

    app = FastAPI(
        title="mien",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    for router in routers(given):
        app.include_router(router)
    problems.install(app)

    def keys() -> KeyRing:
        services: Services = app.state.services
        return services.keys

    def meters(scope: Scope) -> Meters | None:
        services: Services | None = getattr(app.state, "services", None)
        return None if services is None else services.meters

    # The last one added is the outermost.
    app.add_middleware(BodyLimit, settings=given)
    app.add_middleware(Gate, settings=given, keys=keys)
    app.add_middleware(Envelope, settings=given)
    app.add_middleware(MeterMiddleware, meters_of=meters)
    return app
