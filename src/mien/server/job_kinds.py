"""What jobs do: enroll many images, or move a gallery to another embedding model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from mien.errors import BadImage, BadInput, ConnectionLost, GalleryError, GalleryLocked, MienError
from mien.galleries import Gallery, Migratable, NewEnrollment, acting_as
from mien.images import open_image
from mien.recognizer import Recognizer
from mien.recognizer.enrolling import probes
from mien.recognizer.loading import Models
from mien.recognizer.migrating import migrate, plan_migration
from mien.recognizer.outcomes import closed
from mien.server.archives import Archive
from mien.server.job_records import Item, Job, JobRecords, Mark
from mien.server.metrics import Meters
from mien.server.places import Places
from mien.server.recovering import already_stored, ids_before
from mien.server.settings import ServerSettings
from mien.server.spool import FULL, is_full
from mien.zoo import card

__all__ = ["KINDS", "Canceled", "Stopped", "Work", "check_embedder", "told"]

_LOGGER = logging.getLogger("mien.server")
# Locks and lost connections pass; a job that waited a minute for each try has not lost anything.
_WAITS_S = (0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
_New: TypeAlias = list[tuple[Item, NewEnrollment]]
_WINDOW_BYTES = 64_000_000
_SHOWN = frozenset(
    (
        *("bad_input", "bad_image", "no_face", "several_faces", "quality_refused", "space_mismatch", "too_large"),
        *("gallery_not_found", "gallery_locked", "connection_lost", "identity_not_found", "identity_exists"),
        *("model_not_found", "license_refused", "calibration_not_found", "overloaded", "output_error"),
    )
)


class Canceled(Exception):
    """Somebody wants the job to end."""


class Stopped(Exception):
    """The server stops; the job goes on when it is back."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a kind of job works with.

    Attributes:
        job: what is to be done.
        records: where it stands.
        recognizer: finds faces.
        places: the galleries.
        meters: told what goes through the models.
        settings: the server's.
        folder: the job's files.
        wait: waits so many seconds, less if the server stops; whether it stops.
    """

    job: Job
    records: JobRecords
    recognizer: Recognizer
    places: Places
    meters: Meters
    settings: ServerSettings
    folder: Path
    wait: Callable[[float], bool]

    def check(self) -> None:
        """Go on only if nobody minds.

        Raises:
            Canceled: the job is to end.
            Stopped: the server stops.
        """
        if self.wait(0.0):
            raise Stopped
        if self.records.is_canceled(self.job):
            raise Canceled


def told(error: MienError) -> dict[str, str]:
    """Code and message of an error as clients may see them; the server's own faults would name files and addresses."""
    message = error.message if error.code in _SHOWN else "the server failed; its log says why"
    return {"code": error.code, "message": FULL if is_full(error.message) else message}


def check_embedder(name: str) -> None:
    """Whether a gallery could be moved to a model of that name.

    Raises:
        ModelNotFound: there is none.
        BadInput: it makes no templates.
    """
    found = card(name)
    if found.task != "embedder":
        raise BadInput(f"embedder: expected a model that makes templates, got {name!r}, a {found.task}")


def _enroll(work: Work) -> None:
    """Enroll the job's images, a window at a time; each is stored once, however often a process dies on the way."""
    gallery = work.places.get(work.job.gallery)
    size = min(work.settings.batch, work.recognizer.settings.batch)
    note = work.job.note
    with _Files(work.folder, work.settings) as files:
        # Those that somebody was at when the process died are looked at together again.
        while items := work.records.window(work.job, size if note is None else note["size"]):
            work.check()
            ready, marks = files.read(items)
            found, refused = _found(work, gallery, ready)
            marks += refused
            marks += _stored(work, gallery, found, len(items), None if note is None else note["before"])
            note = None
            work.records.mark(work.job, marks)
            files.erase([one.item for one in marks])


def _found(work: Work, gallery: Gallery, ready: Sequence[tuple[Item, bytes]]) -> tuple[_New, list[Mark]]:
    """What is to be stored of each image, and marks for those that show no good face."""
    options, recognizer = work.job.options, work.recognizer
    images = ((item.identity, data) for item, data in ready)
    limits = recognizer.settings.quality_limits()
    new: _New = []
    refused: list[Mark] = []
    outcomes = probes(recognizer.pipeline, gallery, images, options["face"], "rgb", options["tags"], limits)
    for (item, _), outcome in zip(ready, outcomes, strict=True):
        if isinstance(outcome.result, MienError):
            refused.append(_failed(item, outcome.result))
        else:
            new.append((item, outcome.result))
    work.meters.batched("job", len(ready))
    work.meters.found(len(new))
    return new, refused


