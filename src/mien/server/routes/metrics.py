"""``/metrics``: for Prometheus."""

from __future__ import annotations

from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from mien.errors import MienError
from mien.server.access import Caller, require
from mien.server.metrics import Sizes
from mien.server.services import Services, services_of

__all__ = ["router"]

router = APIRouter(tags=["metrics"])
_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@router.get(
    "/metrics",
    summary="Counts and times for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request, caller: Annotated[Caller, Depends(require("read"))]) -> Response:
    """Of all processes of the server; a key that is limited to some galleries sees no others' sizes."""
    services = services_of(request)

    def text() -> bytes:
        return services.meters.text(_sizes(services, caller))

    return Response(await anyio.to_thread.run_sync(text, limiter=services.limiter), media_type=_MEDIA_TYPE)


def _sizes(services: Services, caller: Caller) -> Sizes:
    states = [({"state": state}, float(count)) for state, count in services.jobs.counts().items()]
    try:
        galleries = [gallery for gallery in services.places.list() if caller.may_use(gallery.name)]
    except MienError:
        # Counts of requests are wanted all the more where the galleries cannot be read.
        return {"mien_jobs": states}
    return {
        "mien_gallery_templates": [({"gallery": one.name}, float(one.templates)) for one in galleries],
        "mien_gallery_identities": [({"gallery": one.name}, float(one.identities)) for one in galleries],
        "mien_jobs": states,
    }
