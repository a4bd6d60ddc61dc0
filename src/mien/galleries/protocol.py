"""What every gallery can do, whatever holds its templates."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from mien.errors import BadInput
from mien.matching import Codec, Fusion
from mien.types import Enrollment, FloatArray, Match, Templates

__all__ = ["Audit", "Gallery", "GalleryOptions", "NewEnrollment", "Portraits"]

Audit = Literal["off", "changes", "all"]
"""What the audit log takes in: nothing; enrollments and removals; these and every search."""


@dataclass(frozen=True, slots=True)
class GalleryOptions:
    """How a gallery keeps what it holds; chosen when it is made and kept with it.

    Attributes:
        codec: how templates are stored and scanned: ``float32``; ``int8`` scans a quarter of the bytes and scores the
            best again in float32, with the same results; ``int8-only`` keeps nothing else, at a small loss.
        fusion: an identity's score over its templates: the ``max`` or the ``mean``.
        portraits: keep an aligned picture of each enrolled face, so that another model can embed it anew.
        audit: what the audit log takes in.
        audit_days: for how many days it is kept; None for ever.
        retention_days: after how many days templates are erased; None for never.
        encrypted: keep templates, names, tags and portraits encrypted (AES-256-GCM).
    """

    codec: Codec = "float32"
    fusion: Fusion = "max"
    portraits: bool = False
    audit: Audit = "changes"
    audit_days: float | None = None
    retention_days: float | None = None
    encrypted: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Portraits:
    """Aligned pictures of faces, wide enough for any embedding model's own alignment.

    Attributes:
        pictures: one JPEG file a face.
        landmarks: ``(n, 5, 2) float32``, in the pictures' pixels, ordered as in ``Faces``.

    Raises:
        BadInput: the lengths or the shape do not fit.
    """

    pictures: Sequence[bytes]
    landmarks: FloatArray

    def __post_init__(self) -> None:
        landmarks = np.ascontiguousarray(self.landmarks, np.float32)
        if landmarks.shape != (len(self.pictures), 5, 2):
            raise BadInput(f"Portraits.landmarks: expected ({len(self.pictures)}, 5, 2), got {landmarks.shape}")
        object.__setattr__(self, "landmarks", landmarks)

    def __len__(self) -> int:
        return len(self.pictures)


@dataclass(frozen=True, slots=True, eq=False)
class NewEnrollment:
    """What ``Gallery.add_many`` takes in for one identity.

    Attributes:
        identity: the name.
        templates: any number of templates.
        tags: words to find the identity by, added to those it has.
        portraits: one a template, or None; kept only by a gallery made to keep them.

    Raises:
        BadInput: not as many portraits as templates.
    """

    identity: str
    templates: Templates
    tags: Collection[str] = ()
    portraits: Portraits | None = None

    def __post_init__(self) -> None:
        if self.portraits is not None and len(self.portraits) != len(self.templates):
            raise BadInput(f"portraits: expected one a template ({len(self.templates)}), got {len(self.portraits)}")


@runtime_checkable
class Gallery(Protocol):
    """Templates enrolled under identities, in one embedding space; safe to use from many threads.

    An identity exists as long as it has a template. Names are stored in Unicode's composed form (NFC) without
    surrounding white space, so two spellings of one name are one identity. Template ids are never given out
    twice, not even after a removal. The embedding space is fixed by the first enrollment and stays, even when
    everything is removed.

    Every method may raise ``GalleryError`` (closed, read-only, disk full), ``BadGallery`` (damaged) and, for
    galleries that several processes share, ``GalleryLocked``.
    """

    @property
    def url(self) -> str:
        """The URL that the gallery was opened with."""
        ...

    @property
    def name(self) -> str:
        """The gallery's name at that place, ``default`` unless the URL says another."""
        ...

    @property
    def space(self) -> str | None:
        """The embedding space, or None before the first enrollment."""
        ...

    @property
    def options(self) -> GalleryOptions:
        """How the gallery keeps what it holds."""
        ...

    def add(
        self,
        identity: str,
        templates: Templates,
        *,
        tags: Collection[str] = (),
        portraits: Portraits | None = None,
    ) -> list[Enrollment]:
        """Enroll templates under an identity, new or known; all of them or, if anything fails, none.

        Returns:
            One enrollment per template, in their order. What is returned has been stored for good.

        Raises:
            BadInput: the name is empty, longer than 1000 characters or holds control characters, or the
                templates have another dimension than the gallery's.
            SpaceMismatch: the templates are of another space than the gallery's.
        """
        ...

    def add_many(self, items: Iterable[NewEnrollment | tuple[str, Templates]]) -> list[Enrollment]:
        """Enroll the templates of many identities at once; all of them or none. Raises what ``add`` raises."""
        ...

    def remove_identity(self, identity: str) -> int:
        """Remove an identity and its templates; how many there were.

        Raises:
            IdentityNotFound: there is none of that name.
        """
        ...

    def remove_template(self, template_id: int) -> None:
        """Remove one template, and its identity if that was the last one.

        Raises:
            TemplateNotFound: there is none of that id.
        """
        ...

    def rename(self, identity: str, new_name: str, *, merge: bool = False) -> int:
        """Give an identity another name, or join it to another identity; all of it or, if anything fails, nothing.

        Templates keep their ids, their portraits and the time of their enrollment.

        Args:
            identity: the name that it has.
            new_name: the name that it gets. Its own name changes nothing.
            merge: where another identity has the new name, join the two: it gets the templates and the tags of this
                one, which is then no more.

        Returns:
            How many templates the new name has then.

        Raises:
            IdentityNotFound: there is none of that name.
            IdentityExists: another identity has the new name, and they are not to be joined.
            BadInput: the new name is not fit for one.
        """
        ...

    def identities(
        self, *, after: str | None = None, limit: int | None = None, containing: str | None = None
    ) -> list[tuple[str, int]]:
        """Name and number of templates of the identities, sorted by name (by code points).

        Args:
            after: only those behind this name, which need not be enrolled: the last one of the page before.
            limit: at most so many; None for all.
            containing: only those whose name holds this text, in upper or lower case.

        Raises:
            BadInput: ``after`` cannot be a name, or ``limit`` is below 1.
        """
        ...

    def count_identities(self) -> int:
        """How many identities are enrolled."""
        ...

    def templates(self, identity: str) -> tuple[list[int], Templates]:
        """Ids and templates of one identity, in the order of the ids.

        Raises:
            IdentityNotFound: there is none of that name.
        """
        ...

    def portrait(self, template_id: int) -> bytes | None:
        """The aligned picture of the face that a template was made of, a JPEG file; None if there is none.

        Raises:
            TemplateNotFound: there is no template of that id.
        """
        ...

    def tags(self, identity: str) -> list[str]:
        """An identity's tags, sorted.

        Raises:
            IdentityNotFound: there is none of that name.
        """
        ...

    def set_tags(self, identity: str, tags: Collection[str]) -> None:
        """Give an identity these tags and no others.

        Raises:
            IdentityNotFound: there is none of that name.
            BadInput: a tag is not fit for a name.
        """
        ...

    def search(
        self,
        probes: Templates,
        *,
        top: int = 1,
        threshold: float | None = None,
        tags: Collection[str] | None = None,
        identities: Collection[str] | None = None,
    ) -> list[list[Match]]:
        """The best identities for each probe, exactly, by the gallery's way of fusing their templates' scores.

        Args:
            probes: any number of them.
            top: the most identities per probe, at least 1.
            threshold: the least score of a match (inclusive), or None for no limit.
            tags: search only among identities that have one of these.
            identities: search only among identities of these names; names that nobody has are passed over.

        Returns:
            A list per probe, best first; of equal scores the one with the lower template id, enrolled earlier.

        Raises:
            SpaceMismatch: the probes are of another space than the gallery's.
            BadInput: ``top`` or ``threshold`` is out of range.
        """
        ...

    def __len__(self) -> int:
        """How many templates are enrolled."""
        ...

    def close(self) -> None:
        """Give back files and memory; closing twice is fine, any other call then raises ``GalleryError``."""
        ...

    def __enter__(self) -> Gallery:
        """The gallery itself, closed at the end of the block."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close the gallery."""
        ...
