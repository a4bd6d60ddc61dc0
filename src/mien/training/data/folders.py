"""Images in folders, a folder for each person; and telling which kind of source a path is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mien.errors import BadInput
from mien.evaluation.protocols import read_people
from mien.training.data.listing import Listing, Photo, plain_text, read_photo
from mien.training.data.recordio import RecordListing, is_record_folder, read_records
from mien.training.data.tables import TableListing, read_image_table

__all__ = ["FolderListing", "open_listing", "read_folder"]

_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"))


@dataclass(frozen=True, slots=True)
class FolderListing:
    """Images in folders of people; see ``Listing``.

    Attributes:
        source: the folder.
        below: the images' paths below it.
        people: whom each shows; None for an image that lies in nobody's folder.
    """

    source: str
    below: tuple[str, ...]
    people: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.below)

    def name(self, number: int) -> str:
        """See ``Listing.name``."""
        return plain_text(self.below[number])

    def identity(self, number: int) -> str:
        """See ``Listing.identity``."""
        return plain_text(self.people[number] or "")

    def load(self, number: int) -> Photo:
        """See ``Listing.load``."""
        path = Path(self.source, self.below[number])
        if self.people[number] is None:
            raise BadInput(f"{path}: expected to lie in a person's folder")
        return Photo(self.name(number), self.identity(number), read_photo(path))


def read_folder(folder: Path) -> FolderListing:
    """List a folder of people: sorted by path, what is hidden passed over.

    Raises:
        BadInput: it is no folder, or holds no images in folders.
    """
    found = read_people(folder)
    strays = sorted(
        entry.name
        for entry in os.scandir(folder)
        if entry.is_file() and not entry.name.startswith(".") and Path(entry.name).suffix.lower() in _SUFFIXES
    )
    people: list[str | None] = [found.names[number] for number in found.identities.tolist()]
    below = [os.path.relpath(str(sample.source), folder) for sample in found.samples]
    return FolderListing(str(folder), (*below, *strays), (*people, *[None] * len(strays)))


def open_listing(path: Path | str) -> Listing:
    """List the images of a source.

    Args:
        path: a folder of people's folders; a table with the columns ``image`` and ``identity``; a RecordIO file
            ``NAME.rec``, or a folder with ``train.rec``.

    Raises:
        BadInput: there is nothing, or it is none of these.
        BadPack: a RecordIO file is damaged.
    """
    place = Path(path)
    if not place.exists():
        raise BadInput(f"{path}: expected a folder of people, a table or a RecordIO file, got nothing of that name")
    listing: FolderListing | TableListing | RecordListing
    if place.suffix in (".rec", ".idx") or is_record_folder(place):
        listing = read_records(place)
    elif place.is_dir():
        listing = read_folder(place)
    else:
        listing = read_image_table(place)
    return listing
