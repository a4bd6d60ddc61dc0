"""``RemoteGallery``: a gallery on a server, with the methods that a gallery has."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from mien.client import gallery_calls
from mien.client.making import sends_named, sends_talk
from mien.errors import BadInput
from mien.galleries import GalleryOptions, GallerySummary, NewEnrollment, Portraits
from mien.types import Enrollment, Match, Templates

if TYPE_CHECKING:
    from mien.client.client import Client

__all__ = ["RemoteGallery"]


class RemoteGallery:
    """A gallery on a server; ``Client.gallery`` makes it.

    It has the methods of ``Gallery``, but that ``add_many`` makes a request for each identity, and no transaction of
    them all.

    Args:
        client: asks the server.
        name: the gallery's name.

    Raises:
        BadInput: no gallery of a server can have that name.
    """

    def __init__(self, client: Client, name: str) -> None:
        gallery_calls.place(name)
        self.client = client
        self.name = name

    @property
    def url(self) -> str:
        """Where it is."""
        return self.client.url + gallery_calls.place(self.name)

    @property
    def space(self) -> str | None:
        """The embedding space, or None before the first enrollment; asked of the server each time."""
        return self.summary().space

    @property
    def options(self) -> GalleryOptions:
        """How the gallery keeps what it holds; asked of the server each time."""
        return self.summary().options

    summary = sends_named(gallery_calls.summary)
    remove_identity = sends_named(gallery_calls.remove_identity)
    remove_template = sends_named(gallery_calls.remove_template)
    rename = sends_named(gallery_calls.rename)
    identities = sends_talk(gallery_calls.identities)
    count_identities = sends_named(gallery_calls.count_identities)
    templates = sends_named(gallery_calls.templates)
    template_ids = sends_named(gallery_calls.template_ids)
    portrait = sends_named(gallery_calls.portrait)
    tags = sends_named(gallery_calls.tags)
    set_tags = sends_named(gallery_calls.set_tags)
    enroll = sends_named(gallery_calls.enroll)
    identify = sends_named(gallery_calls.identify)
    delete = sends_named(gallery_calls.delete_gallery)

    def add(
        self,
        identity: str,
        templates: Templates,
        *,
        tags: Collection[str] = (),
        portraits: Portraits | None = None,
    ) -> list[Enrollment]:
        """Enroll templates under an identity, new or known; see ``Gallery.add``.

        Raises:
            BadInput: portraits were given: a server makes its own, of images that it enrolls.
        """
        if portraits is not None:
            raise BadInput("portraits: expected None, a server makes its own when it enrolls images")
        return self.client.send(gallery_calls.add(self.name, identity, templates, tags=tags))

    def add_many(self, items: Iterable[NewEnrollment | tuple[str, Templates]]) -> list[Enrollment]:
        """Enroll the templates of many identities, a request for each; what ``add`` raises leaves those before."""
        enrolled: list[Enrollment] = []
        for item in items:
            new = NewEnrollment(*item) if isinstance(item, tuple) else item
            enrolled += self.add(new.identity, new.templates, tags=new.tags, portraits=new.portraits)
        return enrolled

    def search(
        self,
        probes: Templates,
        *,
        top: int = 1,
        threshold: float | None = None,
        tags: Collection[str] | None = None,
        identities: Collection[str] | None = None,
    ) -> list[list[Match]]:
        """The best identities for each probe; see ``Client.search``.

        Raises:
            BadInput: ``identities`` were given, which no server takes.
        """
        if identities is not None:
            raise BadInput("identities: expected None, a server searches among all or those with a tag")
        if len(probes) == 0:
            return []
        return self.client.search(self.name, probes, top=top, threshold=threshold, tags=tags)

    def __len__(self) -> int:
        """How many templates are enrolled."""
        found: GallerySummary = self.summary()
        return found.templates

    def __repr__(self) -> str:
        return f"RemoteGallery({self.url!r})"

    def close(self) -> None:
        """Nothing: the connections are the client's."""

    def __enter__(self) -> RemoteGallery:
        """The gallery itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See ``close``."""
