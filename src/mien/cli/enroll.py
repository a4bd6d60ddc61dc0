"""``mien enroll``."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from typing import Annotated

import typer

from mien.cli.command import INTERRUPTED, command
from mien.cli.inputs import Photo, collect, identity_folders, photos_in
from mien.cli.interrupts import Interruption
from mien.cli.opening import open_to_enroll
from mien.cli.options import GalleryUrlOption, ImagesArgument, LargestOption, Tuning
from mien.cli.output import Output
from mien.errors import BadInput, MienError

__all__ = ["enroll"]

_Item = tuple[str, Photo]


@command
def enroll(
    images: ImagesArgument,
    tuning: Tuning,
    output: Output,
    gallery: GalleryUrlOption,
    identity: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default=False,
            help="Whom the images show; without it, folders of folders are expected.",
        ),
    ] = None,
    largest: LargestOption = False,
) -> None:
    """Enroll people in a gallery, a template for each image.

    Without --identity each argument is a folder that holds a folder of images for each person, named after them.
    Where there is no gallery, one is made with the first template. An image that is enrolled twice gives two templates.

    Ctrl-C stops after the images in hand; what was printed is stored.

    Example: mien enroll people/ --gallery sqlite:///people.db

    Example: mien enroll ada1.jpg ada2.jpg --identity 'Ada Lovelace' --gallery sqlite:///people.db
    """
    from mien.galleries import parse_url

    output.columns("image", "identity", "template")
    items = list(_people(images, output)) if identity is None else _one_person(images, identity, output)
    recognizer = tuning.recognizer()
    fed: deque[_Item] = deque()
    done = 0

    def feed(stop: Interruption) -> Iterator[tuple[str, str]]:
        for item in stop.until_asked(items):
            fed.append(item)
            yield item[0], item[1].path

    with open_to_enroll(recognizer, gallery) as people, Interruption() as stop:
        if parse_url(gallery).scheme == "memory":
            output.note("a memory: gallery is gone when this command ends")
        with output.progress("enroll", len(items)) as advance:
            for outcome in recognizer.iter_enroll(people, feed(stop), face="largest" if largest else "single"):
                name, photo = fed.popleft()
                about = {"image": photo.path, "identity": name}
                if isinstance(outcome.result, MienError):
                    output.failure(about, outcome.result)
                else:
                    taken = outcome.result
                    record = {"image": photo.path, "identity": taken.identity, "template_id": taken.template_id}
                    output.result(record, (photo.path, taken.identity, str(taken.template_id)))
                done += 1
                advance(1)
    if stop.asked:
        output.note(f"interrupted: {done} of {len(items)} images were handled, and what was enrolled is stored")
        output.close()
        raise typer.Exit(INTERRUPTED)


def _one_person(images: list[str], identity: str, output: Output) -> list[_Item]:
    from mien.galleries import canonical_name

    try:
        name = canonical_name(identity)
    except BadInput as error:
        raise typer.BadParameter(str(error), param_hint="--identity") from error
    return [(name, photo) for photo in collect(images, output)]


def _people(folders: list[str], output: Output) -> Iterator[_Item]:
    """Identity and image of everything in folders of folders; what cannot be enrolled is reported as failed."""
    from mien.galleries import canonical_name

    for folder in folders:
        if not os.path.isdir(folder):
            missing = "there is no folder" if not os.path.exists(folder) else "is no folder"
            raise typer.BadParameter(f"{folder!r}: {missing}; say whom an image shows with --identity NAME")
    for folder in folders:
        try:
            people, strays = identity_folders(folder)
        except MienError as error:
            output.failure({"image": folder}, error)
            continue
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
