"""Enrolling with tags and portraits, options and what is unfit; one suite for all back ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gallery_cases import SPACE, BackEnd, faces

from mien.errors import BadGallery, BadInput, SpaceMismatch
from mien.galleries import Gallery, GalleryOptions, NewEnrollment, Portraits
from mien.matching import decode, encode
from mien.types import Templates


def portraits(count: int) -> Portraits:
    pictures = [b"\xff\xd8 picture %d" % i for i in range(count)]
    return Portraits(pictures, np.arange(count * 10, dtype=np.float32).reshape(count, 5, 2))


def opened(back_end: BackEnd, options: str) -> Gallery:
    """A gallery with these options, or a skip where a back end has none of the kind."""
    try:
        return back_end.open(options)
    except BadGallery as error:
        pytest.skip(f"not there: {error.message}")


def test_both_kinds_of_items(gallery: Gallery) -> None:
    items = [
        NewEnrollment("Ada", faces(2), ["staff"]),
        ("Bob", faces(1, seed=1)),
        NewEnrollment("Ada", faces(1, seed=2), ("math",)),
        NewEnrollment("Nobody", faces(0), ["ghost"]),
        ["Cleo", faces(1, seed=3)],
    ]
    enrolled = gallery.add_many(items)  # type: ignore[arg-type]
    assert [e.identity for e in enrolled] == ["Ada", "Ada", "Bob", "Ada", "Cleo"]
    assert [e.template_id for e in enrolled] == sorted({e.template_id for e in enrolled})
    assert gallery.identities() == [("Ada", 3), ("Bob", 1), ("Cleo", 1)]
    assert gallery.tags("Ada") == ["math", "staff"]
    assert gallery.tags("Bob") == []
    assert gallery.search(faces(1), tags=["ghost"]) == [[]]


def test_options_are_those_of_the_url(back_end: BackEnd) -> None:
    with opened(back_end, "fusion=mean&portraits=yes&retention_days=30") as gallery:
        assert isinstance(gallery.options, GalleryOptions)
        assert (gallery.options.fusion, gallery.options.portraits) == ("mean", True)
        assert gallery.options.retention_days == 30


def test_options_have_defaults(gallery: Gallery) -> None:
    assert gallery.options.fusion == "max"
    assert gallery.options.portraits is False
    assert gallery.options.retention_days is None


def test_portraits_need_not_be_kept(gallery: Gallery) -> None:
    gallery.add("Ada", faces(2), portraits=portraits(2))
    assert gallery.identities() == [("Ada", 2)]


def test_portraits_are_kept_and_removed(back_end: BackEnd) -> None:
    with opened(back_end, "portraits=yes") as gallery:
        gallery.add("Ada", faces(2), tags=["staff"], portraits=portraits(2))
        gallery.add_many([NewEnrollment("Bob", faces(1, seed=1), portraits=portraits(1)), ("Ada", faces(1, seed=2))])
        assert gallery.identities() == [("Ada", 3), ("Bob", 1)]
        assert gallery.remove_identity("Ada") == 3
        gallery.remove_template(gallery.templates("Bob")[0][0])
        assert len(gallery) == 0


def test_as_many_portraits_as_templates(gallery: Gallery) -> None:
    with pytest.raises(BadInput, match=r"expected one a template \(2\), got 1"):
        gallery.add("Ada", faces(2), portraits=portraits(1))
    with pytest.raises(BadInput, match="landmarks"):
        Portraits([b"x"], np.zeros((1, 4, 2), np.float32))
    assert len(gallery) == 0


@pytest.mark.parametrize("size", [1001, 10_000_000])
def test_very_long_names_are_refused_in_a_short_message(gallery: Gallery, size: int) -> None:
    for name in ("x" * size, "é" * size, "e\u0301" * (size * 2)):
        with pytest.raises(BadInput, match="expected at most 1000 characters") as caught:
            gallery.add(name, faces(1))
        assert len(str(caught.value)) < 200
        with pytest.raises(BadInput) as caught:
            gallery.add("Ada", name)  # type: ignore[arg-type]
        assert len(str(caught.value)) < 200
    assert len(gallery) == 0


@pytest.mark.parametrize(
    "name", ["'; DELETE FROM templates; --", "%", "_", '" OR 1=1', "?", "$1", "%s", "\\", "{}", "a' OR 'a'='a", "NULL"]
)
def test_what_looks_like_sql_is_a_name_like_any_other(gallery: Gallery, name: str) -> None:
    gallery.add("Ada", faces(1, seed=1), tags=["staff"])
    gallery.add(name, faces(1), tags=[name])
    assert gallery.tags(name) == [name]
    assert [m.identity for m in gallery.search(faces(1), top=9, tags=[name])[0]] == [name]
    assert [m.identity for m in gallery.search(faces(1), top=9, identities=[name])[0]] == [name]
    gallery.set_tags(name, [f"{name}{name}"])
    assert len(gallery.templates(name)[0]) == 1
    assert gallery.remove_identity(name) == 1
    assert gallery.identities() == [("Ada", 1)]
    assert gallery.tags("Ada") == ["staff"]


def test_an_unfit_item_among_good_ones_stores_nothing(gallery: Gallery) -> None:
    unfit: list[tuple[Any, type[Exception]]] = [
        (("Bob", faces(1, space="other@1")), SpaceMismatch),
        (("Bob", faces(1, dimension=8)), BadInput),
        (("B\nob", faces(1)), BadInput),
        (("Bob", faces(1), "more"), BadInput),
        ("Bob", BadInput),
        (None, BadInput),
        (NewEnrollment("Bob", faces(1), ["a\nb"]), BadInput),
        (NewEnrollment("", faces(1)), BadInput),
        (NewEnrollment("Bob", faces(1).vectors), BadInput),  # type: ignore[arg-type]
    ]
    for item, error in unfit:
        with pytest.raises(error):
            gallery.add_many([("Ada", faces(1)), item])
    assert len(gallery) == 0
    assert gallery.identities() == []
    assert gallery.space is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_templates_that_are_no_directions_cannot_be_made(bad: float) -> None:
    with pytest.raises(BadInput):
        Templates(np.full((1, 16), bad, np.float32), SPACE)


@pytest.mark.parametrize("codec", ["float32", "int8", "int8-only"])
def test_each_codec_gives_back_what_it_keeps(back_end: BackEnd, codec: str) -> None:
    if "codec=" in back_end.url:
        pytest.skip("its codec is fixed")
    with opened(back_end, f"codec={codec}") as gallery:
        assert gallery.options.codec == codec
        templates = faces(50, dimension=64)
        gallery.add_many([(f"person {i}", templates[i]) for i in range(50)])
        stored = templates.vectors
        if codec == "int8-only":
            stored = decode(encode(stored, "int8-only").tobytes(), "int8-only", 64)
        for i in (0, 7, 49):
            assert np.array_equal(gallery.templates(f"person {i}")[1].vectors, stored[i : i + 1])
        (match,) = gallery.search(templates[7])[0]
        assert match.identity == "person 7"
        assert match.score == pytest.approx(float(stored[7] @ templates.vectors[7]), abs=1e-6)
