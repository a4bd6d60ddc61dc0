from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from card_making import make_card, tables
from pydantic import ValidationError

from mien.errors import BadCard
from mien.zoo.schema import is_loopback, is_name, parse_card, read_toml, to_toml

SHA = "a" * 64


def test_a_card_knows_its_space() -> None:
    card = make_card(file__sha256="0123456789abcdef" * 4)
    assert card.space == "tiny@01234567"


def test_a_card_cannot_be_changed() -> None:
    card = make_card()
    with pytest.raises(ValidationError):
        card.name = "other"


def test_toml_goes_round(tmp_path: Path) -> None:
    card = make_card(
        description='quotes " and \\ and \x7f and \n and ünï 🙂',
        file__sources=["package://p/a.onnx", "https://example.org/a.onnx"],
        file__extra="dlib",
        file__size_bytes=7,
        license__url="https://example.org/license",
        input__scale=1e-7,
        embedding__threshold=-0.25,
    )
    path = tmp_path / "tiny.toml"
    path.write_text(to_toml(card), encoding="utf-8")
    assert parse_card(read_toml(path), path) == card


def test_a_detector_goes_round(tmp_path: Path) -> None:
    given = tables(task="detector", family="scrfd", input__size=None)
    del given["embedding"], given["input"]["size"]
    card = parse_card(given, "x")
    path = tmp_path / "d.toml"
    path.write_text(to_toml(card), encoding="utf-8")
    assert parse_card(read_toml(path), path) == card
    assert card.embedding is None
    assert card.input.size is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "Tiny"}, "name"),
        ({"name": ".."}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": ""}, "name"),
        ({"task": "both"}, "task"),
        ({"family": "vgg"}, "family"),
        ({"colour": "rgb"}, "colour"),
        ({"file__sha256": "abc"}, "file.sha256"),
        ({"file__sha256": SHA.upper()}, "file.sha256"),
        ({"file__size_bytes": 0}, "file.size_bytes"),
        ({"file__size_bytes": "7"}, "file.size_bytes"),
        ({"file__sources": "https://example.org/a"}, "file.sources"),
        ({"file__sources": ["ftp://example.org/a"]}, "file.sources"),
        ({"file__sources": ["http://example.org/a"]}, "file.sources"),
        ({"file__sources": ["http://127.0.0.1.example.org/a"]}, "file.sources"),
        ({"file__sources": ["https:///a"]}, "file.sources"),
        ({"file__sources": ["file://host/a"]}, "file.sources"),
        ({"file__sources": ["package://pack/../../etc/passwd"]}, "file.sources"),
        ({"file__sources": ["package://pack/%2e%2e/passwd"]}, "file.sources"),
        ({"file__sources": ["package://a.b/x"]}, "file.sources"),
        ({"file__sources": ["/plain/path"]}, "file.sources"),
        ({"license__commercial": "true"}, "license.commercial"),
        ({"license__commercial": 1}, "license.commercial"),
        ({"license__id": ""}, "license.id"),
        ({"input__size": 64.5}, "input.size"),
        ({"input__size": 0}, "input.size"),
        ({"input__color": "gray"}, "input.color"),
        ({"input__mean": [0.0, 0.0]}, "input.mean"),
        ({"input__mean": [0.0, 0.0, float("nan")]}, "input.mean"),
        ({"input__scale": 0.0}, "input.scale"),
        ({"embedding__dimension": 0}, "embedding.dimension"),
        ({"embedding__threshold": 1.5}, "embedding.threshold"),
        ({"embedding__points": [[1.0, 2.0]] * 4}, "embedding.points"),
        ({"embedding__points": [[1.0, 2.0]] * 4 + [[1.0, 64.0]]}, "embedding.points"),
    ],
)
def test_a_bad_field_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(BadCard, match=rf"^cards/tiny\.toml: (.*; )?{field}") as caught:
        parse_card(tables(**change), "cards/tiny.toml")
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize(
    "key", ["name", "task", "file.sha256", "license.commercial", "input.mean", "embedding.dimension"]
)
def test_a_missing_field_is_named(key: str) -> None:
    given = copy.deepcopy(tables())
    table, _, field = key.rpartition(".")
    del (given[table] if table else given)[field]
    with pytest.raises(BadCard, match=rf"card: {key}: Field required$"):
        parse_card(given, "card")


def test_every_fault_is_told() -> None:
    with pytest.raises(BadCard, match=r"license\.commercial.*input\.scale"):
        parse_card(tables(license__commercial="no", input__scale=-1.0), "card")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "detector"}, "expected task 'embedder' for family 'arcface', got 'detector'"),
        ({"task": "detector", "family": "scrfd"}, "for a detector"),
        ({"embedding": None}, "for an embedder"),
        ({"input__size": None}, "for an embedder"),
    ],
)
def test_parts_have_to_fit(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadCard, match=message):
        parse_card(tables(**change), "card")


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_broken_toml_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(BadCard, match=r"broken\.toml: is no TOML"):
        read_toml(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadCard, match=r"none\.toml: cannot be read"):
        read_toml(tmp_path / "none.toml")


def test_dates_are_no_strings(tmp_path: Path) -> None:
    path = tmp_path / "date.toml"
    path.write_text(to_toml(make_card()).replace("threshold = 0.4", "threshold = 2026-01-01"), encoding="utf-8")
    with pytest.raises(BadCard, match=r"embedding\.threshold"):
        parse_card(read_toml(path), path)


def test_names() -> None:
    assert all(is_name(name) for name in ("a", "sface", "scrfd-10g_v1.2", "0"))
    assert not any(is_name(name) for name in ("", "-a", ".a", "A", "a b", "ä", "a/b", "a\n", "a" * 65))


def test_loopback() -> None:
    assert all(is_loopback(host) for host in ("localhost", "127.0.0.1", "127.1.2.3", "::1"))
    assert not any(is_loopback(host) for host in (None, "", "example.org", "10.0.0.1", "localhost.example.org"))
