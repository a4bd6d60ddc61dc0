"""SDD-FIQA: an image's quality from how far apart its same-person and other-person similarities are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from mien.errors import BadInput
from mien.training.losses.objective import ObjectiveOutput
from mien.training.ranks import Ranks
from mien.types import FloatArray

__all__ = ["QualityRegression", "quality_labels", "wasserstein"]


def quality_labels(
    templates: FloatArray, labels: NDArray[np.integer], *, pairs: int = 24, rounds: int = 12, seed: int = 0
) -> FloatArray:
    """Pseudo labels of quality, made of a recognizer's templates.

    For each image, ``pairs`` of its person's other images and ``pairs`` images of other people are drawn (fewer where
    there are no more); the Wasserstein distance between the two sets of similarities, its mean over ``rounds`` draws,
    scaled over all images to 0..100, is its quality (Ou and others, "SDD-FIQA: Unsupervised Face Image Quality
    Assessment with Similarity Distribution Distance", CVPR 2021, whose code has 24 and 12).

    Args:
        templates: ``(n, d)``, unit norm.
        labels: ``(n,)``: the person of each.
        pairs: of each kind.
        rounds: how often to draw.
        seed: of the draws.

    Returns:
        ``(n,) float32``, 0..100; NaN for an image that is its person's only one.

    Raises:
        BadInput: shapes do not fit, or there are fewer than two people, or none has two images.
    """
    if templates.ndim != 2 or labels.shape != templates.shape[:1]:
        raise BadInput(f"expected (n, d) templates and (n,) labels, got {templates.shape} and {labels.shape}")
    people, counts = np.unique(labels, return_counts=True)
    if len(people) < 2 or counts.max(initial=0) < 2:
        raise BadInput(f"expected two people and a person with two images, got {len(labels)} images of {len(people)}")
    if pairs < 1 or rounds < 1:
        raise BadInput(f"expected pairs >= 1 and rounds >= 1, got {pairs} and {rounds}")
    random = np.random.default_rng(seed)
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], labels)
    sizes = counts[np.searchsorted(people, labels)]
    places = np.empty(len(labels), np.int64)
    places[order] = np.arange(len(labels))
    found = np.full(len(labels), np.nan)
    for row in np.flatnonzero(sizes > 1):
        start, size = starts[row], sizes[row]
        total = 0.0
        for _ in range(rounds):
            # Places among the person's images but one, and among all but the person's.
            mated = start + random.choice(size - 1, min(pairs, size - 1), replace=False)
            mated += mated >= places[row]
            others = random.choice(len(labels) - size, min(pairs, len(labels) - size), replace=False)
            others += size * (others >= start)
            similar = templates[order[np.concatenate([mated, others])]] @ templates[row]
            total += wasserstein(similar[: len(mated)], similar[len(mated) :])
        found[row] = total / rounds
    low, high = np.nanmin(found), np.nanmax(found)
    return np.asarray((found - low) / max(high - low, 1e-12) * 100, np.float32)


def wasserstein(first: FloatArray, second: FloatArray) -> float:
    """The Wasserstein-1 distance between two samples: the area between their distribution functions."""
    both = np.sort(np.concatenate([first, second]).astype(np.float64))
    gaps = np.diff(both)
    shares = [np.searchsorted(np.sort(part), both[:-1], side="right") / len(part) for part in (first, second)]
    return float(np.sum(np.abs(shares[0] - shares[1]) * gaps))


class QualityRegression(nn.Module):
    """A layer that tells quality from features, and its loss.

    Dropout, one linear layer, and Huber's loss against the pseudo labels, with its turn at 1 (Ou and others 2021). The
    loss is that of the batch of all processes, so the layer learns the same in each and is not to be wrapped in
    ``DistributedDataParallel``; the network is.

    Args:
        dimension: of the features.
        ranks: the processes.
        dropout: share of features that are set to 0 in training; must be 0 with several processes, where each would
            draw its own.
    """

    def __init__(self, dimension: int, ranks: Ranks, dropout: float = 0.0) -> None:
        super().__init__()
        if not 0 <= dropout < 1 or (dropout and ranks.world > 1):
            raise BadInput(f"dropout: expected 0 up to 1, and 0 with several processes, got {dropout}")
        self.ranks = ranks
        self.layer = nn.Sequential(nn.Dropout(dropout), nn.Linear(dimension, 1))
        self.layer.load_state_dict(ranks.broadcast_object(self.layer.state_dict()))

    def forward(self, features: Tensor) -> Tensor:
        """``(n,)``: qualities of ``(n, d)`` features."""
        quality: Tensor = self.layer(features.float()).squeeze(1)
        return quality

    def loss(self, features: Tensor, quality: Tensor) -> ObjectiveOutput:
        """The mean loss of the batch of all processes.

        Args:
            features: ``(n, d)``.
            quality: ``(n,)``, 0..100; images with NaN are left out.
        """
        if features.ndim != 2 or quality.shape != features.shape[:1]:
            raise BadInput(
                f"expected (n, d) features and (n,) qualities, got {tuple(features.shape)}, {tuple(quality.shape)}"
            )
        counts = self.ranks.row_counts(len(features))
        whole = self.ranks.gather_features(features.float(), counts)
        wanted = self.ranks.gather_features(quality.float(), counts)
        known = ~wanted.isnan()
        told = self(whole[known])
        losses = nn.functional.huber_loss(told, wanted[known], reduction="none")
        loss = losses.sum() / max(1, len(losses)) + whole.sum() * 0
        error = (told.detach() - wanted[known]).abs().sum() / max(1, len(losses))
        return ObjectiveOutput(loss, {"quality_error": error})
