"""``mien train``: networks and classifiers of one's own."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli.command import command
from mien.cli.interrupts import Interruption
from mien.cli.output import Output
from mien.cli.train_classifier import classifier
from mien.cli.usage import PlainCommand

if TYPE_CHECKING:
    from mien.training.recipe import TrainingResult
    from mien.training.watching import Watch

__all__ = ["train"]

train = typer.Typer(name="train", no_args_is_help=True, help="Train networks and classifiers of your own.")
train.command("classifier", cls=PlainCommand)(classifier)
_SECONDS_A_LINE = 30.0

_Recipe = Annotated[
    Path, typer.Argument(metavar="RECIPE.toml", show_default=False, help="The settings; see mien train show.")
]
_Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        show_default=False,
        help="Other values of some settings, as optimizer.rate=0.05; another loss.name or augmentation.preset brings "
        "its own values along.",
    ),
]


@train.command("model", cls=PlainCommand)
@command
def model(
    recipe: _Recipe,
    out: Annotated[
        Path, typer.Option(metavar="DIR", file_okay=False, show_default=False, help="The run's folder, which is made.")
    ],
    output: Output,
    overrides: _Overrides = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the folder's last checkpoint; begin if there is none.")
    ] = False,
) -> None:
    """Train a network by a recipe, a TOML file.

    The run's folder gets its settings, checkpoints, a log (log.jsonl, tensorboard/), plots and the best weights. After
    Ctrl-C a checkpoint is written, and the same command with --resume goes on as if nothing had happened. On several
    GPUs or machines: torchrun --nproc-per-node 8 -m mien train model ...; the number of processes may change between
    one call and the next.

    Example: mien train model recipe.toml --out runs/first

    Example: mien train model recipe.toml --out runs/second loss.name=cosface optimizer.rate=0.05

    Afterwards: mien export runs/first --out first/
    """
    from mien.training.requirements import need_parquet, need_torch

    need_torch()
    need_parquet()
    from mien.training.logs import read_log
    from mien.training.plots import plot_run
    from mien.training.ranks import join
    from mien.training.recipe import train as train_model
    from mien.training.settings_files import read_settings

    settings = read_settings(recipe, overrides or ())
    ranks = join(settings.device)
    try:
        with Interruption("step") as interruption, ExitStack() as stack:
            watch = _watch(output, interruption, stack, quiet=ranks.rank > 0)
            result = train_model(settings, out, resume=resume, ranks=ranks, watch=watch)
        if ranks.rank == 0:
            # A run that is stopped before its first line of the log has nothing to draw.
            plots = plot_run(out) if read_log(out) else []
            _tell(out, result, plots, output)
    finally:
        ranks.leave()
    if result.reason == "stopped":
        raise KeyboardInterrupt


@train.command("show", cls=PlainCommand)
@command
def show(
    output: Output,
    recipe: Annotated[
        Path | None, typer.Argument(metavar="[RECIPE.toml]", show_default=False, help="A recipe; none for a new one.")
    ] = None,
    overrides: _Overrides = None,
) -> None:
    """Print a recipe with all its settings and what each is, defaults too; without one, a recipe to start from.

    Example: mien train show > recipe.toml

    Example: mien train show loss.name=adaface optimizer.rate=0.05 data.packs=packs/own > recipe.toml
    """
    from mien.training.requirements import need_torch

    need_torch()
    from mien.training.commented import commented_recipe
    from mien.training.settings_files import read_settings, settings_from, to_tables

    # Without a recipe, the first of them is an override.
    changes = list(overrides or ())
    if recipe is not None and "=" in str(recipe) and not recipe.exists():
        recipe, changes = None, [str(recipe), *changes]
    if recipe is None:
        settings = settings_from({"data": {"packs": ["packs/own"]}, "length": {"epochs": 20}}, changes)
    else:
        settings = read_settings(recipe, changes)
    output.result(to_tables(settings))
    output.say(commented_recipe(settings).rstrip())


@train.command("plot", cls=PlainCommand)
@command
def plot(
    run: Annotated[Path, typer.Argument(metavar="RUN", exists=True, file_okay=False, help="A run's folder.")],
    output: Output,
) -> None:
    """Draw a run as it stands: loss, rate, speed, accuracy, margins, angles of class centers.

    Example: mien train plot runs/first
    """
    from mien.training.requirements import need_torch

    need_torch()
    from mien.training.plots import plot_run

    for file in plot_run(run):
        output.result({"plot": str(file)})
        output.say(str(file))


def _watch(output: Output, interruption: Interruption, stack: ExitStack, *, quiet: bool) -> Watch:
    """What tells people how it goes: a bar on a terminal, elsewhere a line now and then."""
    from mien.training.watching import Watch

    class Telling(Watch):
        def __init__(self) -> None:
            self._tell: Any = None
            self._label = ""
            self._bar: ExitStack | None = None
            self._told = time.monotonic()

        def stepped(self, step: int, steps: int, line: Mapping[str, float]) -> None:
            if quiet:
                return
            left = time.strftime("%H:%M:%S", time.gmtime(line["seconds_left"]))
            text = (
                f"step {step}/{steps}  loss {line['loss']:.4g}  rate {line['rate']:.3g}  "
                f"{line['images_per_second']:.0f} images/s  waiting {line['data_wait']:.0%}  left {left}"
            )
            if time.monotonic() - self._told >= _SECONDS_A_LINE or step == steps:
                self._told = time.monotonic()
                output.note(text)
            self._advance("training", step, steps)

        def evaluated(self, step: int, protocol: str, figures: Mapping[str, float]) -> None:
            if not quiet:
                error = figures.get("standard_error")
                spread = "" if error is None else f" ± {error:.2%}"
                output.note(
                    f"step {step}: {protocol}: accuracy {figures['accuracy']:.2%}{spread}, EER {figures['eer']:.2%}"
                )

        def preparing(self, what: str, done: int, total: int) -> None:
            # Before the first step there is nothing to finish; what is prepared already is kept.
            if interruption.asked:
                raise KeyboardInterrupt
            if not quiet:
                self._advance(what, done, total)

        def stop_asked(self) -> bool:
            return interruption.asked

        def _advance(self, label: str, done: int, total: int) -> None:
            if label != self._label:
                if self._bar is not None:
                    self._bar.close()
                self._bar, self._label = ExitStack(), label
                stack.push(self._bar)
                unit = "steps" if label == "training" else "images"
                self._tell = self._bar.enter_context(output.tracking(label, unit=unit, total=total))
            self._tell(done, total)

    return Telling()


def _tell(out: Path, result: TrainingResult, plots: list[Path], output: Output) -> None:
    record = {"run": str(out), **dataclasses.asdict(result), "plots": [str(file) for file in plots]}
    loss = "" if result.loss is None else f", loss {result.loss:.4g}"
    pace = f"{result.images} images in {result.seconds / 60:.1f} minutes"
    output.result(record)
    output.say(f"{out}: {result.steps} of {result.of} steps ({result.reason}), {pace}{loss}")
    for name, figures in result.evaluation.items():
        output.say(f"{name}: accuracy {figures['accuracy']:.2%}, EER {figures['eer']:.2%}")
    if result.skipped:
        output.note(f"{result.skipped} images could not be read; {out / 'skipped.jsonl'} lists them")
