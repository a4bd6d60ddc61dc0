"""A gallery in Milvus, whose engine keeps and searches the templates, on as many machines as it has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from types import TracebackType
from typing import Any

import numpy as np

from mien.errors import BadGallery, GalleryError, TemplateNotFound
from mien.galleries.batch import canonical_names, canonical_tags, checked_batch, checked_id, require_fit
from mien.galleries.exchange_rows import Block
from mien.galleries.keeper import Keeper
from mien.galleries.milvus.access import Access
from mien.galleries.milvus.compacting import compact
from mien.galleries.milvus.enrolling import ROW, enroll, put_tags, retag
from mien.galleries.milvus.examining import exported, faults
from mien.galleries.milvus.ledger import State
from mien.galleries.milvus.renaming import rename
from mien.galleries.milvus.schema import any_of, key_of
from mien.galleries.milvus.searching import Search
from mien.galleries.milvus.transfer import blocks
from mien.galleries.names import canonical_name
from mien.galleries.paging import checked_page
from mien.galleries.progress import Progress, Steps
from mien.galleries.protocol import GalleryOptions, NewEnrollment, Portraits
from mien.galleries.sql.transfer import batch_of
from mien.galleries.urls import GalleryUrl
from mien.matching import checked_threshold, checked_top
from mien.types import Enrollment, Match, Templates

__all__ = ["MilvusGallery"]

_IDS_AT_ONCE = 5000
_MOST_FAULTS = 100


class MilvusGallery:
    """The ``Gallery`` behind ``milvus://``: a server or cluster from Milvus 2.4 on, or milvus-lite with a file.

    What this back end promises, and what not:

    - **All or nothing, at once.** What an enrollment returned is found by every search that begins later, from any
      machine; what it did not finish is never seen, and cleared away by a later writer.
    - **Durable** as the engine is: a cluster keeps what it acknowledged; milvus-lite keeps it through a killed process,
      but does not wait for the disk, so a power failure may take the last enrollments.
    - **One writer at a time** for each gallery, on all machines together (see ``ledger``); others wait, at most for the
      URL's ``timeout_s``. A writer who died is found out by a process that has waited for half a minute, and by any
      after five minutes; until then they get ``GalleryLocked``. On milvus-lite it is found out at once.
    - **Ids** rise with time and are never given out twice. They have some 15 digits, and stay below 2^53.
    - **Exact** with ``index=FLAT``, the default; ``index=HNSW`` and ``index=IVF_SQ8`` are faster and may miss some.
    - **Erasure.** What is removed is out of every answer at once. The engine's files keep it until they are compacted,
      by the engine itself or by ``compact``; a cluster's message log and collection of old files run their own time.
    - **Retention**: templates past their days are in no answer, and removed at opening, with every change, and by a
      timer while a process has the gallery open for writing.
    - Not here: other codecs than float32, portraits, encryption and an audit log.

    Args:
        url: where, which gallery, and the index of a new one.
        create: make the gallery where there is none.

    Raises:
        MissingExtra: a driver is not installed.
        BadGallery: no gallery there, one with other options, or options that Milvus galleries have not.
        ConnectionLost: the server cannot be reached.
        GalleryLocked: another process holds the file, or is writing for too long.
    """

    def __init__(self, url: GalleryUrl, create: bool = True) -> None:
        self.url = url.shown or url.url
        self.name = url.name
        self._access = Access(url, create, _supported(url))
        self._keeper = Keeper(self._expire, None if self._access.read_only else self._access.options.retention_days)

    @property
    def space(self) -> str | None:
        """The embedding space, or None before the first enrollment."""
        return self._access.state().space

    @property
    def dimension(self) -> int | None:
        """Length of a template, or None before the first enrollment."""
        return self._access.state().dimension or None

    @property
    def options(self) -> GalleryOptions:
        """How the gallery keeps what it holds."""
        return self._access.options

    def _expire(self) -> None:
        """Remove what is past its days, as the turn to write begins with doing."""
        with self._access.change():
            pass

    def add(
        self,
        identity: str,
        templates: Templates,
        *,
        tags: Collection[str] = (),
        portraits: Portraits | None = None,
    ) -> list[Enrollment]:
        """See ``Gallery.add``."""
        if not tags and portraits is None:
            return self.add_many([(identity, templates)])
        return self.add_many([NewEnrollment(identity, templates, tags, portraits)])

    def add_many(self, items: Iterable[NewEnrollment | tuple[str, Templates]]) -> list[Enrollment]:
        """See ``Gallery.add_many``."""
        self._access.require_open()
        # The items are made before the turn begins: they may take long, and others wait meanwhile.
        batch = checked_batch(items)
        with self._access.change() as (turn, state):
            batch.require_fit(state.space, state.dimension)
            return enroll(self._access.connection, turn, state, batch) if len(batch) else []

    def remove_identity(self, identity: str) -> int:
        """See ``Gallery.remove_identity``."""
        name = canonical_name(identity)
        with self._access.change() as (_, state):
            ids = [int(row["id"]) for row in self._access.held(state, name, ["id"])]
            self._delete(state, ids)
            return len(ids)

    def remove_template(self, template_id: int) -> None:
        """See ``Gallery.remove_template``."""
        id_ = checked_id(template_id)
        with self._access.change() as (_, state):
            where = f"id == {id_} and {self._access.counted(state)}"
            if state.space is None or not self._access.connection.rows(self._access.collection(state), where, ["id"]):
                raise TemplateNotFound(f"the gallery holds no template {id_}")
            self._delete(state, [id_])

    def _delete(self, state: State, ids: list[int]) -> None:
        collection = self._access.collection(state)
        for start in range(0, len(ids), _IDS_AT_ONCE):
            self._access.connection.delete(collection, f"id in {ids[start : start + _IDS_AT_ONCE]}")
        self._access.deleted(collection)

    def rename(self, identity: str, new_name: str, *, merge: bool = False) -> int:
        """See ``Gallery.rename``; for identities of many thousands of templates see ``renaming``."""
        name, new = canonical_name(identity), canonical_name(new_name)
        with self._access.change() as (turn, state):
            self._access.held(state, name, ["id"])
            count = rename(self._access.connection, turn, state, name, new, merge)
            self._access.deleted(self._access.collection(state))
            return count

    def identities(
        self, *, after: str | None = None, limit: int | None = None, containing: str | None = None
    ) -> list[tuple[str, int]]:
        """See ``Gallery.identities``; each page reads the names of all templates."""
        asked = checked_page(after, limit, containing)

        def ask(collection: str, _: State, counted: str) -> list[tuple[str, int]]:
            pages = self._access.connection.pages(collection, counted, ["name"])
            return asked.of(Counter(str(row["name"]) for page in pages for row in page).items())

        return self._access.read(ask, [])

    def count_identities(self) -> int:
        """See ``Gallery.count_identities``; reads the names of all templates."""
        return len(self.identities())

    def templates(self, identity: str) -> tuple[list[int], Templates]:
        """See ``Gallery.templates``."""
        state, rows = self._access.look(canonical_name(identity), ["id", "vector"])
        vectors = np.array([row["vector"] for row in rows], np.float32)
        return [int(row["id"]) for row in rows], Templates(vectors, state.space or "")

    def portrait(self, template_id: int) -> bytes | None:
        """See ``Gallery.portrait``: there are none here."""
        id_ = checked_id(template_id)

        def ask(collection: str, _: State, counted: str) -> bool:
            return bool(self._access.connection.rows(collection, f"id == {id_} and {counted}", ["id"]))

        if not self._access.read(ask, False):
            raise TemplateNotFound(f"the gallery holds no template {id_}")
        return None

    def tags(self, identity: str) -> list[str]:
        """See ``Gallery.tags``."""
        _, rows = self._access.look(canonical_name(identity), ["id", "words"])
        return sorted(rows[-1]["words"])

    def set_tags(self, identity: str, tags: Collection[str]) -> None:
        """See ``Gallery.set_tags``."""
        name, words = canonical_name(identity), sorted(canonical_tags(tags))
        with self._access.change() as (turn, state):
            retag(self._access.connection, turn, state, self._access.held(state, name, list(ROW)), words)

    def search(
        self,
        probes: Templates,
        *,
        top: int = 1,
        threshold: float | None = None,
        tags: Collection[str] | None = None,
        identities: Collection[str] | None = None,
    ) -> list[list[Match]]:
        """See ``Gallery.search``."""
        top, threshold = checked_top(top), checked_threshold(threshold)
        words = None if tags is None else sorted(canonical_tags(tags))
        persons = None if identities is None else sorted(map(key_of, canonical_names(identities)))

        def ask(collection: str, state: State, counted: str) -> list[list[Match]]:
            require_fit(probes, state.space or "", state.dimension)
            if not len(probes) or words == [] or persons == []:
                return [[] for _ in range(len(probes))]
            where = counted if words is None else f"{counted} and {any_of('tags', map(key_of, words))}"
            fusion = self._access.options.fusion
            return Search(self._access.connection, collection, where, persons, top, threshold, fusion, state.index)(
                probes
            )

        return self._access.read(ask, [[] for _ in range(len(probes))])

    def __len__(self) -> int:
        """How many templates are enrolled."""

        def ask(collection: str, _: State, counted: str) -> int:
            # Engines know at once how many rows there are, but have to look at each for a condition.
            quiet = None if self._access.options.retention_days is not None else self._access.ledger.quiet()
            if quiet is not None:
                count = self._access.connection.count(collection, "")
                if self._access.ledger.quiet() == quiet:
                    return count
            return self._access.connection.count(collection, counted)

        return self._access.read(ask, 0)

    def compact(self, *, progress: Progress | None = None) -> None:
        """Have the files rewritten without what was removed.

        On milvus-lite that is done when this returns, and the former files are deleted (their blocks on the disk are
        not overwritten). A cluster is asked to, and does it in its own time.

        Args:
            progress: is told how many templates are written anew.
        """
        steps = Steps(progress, len(self))
        with self._access.change() as (turn, state):
            if state.space is not None:
                compact(self._access.connection, turn, state, self._access.counted(state), steps)
        steps.finish()

    def export_identity(self, identity: str) -> dict[str, Any]:
        """All that is held about one identity, as values for JSON; times are ISO 8601 in UTC.

        Raises:
            IdentityNotFound: there is none of that name.
        """
        return exported(*self._access.look(canonical_name(identity), list(ROW)))

    def blocks(self, *, rows: int = 20_000, portraits: bool = False) -> Iterator[Block]:
        """See ``Portable.blocks``; times are in whole milliseconds.

        Raises:
            GalleryError: portraits are asked for.
        """
        if portraits:
            raise GalleryError(f"{self.url}: this kind of gallery keeps no portraits")
        state = self._access.state()
        if state.space is None:
            return iter(())
        return blocks(self._access.connection, self._access.collection(state), self._access.counted(state), rows)

    def restore(self, block: Block, space: str) -> list[int]:
        """See ``Portable.restore``; times are kept in whole milliseconds, and portraits are left out.

        Raises:
            GalleryError: some templates came out of a learned map, which cannot be marked here.
        """
        self._access.require_open()
        if block.mapped.any():
            raise GalleryError(f"{self.url}: this kind of gallery cannot mark templates as mapped, and some are")
        batch = batch_of(block, space)
        with self._access.change() as (turn, state):
            batch.require_fit(state.space, state.dimension)
            if not len(batch):
                return []
            enrolled = enroll(self._access.connection, turn, state, batch, block.created.tolist())
        return [enrollment.template_id for enrollment in enrolled]

    def amend(self, block: Block) -> None:
        """See ``Portable.amend``; there are no portraits here."""
        self._access.require_open()
        tags: dict[str, set[str]] = {}
        for name, own in zip(block.identities, block.tags, strict=True):
            if own:
                tags.setdefault(canonical_name(name), set()).update(canonical_tags(own))
        if tags:
            with self._access.change() as (turn, state):
                if state.space is not None:
                    put_tags(self._access.connection, turn, state, tags)

    def check(self, *, progress: Progress | None = None) -> list[str]:
        """What is wrong with the gallery, a sentence each, at most a hundred; none if all is sound.

        Args:
            progress: is told how many templates are read.
        """
        steps = Steps(progress, len(self))

        def ask(_: str, state: State, counted: str) -> list[str]:
            return list(islice(faults(self._access.connection, state, counted, steps), _MOST_FAULTS))

        found = self._access.read(ask, [])
        steps.finish()
        return found

    def close(self) -> None:
        """See ``Gallery.close``."""
        self._keeper.stop()
        self._access.close()

    def __enter__(self) -> MilvusGallery:
        """The gallery itself, closed at the end of the block."""
        self._access.require_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the gallery."""
        self.close()


def _supported(url: GalleryUrl) -> GalleryOptions:
    """The options of a new gallery; raises BadGallery for those that Milvus galleries have not."""
    if url.key_file is not None:
        raise BadGallery(f"{url.place}: a key is given but the gallery is not encrypted: mien encrypts none in Milvus")
    named = dict(url.named)
    refused = {
        "codec": ("float32", "stores float32 (its own index=IVF_SQ8 is the smaller kind)"),
        "portraits": (False, "keeps no portraits"),
        "audit": ("off", "keeps no audit log"),
        "audit_days": (None, "keeps no audit log"),
        "encrypted": (False, "is not encrypted by mien"),
    }
    for option, (only, reason) in refused.items():
        if named.get(option, only) != only:
            raise BadGallery(f"{url.place}: {option}={named[option]}: a Milvus gallery {reason}")
    return GalleryOptions(**{**named, "audit": "off"})
