"""The options that commands share, and what becomes of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from mien.embedding import Embedder
    from mien.recognizer import Recognizer

__all__ = [
    "GalleryUrlOption",
    "ImagesArgument",
    "LargestOption",
    "QualityOption",
    "OverwriteOption",
    "Reporting",
    "SaveOption",
    "TagsOption",
    "ThresholdOption",
    "Tuning",
    "TuningOfEmbedder",
    "TuningOfPairs",
    "UprightOption",
]

_SETTINGS = "Recognizer settings"
_FILE_VARIABLE = "MIEN_SETTINGS"

ImagesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="IMG...",
        show_default=False,
        help="Image files, folders (searched for images), patterns such as 'photos/**/*.jpg', or - for a list of "
        "them, one a line, on standard input.",
    ),
]
GalleryUrlOption = Annotated[
    str,
    typer.Option("--gallery", metavar="URL", show_default=False, help="The gallery, such as sqlite:///people.db"),
]
TagsOption = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TAG", show_default=False, help="A tag; may be given several times."),
]
LargestOption = Annotated[
    bool, typer.Option("--largest", help="Where an image shows several faces, use the largest face alone.")
]
ThresholdOption = Annotated[
    float | None,
    typer.Option(min=-1, max=1, help="Score from which two faces match; by default the embedder's own."),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace the file, if there is one already.")]
QualityOption = Annotated[
    str | None,
    typer.Option(
        metavar="strict|default|off",
        show_default=False,
        help="What a face must be like to be enrolled; limits of your own go into the settings.",
    ),
]
UprightOption = Annotated[
    bool | None,
    typer.Option(
        "--upright/--no-upright",
        show_default=False,
        help="Look at a photo that may lie on a side or upside down from its other sides too (the default), or take "
        "every photo as it lies, which is faster.",
    ),
]
SaveOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Write the images, annotated, into this folder as PNG.")
]


@dataclass(frozen=True, slots=True)
class Reporting:
    """How results and errors are told."""

    json_lines: Annotated[
        bool,
        typer.Option("--json", rich_help_panel="Output", help="One JSON object a line on standard output."),
    ] = False
    debug: Annotated[bool, typer.Option("--debug", rich_help_panel="Output", help="Show the traceback of errors.")] = (
        False
    )


_Detector = Annotated[
    str | None,
    typer.Option(metavar="NAME", rich_help_panel=_SETTINGS, help="Detection model; see: mien models list"),
]
_Embedder = Annotated[
    str | None,
    typer.Option(metavar="NAME", rich_help_panel=_SETTINGS, help="Embedding model; see: mien models list"),
]
_Runtime = Annotated[
    str | None,
    typer.Option(metavar="onnx|openvino", rich_help_panel=_SETTINGS, help="What runs the models."),
]
_Precision = Annotated[
    str | None,
    typer.Option(
        metavar="f32|bf16",
        rich_help_panel=_SETTINGS,
        help="Numbers inside the models; bf16 needs --runtime openvino and a processor that has it.",
    ),
]
_Threads = Annotated[
    int | None, typer.Option(rich_help_panel=_SETTINGS, help="Threads of a model; by default one a core.")
]
_MinFace = Annotated[
    int | None,
    typer.Option(
        metavar="PIXELS",
        rich_help_panel=_SETTINGS,
        help="Side of the smallest face to be found; -1 adapts to each image.",
    ),
]
_MinScore = Annotated[
    float | None, typer.Option(rich_help_panel=_SETTINGS, help="Lowest detection score of a face, 0 to 1.")
]
_Flip = Annotated[
    bool | None,
    typer.Option(
        "--flip/--no-flip",
        rich_help_panel=_SETTINGS,
        help="Average each template with that of the mirrored face, at twice the time.",
    ),
]
_Batch = Annotated[
    int | None, typer.Option(rich_help_panel=_SETTINGS, help="Images that go through the models together.")
]
_SettingsFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        exists=True,
        dir_okay=False,
        rich_help_panel=_SETTINGS,
        help="TOML file of settings; MIEN_* variables and the options here come first.",
    ),
]


@dataclass(frozen=True, slots=True)
class Tuning:
    """The recognizer's settings; what is not given comes from ``MIEN_*`` variables, the file, or the defaults."""

    detector: _Detector = None
    embedder: _Embedder = None
    runtime: _Runtime = None
    precision: _Precision = None
    threads: _Threads = None
    min_face: _MinFace = None
    min_score: _MinScore = None
    flip: _Flip = None
    batch: _Batch = None
    settings: _SettingsFile = None

    def recognizer(
        self, quality: str | None = None, *, upright: bool | None = None, calibrated: bool = True
    ) -> Recognizer:
        """A recognizer of these settings; its models load on first use.

        Args:
            quality: the quality profile, where the command has an option for it.
            upright: whether to find photos that are not upright, where the command has an option for it.
            calibrated: whether to take the settings' calibration; not for the command that makes a better one.

        Raises:
            BadSettings: a setting is not valid.
            ModelNotFound: no card has the detector's or the embedder's name.
        """
        # As a table it joins the limits that a file gives.
        given = None if quality is None else {"profile": quality}
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        left_out = () if calibrated else ("calibration",)
        return _recognizer({"quality": given, "upright": upright, **named}, left_out)


@dataclass(frozen=True, slots=True)
class TuningOfPairs:
    """As ``Tuning``, where the command itself names the embedders."""

    detector: _Detector = None
    runtime: _Runtime = None
    precision: _Precision = None
    threads: _Threads = None
    min_face: _MinFace = None
    min_score: _MinScore = None
    flip: _Flip = None
    batch: _Batch = None
    settings: _SettingsFile = None

    def recognizer(self, embedder: str) -> Recognizer:
        """See ``Tuning.recognizer``."""
        return _recognizer({"embedder": embedder, **{field.name: getattr(self, field.name) for field in fields(self)}})


@dataclass(frozen=True, slots=True)
class TuningOfEmbedder:
    """As ``Tuning``, where faces are cut out already and the command itself names the embedder."""

    runtime: _Runtime = None
    precision: _Precision = None
    threads: _Threads = None
    flip: _Flip = None
    settings: _SettingsFile = None

    def embedder(self, name: str) -> Embedder:
        """The embedder of that card, with these settings; errors as for ``Tuning.recognizer``."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return _recognizer({"embedder": name, **given}).embedder


def _recognizer(given: dict[str, Any], left_out: tuple[str, ...] = ()) -> Recognizer:
    from mien.recognizer import Recognizer, Settings

    values = {name: value for name, value in given.items() if value is not None and name != "settings"}
    values |= dict.fromkeys(left_out)
    with _variable(_FILE_VARIABLE, given["settings"]):
        return Recognizer(Settings(**values))


@contextmanager
def _variable(name: str, value: Path | None) -> Iterator[None]:
    """The environment with one variable set, where there is a value, inside the block."""
    before = os.environ.get(name)
    if value is not None:
        os.environ[name] = str(value)
    try:
        yield
    finally:
        if value is not None:
            if before is None:
                del os.environ[name]
            else:
                os.environ[name] = before
