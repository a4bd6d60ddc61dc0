"""``mien embed``."""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.command import INTERRUPTED, command
from mien.cli.entries import Entry
from mien.cli.inputs import Photo, collect
from mien.cli.interrupts import Interruption
from mien.cli.options import ImagesArgument, LargestOption, Tuning
from mien.cli.output import Output
from mien.cli.records import Record
from mien.cli.servers import Place
from mien.errors import BadImage, CacheError, MienError, OutputError

if TYPE_CHECKING:
    from mien.cli.parquet import TemplatesFile
    from mien.client import RemoteRecognizer
    from mien.recognizer import Recognizer
    from mien.types import Analysis

__all__ = ["embed"]

_IMAGES_A_PART = 1000
_SECONDS_A_PART = 10.0


@command
def embed(
    images: ImagesArgument,
    tuning: Tuning,
    place: Place,
    output: Output,
    out: Annotated[
        Path, typer.Option(metavar="FILE", dir_okay=False, show_default=False, help="The Parquet file to write.")
    ],
    largest: LargestOption = False,
) -> None:
    """Write the templates of all faces in many images to a Parquet file.

    A row for each face: image, face, xyxy, score, landmarks, vector, space. Needs pip install 'mien[parquet]'.

    Run the same command again after an interruption: it goes on where it stopped. If FILE is there already, only
    images that are new or have changed are embedded, and rows of images that are gone are dropped. With --json a line
    is printed once its image's rows are on the disk, and a last one sums up.

    Example: mien embed photos/ --out templates.parquet
    """
    from mien.cli.parquet import TemplatesFile

    if out.suffix != ".parquet":
        raise typer.BadParameter(f"expected a name that ends in .parquet, got {str(out)!r}", param_hint="--out")
    if not out.absolute().parent.is_dir():
        raise OutputError(f"{out}: there is no folder {out.absolute().parent}")
    photos = collect(images, output)
    if not photos:
        return
    recognizer = place.recognizer(tuning)
    with _alone(out), Interruption() as stop:
        file = TemplatesFile(out, _facts(recognizer, largest), recognizer.embedder.dimension)
        run = _Run(photos, file, output)
        with output.progress("embed", len(run.todo) + run.held) as advance:
            advance(run.held)
            for step in run.work(recognizer, stop, largest):
                advance(step)
        # The summary counts what the disk holds, not what this run saw.
        count = None if stop.asked else file.finish()
    if count is None:
        left = len(run.todo) - run.done
        output.close()
        output.note(f"interrupted: {left} of {len(photos)} images are left; run the same command again to go on")
        raise typer.Exit(INTERRUPTED)
    total, faces = count
    record: Record = {"out": str(out), "images": total, "faces": faces, "embedded": run.embedded}
    output.result({**record, "held": run.held, "failed": run.failed, "space": recognizer.space})
    output.say(
        f"{out}: {faces} faces of {total} images ({run.embedded} embedded now, {run.failed} failed), {recognizer.space}"
    )


class _Run:
    """One run over the images that the file does not hold yet."""

    def __init__(self, photos: list[Photo], file: TemplatesFile, output: Output) -> None:
        self._file, self._output = file, output
        self._lines: list[Record] = []
        self.todo: list[Photo] = []
        self.held = self.done = self.embedded = self.failed = 0
        seen: set[str] = set()
        for photo in photos:
            entry = Entry.of(photo.path)
            if os.path.abspath(photo.path) in seen:
                continue
            seen.add(os.path.abspath(photo.path))
            if entry is not None and file.holds(entry):
                self.held += 1
            else:
                self.todo.append(photo)

    def work(self, recognizer: Recognizer | RemoteRecognizer, stop: Interruption, largest: bool) -> Iterator[int]:
        """Embed what is to do, until asked to stop, a part every few seconds; yields the images handled."""
        fed: deque[tuple[Photo, Entry | None]] = deque()

        def feed() -> Iterator[str]:
            for photo in stop.until_asked(self.todo):
                # Looked at before it is read: a change in between shows at the next run.
                fed.append((photo, Entry.of(photo.path)))
                yield photo.path

        written = time.monotonic()
        for outcome in recognizer.iter_analyze(feed(), largest=largest):
            photo, entry = fed.popleft()
            self._take(photo, entry, outcome.result)
            self.done += 1
            yield 1
            if self._file.waiting >= _IMAGES_A_PART or time.monotonic() - written > _SECONDS_A_PART:
                self._store()
                written = time.monotonic()
        self._store()

    def _take(self, photo: Photo, entry: Entry | None, result: Analysis | MienError) -> None:
        if isinstance(result, MienError):
            self.failed += 1
            self._output.failure({"image": photo.path}, result, late=True)
        elif entry is not None:
            self.embedded += 1
            self._file.add(entry, photo.path, result.faces, result.templates)
            self._lines.append({"image": photo.path, "faces": len(result)})
        else:
            self.failed += 1
            self._output.failure({"image": photo.path}, BadImage(f"{photo.path}: appeared while it was read"))

    def _store(self) -> None:
        """Put what was done on the disk, and only then say so."""
        self._file.flush()
        for line in self._lines:
            self._output.result(line)
        self._lines = []


def _facts(recognizer: Recognizer | RemoteRecognizer, largest: bool) -> Record:
    """What the rows depend on, besides the images."""
    from mien.recognizer import Recognizer
    from mien.zoo import card

    settings = recognizer.settings
    if isinstance(recognizer, Recognizer):
        detector = card(recognizer.settings.detector).space
    else:
        detector = recognizer.detector.space
    return {
        "space": recognizer.space,
        "detector": detector,
        "precision": settings.precision,
        "min_face": settings.min_face,
        "min_score": settings.min_score,
        "max_overlap": settings.max_overlap,
        "largest": largest,
    }


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """No other run writes to ``out`` inside the block.

    Raises:
        OutputError: another one does.
    """
    from mien.zoo.cache import locked

    digest = hashlib.sha256(os.fsencode(out.absolute())).hexdigest()[:16]
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(f"embed-{digest}", timeout_s=0))
        except CacheError as error:
            raise OutputError(f"{out}: cannot be written alone: {error}") from error
        yield
