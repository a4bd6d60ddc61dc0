"""Enrollment for one request: its images together through the batcher, then into the gallery in one transaction."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from mien.errors import BadInput, MienError
from mien.galleries import Gallery, NewEnrollment, canonical_name
from mien.recognizer import FaceChoice
from mien.recognizer.enrolling import new_enrollment
from mien.server.access import Caller
from mien.server.bodies import ImageBody
from mien.server.idempotency import digest_of
from mien.server.problems import fault_record
from mien.server.recovering import already_stored, ids_before
from mien.server.services import Services
from mien.server.working import in_gallery
from mien.types import Templates

__all__ = ["Answer", "Wanted", "enroll", "enroll_once", "enrolling_route", "wanted"]

Answer = tuple[int, dict[str, Any]]
_Ready = NewEnrollment | MienError


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom to enroll by what: images, or else templates."""

    identity: str
    face: FaceChoice
    tags: tuple[str, ...]
    images: list[ImageBody]
    templates: Templates | None = None

    @property
    def digest(self) -> str:
        """Of all that the request says."""
        vectors = b"" if self.templates is None else self.templates.vectors.tobytes()
        return digest_of(self.identity, self.face, "\n".join(self.tags), vectors, *(i.data for i in self.images))


def wanted(
    identity: str | None, face: FaceChoice, tags: list[str], images: list[ImageBody], templates: Templates | None
) -> Wanted:
    """What a request asks for, its names in the form in which they are stored.

    Raises:
        BadInput: no identity, nothing to enroll or both kinds of it, or a name that is not fit.
    """
    if identity is None:
        raise BadInput("identity: expected a name, got none")
    if bool(images) == (templates is not None):
        raise BadInput("expected either images or templates to enroll")
    words = tuple(canonical_name(tag, "tag") for tag in tags)
    return Wanted(canonical_name(identity), face, words, images, templates)


async def enroll(services: Services, caller: Caller, gallery: Gallery, request: Wanted) -> Answer:
    """Enroll; status and answer.

    Raises:
        MienError: the only image cannot be enrolled, or the gallery could not store anything.
    """
    ready = await _ready(services, gallery, request)
    fit = [item for item in ready if isinstance(item, NewEnrollment)]
    ids: list[int] = []
    if fit:
        stored = await in_gallery(services, caller, gallery.name, lambda people: people.add_many(fit))
        ids = [enrollment.template_id for enrollment in stored]
    return _answer(request, ready, ids)


async def enroll_once(services: Services, caller: Caller, gallery: Gallery, request: Wanted, key: str) -> Answer:
    """As ``enroll``, but for a request with an idempotency key: what was stored under it is not stored again.

    Raises:
        IdempotencyMismatch: another request had this key.
        Overloaded: the same request is still under way.
        MienError: as for ``enroll``.
    """

    async def recover(note: Any) -> Answer | None:
        ready = await _ready(services, gallery, request)
        fit = [item.templates for item in ready if isinstance(item, NewEnrollment)]
        ids = await in_gallery(
            services, caller, gallery.name, lambda people: _stored(people, request.identity, fit, note)
        )
        if ids is None:
            return None
        return _answer(request, ready, ids)

    before = await in_gallery(services, caller, gallery.name, lambda people: ids_before(people, request.identity))
    return await services.idempotency.run(
        caller.key_id or caller.name,
        enrolling_route(gallery.name),
        key,
        request.digest,
        lambda: enroll(services, caller, gallery, request),
        note=before,
        recover=recover,
    )


def enrolling_route(gallery: str) -> str:
    """What the answers of enrollments in a gallery are kept under."""
    return f"enroll {gallery}"


async def _ready(services: Services, gallery: Gallery, request: Wanted) -> list[_Ready]:
    """What is to be stored of each image, or why nothing is."""
    if request.templates is not None:
        return [NewEnrollment(request.identity, request.templates, request.tags)]
    found = await asyncio.gather(
        *(_enrollment(services, gallery, request, image.data) for image in request.images), return_exceptions=True
    )
    ready: list[_Ready] = []
    for item in found:
        if isinstance(item, BaseException) and not isinstance(item, MienError):
            raise item
        ready.append(item)
    if len(ready) == 1 and isinstance(ready[0], MienError):
        raise ready[0]
    return ready


async def _enrollment(services: Services, gallery: Gallery, request: Wanted, image: bytes) -> NewEnrollment:
    limits = services.recognizer.settings.quality_limits()
    if gallery.options.portraits:
        analysis, portraits = await services.batcher.portray(image, quality=limits.active)
    else:
        analysis, portraits = await services.batcher.analyze(image, quality=limits.active), None
    return new_enrollment(request.identity, analysis, portraits, request.face, limits, request.tags)


def _stored(gallery: Gallery, identity: str, wanted: list[Templates], before: list[int]) -> list[int] | None:
    """The ids under which all of these were stored since, or None; one transaction stores all or none."""
    ids: list[int] = []
    for templates in wanted:
        for found in already_stored(gallery, identity, templates, [*before, *ids]):
            if found is None:
                return None
            ids.append(found)
    return ids


def _answer(request: Wanted, ready: list[_Ready], ids: list[int]) -> Answer:
    names = [image.name for image in request.images]
    if request.templates is not None:
        return 200, {"results": [{"image": None, "identity": request.identity, "template_id": n} for n in ids]}
    left = iter(ids)
    results: list[dict[str, Any]] = []
    for name, item in zip(names, ready, strict=True):
        told = {"error": fault_record(item)} if isinstance(item, MienError) else {"template_id": next(left)}
        results.append({"image": name, "identity": request.identity, **told})
    failed = any(isinstance(item, MienError) for item in ready)
    return 207 if failed else 200, {"results": results}
