from __future__ import annotations

from pathlib import Path

import pytest
from card_making import make_card

from mien.errors import BadCard, ModelNotFound
from mien.zoo import card, cards, templates
from mien.zoo.registry import template, user_card_path
from mien.zoo.schema import read_toml, to_toml


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(name: str, text: str) -> Path:
    path = user_card_path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_the_cards_that_come_with_mien() -> None:
    assert [c.name for c in cards()] == ["accurate", "dlib-resnet", "sface", "yunet"]
    assert all(c.license.commercial for c in cards())
    assert card("sface").space == "sface@fb143eea"
    assert card("yunet").task == "detector"
    assert card("dlib-resnet").file.extra == "dlib"


def test_the_users_cards_are_found() -> None:
    own = make_card(name="mine")
    write("mine", to_toml(own))
    assert card("mine") == own
    assert [c.name for c in cards()] == ["accurate", "dlib-resnet", "mine", "sface", "yunet"]


@pytest.mark.parametrize("name", ["yunte", "Sface", "dlib"])
def test_near_misses_are_named(name: str) -> None:
    with pytest.raises(ModelNotFound, match="did you mean") as caught:
        card(name)
    assert "there are: accurate, dlib-resnet, sface, yunet" in str(caught.value)


@pytest.mark.parametrize("name", ["", "../cards/sface", "templates/scrfd", "qqqqqq", "sface.toml"])
def test_other_names_are_not_found(name: str) -> None:
    with pytest.raises(ModelNotFound):
        card(name)


def test_a_broken_card_of_the_user_harms_no_other() -> None:
    path = write("mine", "name = 3\n")
    assert card("sface").name == "sface"
    with pytest.raises(BadCard, match=str(path)):
        cards()


def test_a_card_has_its_files_name() -> None:
    write("yours", to_toml(make_card(name="mine")))
    with pytest.raises(BadCard, match=r"yours\.toml: name: expected 'yours'.*got 'mine'"):
        card("yours")


def test_miens_own_names_are_taken() -> None:
    write("sface", to_toml(make_card(name="sface")))
    assert card("sface").input.size == 112
    with pytest.raises(BadCard, match="mien has a card of that name"):
        cards()


def test_templates() -> None:
    assert templates() == ["arcface", "scrfd"]
    for name in templates():
        assert read_toml(template(name))["license"]["commercial"] is False
    with pytest.raises(BadCard, match="there are: arcface, scrfd"):
        template("vgg")
