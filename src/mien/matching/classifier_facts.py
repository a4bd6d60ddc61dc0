"""What a classifier says of itself: what it was fitted on, and how it did on photos that it had not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["ClassifierFacts", "ClassifierTest", "UnknownSource"]

UnknownSource = Literal["strangers", "embedder"]
"""Where the limit to the unknown comes from: people held out as strangers, or the embedder's own threshold."""


@dataclass(frozen=True, slots=True)
class ClassifierTest:
    """A cross-validation: no photo was told by a classifier that had seen it, no stranger was in one.

    Shares of strangers, and of people refused, are at limits that were chosen on other strangers than those counted.
    Intervals are of 95 %, and allow for photos of one person being alike.

    Attributes:
        rounds: how many classifiers were fitted for it.
        images: photos of known people.
        accuracy: share of them whose most probable identity is right, were nobody unknown.
        claimed: mean probability of that identity: as large as the accuracy, where probabilities are honest.
        named: share of them that are known and given the right name.
        misnamed: share of them that are known and given a wrong name.
        refused: share of them taken for strangers.
        strangers: photos of strangers; 0 where there were too few people to hold any out.
        stranger_people: how many people those show.
        accepted: share of the strangers' photos given a name, or None without strangers.
        accuracy_interval: low and high end.
        refused_interval: low and high end.
        accepted_interval: low and high end, or None without strangers.
    """

    rounds: int
    images: int
    accuracy: float
    claimed: float
    named: float
    misnamed: float
    refused: float
    strangers: int
    stranger_people: int
    accepted: float | None
    accuracy_interval: tuple[float, float]
    refused_interval: tuple[float, float]
    accepted_interval: tuple[float, float] | None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> ClassifierTest:
        """From JSON values, which know no tuples.

        Raises:
            TypeError: a value is missing, or there is one too many.
        """
        given: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**given)


@dataclass(frozen=True, slots=True)
class ClassifierFacts:
    """What a classifier was made of.

    Attributes:
        data: the photos in words.
        people: how many people it knows.
        images: of how many photos' templates it was made.
        single: the people with one photo, who are known by it, but with whom nothing could be tested.
        setting: the method's own setting and its value, such as ``C=100``.
        unknown_rate: the share of strangers that may be accepted, as asked for.
        unknown_source: where the limit to the unknown comes from.
        tested: the cross-validation, or None where nobody has two photos.
        date: of the fit, ISO 8601.
        versions: of the packages that fitted it.
    """

    data: str
    people: int
    images: int
    single: tuple[str, ...]
    setting: str
    unknown_rate: float
    unknown_source: UnknownSource
    tested: ClassifierTest | None
    date: str
    versions: dict[str, str]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> ClassifierFacts:
        """From JSON values, as ``dataclasses.asdict`` makes them.

        Raises:
            KeyError: a value is missing.
            TypeError: a value is missing, or there is one too many.
        """
        tested = values["tested"]
        return cls(
            **{
                **values,
                "single": tuple(values["single"]),
                "tested": None if tested is None else ClassifierTest.of(tested),
            }
        )
