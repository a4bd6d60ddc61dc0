"""What every gallery promises of other names, of pages of identities and of portraits."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gallery_cases import LASTING, BackEnd, faces

from mien.errors import BadInput, GalleryError, IdentityExists, IdentityNotFound, TemplateNotFound
from mien.galleries import Gallery, NewEnrollment, Portraits


def ids_of(gallery: Gallery, name: str) -> list[int]:
    return gallery.templates(name)[0]


def test_an_identity_gets_another_name(gallery: Gallery) -> None:
    gallery.add("Ada", faces(3), tags=["staff"])
    gallery.add("Grace", faces(1, seed=1))
    ids = ids_of(gallery, "Ada")
    assert gallery.search(faces(1))[0][0].identity == "Ada"
    assert gallery.rename("Ada", "Countess of Lovelace") == 3
    assert gallery.identities() == [("Countess of Lovelace", 3), ("Grace", 1)]
    match = gallery.search(faces(1))[0][0]
    assert (match.identity, match.template_id) == ("Countess of Lovelace", ids[0])
    assert ids_of(gallery, "Countess of Lovelace") == ids
    assert np.array_equal(gallery.templates("Countess of Lovelace")[1].vectors, faces(3).vectors)
    assert gallery.tags("Countess of Lovelace") == ["staff"]
    assert [m.identity for m in gallery.search(faces(1), tags=["staff"])[0]] == ["Countess of Lovelace"]
    with pytest.raises(IdentityNotFound, match="no identity 'Ada'"):
        gallery.templates("Ada")
    # The former name is free again.
    gallery.add("Ada", faces(1, seed=2))
    assert gallery.search(faces(1, seed=2))[0][0].identity == "Ada"
    assert gallery.count_identities() == 3


def test_a_name_that_is_taken_is_refused_and_nothing_changes(gallery: Gallery) -> None:
    gallery.add("Ada", faces(2), tags=["staff"])
    gallery.add("Grace", faces(1, seed=1))
    with pytest.raises(IdentityExists, match="'Grace' already"):
        gallery.rename("Ada", "Grace")
    assert gallery.identities() == [("Ada", 2), ("Grace", 1)]
    assert gallery.tags("Ada") == ["staff"]


def test_two_identities_are_joined(gallery: Gallery) -> None:
    gallery.add("Ada", faces(2), tags=["staff", "founder"])
    gallery.add("A. Lovelace", faces(2, seed=1), tags=["guest", "staff"])
    gallery.add("Ada", faces(1, seed=2))
    gallery.add("Grace", faces(1, seed=3))
    gallery.search(faces(1))
    mine, theirs = ids_of(gallery, "Ada"), ids_of(gallery, "A. Lovelace")
    assert gallery.rename("A. Lovelace", "Ada", merge=True) == 5
    assert gallery.identities() == [("Ada", 5), ("Grace", 1)]
    assert gallery.count_identities() == 2
    assert len(gallery) == 6
    ids, templates = gallery.templates("Ada")
    assert ids == sorted(mine + theirs)
    everyone = np.concatenate([faces(2).vectors, faces(2, seed=1).vectors, faces(1, seed=2).vectors])
    assert np.array_equal(templates.vectors, everyone)
    assert gallery.tags("Ada") == ["founder", "guest", "staff"]
    (found,) = gallery.search(faces(2, seed=1)[1], top=9)
    assert (found[0].identity, found[0].template_id) == ("Ada", theirs[1])
    assert sorted(match.identity for match in found) == ["Ada", "Grace"]
    assert [m.identity for m in gallery.search(faces(1, seed=1), identities=["Ada"])[0]] == ["Ada"]
    with pytest.raises(IdentityNotFound):
        gallery.rename("A. Lovelace", "Ada", merge=True)
    # Who came from the other goes with this one.
    gallery.remove_template(theirs[0])
    assert gallery.remove_identity("Ada") == 4
    assert gallery.identities() == [("Grace", 1)]


def test_its_own_name_changes_nothing(gallery: Gallery) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Zoë") for form in ("NFC", "NFD"))
    gallery.add(composed, faces(2), tags=["staff"])
    for merge in (False, True):
        assert gallery.rename(composed, f" {decomposed} ", merge=merge) == 2
    assert gallery.identities() == [(composed, 2)]
    assert gallery.tags(composed) == ["staff"]


@pytest.mark.parametrize("name", ["Robert'); DROP TABLE templates;--", 'quote" or "a"=="a', "👩‍🚀", "a%_b", "x" * 1000])
def test_any_name_can_be_given(gallery: Gallery, name: str) -> None:
    gallery.add("Ada", faces(1))
    gallery.add("Grace", faces(1, seed=1))
    assert gallery.rename("Ada", name) == 1
    assert gallery.search(faces(1))[0][0].identity == name
    assert gallery.rename(name, "Grace", merge=True) == 2
    assert gallery.identities() == [("Grace", 2)]


@pytest.mark.parametrize("name", ["", "a\x00b", "x" * 1001, None])
def test_unfit_new_names_are_refused(gallery: Gallery, name: Any) -> None:
    gallery.add("Ada", faces(1))
    with pytest.raises(BadInput, match="identity"):
        gallery.rename("Ada", name)
    with pytest.raises(IdentityNotFound):
        gallery.rename("Grace", "Ada")
    assert gallery.identities() == [("Ada", 1)]


def test_of_equal_scores_the_earlier_comes_first_after_joining(gallery: Gallery) -> None:
    gallery.add_many([(name, faces(1)) for name in ("Cleo", "Ada", "Bob")])
    gallery.rename("Cleo", "Bob", merge=True)
    (found,) = gallery.search(faces(1), top=2)
    assert [m.identity for m in found] == ["Bob", "Ada"]
    assert found[0].template_id == ids_of(gallery, "Bob")[0]


def test_the_mean_is_over_all_that_were_joined(back_end: BackEnd) -> None:
    with back_end.open("fusion=mean") as gallery:
        gallery.add("Ada", faces(2))
        gallery.add("Bob", faces(2, seed=1))
        gallery.search(faces(1))
        gallery.rename("Bob", "Ada", merge=True)
        (found,) = gallery.search(faces(1), top=5)
        everyone = np.concatenate([faces(2).vectors, faces(2, seed=1).vectors])
        assert [m.identity for m in found] == ["Ada"]
        assert found[0].score == pytest.approx(float((everyone @ faces(1).vectors[0]).mean()), abs=1e-5)


PEOPLE = ["Ada", "ada b", "Łukasz", "Zoë", "zoé", "山田 太郎", "Straße", "a%b", "a_b", "100%", "Ω", "Émile"]


def test_identities_come_in_pages(gallery: Gallery) -> None:
    assert gallery.count_identities() == 0
    assert gallery.identities(limit=3, containing="a") == []
    gallery.add_many([(name, faces(1 + i % 2, seed=i)) for i, name in enumerate(PEOPLE)])
    everyone = gallery.identities()
    assert [name for name, _ in everyone] == sorted(PEOPLE)
    assert gallery.count_identities() == len(PEOPLE)
    for limit in (1, 5, len(PEOPLE), 100):
        pages, after = list[tuple[str, int]](), None
        while page := gallery.identities(after=after, limit=limit):
            assert len(page) <= limit
            pages += page
            after = page[-1][0]
        assert pages == everyone
    assert gallery.identities(after="b") == [entry for entry in everyone if entry[0] > "b"]
    assert gallery.identities(after="\U0010ffff") == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ADA", ["Ada", "ada b"]),
        ("zO", ["Zoë", "zoé"]),
        ("OË", ["Zoë"]),
        (unicodedata.normalize("NFD", "ZOË"), ["Zoë"]),
        ("łuk", ["Łukasz"]),
        ("STRASSE", ["Straße"]),
        ("太", ["山田 太郎"]),
        ("%", ["100%", "a%b"]),
        ("_", ["a_b"]),
        ("ω", ["Ω"]),
        ("é", ["zoé", "Émile"]),
        ("'", []),
        ("", sorted(PEOPLE)),
    ],
)
def test_names_that_hold_a_text(back_end: BackEnd, text: str, found: list[str]) -> None:
    with back_end.open() as gallery:
        gallery.add_many([(name, faces(1, seed=i)) for i, name in enumerate(PEOPLE)])
        assert [name for name, _ in gallery.identities(containing=text)] == found
        assert [name for name, _ in gallery.identities(containing=text, limit=1)] == found[:1]
        if len(found) > 1:
            second = gallery.identities(after=found[0], limit=1, containing=text)
            assert second == [(found[1], 1)]


@pytest.mark.parametrize("page", [{"limit": 0}, {"limit": -1}, {"limit": True}, {"limit": "3"}, {"after": "a\x00b"}])
def test_unfit_pages_are_refused(gallery: Gallery, page: dict[str, Any]) -> None:
    gallery.add("Ada", faces(1))
    with pytest.raises(BadInput, match=r"limit|after"):
        gallery.identities(**page)
    with pytest.raises(BadInput, match="containing"):
        gallery.identities(containing=7)  # type: ignore[arg-type]


def test_a_portrait_is_there_where_it_is_kept(back_end: BackEnd) -> None:
    picture = b"\xff\xd8 a picture \xff\xd9"
    portraits = Portraits([picture], faces(1).vectors[:, :10].reshape(1, 5, 2))
    try:
        opened = back_end.open("portraits=yes")
    except GalleryError:
        opened = back_end.open()
    with opened as gallery:
        (with_one,) = gallery.add_many([NewEnrollment("Ada", faces(1), portraits=portraits)])
        (without,) = gallery.add("Bob", faces(1, seed=1))
        kept = picture if gallery.options.portraits else None
        assert gallery.portrait(with_one.template_id) == kept
        assert gallery.portrait(without.template_id) is None
        gallery.rename("Ada", "Bob", merge=True)
        assert gallery.portrait(with_one.template_id) == kept
        gallery.remove_template(with_one.template_id)
        for unknown in (with_one.template_id, 0, -without.template_id, "1"):
            with pytest.raises(TemplateNotFound):
                gallery.portrait(unknown)  # type: ignore[arg-type]


def test_a_closed_gallery_says_so(back_end: BackEnd) -> None:
    gallery = back_end.open()
    gallery.add("Ada", faces(1))
    gallery.close()
    calls: list[Callable[[], Any]] = [
        lambda: gallery.rename("Ada", "Bob"),
        lambda: gallery.identities(limit=1),
        gallery.count_identities,
        lambda: gallery.portrait(1),
    ]
    for call in calls:
        with pytest.raises(GalleryError, match="is closed"):
            call()


def test_nobody_is_found_under_a_former_name(back_end: BackEnd, request: pytest.FixtureRequest) -> None:
    """Another handle, as another process has one, finds the new name at once, and joined identities joined."""
    if request.node.callspec.params["back_end"] not in LASTING:
        pytest.skip("every opening of a memory gallery makes a new one")
    with back_end.open() as one, back_end.open() as other:
        one.add_many([(f"person {i}", faces(1, seed=i)) for i in range(6)])
        assert [other.search(faces(1, seed=i))[0][0].identity for i in range(6)] == [f"person {i}" for i in range(6)]
        one.rename("person 1", "Ada")
        one.rename("person 2", "Ada", merge=True)
        other.rename("person 3", "person 4", merge=True)
        for handle in (one, other):
            names = [handle.search(faces(1, seed=i))[0][0].identity for i in range(6)]
            assert names == ["person 0", "Ada", "Ada", "person 4", "person 4", "person 5"]
            assert len(handle.search(faces(1), top=20)[0]) == 4
        with back_end.open() as late:
            assert late.identities() == [("Ada", 2), ("person 0", 1), ("person 4", 2), ("person 5", 1)]
