"""Keys: list, make and revoke them; and who the caller is."""

from __future__ import annotations

from typing import Annotated, Literal

import anyio.to_thread
from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from mien.errors import BadInput
from mien.server.access import LOCAL, Caller, require, require_key
from mien.server.keys import Key
from mien.server.services import services_of

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["keys"])
_DAY_S = 86_400.0


class KeyRecord(BaseModel):
    """What is known of a key; times are seconds since 1970 (UTC)."""

    id: str
    name: str
    scopes: list[str]
    galleries: list[str] | None
    created: float
    expires: float | None
    revoked: float | None
    last_used: float | None


class KeyList(BaseModel):
    """All keys, those that do not work any more too."""

    keys: list[KeyRecord]


class NewKey(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    scopes: list[Literal["read", "identify", "enroll", "admin"]] = Field(min_length=1, max_length=4)
    expires_days: float | None = Field(default=None, gt=0, le=36_500)
    galleries: list[str] | None = Field(default=None, min_length=1, max_length=1000)


class MadeKey(KeyRecord):
    """A key that was made, with its secret, which is shown this once."""

    secret: str


class WhoAmI(BaseModel):
    """Who the server takes the caller for."""

    name: str
    scopes: list[str]
    galleries: list[str] | None
    local: bool


@router.get("/whoami", summary="Who the caller is and what it may do")
async def whoami(caller: Annotated[Caller, Depends(require_key)]) -> WhoAmI:
    """The key's name and scopes; ``local`` where the server needs no key and none was sent."""
    galleries = None if caller.galleries is None else list(caller.galleries)
    return WhoAmI(name=caller.name, scopes=list(caller.scopes), galleries=galleries, local=caller is LOCAL)


@router.get("/keys", summary="List the keys")
async def list_keys(request: Request, _caller: Annotated[Caller, Depends(require("admin"))]) -> KeyList:
    """In the order in which they were made; the secrets themselves are nowhere kept."""
    services = services_of(request)
    found = await anyio.to_thread.run_sync(services.keys.list, limiter=services.limiter)
    return KeyList(keys=[_record(key) for key in found])


@router.post("/keys", status_code=201, summary="Make a key")
async def make_key(request: Request, wanted: NewKey, caller: Annotated[Caller, Depends(require("admin"))]) -> MadeKey:
    """The answer holds the secret: it is shown this once."""
    services = services_of(request)

    def make() -> tuple[Key, str]:
        expires_s = None if wanted.expires_days is None else wanted.expires_days * _DAY_S
        return services.keys.create(wanted.name, wanted.scopes, expires_s, wanted.galleries)

    key, secret = await anyio.to_thread.run_sync(make, limiter=services.limiter)
    services.audit.record(caller, "create_key", detail={"key": key.id, "scopes": list(key.scopes)}, status=201)
    return MadeKey(**_record(key).model_dump(), secret=secret)


@router.delete("/keys/{key_id}", summary="Revoke a key")
async def revoke_key(request: Request, key_id: str, caller: Annotated[Caller, Depends(require("admin"))]) -> KeyRecord:
    """For good: at once in the process that answers, within two seconds in others. Revoking twice is fine."""
    services = services_of(request)
    try:
        key = await anyio.to_thread.run_sync(services.keys.revoke, key_id, limiter=services.limiter)
    except BadInput as error:
        raise HTTPException(404, "there is no key of that id") from error
    services.audit.record(caller, "revoke_key", detail={"key": key.id})
    return _record(key)


def _record(key: Key) -> KeyRecord:
    return KeyRecord(
        id=key.id,
        name=key.name,
        scopes=list(key.scopes),
        galleries=None if key.galleries is None else list(key.galleries),
        created=key.created,
        expires=key.expires,
        revoked=key.revoked,
        last_used=key.last_used,
    )
