"""``/livez`` and ``/readyz``: for whoever watches over the process; they need no key and tell nothing."""

from __future__ import annotations

import anyio.to_thread
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from mien.errors import MienError
from mien.server.services import Services, services_of

__all__ = ["router"]

router = APIRouter(tags=["health"])


@router.head("/livez", include_in_schema=False)
@router.get("/livez", summary="Whether the process answers")
async def livez() -> dict[str, str]:
    """Always 200: no answer at all is the sign that the process must be started again."""
    return {"status": "ok"}


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", summary="Whether requests can be served", responses={503: {"description": "Not now."}})
async def readyz(request: Request) -> JSONResponse:
    """200 if the models are loaded and the server's database can be read and written, else 503."""
    services = services_of(request)
    checks = await anyio.to_thread.run_sync(_checks, services, limiter=services.limiter)
    ready = all(checks.values())
    return JSONResponse({"status": "ok" if ready else "not ready", "checks": checks}, 200 if ready else 503)


def _checks(services: Services) -> dict[str, bool]:
    return {
        "running": not services.stopping.is_set(),
        "state": _state_works(services),
        "audit": services.audit.healthy,
    }


def _state_works(services: Services) -> bool:
    try:
        with services.state.reading() as connection:
            connection.execute("SELECT 1 FROM keys LIMIT 1").fetchone()
    except MienError:
        return False
    return True
