"""1:N: who the faces of images are, and whose templates these are."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from mien.errors import BadInput, MienError
from mien.galleries import Gallery
from mien.recognizer.records import Record, candidate_record, face_records
from mien.server.access import Caller, require
from mien.server.answers import answer
from mien.server.bodies import ImageBody, read_images, read_json
from mien.server.problems import fault_record
from mien.server.routes.galleries import GalleryName
from mien.server.schemas.documents import answers, image_body, json_body
from mien.server.schemas.galleries import BatchIdentification, Identification, SearchJson, SearchResults
from mien.server.schemas.images import IdentifyBatchJson, IdentifyJson, IdentifyOptions
from mien.server.services import Services, services_of
from mien.server.working import all_attended, attended, gallery_of, in_gallery, merged, templates_of, threshold_of
from mien.types import Analysis

__all__ = ["router"]

router = APIRouter(prefix="/v1/galleries/{gallery}", tags=["identification"])

Identifier = Annotated[Caller, Depends(require("identify"))]
Options = Annotated[IdentifyOptions, Query()]


@router.post(
    "/identify",
    summary="Tell who the faces of an image are",
    responses=answers(Identification, 404, 409, body=True),
    openapi_extra=image_body(IdentifyJson),
)
async def identify(request: Request, gallery: GalleryName, options: Options, caller: Identifier) -> Response:
    """Each face gets its best candidates; a stranger's face has none."""
    services = services_of(request)
    await gallery_of(services, gallery)  # before the work on images
    body = await read_images(request, services.settings, IdentifyJson)
    (image,) = body.images
    chosen = _checked(services, merged(options, body.json))
    found = await attended(request, services.batcher.analyze(image.data))

    def work(people: Gallery) -> Record:
        limit = _limit(services, people, chosen)
        return {"image": image.name, **_identified(services, people, found, chosen, limit), "threshold": limit}

    record = await in_gallery(services, caller, gallery, work)
    services.audit.record(caller, "identify", gallery, detail={"faces": len(found)})
    return answer(record)


@router.post(
    "/identify-batch",
    summary="Tell who the faces of several images are",
    responses=answers(BatchIdentification, 404, 409, body=True),
    openapi_extra=image_body(IdentifyBatchJson, several=True, fields=("images",)),
)
async def identify_batch(request: Request, gallery: GalleryName, options: Options, caller: Identifier) -> Response:
    """A result an image, in order; an image that cannot be used has an error instead."""
    services = services_of(request)
    await gallery_of(services, gallery)  # before the work on images
    limits = services.settings
    body = await read_images(request, limits, IdentifyBatchJson, fields=("images",), most=limits.max_images)
    chosen = _checked(services, merged(options, body.json))
    found = await all_attended(request, [services.batcher.analyze(image.data) for image in body.images])

    def work(people: Gallery) -> list[Record]:
        limit = _limit(services, people, chosen)
        return [_result(services, people, *pair, chosen, limit) for pair in zip(body.images, found, strict=True)]

    results = await in_gallery(services, caller, gallery, work)
    faces = sum(len(item) for item in found if isinstance(item, Analysis))
    services.audit.record(caller, "identify", gallery, detail={"images": len(found), "faces": faces})
    return answer({"results": results})


@router.post(
    "/search",
    summary="Tell whose templates these are",
    responses=answers(SearchResults, 404, 409, body=True),
    openapi_extra=json_body(SearchJson),
)
async def search(request: Request, gallery: GalleryName, caller: Identifier) -> Response:
    """A list of candidates a template, best first."""
    services = services_of(request)
    given = await read_json(request, SearchJson)
    chosen = _checked(services, IdentifyOptions(top=given.top, threshold=given.threshold, tags=given.tags))

    def work(people: Gallery) -> Response:
        templates = templates_of(services.recognizer, given.templates, given.space)
        limit = _limit(services, people, chosen)
        matches = services.recognizer.search(
            people, templates, top=chosen.top, threshold=limit, tags=chosen.tags or None
        )
        return answer({"results": [[candidate_record(match) for match in found] for found in matches]})

    response = await in_gallery(services, caller, gallery, work)
    services.audit.record(caller, "search", gallery, detail={"templates": len(given.templates)})
    return response


def _checked(services: Services, options: IdentifyOptions) -> IdentifyOptions:
    most = services.settings.max_top
    if options.top > most:
        raise BadInput(f"top: expected at most {most}, got {options.top}")
    return options


def _limit(services: Services, people: Gallery, options: IdentifyOptions) -> float:
    return threshold_of(services.recognizer, options.threshold, options.fmr, options.fpir, people)


def _identified(
    services: Services, people: Gallery, found: Analysis, options: IdentifyOptions, threshold: float
) -> Record:
    matches = services.recognizer.search(
        people, found.templates, top=options.top, threshold=threshold, tags=options.tags or None
    )
    faces = face_records(found.faces, landmarks=False)
    for face, candidates in zip(faces, matches, strict=True):
        face["candidates"] = [candidate_record(match) for match in candidates]
    return {"size_wh": found.size_wh, "faces": faces}


def _result(
    services: Services,
    people: Gallery,
    image: ImageBody,
    found: Analysis | MienError,
    options: IdentifyOptions,
    threshold: float,
) -> Record:
    if isinstance(found, MienError):
        return {"image": image.name, "error": fault_record(found)}
    return {"image": image.name, **_identified(services, people, found, options, threshold), "threshold": threshold}
