"""A measured number together with what it means, how sure it is, and how it was come by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from typing import Any, Literal

from mien.evaluation.acquisition import Acquired
from mien.evaluation.intervals import Interval
from mien.evaluation.machine import describe_machine, describe_versions
from mien.recognizer import Recognizer
from mien.zoo import card

__all__ = ["AcquisitionFacts", "Failure", "Figure", "RunFacts", "Slice", "finite"]

Unit = Literal["rate", "score", "count", "ratio"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a result.

    Attributes:
        name: stable, such as ``tmr_at_fmr_1e-3``.
        value: the number, or None where the trials do not allow one; ``note`` says why.
        definition: what it is, in one line.
        unit: ``rate`` (0..1), ``score``, ``count`` or ``ratio``.
        interval: how sure it is, or None.
        note: what a reader has to know about this value, or empty.
    """

    name: str
    value: float | None
    definition: str
    unit: Unit = "rate"
    interval: Interval | None = None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """The figure as JSON values; ``interval`` is null or has low, high, level and method."""
        span = self.interval
        interval = None
        if span is not None:
            interval = {"low": finite(span.low), "high": finite(span.high), "level": span.level, "method": span.method}
        value = finite(self.value)
        return {
            "name": self.name,
            "value": int(value) if value is not None and self.unit == "count" else value,
            "interval": interval,
            "unit": self.unit,
            "definition": self.definition,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class Slice:
    """The errors of a part of the trials, at the threshold of the whole.

    Attributes:
        kind: what the parts are told apart by: ``quality``.
        name: which part, such as ``low/high``.
        figures: its numbers.
    """

    kind: str
    name: str
    figures: tuple[Figure, ...]

    def to_json(self) -> dict[str, Any]:
        """Kind, name and figures."""
        return {"kind": self.kind, "name": self.name, "figures": [figure.to_json() for figure in self.figures]}


@dataclass(frozen=True, slots=True)
class Failure:
    """A sample that gave no template: its name, the error's code and its sentence."""

    name: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class AcquisitionFacts:
    """How many samples gave a template, and why the others did not.

    Attributes:
        samples: how many there were.
        acquired: how many gave a template.
        reasons: how many failed for each reason (an error's code).
        failures: each of them.
        several: samples that show more than one face, of which one was chosen.
    """

    samples: int
    acquired: int
    reasons: Mapping[str, int]
    failures: tuple[Failure, ...]
    several: int

    @classmethod
    def of(cls, acquired: Acquired) -> AcquisitionFacts:
        """The facts about some samples."""
        failures = tuple(
            Failure(name, code, message)
            for name, code, message in zip(acquired.names, acquired.codes, acquired.messages, strict=True)
            if code is not None
        )
        several = int(((acquired.faces > 1) & acquired.acquired).sum())
        return cls(len(acquired), int(acquired.acquired.sum()), acquired.failures, failures, several)

    def to_json(self) -> dict[str, Any]:
        """Counts, reasons and the failures one by one."""
        return {
            "samples": self.samples,
            "acquired": self.acquired,
            "reasons": dict(self.reasons),
            "several_faces": self.several,
            "failures": [{"name": f.name, "code": f.code, "message": f.message} for f in self.failures],
        }


@dataclass(frozen=True, slots=True)
class RunFacts:
    """With what, where and when something was measured.

    Attributes:
        space: the templates' embedding space.
        embedder: the model's name, or the class of a caller's own.
        detector: likewise.
        licenses: SPDX identifier or short name of each model's license, by model.
        settings: the recognizer's settings.
        face: which face of an image was taken.
        default_threshold: the score from which the recognizer says that two match.
        machine: what it ran on.
        versions: of mien and the packages it depends on.
        date: when it was done, ISO 8601, UTC.
        seed: of everything drawn at random.
        replicates: of the bootstrap.
        level: of the intervals.
    """

    space: str
    embedder: str
    detector: str
    licenses: Mapping[str, str]
    settings: Mapping[str, Any]
    face: str
    default_threshold: float
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    date: str
    seed: int
    replicates: int
    level: float

    @classmethod
    def of(cls, recognizer: Recognizer, face: str, *, seed: int, replicates: int, level: float) -> RunFacts:
        """The facts about a recognizer on this machine, now."""
        names, licenses = {}, {}
        for part, own in (("embedder", recognizer.embedder), ("detector", recognizer.detector)):
            names[part] = type(own).__name__
            if type(own).__module__.startswith("mien.") and not type(own).__module__.startswith("mien.testing"):
                names[part] = getattr(recognizer.settings, part)
                licenses[names[part]] = card(names[part]).license.id
        return cls(
            space=recognizer.space,
            embedder=names["embedder"],
            detector=names["detector"],
            licenses=licenses,
            settings=recognizer.settings.model_dump(mode="json"),
            face=face,
            default_threshold=recognizer.threshold,
            machine=describe_machine(),
            versions=describe_versions(),
            date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            seed=seed,
            replicates=replicates,
            level=level,
        )

    def to_json(self) -> dict[str, Any]:
        """All of it, under the attributes' names."""
        found: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: dict(value) if isinstance(value, Mapping) else value for name, value in found.items()}


def finite(value: float | None) -> float | None:
    """A number as JSON can hold it: None for NaN and infinity."""
    return None if value is None or not math.isfinite(value) else float(value)
