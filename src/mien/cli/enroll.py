"""``mien enroll``."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.command import INTERRUPTED, command
from mien.cli.inputs import Photo, collect, people_in
from mien.cli.interrupts import Interruption
from mien.cli.names import checked_identity, checked_tags
from mien.cli.opening import open_to_enroll
from mien.cli.options import (
    GalleryUrlOption,
    ImagesArgument,
    LargestOption,
    QualityOption,
    TagsOption,
    Tuning,
    UprightOption,
)
from mien.cli.output import Output
from mien.cli.servers import Place
from mien.errors import MienError

if TYPE_CHECKING:
    from mien.recognizer import FaceChoice

__all__ = ["enroll"]

_Item = tuple[str, Photo]


@command
def enroll(
    images: ImagesArgument,
    tuning: Tuning,
    place: Place,
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
    tag: TagsOption = None,
    largest: LargestOption = False,
    quality: QualityOption = None,
    upright: UprightOption = None,
) -> None:
    """Enroll people in a gallery, a template for each image.

    Without --identity each argument is a folder that holds a folder of images for each person, named after them.
    Where there is no gallery, one is made with the first template. An image that is enrolled twice gives two templates.

    A face that is too dark, blurred, turned away, cropped and the like is refused, with the reason; --quality off takes
    every face, --quality strict only good ones. mien quality tells what is measured. A photo that is not upright is
    refused too; with --no-upright it is taken as it lies.

    Each --tag is added to the tags of everyone enrolled; mien identify --tag searches among those who have it.

    Ctrl-C stops after the images in hand; what was printed is stored.

    Example: mien enroll people/ --gallery sqlite:///people.db

    Example: mien enroll ada1.jpg ada2.jpg --identity 'Ada Lovelace' --gallery sqlite:///people.db
    """
    from mien.galleries import parse_url

    output.columns("image", "identity", "template")
    tags = checked_tags(tag)
    items = list(people_in(images, output)) if identity is None else _one_person(images, identity, output)
    recognizer = place.recognizer(tuning, quality, upright=upright)
    fed: deque[_Item] = deque()
    done = 0

    def feed(stop: Interruption) -> Iterator[tuple[str, str]]:
        for item in stop.until_asked(items):
            fed.append(item)
            yield item[0], item[1].path

    with open_to_enroll(recognizer, gallery) as people, Interruption() as stop:
        if not place.remote and parse_url(gallery).scheme == "memory":
            output.note("a memory: gallery is gone when this command ends")
        with output.progress("enroll", len(items)) as advance:
            face: FaceChoice = "largest" if largest else "single"
            for outcome in recognizer.iter_enroll(people, feed(stop), face=face, tags=tags if tags else ()):
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
    name = checked_identity(identity)
    return [(name, photo) for photo in collect(images, output)]
