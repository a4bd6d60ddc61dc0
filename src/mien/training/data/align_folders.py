"""Photos to folders of aligned chips, to look at or to pack later."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mien.errors import OutputError
from mien.recognizer import Recognizer
from mien.training.data.align_journal import AlignJournal
from mien.training.data.listing import Listing
from mien.training.data.packing import FAILURES_FILE, pack_facts, write_failures
from mien.training.data.preparing import PackSettings, Refused
from mien.training.data.tables import write_image_table
from mien.training.data.unpacking import IMAGES_FILE
from mien.training.data.working import prepared_in_order

__all__ = ["AlignReport", "align_folder"]


@dataclass(frozen=True, slots=True)
class AlignReport:
    """What has become of photos.

    Attributes:
        chips: how many are there.
        refused: the photos without a chip, and why.
        resumed: how many photos an earlier call had done.
        complete: whether all were looked at.
    """

    chips: int
    refused: tuple[Refused, ...]
    resumed: int
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

    Work that was cut off, at whatever moment, goes on when it is called again; the tables come last.

    Args:
        listing: the photos.
        out: a folder that is not there yet, is empty, or where an earlier call was cut off.
        settings: size, encoding, face and workers; its form must be ``align``.
        recognizer: finds the faces.
        progress: called with the number of photos that are done since the last call.
        stopped: asked after each photo; what is done by then is kept, and the report is not complete.

    Raises:
        BadInput: an earlier call that was cut off had other settings.
        OutputError: the folder holds something else, another process is aligning there, or it cannot be written (disk
            full); what is done is kept.
        MienError: what is no single photo's fault: a model that is not there.
    """
    advance, asked = progress or (lambda _count: None), stopped or (lambda: False)
    try:
        with AlignJournal(out, pack_facts(listing, settings, recognizer)) as journal:
            done = journal.resumed
            advance(done)
            with closing(prepared_in_order(listing, done, settings, recognizer)) as items:
                for item in items:
                    journal.add(item, settings.license)
                    done += 1
                    advance(1)
                    if asked():
                        break
            complete = done == len(listing)
            if complete:
                _finish(journal, out)
            return AlignReport(len(journal.rows), tuple(journal.refused), journal.resumed, complete)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written: {error.strerror or error}") from error


def _finish(journal: AlignJournal, out: Path) -> None:
    if journal.refused:
        write_failures(out / FAILURES_FILE, journal.refused)
    write_image_table(out / IMAGES_FILE, journal.rows)
    journal.remove()
