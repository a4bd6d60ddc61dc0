"""The server's audit log, a page at a time."""

from __future__ import annotations

from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel

from mien.server.access import Caller, require
from mien.server.audit import AuditLine
from mien.server.services import services_of

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["audit"])
_Text = Annotated[str | None, Query(max_length=300)]


class AuditEntry(BaseModel):
    """A line of the log; ``subject`` is a keyed digest of a name, ``at`` seconds since 1970 (UTC)."""

    id: int
    at: float
    caller: str
    key_id: str | None
    action: str
    gallery: str | None
    subject: str | None
    detail: dict[str, Any] | None
    status: int


class AuditPage(BaseModel):
    """Lines, newest first; ``next`` is the ``before`` of the next page, or null at the end."""

    entries: list[AuditEntry]
    next: int | None


@router.get("/audit", summary="Who did what")
async def audit(
    request: Request,
    _caller: Annotated[Caller, Depends(require("admin"))],
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    gallery: _Text = None,
    action: _Text = None,
    caller: _Text = None,
    identity: _Text = None,
) -> AuditPage:
    """The newest lines, newest first; ``identity`` finds those about the person of that name."""
    services = services_of(request)

    def read() -> list[AuditLine]:
        # What this very process did a moment ago should be there for who looks for it.
        services.audit.flush(0.5)
        return services.audit.entries(before, limit + 1, gallery, action, caller, identity)

    found = await anyio.to_thread.run_sync(read, limiter=services.limiter)
    page = [AuditEntry(**{name: getattr(line, name) for name in AuditEntry.model_fields}) for line in found[:limit]]
    return AuditPage(entries=page, next=page[-1].id if len(found) > limit else None)
