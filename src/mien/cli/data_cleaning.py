"""``mien data merge`` and ``mien data clean``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.command import INTERRUPTED, command
from mien.cli.interrupts import Interruption
from mien.cli.options import TuningOfEmbedder
from mien.cli.output import Output
from mien.cli.whole_files import require_place

if TYPE_CHECKING:
    from mien.embedding import Embedder
    from mien.training.data import Index
    from mien.training.data.describing import Described

__all__ = ["clean", "merge"]

_Out = Annotated[
    Path,
    typer.Option(
        metavar="DIR", file_okay=False, show_default=False, help="A new or empty folder, for the index and the lists."
    ),
]
_Embedder = Annotated[
    str, typer.Option(metavar="CARD", help="What people are compared by; see: mien models list. As large as the chips.")
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Write the lists alone, no index.")]


@command
def merge(
    packs: Annotated[
        list[Path], typer.Argument(metavar="PACK...", show_default=False, help="Two or more packs, or their indexes.")
    ],
    out: _Out,
    tuning: TuningOfEmbedder,
    output: Output,
    embedder: _Embedder = "sface",
    drop: Annotated[
        bool,
        typer.Option("--drop/--join", help="Of people in several packs, keep the first pack's images, or all images."),
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=-1,
            max=1,
            show_default=False,
            help="Mean score of two people's images from which they are one; by default that of a false match rate of "
            "0.0001.",
        ),
    ] = None,
    uncertain: Annotated[
        float | None,
        typer.Option(
            min=-1,
            max=1,
            show_default=False,
            help="Score from which a person has to decide; by default that of a false match rate of 0.01.",
        ),
    ] = None,
    review: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv", show_default=False, help="Where the undecided pairs go; by default DIR/review.csv."
        ),
    ] = None,
    decided: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            show_default=False,
            help="A review list in which the column decision says same or different.",
        ),
    ] = None,
    dry_run: _DryRun = False,
) -> None:
    """Merge packs into one index; people who stand in several become one person, or are left out of the later packs.

    Two people of different packs are one if each is the other's nearest and their images are alike enough on average.
    Pairs that are less sure, or contradict surer ones, stay apart and go into a review list with their two most similar
    images; fill in its column decision, and give it back with --decided. No image is copied: the shards stay where they
    are. DIR/changes.csv names every image that was left out or got another name, and why; DIR/pairs.csv the people.

    Example: mien data merge packs/ours packs/theirs --out packs/both

    Example: mien data merge packs/ours packs/theirs --out packs/both2 --decided packs/both/review.csv --drop
    """
    from mien.training.data.changes import CHANGES_FILE, Change, require_free, write_rows
    from mien.training.data.index import read_index, write_index
    from mien.training.data.joining import Pack
    from mien.training.data.merging import MergeSettings, default_limits, require_mergeable
    from mien.training.data.merging import merge as merge_packs
    from mien.training.data.reviewing import PAIRS_FILE, REVIEW_FILE, PeoplePair, read_decisions

    require_free(out, (CHANGES_FILE, PAIRS_FILE, REVIEW_FILE))
    if review is not None:
        require_place(review, overwrite=False)
    named = [(str(pack), read_index(pack)) for pack in packs]
    require_mergeable(named)
    people = [(name, person) for name, index in named for person in index.identities]
    decisions = [] if decided is None else read_decisions(decided, people)
    network = tuning.embedder(embedder)
    sure, unsure = default_limits(network.space, network.threshold)
    limit = sure if threshold is None else threshold
    settings = MergeSettings(limit, min(limit, unsure) if uncertain is None else uncertain, "drop" if drop else "join")
    described = _described([index for _, index in named], network, output)
    ready = [Pack(name, index, found) for (name, index), found in zip(named, described, strict=True)]
    merged = merge_packs(ready, out, settings, decisions)
    write_rows(out / CHANGES_FILE, Change, merged.changes)
    write_rows(out / PAIRS_FILE, PeoplePair, merged.pairs)
    write_rows(out / REVIEW_FILE if review is None else review, PeoplePair, merged.open)
    if not dry_run:
        write_index(merged.index, out)
    output.result(
        {
            "out": str(out),
            "packs": [name for name, _ in named],
            "images": len(merged.index),
            "identities": merged.index.classes,
            "same": len(merged.same),
            "review": len(merged.open),
            "changes": merged.counts,
            "threshold": round(settings.threshold, 4),
            "uncertain": round(settings.uncertain, 4),
            "space": network.space,
            "written": not dry_run,
        }
    )
    output.say(
        f"{out}: {len(merged.index)} images of {merged.index.classes} people; "
        f"{len(merged.same)} pairs of people are one, {len(merged.open)} are to be reviewed"
        f"{'; no index was written' if dry_run else ''}"
    )


@command
def clean(
    index: Annotated[Path, typer.Argument(metavar="INDEX", show_default=False, help="A pack's folder, or its index.")],
    out: _Out,
    tuning: TuningOfEmbedder,
    output: Output,
    embedder: _Embedder = "sface",
    outlier: Annotated[
        float | None,
        typer.Option(
            min=-1,
            max=1,
            show_default=False,
            help="Images that score less with their person's center are removed; by default the threshold of a false "
            "match rate of 0.01.",
        ),
    ] = None,
    other: Annotated[
        float | None,
        typer.Option(
            min=-1,
            max=1,
            show_default=False,
            help="Score with another person's center to be theirs; by default the one that a search "
            "among all the people finds for one stranger in 10,000.",
        ),
    ] = None,
    margin: Annotated[
        float, typer.Option(min=0.001, max=2, help="By how much that score must be above the one with the own center.")
    ] = 0.1,
    flips: Annotated[
        str, typer.Option(metavar="relabel|remove", help="What becomes of images that are another person's.")
    ] = "relabel",
    duplicates: Annotated[
        bool, typer.Option("--duplicates/--no-duplicates", help="Remove photos that are there twice.")
    ] = True,
    correlation: Annotated[
        float, typer.Option(min=0.5, max=1, help="Correlation of the pixels from which two images are one photo.")
    ] = 0.94,
    dry_run: _DryRun = False,
) -> None:
    """Clean labels by templates: images of somebody else, images of another person, photos that are there twice.

    An image that is much more like another person gets that label; one that is hardly like its own person is removed.
    Of near-duplicates, also cut, scaled, brighter or mirrored ones, the best stays. Images that cannot be read are
    removed, named, and make the exit code 1. The images stay as they are, the index is a new one; DIR/changes.csv names
    each image with the reason, the scores and the image it was compared with.

    Example: mien data clean packs/faces --out packs/faces-clean

    Example: mien data clean packs/faces --out look --dry-run --no-duplicates
    """
    from mien.training.data.changes import CHANGES_FILE, Change, require_free, write_rows
    from mien.training.data.cleaning import clean as clean_index
    from mien.training.data.cleaning import default_settings
    from mien.training.data.index import read_index, write_index

    if flips not in ("relabel", "remove"):
        raise typer.BadParameter(f"expected relabel or remove, got {flips!r}", param_hint="--flips")
    require_free(out, (CHANGES_FILE,))
    pack = read_index(index)
    network = tuning.embedder(embedder)
    usual = default_settings(network.space, network.threshold, pack.classes, duplicates=duplicates)
    settings = dataclasses.replace(
        usual,
        outlier=usual.outlier if outlier is None else outlier,
        other=usual.other if other is None else other,
        margin=margin,
        relabel=flips == "relabel",
        duplicates=None if usual.duplicates is None else dataclasses.replace(usual.duplicates, correlation=correlation),
    )
    (described,) = _described([pack], network, output)
    with output.progress("duplicates", None, unit="pairs") as advance:
        cleaned = clean_index(pack, described, settings, advance)
    write_rows(out / CHANGES_FILE, Change, cleaned.changes)
    if not dry_run:
        write_index(cleaned.index, out)
    output.columns("reason", "images")
    output.result(
        {
            "index": str(index),
            "out": str(out),
            "images": len(pack),
            "left": len(cleaned.index),
            "identities": cleaned.index.classes,
            "lost": list(cleaned.lost),
            "changes": cleaned.counts,
            "outlier": round(settings.outlier, 4),
            "other": round(settings.other, 4),
            "margin": settings.margin,
            "space": network.space,
            "written": not dry_run,
        },
        *((reason.replace("_", " "), str(count)) for reason, count in sorted(cleaned.counts.items())),
    )
    output.say(
        f"{out}: {len(cleaned.index)} of {len(pack)} images, {cleaned.index.classes} of {pack.classes} people; "
        f"{out / CHANGES_FILE} says why{'; no index was written' if dry_run else ''}"
    )


def _described(indexes: Sequence[Index], network: Embedder, output: Output) -> list[Described]:
    """The packs' templates; images that cannot be read are told, and Ctrl-C ends the command once a batch is safe."""
    from mien.training.data.describing import describe, require_chips_of

    for index in indexes:
        require_chips_of(index, network)
    found: list[Described] = []
    with Interruption() as stop, output.progress("describe", sum(map(len, indexes))) as advance:
        for index in indexes:
            found.append(describe(index, network, progress=advance, stopped=lambda: stop.asked))
            if not found[-1].complete:
                break
    if not found[-1].complete:
        done = sum(int(one.there.sum()) for one in found)
        output.note(f"interrupted: {done} images have templates, which are kept; the same command goes on from there")
        raise typer.Exit(INTERRUPTED)
    for index, one in zip(indexes, found, strict=True):
        names = index.texts("name")
        for row, error in one.failures.items():
            output.failure({"image": names[row], "pack": index.where, "row": row}, error)
    return found
