"""What a comparison score means: a likelihood ratio, a probability, and the threshold for a false match rate.

A calibration belongs to one embedding space. Those that come with mien, and those that ``mien calibrate`` makes, are
small JSON files of numbers; ``calibration_fit`` makes them.
"""

from __future__ import annotations

import json
import math
import os
import urllib.parse
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.errors import BadInput, CalibrationNotFound, OutputError, SpaceMismatch
from mien.matching.calibration_facts import (
    CalibrationFacts,
    HeldOut,
    OperatingPoint,
    Tail,
    facts_of,
    point_of,
    strict_json,
    tail_of,
)
from mien.zoo import cache_dir

__all__ = [
    "Calibration",
    "CalibrationFacts",
    "HeldOut",
    "OperatingPoint",
    "Tail",
    "default_calibration_path",
    "find_calibration",
    "require_calibration",
]

Numbers = NDArray[np.float64]

_FORMAT = "mien calibration 1"
_FOLDER = "calibrations"
_SHIPPED = Path(__file__).parent / _FOLDER
_MOST_BYTES = 1_000_000
_EVEN = 0.5
_MEND = "make it anew with mien calibrate"
_CURVES = ("scores", "llrs", "rates", "thresholds")


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """From scores of one embedding space to likelihood ratios, probabilities and thresholds.

    Attributes:
        space: the embedding space.
        scores: ``(k,) float64`` rising scores at which the log-likelihood ratio is given; between them it is linear,
            beyond them constant.
        llrs: ``(k,) float64`` natural logarithms of the ratio of the scores' likelihoods, mated over non-mated; never
            falling.
        rates: ``(m,) float64`` falling false match rates.
        thresholds: ``(m,) float64`` their thresholds, never falling; in between, linear in the rate's logarithm.
        tail: the model for rates below all these.
        points: the usual rates' thresholds with their intervals.
        facts: what it was fitted on.

    Raises:
        BadInput: lengths or order do not fit, or a number is not finite.
    """

    space: str
    scores: Numbers
    llrs: Numbers
    rates: Numbers
    thresholds: Numbers
    tail: Tail
    points: tuple[OperatingPoint, ...]
    facts: CalibrationFacts

    def __post_init__(self) -> None:
        for name in _CURVES:
            array = np.array(getattr(self, name), np.float64)
            if array.ndim != 1 or len(array) < 2 or not np.isfinite(array).all():
                raise BadInput(f"Calibration.{name}: expected at least 2 finite numbers, got shape {array.shape}")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        _require("llrs", len(self.scores) == len(self.llrs), "as many as scores")
        _require("thresholds", len(self.rates) == len(self.thresholds), "as many as rates")
        _require("scores", bool((np.diff(self.scores) > 0).all()), "rising numbers")
        _require("llrs", bool((np.diff(self.llrs) >= 0).all()), "numbers that never fall")
        _require(
            "rates", bool((np.diff(self.rates) < 0).all() and self.rates[-1] > 0 and self.rates[0] <= 1), "falling"
        )
        _require("thresholds", bool((np.diff(self.thresholds) >= 0).all()), "numbers that never fall")
        for name in ("scores", "thresholds"):
            _require(name, bool((np.abs(getattr(self, name)) <= 1).all()), "numbers in -1..1, as scores are")
        tail = self.tail
        numbers = (tail.start, tail.rate, tail.scale)
        good = all(map(math.isfinite, numbers)) and tail.scale > 0 and 0 < tail.rate <= 1
        _require("tail", good, "finite numbers with a positive scale")

    def llr(self, scores: ArrayLike) -> Numbers:
        """Natural logarithm of the likelihood ratio of each score; NaN for a score that is NaN."""
        return np.asarray(np.interp(np.asarray(scores, np.float64), self.scores, self.llrs))

    def probability(self, scores: ArrayLike, *, prior: float = _EVEN) -> Numbers:
        """Probability that comparisons with these scores are mated.

        By Bayes' rule: the logit of the result is the log-likelihood ratio plus the logit of the prior.

        Args:
            scores: any shape.
            prior: the share of mated comparisons that is expected before a score is seen, between 0 and 1.

        Raises:
            BadInput: the prior is not between 0 and 1.
        """
        if not 0 < prior < 1:
            raise BadInput(f"prior: expected a number between 0 and 1, got {prior}")
        return _sigmoid(self.llr(scores) + math.log(prior / (1 - prior)))

    def candidate_probability(self, scores: ArrayLike, enrolled: int) -> Numbers:
        """Probability that candidates of a search are whom the probe shows.

        Before the search, each of the N enrolled templates and "none of them" are equally likely, 1 / (N + 1) each. The
        other N - 1 templates' likelihood ratios are 1 on average, so that the posterior is LR / (LR + N). It depends on
        the candidate's own score and N alone, whatever else the search gives back.

        Args:
            scores: any shape.
            enrolled: N, how many templates were searched.

        Raises:
            BadInput: ``enrolled`` is below 1.
        """
        return _sigmoid(self.llr(scores) - math.log(_counted(enrolled)))

    def threshold_at(self, fmr: float) -> float:
        """The score from which at most this share of the non-mated comparisons match; see ``is_extrapolated``.

        Rates above the first of ``rates``, 0.1 as fitted, get that one's threshold, which is stricter than asked for.

        Raises:
            BadInput: the rate is not above 0 and at most 0.5.
        """
        if not 0 < fmr <= _EVEN:
            raise BadInput(f"false match rate: expected above 0 and at most {_EVEN}, got {fmr}")
        if fmr < self.rates[-1]:
            return min(1.0, max(float(self.thresholds[-1]), self.tail.threshold(fmr)))
        # np.interp wants rising places.
        return float(np.interp(-math.log(fmr), -np.log(self.rates), self.thresholds))

    def threshold_at_fpir(self, fpir: float, enrolled: int) -> float:
        """The threshold at which at most this share of the probes of strangers find a candidate.

        A search among N templates is N comparisons: FPIR = 1 - (1 - FMR)^N (ISO/IEC 19795-1, the comparisons taken
        as independent), solved for the FMR.

        Raises:
            BadInput: the rate is not between 0 and 1, or ``enrolled`` is below 1.
        """
        return self.threshold_at(fmr_of_search(fpir, enrolled))

    def is_extrapolated(self, fmr: float) -> bool:
        """Whether fewer than 30 false matches (rule of 30) would stand behind a threshold for this rate."""
        return fmr * self.facts.non_mated < 30 * (1 - 1e-9)

    def require_space(self, space: str) -> None:
        """Check that the calibration is for an embedding space.

        Raises:
            SpaceMismatch: it is for another one.
        """
        if self.space != space:
            raise SpaceMismatch(f"expected a calibration for {space}, got one for {self.space}")

    def to_json(self) -> str:
        """The calibration as a JSON text."""
        arrays = {
            name: [round(v, 9) for v in getattr(self, name).tolist()] for name in ("scores", "llrs", "thresholds")
        }
        values = {
            "format": _FORMAT,
            "space": self.space,
            "facts": asdict(self.facts),
            "points": [asdict(point) for point in self.points],
            "tail": asdict(self.tail),
            "rates": self.rates.tolist(),
            **arrays,
        }
        return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the calibration as a JSON file.

        Raises:
            OutputError: the file cannot be written.
        """
        try:
            Path(path).write_text(self.to_json(), encoding="utf-8", newline="\n")
        except OSError as error:
            raise OutputError(f"{os.fspath(path)}: cannot be written: {error.strerror}") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Calibration:
        """Read a calibration that ``save`` wrote.

        Raises:
            BadInput: there is no such file, it is something else, or it is damaged.
        """
        where = os.fspath(path)
        expected = f"{where}: expected a calibration that mien calibrate made"
        try:
            with open(where, "rb") as file:
                text = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise BadInput(f"{expected}: {error.strerror}") from error
        try:
            values = strict_json(text) if len(text) <= _MOST_BYTES else None
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{expected}, got no JSON: {error}; {_MEND}") from error
        if not isinstance(values, dict) or values.get("format") != _FORMAT:
            raise BadInput(f"{expected} (format {_FORMAT!r}), got another file, or one of a newer version")
        try:
            return _made(values)
        except KeyError as error:
            raise BadInput(f"{where}: the calibration is damaged: expected {error}, found none; {_MEND}") from error
        except (BadInput, OverflowError) as error:
            raise BadInput(f"{where}: the calibration is damaged: {error}; {_MEND}") from error


def fmr_of_search(fpir: float, enrolled: int) -> float:
    """The false match rate at which a search among so many templates has this false positive identification rate."""
    if not 0 < fpir < 1:
        raise BadInput(f"false positive identification rate: expected between 0 and 1, got {fpir}")
    return min(_EVEN, -math.expm1(math.log1p(-fpir) / _counted(enrolled)))


def default_calibration_path(space: str) -> Path:
    """Where ``mien calibrate`` keeps a space's calibration: in the cache folder, from where it is used by itself."""
    return cache_dir() / _FOLDER / _file_name(space)


