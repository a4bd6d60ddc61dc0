"""The options that the commands of ``mien evaluate`` share, and what they do before and around the work."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli.command import INTERRUPTED
from mien.cli.output import Output
from mien.cli.whole_files import replacing
from mien.errors import BadImage, MienError, OutputError

if TYPE_CHECKING:
    from mien.evaluation import AcquisitionFacts, FaceRule, PairProtocol, Uncertainty
    from mien.recognizer import Recognizer

__all__ = [
    "Acquiring",
    "ByQuality",
    "Intervals",
    "MakePage",
    "ReportFiles",
    "ReportOption",
    "Work",
    "check_page",
    "report_failures",
    "report_missing",
    "require_writable",
    "write_page",
]

MakePage = Callable[[Callable[[int], None]], str]
"""Makes an HTML report, and tells how many replicates more have been drawn for its bands."""

_ACQUIRING = "Images"
_INTERVALS = "Intervals"
_REPORTS = "Output"

ReportOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.html",
        show_default=False,
        rich_help_panel=_REPORTS,
        help="Write a report to read, print and pass on to this file: one HTML page that needs nothing else.",
    ),
]
"""The HTML report, for any command that makes one."""


@dataclass(frozen=True, slots=True)
class Acquiring:
    """Which faces are taken, and where the work is kept."""

    face: Annotated[
        str,
        typer.Option(
            metavar="central|largest|single",
            rich_help_panel=_ACQUIRING,
            help="Which face of several: the large one near the middle, the largest, or none (several are a failure).",
        ),
    ] = "central"
    keep_templates: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            rich_help_panel=_ACQUIRING,
            help="Keep the templates in this file, and take them from there next time; else they are removed.",
        ),
    ] = None

    @property
    def rule(self) -> FaceRule:
        """The face rule.

        Raises:
            typer.BadParameter: it is none.
        """
        rules: dict[str, FaceRule] = {"central": "central", "largest": "largest", "single": "single"}
        if self.face not in rules:
            raise typer.BadParameter(f"expected central, largest or single, got {self.face!r}", param_hint="--face")
        return rules[self.face]

    @contextmanager
    def work(self, recognizer: Recognizer, subject: str, images: int, output: Output) -> Iterator[Work]:
        """Around an evaluation: where its work is kept, and its bars; Ctrl-C keeps what is done.

        Raises:
            typer.Exit: the work was interrupted.
        """
        from mien.evaluation import resumable

        if self.keep_templates is not None:
            require_writable(self.keep_templates)
        with ExitStack() as bars:
            work = Work(Path(), images, bars, output)
            try:
                with resumable(recognizer, self.rule, subject, self.keep_templates) as work.file:
                    yield work
            except KeyboardInterrupt:
                bars.close()
                output.note(
                    f"interrupted: {work.done} of {images} images are kept; run the same command again to go on"
                )
                raise typer.Exit(INTERRUPTED) from None


class Work:
    """The state of an evaluation: first a bar for images, then one for intervals.

    Attributes:
        file: where what is done is kept.
        done: how many images are.
    """

    def __init__(self, file: Path, images: int, bars: ExitStack, output: Output) -> None:
        self.file = file
        self.done = 0
        self._bars, self._output = bars, output
        self._advance = bars.enter_context(output.progress("templates", images))
        self._drawing = False

    def images(self, step: int) -> None:
        """So many images more are done."""
        self.done += step
        self._advance(step)

    def measured(self) -> None:
        """All numbers are there: no more bars."""
        self._bars.close()

    def intervals(self, step: int) -> None:
        """So many intervals more are made."""
        if not self._drawing:
            # One bar after the other: a terminal has room for one.
            self._bars.close()
            self._advance = self._bars.enter_context(self._output.progress("intervals", None, unit="figures"))
            self._drawing = True
        self._advance(step)


@dataclass(frozen=True, slots=True)
class ByQuality:
    """Whether errors are told by quality.

    Raises:
        typer.BadParameter: there is a cut without quality.
    """

    def __post_init__(self) -> None:
        if self.quality_cut is not None and not self.quality:
            raise typer.BadParameter("expected --quality beside it", param_hint="--quality-cut")

    quality: Annotated[
        bool,
        typer.Option(
            "--quality",
            rich_help_panel=_ACQUIRING,
            help="Measure quality too, and tell errors by it; all other numbers stay as they are.",
        ),
    ] = False
    quality_cut: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            show_default=False,
            rich_help_panel=_ACQUIRING,
            help="Quality below which an image is low; by default the lower quartile.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Intervals:
    """How intervals are made."""

    replicates: Annotated[
        int,
        typer.Option(min=0, rich_help_panel=_INTERVALS, help="Of the bootstrap over people; 0 for no intervals."),
    ] = 1000
    level: Annotated[
        float, typer.Option(min=0.5, max=0.9999, rich_help_panel=_INTERVALS, help="Confidence level of the intervals.")
    ] = 0.95
    seed: Annotated[
        int,
        typer.Option(min=0, rich_help_panel=_INTERVALS, help="Of all random numbers: same seed, same result."),
    ] = 0

    def uncertainty(self, progress: Callable[[int], None] | None = None) -> Uncertainty:
        """The same for the library.

        Raises:
            typer.BadParameter: there is one replicate, of which no variance can be made.
        """
        from mien.evaluation import Uncertainty

        if self.replicates == 1:
            raise typer.BadParameter("expected 0 or at least 2, got 1", param_hint="--replicates")
        return Uncertainty(self.replicates, self.seed, self.level, progress)


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Files that the results are written to, besides the table."""

    json_report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            rich_help_panel=_REPORTS,
            help="Write every number with its definition and interval, and the trials, to this file.",
        ),
    ] = None
    report: ReportOption = None
    faces: Annotated[
        bool,
        typer.Option(
            "--faces/--no-faces",
            rich_help_panel=_REPORTS,
            help="Show the worst errors' faces and file names in the HTML report; --no-faces leaves both out, so that "
            "it can be passed on: samples then go by number.",
        ),
    ] = True

    def check(self) -> None:
        """Find out now, before hours of work, whether the files can be written.

        Raises:
            OutputError: one cannot.
            MissingExtra: what the HTML report is made with is not installed.
        """
        if self.json_report is not None:
            require_writable(self.json_report)
        check_page(self.report)

    def write(self, results: dict[str, Any], page: MakePage, output: Output) -> None:
        """Write the results' JSON values, and the HTML report that ``page`` makes, with a bar while it does.

        Raises:
            OutputError: a file cannot be written.
        """
        if self.json_report is not None:
            with replacing(self.json_report) as temporary:
                temporary.write_text(json.dumps(results, allow_nan=False) + "\n", encoding="utf-8")
            output.say(f"written: {self.json_report}")
        write_page(self.report, page, output)


