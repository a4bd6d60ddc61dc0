"""The people in a gallery: list, enroll, show, rename, join and erase them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from starlette.responses import Response

from mien.errors import BadInput, TemplateNotFound
from mien.galleries import Gallery, canonical_name
from mien.recognizer.records import Record, vectors_of
from mien.server.access import Caller, require
from mien.server.answers import answer, answer_unless_known
from mien.server.bodies import read_images, read_json
from mien.server.enrolling import enroll, enroll_once, enrolling_route, wanted
from mien.server.routes.galleries import GalleryName
from mien.server.schemas.documents import answers, image_body, json_body
from mien.server.schemas.galleries import (
    Amendment,
    Enrolled,
    IdentityList,
    IdentityRecord,
    IdentityTemplates,
    ListOptions,
    Removed,
)
from mien.server.schemas.images import EnrollJson, EnrollOptions
from mien.server.services import services_of
from mien.server.working import gallery_of, in_gallery, merged, templates_of

__all__ = ["router"]

router = APIRouter(prefix="/v1/galleries/{gallery}", tags=["identities"])

Reader = Annotated[Caller, Depends(require("read"))]
Enroller = Annotated[Caller, Depends(require("enroll"))]
Admin = Annotated[Caller, Depends(require("admin"))]
Name = Annotated[str, Query(max_length=4000, description="The person's name.")]
TemplateId = Annotated[int, Path(ge=1, le=2**63 - 1)]
OnceKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Of the client's making; the same request with the same key is done once.",
    ),
]


@router.get("/identities", summary="List the people", responses=answers(IdentityList, 404))
async def list_identities(
    request: Request, gallery: GalleryName, options: Annotated[ListOptions, Query()], caller: Reader
) -> Response:
    """A page of them, by name; with an `ETag`."""

    def page(people: Gallery) -> Record:
        # One more than asked for tells whether there is a next page.
        found = people.identities(after=options.after, limit=options.limit + 1, containing=options.containing)
        shown = found[: options.limit]
        return {
            "identities": [{"identity": name, "templates": count} for name, count in shown],
            "next": shown[-1][0] if len(found) > len(shown) else None,
            "total": people.count_identities(),
        }

    return answer_unless_known(request, await in_gallery(services_of(request), caller, gallery, page))


@router.post(
    "/enroll",
    summary="Enroll a person",
    responses={
        **answers(Enrolled, 404, 409, body=True),
        207: {"description": "Some of the images failed; the others are enrolled.", "model": Enrolled},
    },
    openapi_extra=image_body(EnrollJson, several=True, fields=("images",)),
)
async def enroll_person(
    request: Request,
    gallery: GalleryName,
    options: Annotated[EnrollOptions, Query()],
    caller: Enroller,
    once: OnceKey = None,
) -> Response:
    """By one image or several, each of one face; what the answer says is enrolled is stored for good."""
    services = services_of(request)
    people = await gallery_of(services, gallery)
    limits = services.settings
    body = await read_images(request, limits, EnrollJson, fields=("images", "image"), most=limits.max_images)
    chosen = merged(options, body.json)
    templates = None
    if body.json is not None and body.json.templates is not None:
        templates = templates_of(services.recognizer, body.json.templates, body.json.space)
    whom = wanted(chosen.identity, chosen.face, chosen.tags, body.images, templates)
    if once is None:
        status, found = await enroll(services, caller, people, whom)
    else:
        status, found = await enroll_once(services, caller, people, whom, once)
    counts = {"templates": sum("template_id" in result for result in found["results"])}
    services.audit.record(caller, "enroll", gallery, whom.identity, counts, status)
    return answer(found, status)


@router.get("/identity", summary="Show a person", responses=answers(IdentityRecord, 404))
async def show_identity(request: Request, gallery: GalleryName, name: Name, caller: Reader) -> Response:
    """Tags and templates, without their vectors; with an `ETag`."""
    found = await in_gallery(services_of(request), caller, gallery, lambda people: _record(people, name))
    return answer_unless_known(request, found)


@router.patch(
    "/identity",
    summary="Rename or join people, change tags",
    responses=answers(IdentityRecord, 404, 409, body=True),
    openapi_extra=json_body(Amendment),
)
async def amend_identity(request: Request, gallery: GalleryName, name: Name, caller: Enroller) -> Response:
    """Templates keep their ids. Where another person has the new name, `merge` joins the two."""
    services = services_of(request)
    change = await read_json(request, Amendment, limit=1_000_000)
    if change.name is None and change.tags is None:
        raise BadInput("expected a name or tags to change, got neither")

    def amend(people: Gallery) -> Record:
        called = canonical_name(name)
        if change.name is not None:
            people.rename(called, change.name, merge=change.merge)
            called = canonical_name(change.name)
        if change.tags is not None:
            people.set_tags(called, change.tags)
        return _record(people, called)

    found = await in_gallery(services, caller, gallery, amend)
    action = "tag" if change.name is None else "merge" if change.merge else "rename"
    services.audit.record(caller, action, gallery, canonical_name(name))
    return answer(found)


@router.delete("/identity", summary="Erase a person", responses=answers(Removed, 404))
async def remove_identity(request: Request, gallery: GalleryName, name: Name, caller: Enroller) -> Response:
    """All their templates and pictures are erased for good."""
    services = services_of(request)

    def remove(people: Gallery) -> int:
        removed = people.remove_identity(name)
        services.idempotency.forget(enrolling_route(gallery), canonical_name(name))
        return removed

    removed = await in_gallery(services, caller, gallery, remove)
    services.audit.record(caller, "remove", gallery, canonical_name(name), {"templates": removed})
    return answer({"removed": removed})


@router.get("/identity/templates", summary="Give out a person's templates", responses=answers(IdentityTemplates, 404))
async def identity_templates(request: Request, gallery: GalleryName, name: Name, caller: Admin) -> Response:
    """The vectors are personal data: this needs the scope `admin` and is logged."""
    services = services_of(request)

    def export(people: Gallery) -> Record:
        ids, templates = people.templates(name)
        vectors = zip(ids, vectors_of(templates), strict=True)
        listed = [{"template_id": number, "vector": vector} for number, vector in vectors]
        return {"space": templates.space, "templates": listed}

    found = await in_gallery(services, caller, gallery, export)
    services.audit.record(caller, "export", gallery, canonical_name(name))
    return answer(found)


@router.get(
    "/templates/{template_id}/portrait",
    summary="Show an enrolled face",
    response_class=Response,
    responses={
        **answers(None, 404),
        200: {
            "description": "A JPEG file.",
            "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
        },
    },
)
async def portrait(request: Request, gallery: GalleryName, template_id: TemplateId, caller: Reader) -> Response:
    """Of a gallery that keeps portraits."""
    picture = await in_gallery(services_of(request), caller, gallery, lambda people: people.portrait(template_id))
    if picture is None:
        raise TemplateNotFound(f"template {template_id} has no portrait")
    return Response(picture, 200, {"Cache-Control": "private, no-store"}, "image/jpeg")


@router.delete("/templates/{template_id}", summary="Erase one template", responses=answers(Removed, 404))
async def remove_template(
    request: Request, gallery: GalleryName, template_id: TemplateId, caller: Enroller
) -> Response:
    """A person whose last one it was is gone with it."""
    services = services_of(request)
    await in_gallery(services, caller, gallery, lambda people: people.remove_template(template_id))
    services.audit.record(caller, "remove_template", gallery, detail={"template": template_id})
    return answer({"removed": 1})


def _record(people: Gallery, name: str) -> Record:
    ids, _ = people.templates(name)
    pictures = people.options.portraits
    listed = [
        {"template_id": number, "has_portrait": pictures and people.portrait(number) is not None} for number in ids
    ]
    return {"identity": canonical_name(name), "tags": people.tags(name), "templates": listed}
