"""What happened lately, for the console's first page."""

from __future__ import annotations

from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from mien.server.access import Caller, require
from mien.server.services import services_of

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["activity"])
_LINES = 20


class ActivityLine(BaseModel):
    """A line of the audit log without whom it was done to; ``at`` is seconds since 1970 (UTC)."""

    at: float
    caller: str
    action: str
    gallery: str | None
    status: int


class Latency(BaseModel):
    """Times of the last hour's requests in ms; null if there were none."""

    p50: float | None
    p95: float | None


class ActivityRecord(BaseModel):
    """The last lines of the audit log, newest first, and the last 60 minutes, the present one last."""

    recent: list[ActivityLine]
    latency_ms: Latency
    requests_per_minute: list[int]


@router.get("/activity", summary="What happened lately")
async def activity(request: Request, caller: Annotated[Caller, Depends(require("read"))]) -> ActivityRecord:
    """Of all processes of the server; a key that is limited to some galleries sees what happened in those alone."""
    services = services_of(request)

    def read() -> ActivityRecord:
        services.audit.flush(0.5)
        lines = services.audit.entries(limit=_LINES if caller.galleries is None else 10 * _LINES)
        seen = [
            ActivityLine(at=line.at, caller=line.caller, action=line.action, gallery=line.gallery, status=line.status)
            for line in lines
            if caller.galleries is None or (line.gallery is not None and caller.may_use(line.gallery))
        ]
        pace = services.activity.recent()
        return ActivityRecord(
            recent=seen[:_LINES],
            latency_ms=Latency(p50=pace.p50_ms, p95=pace.p95_ms),
            requests_per_minute=pace.requests_per_minute,
        )

    return await anyio.to_thread.run_sync(read, limiter=services.limiter)
