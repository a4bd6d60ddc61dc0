"""The weights of a running training on sets of pairs: faces cut out once, then embedded anew each time.

The faces are those that ``mien evaluate pairs`` would take, with the default detector, and the numbers come from
``mien.evaluation``; what a finished model is worth is for ``mien evaluate pairs --embedder`` to say, with intervals.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.errors import BadInput, BadSettings, CacheError, MienError
from mien.evaluation import Comparisons, ErrorRates, k_fold_accuracy
from mien.evaluation.protocols import PairKind, PairProtocol, read_pairs
from mien.matching import paired_scores
from mien.recognizer import Recognizer, Settings
from mien.training.backbones import Backbone, build_backbone
from mien.training.data.aligning import iter_chips
from mien.training.learner import pixels_to_input
from mien.training.ranks import Ranks
from mien.training.settings import ProtocolSettings, TrainingSettings
from mien.training.watching import Watch
from mien.types import FloatArray, ImageArray
from mien.zoo import cache_dir

__all__ = ["Watched", "embed_chips", "evaluate_backbone", "open_watched", "protocol_figures"]

_BATCH = 64
_RATES = (1e-1, 1e-2, 1e-3)


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """A set that a run is evaluated on.

    Attributes:
        name: of the protocol.
        protocol: which samples are compared.
        chips: ``(m, s, s, 3) uint8`` RGB, black where no face was found.
        found: ``(m,) bool`` whether a face was.
    """

    name: str
    protocol: PairProtocol
    chips: ImageArray
    found: NDArray[np.bool_]


def open_watched(settings: TrainingSettings, ranks: Ranks, watch: Watch) -> list[Watched]:
    """The sets of a run, with their faces; only the first process cuts them out, and only it has them.

    Raises:
        BadInput: a set cannot be read.
        BadSettings: a set's kind is none that there is.
    """
    size = build_backbone(settings.backbone.name, dimension=settings.backbone.dimension).size
    opened: list[Watched] = []
    failure: MienError | None = None
    try:
        for wanted in settings.evaluation.protocols:
            protocol = _read(wanted)
            if ranks.rank:
                none = np.empty((0, size, size, 3), np.uint8)
                opened.append(Watched(_name(wanted), protocol, none, np.empty(0, np.bool_)))
            else:
                opened.append(_with_chips(_name(wanted), protocol, size, watch))
    except MienError as error:
        failure = error
    ranks.await_first()
    # One process that fails must not leave the others waiting.
    failures = [error for error in ranks.gather_objects(failure) if error is not None]
    if failures:
        raise failures[0]
    names = [each.name for each in opened]
    if len(set(names)) != len(names):
        raise BadSettings(f"evaluation.protocols: expected different sets, got {', '.join(names)}")
    return opened


def evaluate_backbone(
    backbone: Backbone, weights: Mapping[str, Tensor], watched: Sequence[Watched], device: torch.device
) -> dict[str, dict[str, float]]:
    """Figures of a network on each set; see ``protocol_figures``.

    Args:
        backbone: the network; its own weights come back at the end.
        weights: those to evaluate.
        watched: the sets.
        device: where to compute.
    """
    with _holding(backbone, weights):
        return {
            each.name: protocol_figures(each.protocol, embed_chips(backbone, each.chips, device), each.found)
            for each in watched
        }


def embed_chips(backbone: Backbone, chips: ImageArray, device: torch.device) -> FloatArray:
    """``(m, d) float32`` unit templates of ``(m, s, s, 3)`` chips, by a network that is set to evaluation."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(chips), _BATCH):
            images = torch.from_numpy(np.ascontiguousarray(chips[start : start + _BATCH])).to(device)
            features = backbone(pixels_to_input(images.permute(0, 3, 1, 2))).float()
            parts.append(torch.nn.functional.normalize(features, dim=1).cpu().numpy())
    return np.concatenate(parts) if parts else np.empty((0, backbone.dimension), np.float32)


