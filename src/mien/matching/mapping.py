"""A learned map from one embedding space to another, for templates whose photos are gone.

Two models see the same faces, and most of what one of them tells people apart by can be read off the other's
templates by a linear map. It loses accuracy, how much depends on the two models; the map states it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.matching.array_files import load_arrays, save_arrays
from mien.matching.mapping_loss import MapLoss, MatchRate, match_rate
from mien.types import FloatArray, Templates

__all__ = ["MapKind", "SpaceMap", "fit_map"]

MapKind = Literal["procrustes", "ridge"]

_FORMAT = "mien space map 1"
_PENALTIES = (0.001, 0.01, 0.1, 1.0)
_HELD_OUT, _VALIDATION = 0.3, 0.2
_FEWEST_PEOPLE = 10
# So few people decide between the kinds of map that a smaller rate would rest on a handful of pairs.
_VALIDATION_FMR = 0.01
_DIGEST_DIGITS = 16
_ARRAYS = ("matrix", "source_mean", "target_mean")


@dataclass(frozen=True, slots=True, eq=False)
class SpaceMap:
    """A linear map between two embedding spaces: shift, matrix, shift, and scaling to unit norm.

    Attributes:
        source: the space of the templates that it takes.
        target: the space of those that it gives.
        kind: how it was fitted.
        penalty: of the ridge, as a share of the templates' mean variance; 0 for Procrustes.
        matrix: ``(d, e) float32``.
        source_mean: ``(d,) float32``, subtracted before.
        target_mean: ``(e,) float32``, added after.
        people: how many people it was fitted on.
        pairs: how many pairs of templates.
        loss: measured on people that it was not fitted on.

    Raises:
        BadInput: shapes do not fit, or a number is not finite.
    """

    source: str
    target: str
    kind: MapKind
    penalty: float
    matrix: FloatArray
    source_mean: FloatArray
    target_mean: FloatArray
    people: int
    pairs: int
    loss: MapLoss

    def __post_init__(self) -> None:
        for name in ("matrix", "source_mean", "target_mean"):
            array = np.ascontiguousarray(getattr(self, name), np.float32)
            if not np.isfinite(array).all():
                raise BadInput(f"SpaceMap.{name}: expected finite numbers, got NaN or infinity")
            object.__setattr__(self, name, array)
        shapes = (self.source_mean.shape, self.target_mean.shape)
        if self.matrix.ndim != 2 or shapes != ((self.matrix.shape[0],), (self.matrix.shape[1],)):
            raise BadInput(f"SpaceMap: shapes do not fit: matrix {self.matrix.shape}, means {shapes[0]}, {shapes[1]}")

    def apply(self, templates: Templates) -> Templates:
        """The templates, as near as the map gets to what the target's model would have made.

        Raises:
            SpaceMismatch: they are not of the source space.
            BadInput: they have another dimension.
        """
        templates.require_space(self.source)
        if templates.dimension != len(self.source_mean):
            raise BadInput(f"expected templates of dimension {len(self.source_mean)}, got {templates.dimension}")
        return Templates(_mapped(templates.vectors, self.matrix, self.source_mean, self.target_mean), self.target)

    @property
    def digest(self) -> str:
        """16 hex digits that tell this map from others."""
        state = hashlib.sha256(f"{self.source}\n{self.target}\n".encode())
        for array in (self.matrix, self.source_mean, self.target_mean):
            state.update(array.astype("<f4").tobytes())
        return state.hexdigest()[:_DIGEST_DIGITS]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the map as an ``.npz`` file: its arrays, and everything else as JSON.

        Raises:
            OutputError: the file cannot be written.
        """
        facts = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _ARRAYS}
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        save_arrays(path, _FORMAT, {**facts, "loss": asdict(self.loss)}, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SpaceMap:
        """Read a map that ``save`` wrote.

        Raises:
            BadInput: there is no such file, it is something else, or it is damaged.
        """
        facts, arrays = load_arrays(path, _FORMAT, _ARRAYS, expected="a map that mien gallery fit-map made")
        try:
            return cls(**{**facts, **arrays, "loss": _loss(facts["loss"])})
        except (TypeError, KeyError, ValueError) as error:
            raise BadInput(f"{os.fspath(path)}: the map is damaged: {error}") from error


def fit_map(old: Templates, new: Templates, people: Sequence[str], *, seed: int = 0, fmr: float = 1e-3) -> SpaceMap:
    """Fit a map on the templates that two models made of the same faces.

    The people are split at random: three tenths are held out, and what the map's loss says is measured on them
    alone. The others fit the map; a part of them decides between the kinds of map and the ridge's penalty.

    - ``ridge``: least squares with a penalty on the matrix (Hoerl and Kennard, Technometrics 12(1), 1970).
    - ``procrustes``: a rotation or reflection and one scale, with which distances between templates stay as they
      are (Schönemann, Psychometrika 31(1), 1966; the scale: Schönemann and Carroll, Psychometrika 35(2), 1970).
      Between spaces of different dimension its matrix has orthonormal rows or columns.

    Args:
        old: ``n`` templates of the space to map from.
        new: templates of the same n faces, in the space to map to.
        people: who each face is, by any name.
        seed: of the split.
        fmr: the false match rate at which the loss is measured.

    Raises:
        BadInput: lengths differ, both are of one space, or there are too few people or images of each.
    """
    if not 0 < fmr < 1:
        raise BadInput(f"fmr: expected a rate between 0 and 1, got {fmr}")
    if not len(old) == len(new) == len(people):
        raise BadInput(f"lengths differ: old {len(old)}, new {len(new)}, people {len(people)}")
    if old.space == new.space:
        raise BadInput(f"expected templates of two spaces, got {old.space} twice")
    names, codes = np.unique(np.asarray(people), return_inverse=True)
    if len(names) < _FEWEST_PEOPLE:
        raise BadInput(f"expected at least {_FEWEST_PEOPLE} people to fit a map on, got {len(names)}")
    order = np.random.default_rng(seed).permutation(len(names))
    first, second = round(len(names) * _HELD_OUT), round(len(names) * (_HELD_OUT + _VALIDATION))
    held_out, validation = (np.isin(codes, part) for part in (order[:first], order[first:second]))
    training = ~held_out & ~validation
    x, y = old.vectors, new.vectors

    def merit(kind: MapKind, penalty: float) -> tuple[float, float]:
        mapped = _mapped(x[validation], *_fitted(x[training], y[training], kind, penalty))
        rate = match_rate(mapped, y[validation], codes[validation], max(fmr, _VALIDATION_FMR))
        return rate.tmr, float((mapped * y[validation]).sum(axis=1).mean())

    choices: list[tuple[MapKind, float]] = [("procrustes", 0.0), *(("ridge", penalty) for penalty in _PENALTIES)]
    kind, penalty = max(choices, key=lambda choice: merit(*choice))
    matrix, source_mean, target_mean = _fitted(x[~held_out], y[~held_out], kind, penalty)
    mapped = _mapped(x[held_out], matrix, source_mean, target_mean)
    loss = _measured(x[held_out], y[held_out], mapped, codes[held_out], fmr)
    pairs = int((~held_out).sum())
    return SpaceMap(
        old.space, new.space, kind, penalty, matrix, source_mean, target_mean, len(names) - first, pairs, loss
    )


def _fitted(x: FloatArray, y: FloatArray, kind: MapKind, penalty: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Matrix and the two means of the map from rows of ``x`` to rows of ``y``."""
    x_mean, y_mean = x.mean(axis=0, dtype=np.float64), y.mean(axis=0, dtype=np.float64)
    a, b = x - x_mean, y - y_mean
    cross: NDArray[np.float64] = a.T @ b
    if kind == "procrustes":
        left, values, right = np.linalg.svd(cross, full_matrices=False)
        rotation = left @ right
        matrix = rotation * (values.sum() / max(float(((a @ rotation) ** 2).sum()), np.finfo(float).tiny))
    else:
        square = a.T @ a
        strength = penalty * np.trace(square) / len(square)
        matrix = np.linalg.solve(square + strength * np.eye(len(square)), cross)
    return matrix.astype(np.float32), x_mean.astype(np.float32), y_mean.astype(np.float32)


def _mapped(vectors: FloatArray, matrix: FloatArray, source_mean: FloatArray, target_mean: FloatArray) -> FloatArray:
    raw = (vectors - source_mean) @ matrix + target_mean
    norms = np.linalg.norm(raw, axis=1, keepdims=True)
    return np.asarray(raw / np.maximum(norms, np.finfo(np.float32).tiny), dtype=np.float32)


def _measured(old: FloatArray, new: FloatArray, mapped: FloatArray, people: NDArray[np.int64], fmr: float) -> MapLoss:
    pairs = ((old, old), (new, new), (mapped, new), (mapped, mapped))
    return MapLoss(fmr, len(np.unique(people)), len(people), *(match_rate(a, b, people, fmr) for a, b in pairs))


def _loss(facts: dict[str, Any]) -> MapLoss:
    rates = {name: MatchRate(**facts[name]) for name in ("old", "new", "mapped_new", "mapped")}
    return MapLoss(**{**facts, **rates})
