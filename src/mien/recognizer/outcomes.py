"""What became of one image of many, and what the calls that need exactly one face make of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar, cast

import numpy as np

from mien.errors import BadInput, MienError, NoFace, SeveralFaces
from mien.images import ImageSource, split_batch
from mien.types import Analysis

__all__ = [
    "Batch",
    "FaceChoice",
    "OnError",
    "Outcome",
    "answer",
    "check_face_choice",
    "closed",
    "mapped",
    "one_face",
    "result_of",
]

Batch: TypeAlias = Iterable[ImageSource]
FaceChoice = Literal["single", "largest"]
OnError = Literal["raise", "return"]
_Result = TypeVar("_Result")
_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[_Result]):
    """What became of one image: a result or an error; and its size, where it could be opened."""

    size_wh: tuple[int, int] | None
    result: _Result | MienError


def check_face_choice(face: str) -> None:
    """Refuse what is no ``FaceChoice``.

    Raises:
        BadInput: ``face`` is neither ``"single"`` nor ``"largest"``.
    """
    if face not in ("single", "largest"):
        raise BadInput(f'face: expected "single" or "largest", got {face!r}')


def one_face(analysis: Analysis, face: FaceChoice, source: object = None) -> Analysis:
    """The analysis of its one face.

    Args:
        analysis: of one image.
        face: ``"largest"`` takes the largest face where there are several.
        source: the image, for the error's message.

    Raises:
        NoFace: it has none.
        SeveralFaces: it has several, and ``face`` is ``"single"``.
        BadInput: ``face`` is neither.
    """
    check_face_choice(face)
    where = f" in {source}" if isinstance(source, (str, os.PathLike)) else ""
    if len(analysis) == 0:
        raise NoFace(f"expected a face{where}, found none")
    if len(analysis) > 1 and face == "single":
        raise SeveralFaces(f"expected one face{where}, found {len(analysis)}")
    return analysis[int(np.argmax(analysis.faces.areas))]


def result_of(outcome: Outcome[_Result]) -> _Result:
    """The result, or its error raised."""
    if isinstance(outcome.result, MienError):
        raise outcome.result
    return outcome.result


def answer(
    source: object, errors: OnError, work: Callable[[Iterable[ImageSource]], Iterator[Outcome[_Result]]]
) -> object:
    """What ``work`` makes of a source: one result for one image, a list for a batch.

    Raises:
        BadInput: ``errors`` is neither ``"raise"`` nor ``"return"``.
    """
    if errors not in ("raise", "return"):
        raise BadInput(f'errors: expected "raise" or "return", got {errors!r}')
    sources, is_batch = split_batch(cast("ImageSource | Batch", source))
    with closed(work(sources)) as outcomes:  # an error leaves no window of images waiting in it
        results = [result_of(o) if errors == "raise" else o.result for o in outcomes]
    return results if is_batch else results[0]


def mapped(outcomes: Iterator[Outcome[_Result]], work: Callable[[_Result], _Made]) -> Iterator[Outcome[_Made]]:
    """What ``work`` makes of each result; errors keep their places."""
    with closed(outcomes):
        for outcome in outcomes:
            result = outcome.result
            yield Outcome(outcome.size_wh, result if isinstance(result, MienError) else work(result))


@contextmanager
def closed(outcomes: Iterator[_Result]) -> Iterator[Iterator[_Result]]:
    """Close a generator behind an error too: its decoding threads and its window of images go at once."""
    try:
        yield outcomes
    finally:
        if isinstance(outcomes, Generator):
            outcomes.close()