def protocol_figures(protocol: PairProtocol, vectors: FloatArray, found: NDArray[np.bool_]) -> dict[str, float]:
    """What a run is watched by.

    Args:
        protocol: which samples are compared.
        vectors: ``(m, d)`` unit templates.
        found: ``(m,)`` which samples have one; comparisons of the others are not made.

    Returns:
        ``accuracy`` (k-fold, comparisons that were not made decided as non-matches; 1 - EER where there are no folds),
        ``standard_error`` of it, ``eer``, ``auc``, ``tmr_at_fmr_0.01`` and so on as far as there are non-mated
        comparisons for it, ``threshold_at_fmr_0.001``, and ``not_acquired``, the share of samples.
    """
    scores = np.full(len(protocol.left), np.nan)
    made = found[protocol.left] & found[protocol.right]
    scores[made] = paired_scores(vectors[protocol.left[made]], vectors[protocol.right[made]])
    comparisons = Comparisons(
        scores,
        protocol.mated,
        protocol.left,
        protocol.right,
        protocol.identities[protocol.left],
        protocol.identities[protocol.right],
        protocol.folds,
    )
    rates = ErrorRates.of(comparisons)
    figures = {"accuracy": 1 - rates.eer(), "eer": rates.eer(), "auc": rates.auc()}
    if protocol.folds is not None:
        folds = k_fold_accuracy(comparisons)
        figures.update(accuracy=folds.mean, standard_error=folds.standard_error)
    for rate in _RATES:
        if rate * rates.non_mated >= 1:
            figures[f"tmr_at_fmr_{rate:g}"] = rates.tmr_at_fmr(rate)
            figures[f"threshold_at_fmr_{rate:g}"] = rates.threshold_at_fmr(rate)
    figures["not_acquired"] = 1 - float(found.mean())
    return {name: float(value) for name, value in figures.items() if math.isfinite(value)}


@contextmanager
def _holding(backbone: Backbone, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """In it, the network has other weights, and is set to evaluation."""
    own = {name: value.detach().clone() for name, value in backbone.state_dict().items()}
    training = backbone.training
    backbone.load_state_dict(dict(weights))
    backbone.eval()
    try:
        yield
    finally:
        backbone.load_state_dict(own)
        backbone.train(training)


def _read(wanted: ProtocolSettings) -> PairProtocol:
    if wanted.kind is not None and wanted.kind not in get_args(PairKind):
        raise BadSettings(
            f"evaluation.protocols: expected a kind of {', '.join(get_args(PairKind))}, got {wanted.kind!r}"
        )
    kind: PairKind | None = wanted.kind  # type: ignore[assignment]
    return read_pairs(wanted.path, kind, images=wanted.images)


def _name(wanted: ProtocolSettings) -> str:
    return wanted.path.stem if wanted.kind is None else f"{wanted.path.stem}-{wanted.kind}"


def _with_chips(name: str, protocol: PairProtocol, size: int, watch: Watch) -> Watched:
    """The faces of a protocol, from the cache folder if an earlier run has cut them out."""
    file = cache_dir() / "chips" / f"{_key(protocol, size)}.npz"
    if file.is_file():
        try:
            with np.load(file) as kept:
                return Watched(name, protocol, kept["chips"], kept["found"])
        except (OSError, ValueError, KeyError) as error:
            raise CacheError(f"{file}: cannot be read, remove it: {error}") from error
    chips = np.zeros((len(protocol.samples), size, size, 3), np.uint8)
    found = np.zeros(len(chips), np.bool_)
    recognizer = Recognizer(Settings())
    for k, chip in enumerate(iter_chips(recognizer, (each.source for each in protocol.samples), size=size)):
        if not isinstance(chip, MienError):
            chips[k], found[k] = chip.pixels, True
        watch.preparing(f"faces of {name}", k + 1, len(chips))
    if not found.any():
        raise BadInput(f"{name}: expected images of faces, found a face in none of {len(chips)}")
    _keep(file, chips, found)
    return Watched(name, protocol, chips, found)


def _keep(file: Path, chips: ImageArray, found: NDArray[np.bool_]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = file.with_suffix(".part")
        with part.open("wb") as stream:
            np.savez(stream, chips=chips, found=found)
        part.replace(file)
    except OSError as error:
        raise CacheError(f"{file}: cannot be written: {error.strerror or error}") from error


def _key(protocol: PairProtocol, size: int) -> str:
    """What the faces of a set depend on: its images, as they are now, and the chips' size."""
    digest = hashlib.sha256(str(size).encode())
    for sample in protocol.samples:
        if isinstance(sample.source, bytes):
            digest.update(hashlib.sha256(sample.source).digest())
            continue
        path = Path(sample.source).absolute()
        status = path.stat() if path.is_file() else None
        told = (str(path), None if status is None else (status.st_size, status.st_mtime_ns))
        digest.update(repr(told).encode())
    return digest.hexdigest()[:32]
