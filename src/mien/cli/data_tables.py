"""What ``mien data`` prints for people: the figures of a pack, and the images that were left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mien.cli.output import Output

if TYPE_CHECKING:
    from mien.errors import MienError
    from mien.training.data.preparing import Refused
    from mien.training.data.statistics import PackStatistics

__all__ = ["show_refused", "show_statistics"]


def show_refused(refused: Sequence[Refused], output: Output) -> None:
    """Report each image that was left out; the exit code will be 1."""
    from mien import errors

    classes: dict[str, type[MienError]] = {getattr(errors, name).code: getattr(errors, name) for name in errors.__all__}
    for item in refused:
        error = classes.get(item.code, errors.MienError)(item.message)
        output.failure({"image": item.name, "identity": item.identity}, error)


def show_statistics(name: str, found: PackStatistics, output: Output) -> None:
    """The figures of a pack, as a table."""
    output.columns("fact", "value")
    for fact, value in _facts(found):
        output.result({}, (fact, value))
    output.say(f"{name}: {found.images} images of {found.identities} people")


def _facts(found: PackStatistics) -> list[tuple[str, str]]:
    rows = [
        ("images", f"{found.images:,}"),
        ("people", f"{found.identities:,}"),
        ("images without a label", f"{found.unlabeled:,}"),
        ("aligned to", "not aligned" if found.aligned is None else f"{found.aligned}×{found.aligned} pixels"),
        ("bytes", f"{found.bytes:,} in {_counted(found.shards, 'shard')}"),
    ]
    if found.images_a_person:
        spread = found.images_a_person
        rows.append(
            (
                "images a person",
                f"{spread['least']} to {spread['most']}, median {spread['median']:g}, mean {spread['mean']:.1f}",
            )
        )
    for low, high, people in found.histogram:
        span = f"{low}" if high == low else f"{low} or more" if high is None else f"{low} to {high}"
        rows.append((f"people with {span} images", f"{people:,}"))
    rows += [(f"images of {person}", f"{count:,}") for person, count in found.largest]
    rows += [(f"images of {width}×{height} pixels", f"{count:,}") for width, height, count in found.sizes]
    rows.append(("images with landmarks", f"{found.with_landmarks:,}"))
    rows.append(("quality, deciles", _deciles(found.quality)))
    rows.append(("detection score, deciles", _deciles(found.scores)))
    rows += [(f"license {license_ or '(none)'}", f"{count:,}") for license_, count in found.licenses.items()]
    rows.append(
        (
            "images of the bytes of another",
            f"{found.duplicates:,}, of them of another person {found.duplicates_across:,}",
        )
    )
    if found.note:
        rows.append(("note", found.note))
    return [*rows, *(("from", source) for source in found.sources)]


def _deciles(values: tuple[float, ...] | None) -> str:
    return "not measured" if values is None else " ".join(f"{value:.3g}" for value in values)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
