"""What stands in a calibration's file besides its curves, and how it is read: strictly.

A file that was edited by hand or cut off is found out when it is read, not by the first score that it is asked about.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from mien.errors import BadInput

__all__ = ["CalibrationFacts", "HeldOut", "OperatingPoint", "Tail", "facts_of", "point_of", "strict_json", "tail_of"]

_Record = TypeVar("_Record")


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The threshold for a false match rate.

    Attributes:
        fmr: the false match rate asked for.
        threshold: the lowest score at which it is not exceeded.
        low: lower end of the threshold's 95 % interval, by resampling people.
        high: its upper end.
        fmr_low: lower end of the 95 % prediction interval of the false match rate that as many other people have at
            this threshold, drawn from the population that these are from.
        fmr_high: its upper end.
        errors: how many false matches it rests on.
        extrapolated: fewer than 30 of them (ISO/IEC 19795-1, rule of 30): the threshold comes from the tail's model.
    """

    fmr: float
    threshold: float
    low: float
    high: float
    fmr_low: float
    fmr_high: float
    errors: float
    extrapolated: bool


@dataclass(frozen=True, slots=True)
class Tail:
    """The upper tail of the non-mated scores as an exponential distribution.

    Attributes:
        start: the score from which it holds.
        rate: share of the non-mated scores from there on.
        scale: mean excess over ``start``.
    """

    start: float
    rate: float
    scale: float

    def threshold(self, fmr: float) -> float:
        """The score that a share ``fmr`` of the non-mated scores reaches, for ``fmr`` up to ``rate``."""
        return self.start + self.scale * math.log(self.rate / fmr)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """How a calibration fitted on half of the people did on the other half.

    Attributes:
        people: how many people there were in the tested half.
        cllr: cost of its log-likelihood ratios, in bits.
        cllr_min: the least that any order-preserving calibration of the tested half itself could cost.
        worst_bin: greatest difference of claimed and measured probability over ten equal bins of at least 50 pairs, at
            even odds; None where no bin has so many.
        fmr: false match rate measured at the threshold for ``nominal_fmr``.
        fmr_low: lower end of its 95 % interval.
        fmr_high: its upper end.
        nominal_fmr: what was asked for.
    """

    people: int
    cllr: float
    cllr_min: float
    worst_bin: float | None
    fmr: float
    fmr_low: float
    fmr_high: float
    nominal_fmr: float


@dataclass(frozen=True, slots=True)
class CalibrationFacts:
    """What a calibration was fitted on.

    Attributes:
        data: the sets, in words.
        people: how many people.
        images: how many images had a face.
        mated: how many mated comparisons.
        non_mated: how many non-mated ones.
        cllr: cost of the log-likelihood ratios on these same comparisons, in bits.
        cllr_min: the least that any order-preserving calibration could cost there.
        method: how it was fitted.
        date: when, as YYYY-MM-DD.
        versions: of what was used.
        held_out: a half of the people kept apart, or None where there were too few.
    """

    data: str
    people: int
    images: int
    mated: int
    non_mated: int
    cllr: float
    cllr_min: float
    method: str
    date: str
    versions: dict[str, str]
    held_out: HeldOut | None = None


def strict_json(text: bytes) -> Any:
    """What a JSON text says.

    Raises:
        ValueError: it is no JSON, it has NaN or an infinite number (RFC 8259 knows none), or a name twice.
    """
    return json.loads(text, parse_constant=_no_number, object_pairs_hook=_no_name_twice)


def point_of(values: Any) -> OperatingPoint:
    """A point as a file has it.

    Raises:
        BadInput: a field is missing, unknown, of another type or out of range.
    """
    point = _record(OperatingPoint, values, "points")
    _require(point.fmr_low <= point.fmr_high, "points.fmr_low", "at most fmr_high", point.fmr_low)
    _require(point.low <= point.threshold <= point.high, "points.threshold", "between low and high", point.threshold)
    for name in ("fmr", "fmr_low", "fmr_high"):
        _share(f"points.{name}", getattr(point, name))
    return point


def tail_of(values: Any) -> Tail:
    """The tail as a file has it; errors as for ``point_of``."""
    return _record(Tail, values, "tail")


def facts_of(values: Any) -> CalibrationFacts:
    """The facts as a file has them; errors as for ``point_of``."""
    given = dict(values) if isinstance(values, dict) else values
    if isinstance(given, dict) and given.get("held_out") is not None:
        given["held_out"] = held = _record(HeldOut, given["held_out"], "facts.held_out")
        for name in ("fmr", "fmr_low", "fmr_high", "nominal_fmr"):
            _share(f"facts.held_out.{name}", getattr(held, name))
    facts = _record(CalibrationFacts, given, "facts")
    for name in ("people", "images", "mated", "non_mated"):
        _require(getattr(facts, name) >= 0, f"facts.{name}", "a count", getattr(facts, name))
    texts = all(isinstance(text, str) for pair in facts.versions.items() for text in pair)
    _require(texts, "facts.versions", "texts", facts.versions)
    return facts


# Annotations are texts: dataclasses keep them as they are written above.
_TYPES: dict[str, tuple[type, ...]] = {
    "float": (float, int),
    "float | None": (float, int, type(None)),
    "int": (int,),
    "bool": (bool,),
    "str": (str,),
    "dict[str, str]": (dict,),
    "HeldOut | None": (HeldOut, type(None)),
}


def _record(kind: type[_Record], values: Any, where: str) -> _Record:
    if not isinstance(values, Mapping):
        raise BadInput(f"{where}: expected an object, got {values!r:.60}")
    known: dict[str, str] = dict(kind.__annotations__)
    for name in values:
        _require(name in known, where, f"{', '.join(known)}", name)
    for name, annotation in known.items():
        if name not in values:
            if name == "held_out":
                continue
            raise BadInput(f"{where}.{name}: expected a value, got none")
        value, types = values[name], _TYPES[annotation]
        good = isinstance(value, types) and (bool in types or not isinstance(value, bool))
        if float in types and value is not None:
            good = good and math.isfinite(value)
        _require(good, f"{where}.{name}", "a finite number" if float in types else annotation, value)
    return kind(**{name: float(v) if known[name] == "float" else v for name, v in values.items()})


def _share(where: str, value: float) -> None:
    _require(0 <= value <= 1, where, "a rate between 0 and 1", value)


def _require(good: bool, where: str, expected: str, value: object) -> None:
    if not good:
        raise BadInput(f"{where}: expected {expected}, got {value!r:.60}")


def _no_number(text: str) -> Any:
    raise ValueError(f"expected finite numbers, got {text}")


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("expected each name once, got one twice")
    return made
