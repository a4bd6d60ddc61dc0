"""The calls about galleries, as data."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection
from typing import Any
from urllib.parse import quote

from mien.client.call import Answer, Call, Talk
from mien.client.calls import image_call, listed
from mien.client.reading import enrollment_of, match_of, summary_of, templates_of
from mien.errors import BadInput, MienError
from mien.galleries import GallerySummary
from mien.images import ImageSource
from mien.images.sources import Color
from mien.recognizer import FaceChoice
from mien.types import Enrollment, Match, Templates

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PAGE = 1000


def place(gallery: str) -> str:
    """The path of a gallery.

    Raises:
        BadInput: no gallery of a server can have that name.
    """
    if not isinstance(gallery, str) or not _NAME.fullmatch(gallery) or not gallery.strip("."):
        raise BadInput(f"gallery: expected a name of 1 to 64 letters, digits, . _ -, got {gallery!r}")
    return f"/v1/galleries/{quote(gallery, safe='')}"


def galleries() -> Call[list[GallerySummary]]:
    """The galleries of the server that the key may see, sorted by name."""

    def read(answer: Answer) -> list[GallerySummary]:
        return [summary_of(record) for record in answer.json()["galleries"]]

    return Call("GET", "/v1/galleries", read, repeatable=True)


def summary(gallery: str) -> Call[GallerySummary]:
    """One gallery, with its options and counts.

    Raises:
        GalleryNotFound: there is none of that name.
    """
    return Call("GET", place(gallery), lambda a: summary_of(a.json()), repeatable=True)


def create_gallery(name: str, **options: Any) -> Call[GallerySummary]:
    """Make an empty gallery.

    Args:
        name: 1 to 64 letters, digits, ``.``, ``_`` and ``-``.
        options: those of ``GalleryOptions``, but ``encrypted``.

    Raises:
        GalleryExists: there is one of that name.
        Forbidden: the key is no administrator's.
    """
    place(name)
    body = {"name": name, **{key: value for key, value in options.items() if value is not None}}
    return Call("POST", "/v1/galleries", lambda a: summary_of(a.json()), json=body)


def delete_gallery(name: str) -> Call[int]:
    """Remove a gallery with everything in it; how many templates that were.

    Raises:
        GalleryNotFound: there is none of that name.
        Forbidden: the key is no administrator's.
    """
    return Call("DELETE", place(name), lambda a: int(a.json()["removed"]), {"confirm": name})


def enroll(
    gallery: str,
    identity: str,
    source: ImageSource,
    *,
    face: FaceChoice = "single",
    tags: Collection[str] = (),
    color: Color = "rgb",
) -> Call[Enrollment]:
    """Enroll one person from an image; safe to be sent again, it carries a key that no other request has.

    Args:
        gallery: the gallery's name.
        identity: the person's name.
        source: an image of one face.
        face: ``"largest"`` takes the largest face where there are several.
        tags: words to find the person by, added to those the gallery has.
        color: channel order of arrays.

    Raises:
        NoFace: the image shows no face.
        SeveralFaces: it shows several, and ``face`` is ``"single"``.
        BadImage: it cannot be used.
        QualityRefused: the face is not good enough for the server.
        GalleryNotFound: there is no such gallery.
    """
    query = {"identity": identity, "face": face, "tags": listed(tags)}
    base = image_call(f"{place(gallery)}/enroll", source, color, None, query)
    return Call(
        base.method,
        base.path,
        lambda a: enrollment_of(a.json()["results"][0], base.about),
        base.query,
        body=base.body,
        headers={**base.headers, "Idempotency-Key": uuid.uuid4().hex},
        repeatable=True,
        about=base.about,
    )


def add(gallery: str, identity: str, templates: Templates, *, tags: Collection[str] = ()) -> Call[list[Enrollment]]:
    """Enroll templates under an identity, new or known; all of them or, if anything fails, none.

    Raises:
        SpaceMismatch: the templates are of another space than the gallery's.
        BadInput: the name is not fit for one.
    """
    body = {"identity": identity, "templates": templates.vectors.tolist(), "space": templates.space}

    def read(answer: Answer) -> list[Enrollment] | MienError:
        enrolled: list[Enrollment] = []
        for found in map(enrollment_of, answer.json()["results"]):
            if isinstance(found, MienError):
                return found
            enrolled.append(found)
        return enrolled

    headers = {"Idempotency-Key": uuid.uuid4().hex}
    more = {"tags": listed(tags)} if tags else {}
    return Call("POST", f"{place(gallery)}/enroll", read, json={**body, **more}, headers=headers, repeatable=True)


def identify(
    gallery: str,
    source: ImageSource,
    *,
    top: int = 1,
    threshold: float | None = None,
    fmr: float | None = None,
    fpir: float | None = None,
    tags: Collection[str] | None = None,
    color: Color = "rgb",
) -> Call[list[list[Match]]]:
    """Who the faces of an image are: a list of candidates per face, in the order in which ``detect`` gives the faces.

    Args:
        gallery: the gallery's name.
        source: an image.
        top: the most candidates for a face.
        threshold: the least score of a candidate; None for the server's own.
        fmr: instead, the false match rate whose threshold is taken.
        fpir: instead, the false positive identification rate whose threshold is taken.
        tags: look only among people who have one of these.
        color: channel order of arrays.

    Raises:
        BadImage: the image cannot be used.
        GalleryNotFound: there is no such gallery.
        CalibrationNotFound: a rate was given, and the server has no calibration.
    """

    def read(answer: Answer) -> list[list[Match]]:
        return [[match_of(c) for c in face["candidates"]] for face in answer.json()["faces"]]

    query = {"top": top, "threshold": threshold, "fmr": fmr, "fpir": fpir, "tags": listed(tags)}
    return image_call(f"{place(gallery)}/identify", source, color, read, query)


def search(
    gallery: str,
    templates: Templates,
    *,
    top: int = 1,
    threshold: float | None = None,
    tags: Collection[str] | None = None,
) -> Call[list[list[Match]]]:
    """Candidates for each template, as in ``identify``.

    Raises:
        SpaceMismatch: the templates are of another space than the gallery's.
        GalleryNotFound: there is no such gallery.
    """
    body: dict[str, Any] = {"space": templates.space, "templates": templates.vectors.tolist(), "top": top}
    body |= {} if threshold is None else {"threshold": threshold}
    body |= {} if tags is None else {"tags": listed(tags)}

    def read(answer: Answer) -> list[list[Match]]:
        return [[match_of(record) for record in found] for found in answer.json()["results"]]

    return Call("POST", f"{place(gallery)}/search", read, json=body, repeatable=True)


def page(
    gallery: str, *, after: str | None = None, limit: int = 100, containing: str | None = None
) -> Call[tuple[list[tuple[str, int]], str | None, int]]:
    """One page of the identities: names and numbers of templates, the next page's ``after``, how many there are."""

    def read(answer: Answer) -> tuple[list[tuple[str, int]], str | None, int]:
        record = answer.json()
        names = [(str(one["identity"]), int(one["templates"])) for one in record["identities"]]
        return names, record["next"], int(record["total"])

    query = {"after": after, "limit": limit, "containing": containing}
    return Call("GET", f"{place(gallery)}/identities", read, query, repeatable=True)


