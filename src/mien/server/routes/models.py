"""Which models there are, under which licenses, and which of them answer."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from mien._version import __version__
from mien.recognizer.records import Record
from mien.server.access import Caller, require
from mien.server.answers import answer
from mien.server.schemas.comparisons import Models, Version
from mien.server.schemas.documents import answers
from mien.server.services import services_of
from mien.server.working import blocking
from mien.zoo import Card, card, cards, is_present, license_accepted

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["models"])

Reader = Annotated[Caller, Depends(require("read"))]
_REFRESHED_S = 60.0


@router.get("/models", summary="List the models", responses=answers(Models))
async def list_models(request: Request, caller: Reader) -> Response:
    """Each with its license, whether its file is on the server, and whether it is in use."""
    services = services_of(request)
    used = (services.recognizer.settings.detector, services.recognizer.settings.embedder)
    records = await blocking(services, caller, lambda: _records(int(time.monotonic() // _REFRESHED_S)))
    return answer({"models": [{**record, "in_use": record["name"] in used} for record in records]})


@router.get("/version", summary="Which software answers", responses=answers(Version))
async def version(request: Request, caller: Reader) -> Response:
    """The version, the embedding space, the models in use, and how they are used."""
    services = services_of(request)
    recognizer = services.recognizer
    settings = recognizer.settings
    record = {
        "version": __version__,
        "space": recognizer.space,
        "dimension": recognizer.embedder.dimension,
        "threshold": recognizer.threshold,
        "detector": settings.detector,
        "embedder": settings.embedder,
        "max_pixels": min(settings.max_pixels, services.settings.max_pixels),
        "settings": {
            "detector_space": card(settings.detector).space,
            **{name: getattr(settings, name) for name in ("precision", "min_face", "min_score", "max_overlap")},
        },
        "quality": settings.quality_limits().model_dump(mode="json"),
    }
    return answer(record)


@lru_cache(maxsize=1)
def _records(_minute: int) -> list[Record]:
    """All cards; whether files are there is found out by hashing them, so not at every request."""
    return [_record(found) for found in cards()]


def _record(found: Card) -> Record:
    return {
        "name": found.name,
        "task": found.task,
        "license": found.license.id,
        "commercial": found.license.commercial,
        "accepted": license_accepted(found),
        "present": is_present(found),
        "space": found.space if found.task == "embedder" else None,
        "dimension": None if found.embedding is None else found.embedding.dimension,
        "description": found.description,
    }
