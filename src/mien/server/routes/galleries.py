"""Galleries: list, make, show and erase them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from mien.errors import BadInput
from mien.galleries import GalleryOptions, GallerySummary
from mien.server.access import Caller, require
from mien.server.answers import answer, answer_unless_known
from mien.server.bodies import read_json
from mien.server.enrolling import enrolling_route
from mien.server.places import NAME_PATTERN
from mien.server.schemas.documents import answers, json_body
from mien.server.schemas.galleries import GalleryList, GalleryRecord, NewGallery, Removed
from mien.server.services import services_of
from mien.server.working import blocking

__all__ = ["GalleryName", "router"]

router = APIRouter(prefix="/v1", tags=["galleries"])

GalleryName = Annotated[str, Path(pattern=NAME_PATTERN, description="The gallery's name.", examples=["default"])]
Reader = Annotated[Caller, Depends(require("read"))]
Admin = Annotated[Caller, Depends(require("admin"))]


@router.get("/galleries", summary="List the galleries", responses=answers(GalleryList))
async def list_galleries(request: Request, caller: Reader) -> Response:
    """Those that the key opens, by name; with an `ETag`."""
    services = services_of(request)
    found = await blocking(services, caller, services.places.list)
    records = [asdict(summary) for summary in found if caller.may_use(summary.name)]
    return answer_unless_known(request, {"galleries": records})


@router.post(
    "/galleries",
    summary="Make a gallery",
    status_code=201,
    responses=answers(GalleryRecord, 409, status=201, body=True),
    openapi_extra=json_body(NewGallery),
)
async def create_gallery(request: Request, caller: Admin) -> Response:
    """Its options are kept with it and cannot be changed later."""
    services = services_of(request)
    wanted = await read_json(request, NewGallery, limit=65_536)
    caller.require_gallery(wanted.name)
    options = GalleryOptions(**wanted.model_dump(exclude={"name"}))

    def work() -> GallerySummary:
        services.places.create(wanted.name, options)
        return services.places.summary(wanted.name)

    made = await blocking(services, caller, work)
    services.audit.record(caller, "create_gallery", wanted.name, status=201)
    return answer(asdict(made), 201, {"Location": f"/v1/galleries/{wanted.name}"})


@router.get("/galleries/{gallery}", summary="Show a gallery", responses=answers(GalleryRecord, 404))
async def show_gallery(request: Request, gallery: GalleryName, caller: Reader) -> Response:
    """How much it holds, and how; with an `ETag`."""
    services = services_of(request)
    summary = await blocking(services, caller, lambda: services.places.summary(gallery))
    return answer_unless_known(request, asdict(summary))


@router.delete("/galleries/{gallery}", summary="Erase a gallery", responses=answers(Removed, 404))
async def remove_gallery(
    request: Request,
    gallery: GalleryName,
    confirm: Annotated[str, Query(description="The gallery's name once more.")],
    caller: Admin,
) -> Response:
    """All people in it are erased for good. A gallery `default` is made anew, and empty, when it is next asked for."""
    services = services_of(request)
    if confirm != gallery:
        raise BadInput("confirm: expected the gallery's name, got another one")

    def remove() -> int:
        removed = services.places.remove(gallery)
        services.idempotency.forget(enrolling_route(gallery))
        return removed

    removed = await blocking(services, caller, remove)
    services.audit.record(caller, "remove_gallery", gallery, detail={"templates": removed})
    return answer({"removed": removed})
