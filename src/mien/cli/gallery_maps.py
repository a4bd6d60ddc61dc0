"""``mien gallery fit-map``: a map between the templates of two models, and what it loses."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.command import command
from mien.cli.inputs import Photo, people_in
from mien.cli.options import OverwriteOption, TuningOfPairs
from mien.cli.output import Output
from mien.cli.records import Record
from mien.cli.whole_files import replacing, require_place
from mien.errors import BadInput, MienError

if TYPE_CHECKING:
    from mien.matching.mapping import SpaceMap
    from mien.recognizer import Recognizer
    from mien.types import Templates

__all__ = ["fit_map"]

_FMR = 1e-3
# The rule of 30: with as many errors, the rate is within 30 % of the true one, with a confidence of 90 %
# (Doddington et al., Speech Communication 31(2-3), 2000).
_FALSE_MATCHES = 30


@command
def fit_map(
    folder: Annotated[
        str, typer.Argument(metavar="DIR", show_default=False, help="A folder with a folder of images for each person.")
    ],
    tuning: TuningOfPairs,
    output: Output,
    source: Annotated[str, typer.Option("--from", metavar="CARD", show_default=False, help="The model to map from.")],
    target: Annotated[str, typer.Option("--to", metavar="CARD", show_default=False, help="The model to map to.")],
    out: Annotated[
        Path, typer.Option(metavar="FILE", dir_okay=False, show_default=False, help="The .npz file to write.")
    ],
    seed: Annotated[int, typer.Option(min=0, help="Of the draw of the people that are held out.")] = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Learn a map between the templates of two models, and measure what it loses.

    Any people will do, the more the better: hundreds, with several images each. Three tenths of them are held out, and
    on them alone the loss is measured: which share of the mated pairs match at a false match rate of 0.001, before and
    after.

    Example: mien gallery fit-map faces/ --from dlib-resnet --to sface --out dlib-to-sface.npz
    """
    from mien.matching.mapping import fit_map as fitted
    from mien.recognizer.pairing import paired_templates, require_enough

    if out.suffix != ".npz":
        raise typer.BadParameter(f"expected a name that ends in .npz, got {str(out)!r}", param_hint="--out")
    require_place(out, overwrite=overwrite)
    old, new = tuning.recognizer(source), tuning.recognizer(target)
    if old.space == new.space:
        raise BadInput(f"expected two models to map between, got {old.space} twice")
    items = list(people_in([folder], output, metavar="DIR", hint=""))
    require_enough(Counter(name for name, _ in items).values(), _FMR)
    fed: deque[tuple[str, Photo]] = deque()

    def feed() -> Iterator[str]:
        for item in items:
            fed.append(item)
            yield item[1].path

    pairs: list[tuple[Templates, Templates]] = []
    people: list[str] = []
    with output.progress("fit-map", len(items)) as advance:
        for outcome in paired_templates(old, new, feed()):
            name, photo = fed.popleft()
            if isinstance(outcome.result, MienError):
                output.failure({"image": photo.path, "identity": name}, outcome.result, late=True)
            else:
                pairs.append(outcome.result)
                people.append(name)
            advance(1)
    olds, news = (_together([pair[k] for pair in pairs], r) for k, r in enumerate((old, new)))
    made = fitted(olds, news, people, seed=seed, fmr=_FMR)
    with replacing(out) as temporary:
        made.save(temporary)
    _tell(made, out, output)


def _together(templates: list[Templates], recognizer: Recognizer) -> Templates:
    import numpy as np

    from mien.types import Templates as Made

    none = np.empty((0, recognizer.embedder.dimension), np.float32)
    return Made(np.concatenate([none, *(t.vectors for t in templates)]), recognizer.space)


def _tell(made: SpaceMap, out: Path, output: Output) -> None:
    loss = made.loss
    output.columns("held-out pairs", "matched", "threshold", "mated", "non-mated")
    rates = {"old with old": loss.old, "new with new": loss.new, "mapped with new": loss.mapped_new}
    rows = [
        (name, f"{rate.tmr:.4f}", f"{rate.threshold:.3f}", str(rate.mated), str(rate.non_mated))
        for name, rate in {**rates, "mapped with mapped": loss.mapped}.items()
    ]
    record: Record = {
        "out": str(out),
        "from": made.source,
        "to": made.target,
        "kind": made.kind,
        "people": made.people,
        "pairs": made.pairs,
        "loss": dataclasses.asdict(loss),
    }
    output.result(record, *rows)
    output.say(
        f"{out}: {made.source} to {made.target}, {made.kind}, fitted on {made.pairs} faces of {made.people} people, "
        f"measured on {loss.templates} faces of {loss.people} others at a false match rate of {loss.fmr:g}"
    )
    fewest = min(rate.non_mated for rate in (loss.old, loss.new, loss.mapped_new, loss.mapped))
    wanted = math.ceil(_FALSE_MATCHES / loss.fmr)
    if fewest < wanted:
        output.note(
            f"a false match rate of {loss.fmr:g} rests on {fewest} non-mated pairs here, fewer than {wanted}: "
            "take the figures for rough, or more people"
        )
