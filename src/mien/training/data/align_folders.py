"""Photos to folders of aligned chips, to look at or to pack later."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mien.errors import OutputError
from mien.recognizer import Recognizer
from mien.training.data.listing import Listing
from mien.training.data.naming import FileNames
from mien.training.data.packing import FAILURES_FILE, write_failures
from mien.training.data.preparing import PackSettings, Refused
from mien.training.data.tables import write_image_table
from mien.training.data.unpacking import IMAGES_FILE, write_file
from mien.training.data.working import prepared_in_order

__all__ = ["AlignReport", "align_folder"]


@dataclass(frozen=True, slots=True)
class AlignReport:
    """What has become of photos.

    Attributes:
        chips: how many were written.
        refused: the photos without a chip, and why.
        complete: whether all were looked at.
    """

    chips: int
    refused: tuple[Refused, ...]
    complete: bool


def align_folder(
    listing: Listing,
    out: Path,
    settings: PackSettings,
    recognizer: Recognizer,
    *,
    progress: Callable[[int], None] | None = None,
    stopped: Callable[[], bool] | None = None,
) -> AlignReport:
    """Write the chip of each photo's face into a folder for each person, with a table of landmarks beside them.

    Args:
        listing: the photos.
        out: a folder that is not there yet, or is empty.
        settings: size, encoding, face and workers; its form must be ``align``.
        recognizer: finds the faces.
        progress: called with the number of photos that are done since the last call.
        stopped: asked after each photo.

    Raises:
        OutputError: the folder is not empty, or cannot be written.
        MienError: what is no single photo's fault: a model that is not there.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out}: expected a folder that is not there yet or is empty")
    names, rows, refused = FileNames(), [], []
    advance, done = progress or (lambda _count: None), 0
    try:
        out.mkdir(parents=True, exist_ok=True)
        with closing(prepared_in_order(listing, 0, settings, recognizer)) as items:
            for item in items:
                if isinstance(item, Refused):
                    refused.append(item)
                else:
                    path = names.path(item.identity, item.name, item.suffix)
                    write_file(out / path, item.data)
                    license_ = settings.license if item.license is None else item.license
                    rows.append((path.as_posix(), item.identity, item.landmarks, license_))
                done += 1
                advance(1)
                if stopped is not None and stopped():
                    break
        write_image_table(out / IMAGES_FILE, rows)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written: {error.strerror or error}") from error
    if refused:
        write_failures(out / FAILURES_FILE, refused)
    return AlignReport(len(rows), tuple(refused), done == len(listing))
