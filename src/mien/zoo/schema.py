"""What a model card says, and how one is read from TOML and written to it.

A card is data: nothing about a model is guessed from its tensors. Unknown keys, wrong types and values out
of range are refused with the file's and the field's name.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mien.errors import BadCard

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "Card",
    "EmbeddingFacts",
    "FileFacts",
    "InputFacts",
    "LicenseFacts",
    "PartFacts",
    "Point",
    "fingerprint",
    "is_loopback",
    "is_name",
    "parse_card",
    "read_toml",
    "to_toml",
]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_TASKS = {"yunet": "detector", "scrfd": "detector", "arcface": "embedder", "fused": "embedder"}
_WEIGHTS_OFF = 1e-6
Point = tuple[float, float]


def is_name(text: str) -> bool:
    """Whether ``text`` may name a card: up to 64 of ``a-z 0-9 . _ -``, the first a letter or a digit."""
    return _NAME.fullmatch(text) is not None


def is_loopback(host: str | None) -> bool:
    """Whether ``host`` is this machine itself (``localhost``, 127.0.0.0/8 or ::1)."""
    if host is None or host == "localhost":
        return host is not None
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class FileFacts(_Facts):
    """Which file holds the model and where it may be found.

    Attributes:
        sha256: 64 lower-case hex digits of the file as its sources hand it out.
        sources: where to look, in this order: ``package://package/path``, ``file:///path``, ``https://…``;
            ``http://`` for this machine alone.
        converter: the name in ``mien.zoo.converters.CONVERTERS`` that makes the file ready to run, or None.
        extra: the extra of mien that installs the package of a ``package://`` source, or None.
        size_bytes: the file's length; a download never reads more.
    """

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    sources: tuple[str, ...] = ()
    converter: str | None = Field(default=None, min_length=1)
    extra: str | None = Field(default=None, min_length=1)
    size_bytes: int | None = Field(default=None, ge=1)

    @field_validator("sources")
    @classmethod
    def _known_schemes(cls, sources: tuple[str, ...]) -> tuple[str, ...]:
        for source in sources:
            parts = urlsplit(source)
            if parts.scheme == "package":
                good = (
                    parts.netloc.isidentifier() and len(parts.path) > 1 and ".." not in unquote(parts.path).split("/")
                )
            elif parts.scheme == "file":
                good = parts.netloc in ("", "localhost") and len(parts.path) > 1
            elif parts.scheme == "http":
                good = is_loopback(parts.hostname)
            else:
                good = parts.scheme == "https" and bool(parts.hostname)
            if not good:
                raise ValueError(
                    "expected package://package/path, file:///path or https://host/path "
                    f"(http:// for this machine alone), got {source!r}"
                )
        return sources


class LicenseFacts(_Facts):
    """The terms of the weights.

    Attributes:
        id: SPDX identifier or short name.
        commercial: whether commercial use is allowed; where it is not, the user has to agree once.
        url: where the terms are written, or None.
    """

    id: str = Field(min_length=1)
    commercial: bool
    url: str | None = None


class InputFacts(_Facts):
    """What the model's input is: each value is ``(pixel - mean) * scale`` of pixels in 0..255.

    Attributes:
        size: side of the square chip in pixels; None for detectors, which take the size they are given.
        color: channel order.
        mean: one number a channel, in the order of ``color``.
        scale: factor after the mean is taken off.
    """

    size: int | None = Field(default=None, ge=16, le=4096)
    color: Literal["rgb", "bgr"]
    mean: tuple[float, float, float]
    scale: float = Field(gt=0)


class EmbeddingFacts(_Facts):
    """What an embedder's output is.

    Attributes:
        dimension: length of a template.
        points: where the five landmarks lie in the chip, as x, y in pixels, in the order of
            ``mien.types.Faces.landmarks``.
        threshold: cosine similarity from which two templates count as of one person.
        threshold_note: where the threshold comes from.
    """

    dimension: int = Field(ge=1)
    points: tuple[Point, Point, Point, Point, Point]
    threshold: float = Field(ge=-1, le=1)
    threshold_note: str = ""


class PartFacts(_Facts):
    """One of the embedders that a fused card is made of.

    Attributes:
        card: its card's name.
        sha256: of its file.
        weight: its share of the comparison score; those of all parts add up to 1.
    """

    card: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    weight: float = Field(gt=0, lt=1)


class Card(_Facts):
    """A model: what it does, where its file is, its license, its input and its output.

    A card of family ``fused`` has no file: it names other embedders, whose templates, weighted and put one behind the
    other, are its own. Its ``file.sha256`` is the ``fingerprint`` of what it is made of.

    Attributes:
        name: what users call it; see ``is_name``.
        task: what it does.
        family: which code prepares its input and reads its output.
        description: one sentence for people.
        file: which file, from where.
        license: the weights' terms.
        input: the model's input.
        embedding: the output of an embedder; None for detectors.
        parts: the embedders of a fused card; empty for all others.
    """

    name: str
    task: Literal["detector", "embedder"]
    family: Literal["yunet", "scrfd", "arcface", "fused"]
    description: str
    file: FileFacts
    license: LicenseFacts
    input: InputFacts
    embedding: EmbeddingFacts | None = None
    parts: tuple[PartFacts, ...] = ()

    @property
    def space(self) -> str:
        """The embedding space, ``name@first 8 hex digits of the sha256``."""
        return f"{self.name}@{self.file.sha256[:8]}"

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not is_name(name):
            raise ValueError(f"expected 1 to 64 of a-z 0-9 . _ -, the first a letter or a digit, got {name!r}")
        return name

    @model_validator(mode="after")
    def _parts_fit(self) -> Card:
        if _TASKS[self.family] != self.task:
            raise ValueError(f"expected task {_TASKS[self.family]!r} for family {self.family!r}, got {self.task!r}")
        if self.parts and self.family != "fused":
            raise ValueError(f"expected no [[parts]] for family {self.family!r}")
        size, embedding = self.input.size, self.embedding
        if self.task == "detector":
            if embedding is not None or size is not None:
                raise ValueError("expected no [embedding] and no input.size for a detector")
            return self
        if embedding is None or size is None:
            raise ValueError("expected [embedding] and input.size for an embedder")
        if not all(0 <= value < size for point in embedding.points for value in point):
            raise ValueError(f"embedding.points: expected points inside the chip, 0 to {size}")
        if self.family == "fused":
            self._require_whole(fingerprint(self.parts, size, embedding.points))
        return self

    def _require_whole(self, expected: str) -> None:
        total = sum(part.weight for part in self.parts)
        if len(self.parts) < 2 or abs(total - 1) > _WEIGHTS_OFF:
            raise ValueError(f"parts: expected two or more whose weights add up to 1, got {len(self.parts)}, {total}")
        if self.file.sources or self.file.converter is not None:
            raise ValueError("expected no file.sources and no file.converter for a fused card: it has no file")
        if self.file.sha256 != expected:
            raise ValueError(f"file.sha256: expected {expected}, the fingerprint of the parts")


def fingerprint(parts: Sequence[PartFacts], size: int, points: Sequence[Point]) -> str:
    """64 hex digits that change with a fused card's parts, their weights and the chip that theirs are cut from."""
    lines = [f"{part.sha256} {part.weight!r}" for part in parts]
    lines += [str(size), *(f"{x!r} {y!r}" for x, y in points)]
    return hashlib.sha256("\n".join(lines).encode("ascii")).hexdigest()


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        BadCard: the file cannot be read or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadCard(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadCard(f"{path}: is no TOML: {error}") from error


def parse_card(tables: Mapping[str, Any], origin: Path | str) -> Card:
    """The card that ``tables`` describe; ``origin`` is what an error calls them.

    Raises:
        BadCard: fields are missing, unknown, of the wrong type or out of range; each one is named.
    """
    try:
        # Strict types and TOML's lists (for tuples) go together in pydantic's JSON mode alone.
        return Card.model_validate_json(json.dumps(tables, default=str))
    except ValidationError as error:
        faults = []
        for fault in error.errors(include_url=False):
            field = ".".join(str(step) for step in fault["loc"])
            message = fault["msg"].removeprefix("Value error, ")
            told = fault["type"] in ("missing", "value_error")
            faults.append((f"{field}: " if field else "") + message + ("" if told else f", got {fault['input']!r}"))
        raise BadCard(f"{origin}: " + "; ".join(faults)) from error


def to_toml(card: Card) -> str:
    """``card`` as TOML text that ``parse_card`` reads back to an equal card."""
    lines: list[str] = []
    tables: dict[str, dict[str, Any]] = {}
    for key, value in card.model_dump(mode="json", exclude_none=True, exclude={"parts"}).items():
        if isinstance(value, dict):
            tables[key] = value
        else:
            lines.append(f"{key} = {_literal(value)}")
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {_literal(value)}" for key, value in table.items())]
    for part in card.parts:
        lines += ["", "[[parts]]", *(f"{key} = {_literal(value)}" for key, value in part.model_dump().items())]
    return "\n".join(lines) + "\n"


def _literal(value: Any) -> str:
    # JSON's strings, numbers, booleans and lists are TOML's too, but for the bare DEL character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
