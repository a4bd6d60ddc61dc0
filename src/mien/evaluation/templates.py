"""Templates of several images each: pooled by medium, then by person, weighted by quality (as in IJB)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.evaluation.acquisition import Acquired
from mien.evaluation.protocols import TemplateProtocol

__all__ = ["pool_templates"]

_LEAST_WEIGHT = 0.01
_LEAST_NORM = 1e-6


def pool_templates(protocol: TemplateProtocol, acquired: Acquired, *, weighted: bool = True) -> Acquired:
    """One template for each of the protocol's, out of its images.

    Frames of one medium are averaged first, then the media; each average is weighted by quality (0..100, as a share,
    with a floor of 0.01) if every image has one, else by nothing; a medium's weight is the mean of its frames'. The sum
    is scaled to unit norm. The quality of a template is its best image's.

    Args:
        protocol: which image belongs where.
        acquired: of ``protocol.images``.
        weighted: False for plain means.

    Returns:
        One row a template, in the order of ``protocol.pairs.samples``. One without any image that was acquired is not
        acquired, for the reason of most of them; boxes and landmarks are NaN.

    Raises:
        BadInput: ``acquired`` is of other images.
    """
    if len(acquired) != len(protocol.images):
        raise BadInput(f"expected templates of {len(protocol.images)} images, got {len(acquired)}")
    count = len(protocol.pairs.samples)
    weights = np.ones(len(acquired))
    if weighted and acquired.has_quality:
        weights = np.maximum(np.nan_to_num(acquired.quality) / 100, _LEAST_WEIGHT)
    used = acquired.acquired[protocol.image]
    image, template = protocol.image[used], protocol.template[used]
    media, medium = np.unique(protocol.media[used], return_inverse=True)
    frames = weights[image]
    by_medium = _sums(acquired.vectors[image] * frames[:, None], medium, len(media))
    by_medium /= np.bincount(medium, frames, len(media))[:, None]
    owner = np.zeros(len(media), np.int64)
    owner[medium] = template
    medium_weights = np.bincount(medium, frames, len(media)) / np.maximum(np.bincount(medium, minlength=len(media)), 1)
    pooled = _sums(by_medium * medium_weights[:, None], owner, count)
    norms = np.linalg.norm(pooled, axis=1)
    there = norms > _LEAST_NORM
    vectors = np.zeros((count, acquired.vectors.shape[1]), np.float32)
    vectors[there] = pooled[there] / norms[there, None]
    quality = np.full(count, np.nan)
    if acquired.has_quality:
        best = np.full(count, -np.inf)
        np.maximum.at(best, template, acquired.quality[image])
        quality = np.where(there, best, np.nan)
    codes = _reasons(protocol, acquired, there)
    return replace(
        acquired,
        names=tuple(sample.name for sample in protocol.pairs.samples),
        vectors=vectors,
        acquired=there,
        codes=codes,
        messages=tuple("" if code is None else "none of its images gave a template" for code in codes),
        xyxy=np.full((count, 4), np.nan, np.float32),
        landmarks=np.full((count, 5, 2), np.nan, np.float32),
        scores=np.full(count, np.nan),
        faces=np.bincount(template, minlength=count).astype(np.int64),
        size_wh=np.zeros((count, 2), np.int64),
        quality=quality,
    )


def _sums(rows: NDArray[np.floating], group: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """``(count, d)``: the sum of the rows of each group."""
    sums = np.zeros((count, rows.shape[1]))
    np.add.at(sums, group, rows)
    return sums


def _reasons(protocol: TemplateProtocol, acquired: Acquired, there: NDArray[np.bool_]) -> tuple[str | None, ...]:
    said: dict[int, list[str]] = {}
    for image, template in zip(protocol.image.tolist(), protocol.template.tolist(), strict=True):
        code = acquired.codes[image]
        if code is not None:
            said.setdefault(template, []).append(code)
    return tuple(
        None if ok else max(sorted(set(words)), key=words.count) if (words := said.get(k)) else "no_image"
        for k, ok in enumerate(there)
    )
