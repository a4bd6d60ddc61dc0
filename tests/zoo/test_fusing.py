from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mien.errors import BadCard, ModelNotFound
from mien.zoo import Card, add_fused, card, cards, check, fuse, is_present, part_cards, resolve
from mien.zoo.schema import parse_card, read_toml, to_toml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def both(**changes: object) -> Card:
    options = {"threshold": 0.7, **changes}
    return fuse("both", [(card("sface"), 1), (card("dlib-resnet"), 3)], **options)  # type: ignore[arg-type]


def test_a_fused_card_holds_the_chips_of_its_parts() -> None:
    made = both()
    assert [part.weight for part in made.parts] == [0.25, 0.75]
    assert made.embedding is not None
    assert made.input.size is not None
    assert made.embedding.dimension == 256
    assert made.input.size > 150
    assert made.license.id == "Apache-2.0 AND CC0-1.0"
    assert made.license.commercial


def test_it_comes_back_from_toml_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "both.toml"
    path.write_text(to_toml(both()))
    assert parse_card(read_toml(path), path) == both()


def test_other_weights_or_parts_are_another_space() -> None:
    other = fuse("both", [(card("sface"), 2), (card("dlib-resnet"), 3)], threshold=0.7)
    assert other.space != both().space
    assert both(threshold=0.5).space == both().space


def test_a_card_whose_parts_were_changed_is_refused() -> None:
    text = to_toml(both()).replace("weight = 0.25", "weight = 0.2").replace("weight = 0.75", "weight = 0.8")
    with pytest.raises(BadCard, match="fingerprint"):
        parse_card(tomllib.loads(text), "changed")
    with pytest.raises(BadCard, match="add up to 1"):
        parse_card(tomllib.loads(to_toml(both()).replace("weight = 0.25", "weight = 0.2")), "changed")
    with pytest.raises(BadCard, match=r"no \[\[parts\]\]"):
        parse_card(tomllib.loads(to_toml(both()).replace('"fused"', '"arcface"')), "changed")


def test_three_equal_shares_add_up() -> None:
    """Thirds do not, in six digits."""
    third = card("sface")
    third = third.model_copy(update={"name": "third", "file": third.file.model_copy(update={"sha256": "3" * 64})})
    made = fuse("three", [(card("sface"), 1), (card("dlib-resnet"), 1), (third, 1)], threshold=0.5)
    assert sum(part.weight for part in made.parts) == pytest.approx(1, abs=1e-9)
    assert [part.weight for part in made.parts] == pytest.approx([1 / 3] * 3, abs=2e-6)


def test_parts_that_are_none_are_refused() -> None:
    for parts in ([], [(card("sface"), 1.0)]):
        with pytest.raises(BadCard, match="two or more"):
            fuse("both", parts, threshold=0.5)
    with pytest.raises(BadCard, match="yunet: expected an embedder"):
        fuse("both", [(card("sface"), 1), (card("yunet"), 1)], threshold=0.5)
    with pytest.raises(BadCard, match="accurate: expected an embedder with a file"):
        fuse("both", [(card("sface"), 1), (card("accurate"), 1)], threshold=0.5)
    with pytest.raises(BadCard, match="each once"):
        fuse("both", [(card("sface"), 1), (card("sface"), 2)], threshold=0.5)
    for share in (1e-9, 1e308):
        with pytest.raises(BadCard, match="a millionth"):
            fuse("both", [(card("sface"), 1e308), (card("dlib-resnet"), share)], threshold=0.5)
    for wrong in ({"name": "a/b"}, {"threshold": float("nan")}, {"threshold": 7}):
        parts = [(card("sface"), 1.0), (card("dlib-resnet"), 1.0)]
        with pytest.raises(BadCard, match=next(iter(wrong))):
            fuse(**{"name": "both", "parts": parts, "threshold": 0.5, **wrong})  # type: ignore[arg-type]
    for share in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(BadCard, match="share above 0"):
            fuse("both", [(card("sface"), 1), (card("dlib-resnet"), share)], threshold=0.5)


def test_a_kept_one_is_found_again_and_its_files_are_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert part_cards(card("sface")) == []
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    made = add_fused(both())
    assert card("both") == made
    assert made in cards()
    assert part_cards(made) == [card("sface"), card("dlib-resnet")]
    assert is_present(made)
    with pytest.raises(BadCard, match="its parts have: sface, dlib-resnet"):
        resolve(made)
    assert check(made).is_file()
    with pytest.raises(BadCard, match="mien has a card"):
        add_fused(fuse("accurate", [(card("sface"), 1), (card("dlib-resnet"), 1)], threshold=0.5))
    with pytest.raises(BadCard, match="fused"):
        add_fused(card("sface"))


def test_a_part_that_is_gone_or_another_file_by_now_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = both().model_copy(
        update={"parts": tuple(p.model_copy(update={"sha256": "0" * 64}) for p in both().parts)}
    )
    with pytest.raises(BadCard, match="expected the file with sha256 0000"):
        part_cards(changed)
    gone = both().model_copy(update={"parts": tuple(p.model_copy(update={"card": "gone"}) for p in both().parts)})
    with pytest.raises(ModelNotFound, match="gone"):
        part_cards(gone)