def find_calibration(space: str, own: str | os.PathLike[str] | None = None) -> Calibration | None:
    """The calibration of an embedding space: the given file's, else the cache folder's, else the one that mien ships.

    Args:
        space: the embedding space.
        own: a file of the user's.

    Returns:
        The calibration, or None where there is none for this space.

    Raises:
        SpaceMismatch: the file's is for another space.
        BadInput: the file is no calibration.
    """
    if own is not None:
        found = Calibration.load(own)
        found.require_space(space)
        return found
    for path in (default_calibration_path(space), _SHIPPED / _file_name(space)):
        if path.is_file():
            found = Calibration.load(path)
            found.require_space(space)
            return found
    return None


def require_calibration(found: Calibration | None, space: str) -> Calibration:
    """The calibration, if there is one.

    Raises:
        CalibrationNotFound: there is none; the message says how to make it.
    """
    if found is None:
        raise CalibrationNotFound(f"expected a calibration for {space}, found none: make one with mien calibrate")
    return found


def _file_name(space: str) -> str:
    return f"{urllib.parse.quote(space, safe='@+')}.json"


def _counted(enrolled: int) -> int:
    if not enrolled >= 1:
        raise BadInput(f"enrolled: expected at least 1 template, got {enrolled}")
    return enrolled


def _sigmoid(logits: Numbers) -> Numbers:
    small = np.exp(-np.abs(logits))
    return np.asarray(np.where(logits >= 0, 1 / (1 + small), small / (1 + small)))


def _require(name: str, good: bool, expected: str) -> None:
    if not good:
        raise BadInput(f"Calibration.{name}: expected {expected}, got something else")


def _made(values: dict[str, Any]) -> Calibration:
    given = {field.name: values[field.name] for field in fields(Calibration)}
    if not isinstance(given["points"], list):
        raise BadInput(f"points: expected a list, got {given['points']!r:.60}")
    if not isinstance(given["space"], str):
        raise BadInput(f"space: expected a text, got {given['space']!r:.60}")
    for name in _CURVES:
        numbers = given[name] if isinstance(given[name], list) else [None]
        if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in numbers):
            raise BadInput(f"{name}: expected a list of numbers, got {given[name]!r:.60}")
    given["tail"] = tail_of(given["tail"])
    given["points"] = tuple(map(point_of, given["points"]))
    given["facts"] = facts_of(given["facts"])
    return Calibration(**given)
