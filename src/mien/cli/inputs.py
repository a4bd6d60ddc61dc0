"""From a command's arguments to its images: files, folders, patterns, a list on standard input."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath

import typer

from mien.cli.output import Output
from mien.errors import BadInput, MienError

__all__ = ["SUFFIXES", "Photo", "collect", "identity_folders", "people_in", "photos_in"]

SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"))
"""The files that count as images in a folder; a file that is named itself may be called anything."""

_STANDARD_INPUT = "-"
_HINT = "; say whom all the images show with --identity NAME"


@dataclass(frozen=True, slots=True)
class Photo:
    """An image to be read.

    Attributes:
        path: as the user would write it.
        below: the same, from the folder on that was searched; the file's name if it was named itself.
    """

    path: str
    below: str


def collect(arguments: Iterable[str], output: Output) -> list[Photo]:
    """The images that the arguments stand for, in order; an argument that stands for none is reported as failed."""
    photos: list[Photo] = []
    for argument in _with_standard_input(arguments):
        try:
            photos += _expand(argument)
        except MienError as error:
            output.failure({"image": argument}, error)
    return photos


def photos_in(folder: str) -> list[Photo]:
    """The images in a folder and the folders below it, sorted by path; hidden ones are passed over.

    Raises:
        BadInput: there are none, or the folder cannot be read.
    """
    photos = [Photo(os.path.join(folder, below), below) for below in _search(folder, "", frozenset())]
    if not photos:
        raise BadInput(f"{folder}: expected images, found none in this folder (looked for {_suffixes()})")
    return photos


def identity_folders(folder: str) -> tuple[list[tuple[str, str]], list[Photo]]:
    """Name and path of each folder in ``folder``, sorted, and the images that lie outside of any.

    Raises:
        BadInput: the folder cannot be read.
    """
    entries = [entry for entry in _entries(folder) if not entry.name.startswith(".")]
    people = [(entry.name, os.path.join(folder, entry.name)) for entry in entries if entry.is_dir()]
    strays = [Photo(os.path.join(folder, e.name), e.name) for e in entries if e.is_file() and _is_image(e.name)]
    return people, strays


def people_in(
    folders: Iterable[str], output: Output, *, metavar: str = "IMG...", hint: str = _HINT
) -> Iterator[tuple[str, Photo]]:
    """Identity and image of everything in folders of folders; what cannot be used is reported as failed.

    Args:
        folders: each with a folder for each identity.
        output: where failures are reported.
        metavar: the argument that they were given by, for the messages.
        hint: what else the user could do, for the messages.

    Raises:
        typer.BadParameter: an argument is no folder, or has no folder in it; before anything is reported.
    """
    from mien.galleries import canonical_name

    found: list[tuple[list[tuple[str, str]], list[Photo]]] = []
    unread: list[tuple[str, MienError]] = []
    for folder in folders:
        if not os.path.isdir(folder):
            missing = "there is no folder" if not os.path.exists(folder) else "is no folder"
            raise typer.BadParameter(f"{folder!r}: {missing}{hint}", param_hint=metavar)
        try:
            people, strays = identity_folders(folder)
        except MienError as error:
            unread.append((folder, error))
            continue
        if not people:
            example = os.path.join(folder, "Ada")
            raise typer.BadParameter(
                f"{folder!r}: expected a folder for each identity, such as {example}, found none{hint}",
                param_hint=metavar,
            )
        found.append((people, strays))
    for folder, reason in unread:
        output.failure({"image": folder}, reason)
    for people, strays in found:
        for photo in strays:
            output.failure({"image": photo.path}, BadInput(f"{photo.path}: expected to lie in an identity's folder"))
        for name, path in people:
            try:
                canonical = canonical_name(name)
                photos = photos_in(path)
            except MienError as error:
                output.failure({"image": path, "identity": name}, error)
                continue
            for photo in photos:
                yield canonical, photo


def _with_standard_input(arguments: Iterable[str]) -> Iterator[str]:
    for argument in arguments:
        if argument == _STANDARD_INPUT:
            yield from filter(None, (line.rstrip("\r\n") for line in sys.stdin))
        else:
            yield argument


def _expand(argument: str) -> list[Photo]:
    if os.path.isdir(argument):
        return photos_in(argument)
    if not os.path.lexists(argument) and glob.has_magic(argument):
        found = sorted(path for path in glob.iglob(argument, recursive=True) if not os.path.isdir(path))
        if not found:
            raise BadInput(f"{argument}: expected files of this pattern, found none")
        return [Photo(path, os.path.basename(path)) for path in found]
    # Whether there is such a file, and whether it is an image, the decoder says best.
    return [Photo(argument, os.path.basename(argument))]


def _search(folder: str, below: str, seen: frozenset[str]) -> Iterator[str]:
    """Paths of the images below ``folder/below``; links to folders are followed, but not in circles."""
    here = os.path.realpath(os.path.join(folder, below))
    if here in seen:
        return
    for entry in _entries(os.path.join(folder, below)):
        path = os.path.join(below, entry.name)
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _search(folder, path, seen | {here})
        elif _is_image(entry.name):
            yield path


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be read: {error.strerror}") from error


def _is_image(name: str) -> bool:
    return PurePath(name).suffix.lower() in SUFFIXES


def _suffixes() -> str:
    return " ".join(sorted(SUFFIXES))