def identities(
    gallery: str, *, after: str | None = None, limit: int | None = None, containing: str | None = None
) -> Talk[list[tuple[str, int]]]:
    """Name and number of templates of the identities, sorted by name; see ``Gallery.identities``."""
    if limit is not None and limit < 1:
        raise BadInput(f"limit: expected at least 1, got {limit}")
    found: list[tuple[str, int]] = []
    following: str | None = after
    while limit is None or len(found) < limit:
        most = _PAGE if limit is None else min(_PAGE, limit - len(found))
        names, following, _ = yield page(gallery, after=following, limit=most, containing=containing)
        found += names
        if following is None or not names:
            break
    return found


def count_identities(gallery: str) -> Call[int]:
    """How many identities are enrolled."""
    return Call("GET", place(gallery), lambda a: int(a.json()["identities"]), repeatable=True)


def remove_identity(gallery: str, identity: str) -> Call[int]:
    """Remove an identity and its templates; how many there were.

    Raises:
        IdentityNotFound: there is none of that name.
    """
    return Call("DELETE", f"{place(gallery)}/identity", lambda a: int(a.json()["removed"]), {"name": identity})


def remove_template(gallery: str, template_id: int) -> Call[None]:
    """Remove one template, and its identity if that was the last one.

    Raises:
        TemplateNotFound: there is none of that id.
    """
    return Call("DELETE", f"{place(gallery)}/templates/{int(template_id)}", lambda _: None)


def rename(gallery: str, identity: str, new_name: str, *, merge: bool = False) -> Call[int]:
    """Give an identity another name, or join it to another identity; how many templates the new name has then.

    Raises:
        IdentityNotFound: there is none of that name.
        IdentityExists: another identity has the new name, and they are not to be joined.
    """
    return _change(gallery, identity, {"name": new_name, "merge": merge})


def set_tags(gallery: str, identity: str, tags: Collection[str]) -> Call[None]:
    """Give an identity these tags and no others.

    Raises:
        IdentityNotFound: there is none of that name.
    """
    call = _change(gallery, identity, {"tags": listed(tags)})
    return Call(call.method, call.path, lambda _: None, call.query, json=call.json, repeatable=True)


def _change(gallery: str, identity: str, change: dict[str, Any]) -> Call[int]:
    def read(answer: Answer) -> int:
        return len(answer.json()["templates"])

    return Call("PATCH", f"{place(gallery)}/identity", read, {"name": identity}, json=change)


def tags(gallery: str, identity: str) -> Call[list[str]]:
    """An identity's tags, sorted.

    Raises:
        IdentityNotFound: there is none of that name.
    """
    return _shown(gallery, identity, lambda a: list(a.json()["tags"]))


def template_ids(gallery: str, identity: str) -> Call[list[int]]:
    """The ids of an identity's templates, sorted.

    Raises:
        IdentityNotFound: there is none of that name.
    """
    return _shown(gallery, identity, lambda a: [int(one["template_id"]) for one in a.json()["templates"]])


def _shown(gallery: str, identity: str, read: Any) -> Call[Any]:
    return Call("GET", f"{place(gallery)}/identity", read, {"name": identity}, repeatable=True)


def templates(gallery: str, identity: str) -> Call[tuple[list[int], Templates]]:
    """Ids and templates of one identity, in the order of the ids; for administrators.

    Raises:
        IdentityNotFound: there is none of that name.
        Forbidden: the key is no administrator's.
    """

    def read(answer: Answer) -> tuple[list[int], Templates]:
        record = answer.json()
        ids = [int(one["template_id"]) for one in record["templates"]]
        return ids, templates_of([one["vector"] for one in record["templates"]], record["space"])

    path = f"{place(gallery)}/identity/templates"
    return Call("GET", path, read, {"name": identity}, repeatable=True)


def portrait(gallery: str, template_id: int) -> Call[bytes]:
    """The aligned picture of the face that a template was made of, a JPEG file.

    Raises:
        TemplateNotFound: there is no template of that id, or it has no portrait.
    """
    path = f"{place(gallery)}/templates/{int(template_id)}/portrait"
    return Call("GET", path, lambda a: a.content, repeatable=True)
