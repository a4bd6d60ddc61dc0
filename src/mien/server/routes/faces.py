"""What is in an image: faces, their quality, their templates."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from mien.recognizer.records import face_records, quality_records, refusals, vectors_of
from mien.server.access import Caller, require
from mien.server.advice import ADVICE
from mien.server.answers import answer
from mien.server.bodies import read_images
from mien.server.schemas.documents import answers, image_body
from mien.server.schemas.faces import Detection, Embedding, QualityReport
from mien.server.schemas.images import LargestOptions, LookJson
from mien.server.services import services_of
from mien.server.working import attended, merged

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["faces"])

Reader = Annotated[Caller, Depends(require("read"))]
Options = Annotated[LargestOptions, Query()]


@router.post(
    "/detect", summary="Find faces", responses=answers(Detection, body=True), openapi_extra=image_body(LookJson)
)
async def detect(request: Request, options: Options, caller: Reader) -> Response:
    """Boxes and landmarks in pixels of the image; none is no error."""
    services = services_of(request)
    body = await read_images(request, services.settings, LookJson)
    (image,) = body.images
    largest = merged(options, body.json).largest
    size_wh, faces = await attended(request, services.batcher.detect(image.data, largest=largest))
    return answer({"image": image.name, "size_wh": size_wh, "faces": face_records(faces)})


@router.post(
    "/quality",
    summary="Tell how good faces are",
    responses=answers(QualityReport, body=True),
    openapi_extra=image_body(LookJson),
)
async def quality(request: Request, options: Options, caller: Reader) -> Response:
    """Whether each face could be enrolled, and if not, what is wrong and what to do."""
    services = services_of(request)
    body = await read_images(request, services.settings, LookJson)
    (image,) = body.images
    largest = merged(options, body.json).largest
    size_wh, found = await attended(request, services.batcher.assess(image.data, largest=largest))
    records = quality_records(found, refusals(found, services.recognizer.settings.quality_limits()))
    for record in records:
        for reason in record["reasons"]:
            reason["message"] = ADVICE[reason["name"]]
    return answer({"image": image.name, "size_wh": size_wh, "faces": records})


@router.post(
    "/embed", summary="Make templates", responses=answers(Embedding, body=True), openapi_extra=image_body(LookJson)
)
async def embed(request: Request, options: Options, caller: Reader) -> Response:
    """A template a face: a vector of unit length in the embedding space that the answer names."""
    services = services_of(request)
    body = await read_images(request, services.settings, LookJson)
    (image,) = body.images
    largest = merged(options, body.json).largest
    found = await attended(request, services.batcher.analyze(image.data, largest=largest))
    faces = face_records(found.faces)
    for face, vector in zip(faces, vectors_of(found.templates), strict=True):
        face["template"] = vector
    record = {"image": image.name, "size_wh": found.size_wh, "space": found.templates.space, "faces": faces}
    return answer(record)