def check_page(path: Path | None) -> None:
    """Find out now whether an HTML report can be made and written, if one is asked for.

    Raises:
        OutputError: the file cannot be written.
        MissingExtra: what it is made with is not installed.
    """
    if path is not None:
        from mien.evaluation.report import require_packages

        require_packages()
        require_writable(path)


def write_page(path: Path | None, page: MakePage, output: Output) -> None:
    """Make and write an HTML report, if one is asked for, with a bar while it is made.

    Raises:
        OutputError: the file cannot be written.
    """
    if path is not None:
        with replacing(path) as temporary:
            with output.progress("report", None, unit="replicates") as drawn:
                made = page(drawn)
            temporary.write_text(made, encoding="utf-8")
        output.say(f"written: {path}")


def require_writable(path: Path) -> None:
    """Check that a file can be written at ``path``, whose folder is there.

    Raises:
        OutputError: it cannot.
    """
    if path.is_dir():
        raise OutputError(f"{path}: expected a file to write, this is a folder")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"{path}: cannot be written: there is no folder {path.absolute().parent}")
    trial = path.with_name(f".trial-{path.name}")
    try:
        trial.touch()
        trial.unlink()
        if path.exists():
            with path.open("ab"):
                pass
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def report_missing(protocol: PairProtocol, output: Output) -> None:
    """Name the files that a protocol's pairs ask for and that are not there."""
    for name in protocol.missing:
        output.failure({"image": name}, BadImage(f"{name}: there is no such file"))
    if protocol.missing:
        left = f", pairs left out {protocol.left_out}" if protocol.left_out else ""
        output.note(f"missing files {len(protocol.missing)}{left}")
    for note in protocol.notes:
        output.note(note)


def report_failures(facts: AcquisitionFacts, output: Output) -> None:
    """Name the images that cannot be used; one without a face is no failed input, it is counted."""
    from mien import errors

    classes: dict[str, type[MienError]] = {getattr(errors, name).code: getattr(errors, name) for name in errors.__all__}
    for failure in facts.failures:
        if failure.code not in ("no_face", "several_faces", "no_image"):
            output.failure({"image": failure.name}, classes.get(failure.code, MienError)(failure.message))
