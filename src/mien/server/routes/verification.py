"""1:1: whether two images or templates are of one person; and many templates with many."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from mien.errors import BadInput
from mien.matching import cosine_scores
from mien.recognizer import FaceChoice, one_face
from mien.recognizer.records import Record, face_records, verification_record
from mien.server.access import Caller, require
from mien.server.answers import answer
from mien.server.bodies import decoded_image, read_images, read_json
from mien.server.schemas.comparisons import CompareJson, Comparisons, Verified
from mien.server.schemas.documents import answers, image_body, json_body
from mien.server.schemas.images import Side, VerifyJson, VerifyOptions
from mien.server.services import Services, services_of
from mien.server.working import all_attended, blocking, merged, templates_of, threshold_of
from mien.types import Analysis, Templates

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["comparison"])

Reader = Annotated[Caller, Depends(require("read"))]
_MOST_SCORES = 1_000_000
_DIGITS = 6


@router.post(
    "/verify",
    summary="Compare two faces",
    responses=answers(Verified, 409, body=True),
    openapi_extra=image_body(VerifyJson, fields=("a", "b")),
)
async def verify(request: Request, options: Annotated[VerifyOptions, Query()], caller: Reader) -> Response:
    """Two images in a form, or two sides in JSON, each an image or a template."""
    services = services_of(request)
    # A JSON body has its images deeper down, where the fields' names do not reach.
    body = await read_images(request, services.settings, VerifyJson, fields=("a", "b"), most=2)
    chosen = merged(options, body.json)
    sides: list[bytes | Templates]
    if body.json is None:
        by_field = {image.field: image.data for image in body.images}
        if sorted(by_field) != ["a", "b"] or len(body.images) != 2:
            raise BadInput("expected one file named a and one named b")
        sides = [by_field["a"], by_field["b"]]
    else:
        sides = [_side(services, body.json.a, "a"), _side(services, body.json.b, "b")]
    looked = [services.batcher.analyze(side) for side in sides if isinstance(side, bytes)]
    analyses = iter(await all_attended(request, looked))
    templates: list[Templates] = []
    faces: list[Record | None] = []
    for side, name in zip(sides, ("a", "b"), strict=True):
        if isinstance(side, Templates):
            templates.append(side)
            faces.append(None)
            continue
        found = next(analyses)
        if not isinstance(found, Analysis):
            raise found
        one = _one(found, chosen.face, name)
        templates.append(one.templates)
        faces.append(face_records(one.faces, landmarks=False)[0])
    limit = threshold_of(services.recognizer, chosen.threshold, chosen.fmr)
    outcome = services.recognizer.compare(*templates, threshold=limit)
    services.audit.record(caller, "verify", detail={"match": outcome.match})
    return answer({**verification_record(outcome), "a": faces[0], "b": faces[1]})


@router.post(
    "/compare",
    summary="Compare templates, many with many",
    responses=answers(Comparisons, 409, body=True),
    openapi_extra=json_body(CompareJson),
)
async def compare(request: Request, caller: Reader) -> Response:
    """At most a million scores; rows are of `a`, columns of `b`."""
    services = services_of(request)
    given = await read_json(request, CompareJson)
    if len(given.a) * len(given.b) > _MOST_SCORES:
        raise BadInput(f"expected at most {_MOST_SCORES:,} scores, got {len(given.a)} × {len(given.b)}")

    def work() -> Response:
        first, second = (templates_of(services.recognizer, vectors, given.space) for vectors in (given.a, given.b))
        limit = threshold_of(services.recognizer, given.threshold, None)
        scores = cosine_scores(first.vectors, second.vectors)
        rounded = [[round(score, _DIGITS) for score in row] for row in scores.tolist()]
        return answer({"scores": rounded, "threshold": limit, "matches": (scores >= limit).tolist()})

    return await blocking(services, caller, work)


def _side(services: Services, side: Side, name: str) -> bytes | Templates:
    """The image or the template of a JSON body's side."""
    if (side.image is None) == (side.template is None):
        raise BadInput(f"{name}: expected either an image or a template")
    if side.image is not None:
        return decoded_image(side.image, f"{name}.image").data
    return templates_of(services.recognizer, [side.template or []], side.space)


def _one(found: Analysis, face: FaceChoice, side: str) -> Analysis:
    return one_face(found, face, f"image {side}")