def _stored(
    work: Work, gallery: Gallery, new: _New, size: int, before: Mapping[str, Sequence[int]] | None
) -> list[Mark]:
    """Store templates in one transaction; marks for all of them.

    ``before`` is what an earlier try noted: for each identity the ids of the templates that it had. Some of the new
    ones may be there already then.
    """
    marks: list[Mark] = []
    waits_s = iter(_WAITS_S)
    while True:
        try:
            if before is not None:
                new, found = _without_stored(gallery, new, before)
                marks += found
            before = {name: ids_before(gallery, name) for name in {item.identity for item, _ in new}}
            work.records.note(work.job, {"size": size, "before": before})
            with acting_as(f"key:{work.job.caller}"):
                gallery.add_many([enrollment for _, enrollment in new])
            return [*marks, *(Mark(item) for item, _ in new)]
        except (GalleryLocked, ConnectionLost) as error:
            wait_s = next(waits_s, None)
            if wait_s is None:
                raise
            _LOGGER.warning("job %s waits for its gallery: %s", work.job.id, error)
            if work.wait(wait_s):
                raise Stopped from error


def _without_stored(gallery: Gallery, new: _New, before: Mapping[str, Sequence[int]]) -> tuple[_New, list[Mark]]:
    """Those of the templates that are not in the gallery, and marks for the others."""
    known = {name: list(ids) for name, ids in before.items()}
    left: _New = []
    marks: list[Mark] = []
    for item, enrollment in new:
        claimed = known.get(item.identity)
        found = None
        if claimed is not None:
            (found,) = already_stored(gallery, item.identity, enrollment.templates, claimed)
        if found is None or claimed is None:
            left.append((item, enrollment))
        else:
            # Each template stands for one image: the same image twice is two templates.
            claimed.append(found)
            marks.append(Mark(item))
    return left, marks


def _failed(item: Item, error: MienError) -> Mark:
    known = told(error)
    return Mark(item, known["code"], known["message"])


class _Files:
    """A job's images, read from their files or archives; a context manager."""

    def __init__(self, folder: Path, settings: ServerSettings) -> None:
        self._folder = folder
        self._settings = settings
        self._archives: dict[str, Archive] = {}

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *_: object) -> None:
        for archive in self._archives.values():
            archive.close()

    def read(self, items: Sequence[Item]) -> tuple[list[tuple[Item, bytes]], list[Mark]]:
        """Items with their bytes, and marks for those that cannot be had or are too large to be decoded.

        Only as many of the first ones as may be in memory together; the same ones of the same items.
        """
        ready: list[tuple[Item, bytes]] = []
        marks: list[Mark] = []
        left = _WINDOW_BYTES
        for item in items:
            try:
                data = self._bytes(item)
                left -= len(data)
                if left < 0 and ready:
                    break
                open_image(data, max_pixels=self._settings.max_pixels)
                ready.append((item, data))
            except MienError as error:
                marks.append(_failed(item, error))
        return ready, marks

    def erase(self, items: Sequence[Item]) -> None:
        """Remove the files of images that are done with; archives go at the job's end."""
        for item in items:
            if item.entry is None:
                (self._folder / item.file).unlink(missing_ok=True)

    def _bytes(self, item: Item) -> bytes:
        if item.entry is not None:
            if item.file not in self._archives:
                self._archives[item.file] = Archive(self._folder / item.file)
            return self._archives[item.file].read(item.entry, self._settings.max_body_bytes)
        try:
            return (self._folder / item.file).read_bytes()
        except OSError as error:
            raise BadImage("the image that was kept for enrollment is gone") from error


def _migrate(work: Work) -> None:
    """Move the gallery to another model; a run that was interrupted is gone on with."""
    gallery = work.places.get(work.job.gallery)
    if not isinstance(gallery, Migratable):
        raise GalleryError(f"{gallery.name}: this kind of gallery cannot be moved to another model")
    models = Models(work.recognizer.settings.model_copy(update={"embedder": work.job.options["embedder"]}))
    embedder = models.embedder()
    state = plan_migration(gallery, embedder)
    done, total = state.done, state.done + state.left
    work.records.count(work.job, done, total)
    with acting_as(f"key:{work.job.caller}"), closed(migrate(gallery, embedder)) as steps:
        for step in steps:
            done += step
            work.records.count(work.job, done, max(done, total))
            work.check()


KINDS: Mapping[str, Callable[[Work], None]] = {"enroll": _enroll, "migrate": _migrate}
"""What to do for each kind of job."""
