"""What keeping a gallery's templates as int8 alone would cost, measured on the gallery itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import GalleryError
from mien.galleries.exchange import blocks_of
from mien.galleries.exchange_rows import Block
from mien.galleries.progress import Progress, Steps
from mien.galleries.protocol import Gallery
from mien.matching import dequantize, quantize
from mien.types import FloatArray

__all__ = ["CodecLoss", "measure_codec_loss"]

_TILE = 4096


@dataclass(frozen=True, slots=True)
class CodecLoss:
    """How searches of a gallery would change with the codec ``int8-only``.

    Each probe is a template of the gallery, compared with all templates of other identities.

    Attributes:
        probes: how many templates were taken for probes.
        comparisons: how many scores were compared.
        best_changed: the share of probes whose best other identity would be another one.
        largest_error: the largest difference that a score would have.
        mean_error: the mean difference, without its sign.
        threshold: from which score two templates match, or None if that was not looked at.
        decisions_changed: how many comparisons would fall on the other side of the threshold, or None.
    """

    probes: int
    comparisons: int
    best_changed: float
    largest_error: float
    mean_error: float
    threshold: float | None = None
    decisions_changed: int | None = None


def measure_codec_loss(
    gallery: Gallery,
    *,
    probes: int = 1000,
    threshold: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> CodecLoss:
    """Compare float32 scores with those of int8 templates, in bounded memory.

    Args:
        gallery: with float32 templates of at least two identities.
        probes: how many templates to search with, drawn at random.
        threshold: also count the decisions that would change.
        seed: of the draw.
        progress: is told how far it is: every template is read twice, to draw and to compare.

    Raises:
        GalleryError: the gallery keeps int8 alone already, or holds fewer than two identities.
    """
    if gallery.options.codec == "int8-only":
        raise GalleryError(f"{gallery.url}: keeps its templates as int8 alone, so there is nothing to compare with")
    steps = Steps(progress, 2 * len(gallery))
    chosen = np.sort(np.random.default_rng(seed).permutation(len(gallery))[:probes])
    numbers: dict[str, int] = {}
    vectors, owners = _drawn(gallery, chosen, numbers, steps)
    best = np.full((2, len(vectors)), -np.inf, np.float32)
    who = np.full((2, len(vectors)), -1, np.int64)
    largest = total = 0.0
    count = changed = 0
    for block in _parts(gallery):
        people = _numbered(block.identities, numbers)
        coded = dequantize(quantize(block.vectors))
        for start in range(0, len(block), _TILE):
            part = slice(start, start + _TILE)
            others = owners[:, None] != people[part]
            exact, coarse = (vectors @ part_vectors[part].T for part_vectors in (block.vectors, coded))
            error = np.abs(exact - coarse)[others]
            count += error.size
            if error.size:
                largest, total = max(largest, float(error.max())), total + float(error.sum(dtype=np.float64))
            if threshold is not None:
                changed += int(((exact >= threshold) != (coarse >= threshold))[others].sum())
            for k, scores in enumerate((exact, coarse)):
                _keep_best(np.where(others, scores, -np.inf), people[part], best[k], who[k])
        steps.advance(len(block))
    steps.finish()
    if count == 0:
        raise GalleryError(f"{gallery.url}: expected templates of two identities at least, found none to compare")
    return CodecLoss(
        len(vectors),
        count,
        float((who[0] != who[1]).mean()),
        largest,
        total / count,
        threshold,
        None if threshold is None else changed,
    )


def _parts(gallery: Gallery) -> Iterator[Block]:
    """The gallery's templates, not so many at once that nothing is heard of the work for long."""
    for block in blocks_of(gallery):
        for start in range(0, len(block), _TILE):
            yield block[start : start + _TILE]


def _numbered(identities: Sequence[str], numbers: dict[str, int]) -> NDArray[np.int64]:
    return np.asarray([numbers.setdefault(name, len(numbers)) for name in identities], np.int64)


def _drawn(
    gallery: Gallery, chosen: NDArray[np.int64], numbers: dict[str, int], steps: Steps
) -> tuple[FloatArray, NDArray[np.int64]]:
    """The vectors and identities of the templates at these places in the gallery's order."""
    vectors: list[FloatArray] = []
    owners: list[NDArray[np.int64]] = []
    start = 0
    for block in _parts(gallery):
        places = chosen[(chosen >= start) & (chosen < start + len(block))] - start
        if len(places):
            vectors.append(block.vectors[places])
            owners.append(_numbered([block.identities[k] for k in places], numbers))
        start += len(block)
        steps.advance(len(block))
    if not vectors:
        return np.empty((0, 1), np.float32), np.empty(0, np.int64)
    return np.concatenate(vectors), np.concatenate(owners)


def _keep_best(scores: FloatArray, people: NDArray[np.int64], best: FloatArray, who: NDArray[np.int64]) -> None:
    """Take over, in place, where these scores beat the best so far."""
    places = scores.argmax(axis=1)
    found = scores[np.arange(len(scores)), places]
    better = found > best
    best[better], who[better] = found[better], people[places[better]]
