"""Images in a table: the columns ``image`` and ``identity``, landmarks and license where there are any."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mien.errors import BadInput
from mien.evaluation.protocols.tables import TableRow, read_table
from mien.training.data.listing import Photo, plain_text, read_photo

__all__ = ["POINT_COLUMNS", "TableListing", "read_image_table", "write_image_table"]

POINT_COLUMNS = tuple(f"{axis}{point}" for point in range(5) for axis in "xy")
"""x0, y0, … x4, y4: the eye on the left of the image, the eye on the right, nose, mouth corners."""

_REQUIRED = ("image", "identity")


@dataclass(frozen=True, slots=True)
class TableListing:
    """Images of a table; see ``Listing``.

    Attributes:
        source: the table's file.
        images: paths, relative to the table's folder.
        people: whom each shows.
        points: landmarks of each, or None.
        licenses: of each, or None.
    """

    source: str
    images: tuple[str, ...]
    people: tuple[str, ...]
    points: tuple[tuple[float, ...] | None, ...]
    licenses: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.images)

    def name(self, number: int) -> str:
        """See ``Listing.name``."""
        return plain_text(self.images[number])

    def identity(self, number: int) -> str:
        """See ``Listing.identity``."""
        return plain_text(self.people[number])

    def load(self, number: int) -> Photo:
        """See ``Listing.load``."""
        data = read_photo(Path(self.source).parent / self.images[number])
        return Photo(self.name(number), self.identity(number), data, self.points[number], self.licenses[number])


def read_image_table(file: Path) -> TableListing:
    """Read a table of images, separated by commas, semicolons or tabs.

    Raises:
        BadInput: it cannot be read, a column is missing, a cell is empty or no number, or it has no rows.
    """
    table = read_table(file, _REQUIRED, (*POINT_COLUMNS, "license"))
    given = [column for column in POINT_COLUMNS if column in table.columns]
    if given and len(given) < len(POINT_COLUMNS):
        absent = ", ".join(column for column in POINT_COLUMNS if column not in given)
        raise BadInput(f"{file}: expected all ten columns of landmarks, x0 to y4, or none; missing {absent}")
    if not table.rows:
        raise BadInput(f"{file}: expected a row for each image, found none")
    return TableListing(
        str(file),
        tuple(row["image"] for row in table.rows),
        tuple(row["identity"] for row in table.rows),
        tuple(_points(row) if given else None for row in table.rows),
        tuple(row.cells.get("license") or None for row in table.rows),
    )


def write_image_table(file: Path, rows: Iterable[tuple[str, str, tuple[float, ...] | None, str]]) -> None:
    """Write a table that ``read_image_table`` reads.

    Args:
        file: where.
        rows: image, identity, landmarks or None, license.

    Raises:
        OSError: it cannot be written.
    """
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow((*_REQUIRED, *POINT_COLUMNS, "license"))
        for image, identity, points, license_ in rows:
            shown = [""] * len(POINT_COLUMNS) if points is None else [f"{value:.9g}" for value in points]
            writer.writerow((image, identity, *shown, license_))


def _points(row: TableRow) -> tuple[float, ...] | None:
    if not any(row.cells.get(column) for column in POINT_COLUMNS):
        return None
    points = []
    for column in POINT_COLUMNS:
        try:
            value = float(row[column])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise BadInput(f"{row.where}: expected a number in column {column!r}, got {row[column]!r}")
        points.append(value)
    return tuple(points)
