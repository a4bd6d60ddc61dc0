"""What every gallery promises, whatever holds its templates: one suite for all back ends."""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from gallery_cases import SPACE, BackEnd, faces

from mien.errors import BadInput, GalleryError, IdentityNotFound, SpaceMismatch, TemplateNotFound
from mien.galleries import Gallery
from mien.matching import paired_scores
from mien.types import Enrollment, Match, Templates


def test_a_new_gallery_is_empty(gallery: Gallery, back_end: BackEnd) -> None:
    assert isinstance(gallery, Gallery)
    assert gallery.url == back_end.url
    assert gallery.name == "default"
    assert gallery.space is None
    assert len(gallery) == 0
    assert gallery.identities() == []
    assert gallery.search(faces(2), top=5, threshold=0.5) == [[], []]
    assert gallery.search(faces(0)) == []


def test_what_is_enrolled_is_found(gallery: Gallery) -> None:
    ada, grace = faces(3), faces(2, seed=1)
    first = gallery.add("Ada", ada)
    second = gallery.add("Grace", grace)
    assert [e.identity for e in first + second] == ["Ada"] * 3 + ["Grace"] * 2
    ids = [e.template_id for e in first + second]
    assert ids == sorted(set(ids))
    assert gallery.space == SPACE
    assert len(gallery) == 5
    assert gallery.identities() == [("Ada", 3), ("Grace", 2)]
    (found,) = gallery.search(grace[1], top=5)
    assert found[0] == Match("Grace", 1.0, 1, second[1].template_id)
    assert [match.identity for match in found] == ["Grace", "Ada"]
    assert found[1].score == max(paired_scores(grace[1].vectors, ada.vectors))


def test_templates_come_back_bit_for_bit(gallery: Gallery) -> None:
    first = gallery.add("Ada", faces(3))
    gallery.add("Grace", faces(1, seed=1))
    second = gallery.add("Ada", faces(2, seed=2))
    ids, templates = gallery.templates("Ada")
    assert ids == [e.template_id for e in first + second]
    assert templates.space == SPACE
    assert np.array_equal(templates.vectors, np.concatenate([faces(3).vectors, faces(2, seed=2).vectors]))


def test_many_are_enrolled_at_once(gallery: Gallery) -> None:
    gallery.add("Ada", faces(1))
    items = [("Grace", faces(2, seed=1)), ("Ada", faces(1, seed=2)), ("Grace", faces(1, seed=3)), ("Alan", faces(0))]
    enrolled = gallery.add_many(iter(items))
    assert [e.identity for e in enrolled] == ["Grace", "Grace", "Ada", "Grace"]
    assert gallery.identities() == [("Ada", 2), ("Grace", 3)]
    (found,) = gallery.search(items[1][1])
    assert (found[0].identity, found[0].template_id) == ("Ada", enrolled[2].template_id)
    assert gallery.add_many([]) == []


def test_nothing_to_enroll_changes_nothing(gallery: Gallery) -> None:
    assert gallery.add("Ada", faces(0)) == []
    assert gallery.identities() == []
    assert gallery.space is None
    gallery.add("Ada", faces(1, dimension=8, space="other@1"))
    with pytest.raises(SpaceMismatch):
        gallery.add("Ada", faces(0))


def test_all_or_nothing(gallery: Gallery) -> None:
    gallery.add("Ada", faces(1))

    def broken() -> Iterator[tuple[str, Templates]]:
        yield "Grace", faces(2, seed=1)
        raise RuntimeError("the camera fell down")

    with pytest.raises(RuntimeError, match="camera"):
        gallery.add_many(broken())
    with pytest.raises(BadInput):
        gallery.add_many([("Grace", faces(2, seed=1)), ("", faces(1))])
    with pytest.raises(SpaceMismatch):
        gallery.add_many([("Grace", faces(2, seed=1)), ("Alan", faces(1, space="other@1"))])
    with pytest.raises(BadInput, match="dimension 16, got dimension 8"):
        gallery.add_many([("Grace", faces(2, seed=1)), ("Alan", faces(1, dimension=8))])
    assert gallery.identities() == [("Ada", 1)]
    assert len(gallery) == 1


def test_an_identity_is_removed(gallery: Gallery) -> None:
    gallery.add("Ada", faces(3))
    gallery.add("Grace", faces(1, seed=1))
    assert gallery.remove_identity("Ada") == 3
    assert gallery.identities() == [("Grace", 1)]
    assert [match.identity for match in gallery.search(faces(1), top=9)[0]] == ["Grace"]
    for call in (gallery.remove_identity, gallery.templates):
        with pytest.raises(IdentityNotFound, match="no identity 'Ada'"):
            call("Ada")


def test_a_template_is_removed_and_the_last_one_takes_the_identity_along(gallery: Gallery) -> None:
    first, second = gallery.add("Ada", faces(2))
    gallery.remove_template(first.template_id)
    assert gallery.identities() == [("Ada", 1)]
    assert gallery.search(faces(1))[0][0].template_id == second.template_id
    gallery.remove_template(second.template_id)
    assert gallery.identities() == []
    assert gallery.search(faces(1)) == [[]]
    for unknown in (first.template_id, 0, -1, 10**30, "1"):
        with pytest.raises(TemplateNotFound):
            gallery.remove_template(unknown)  # type: ignore[arg-type]


def test_ids_are_never_given_out_twice(gallery: Gallery) -> None:
    seen: set[int] = set()
    for seed in range(4):
        ids = {e.template_id for e in gallery.add("Ada", faces(3, seed=seed))}
        assert not ids & seen
        seen |= ids
        gallery.remove_identity("Ada")


def test_the_space_is_guarded_even_when_all_is_removed(gallery: Gallery) -> None:
    gallery.add("Ada", faces(1))
    gallery.remove_identity("Ada")
    assert gallery.space == SPACE
    with pytest.raises(SpaceMismatch, match=r"holds templates of test@00000000, got templates of other@1"):
        gallery.add("Ada", faces(1, space="other@1"))
    with pytest.raises(SpaceMismatch):
        gallery.search(faces(1, space="other@1"))
    with pytest.raises(BadInput, match="dimension 16, got dimension 8"):
        gallery.add("Ada", faces(1, dimension=8))
    with pytest.raises(BadInput, match="dimension 16, got dimension 8"):
        gallery.search(faces(1, dimension=8))


@pytest.mark.parametrize(
    "name",
    ["Robert'); DROP TABLE templates;--", "Łukasz", "山田 太郎", "محمد", "👩‍🚀", "a%_b", 'quote"', "x" * 1000, "None"],
)
def test_any_name_is_kept(gallery: Gallery, name: str) -> None:
    gallery.add("Ada", faces(1, seed=1))
    assert gallery.add(name, faces(1))[0].identity == name
    assert gallery.search(faces(1))[0][0].identity == name
    assert gallery.identities() == sorted([("Ada", 1), (name, 1)])
    assert gallery.remove_identity(name) == 1
    assert gallery.identities() == [("Ada", 1)]


def test_two_spellings_of_one_name_are_one_identity(gallery: Gallery) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Zoë") for form in ("NFC", "NFD"))
    assert composed != decomposed
    gallery.add(composed, faces(1))
    assert gallery.add(f"  {decomposed}\t", faces(1, seed=1))[0].identity == composed
    assert gallery.identities() == [(composed, 2)]
    assert len(gallery.templates(decomposed)[0]) == 2
    assert gallery.remove_identity(decomposed) == 2


UNFIT = ["", "   ", "\n", "a\x00b", "a\nb", "\x7f.", "x" * 1001, "\ud800", "a\u2028b", None, 7, b"Ada"]


@pytest.mark.parametrize("name", UNFIT)
def test_unfit_names_are_refused(gallery: Gallery, name: Any) -> None:
    with pytest.raises(BadInput, match="identity"):
        gallery.add(name, faces(1))
    assert len(gallery) == 0


def test_wrong_types_are_refused(gallery: Gallery) -> None:
    with pytest.raises(BadInput, match="expected Templates for 'Ada', got ndarray"):
        gallery.add("Ada", faces(1).vectors)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="expected pairs"):
        gallery.add_many([7])  # type: ignore[list-item]
    with pytest.raises(BadInput, match="top: expected at least 1, got 0"):
        gallery.search(faces(1), top=0)
    with pytest.raises(BadInput, match="threshold"):
        gallery.search(faces(1), threshold=float("nan"))


def test_search_equals_all_comparisons(gallery: Gallery) -> None:
    enrolled = faces(400, seed=4)
    people = [f"person {i * 37 % 90:02d}" for i in range(400)]
    ids = [e.template_id for e in gallery.add_many([(p, enrolled[i]) for i, p in enumerate(people)])]
    probes = faces(6, seed=5)
    found = gallery.search(probes, top=12, threshold=0.2)
    for i, matches in enumerate(found):
        best: dict[str, tuple[float, int]] = {}
        for person, id_, score in zip(people, ids, paired_scores(probes[i].vectors, enrolled.vectors), strict=True):
            if score >= 0.2 and (person not in best or score > best[person][0]):
                best[person] = (float(score), id_)
        expected = sorted(best.items(), key=lambda item: (-item[1][0], item[1][1]))[:12]
        assert [(m.identity, (m.score, m.template_id)) for m in matches] == expected
        assert gallery.search(probes[i], top=12, threshold=0.2) == [matches]


def test_of_equal_scores_the_one_enrolled_earlier_comes_first(gallery: Gallery) -> None:
    gallery.add_many([(name, faces(1)) for name in ("Cleo", "Ada", "Bob", "Ada")])
    (found,) = gallery.search(faces(1), top=2)
    assert [(m.identity, m.rank) for m in found] == [("Cleo", 1), ("Ada", 2)]
    assert found[1].template_id == gallery.templates("Ada")[0][0]


def test_a_closed_gallery_says_so(back_end: BackEnd) -> None:
    gallery = back_end.open()
    gallery.add("Ada", faces(1))
    gallery.close()
    gallery.close()
    calls: list[Callable[[], Any]] = [
        lambda: gallery.add("Ada", faces(1)),
        lambda: gallery.search(faces(1)),
        lambda: gallery.remove_identity("Ada"),
        lambda: gallery.remove_template(1),
        lambda: gallery.templates("Ada"),
        gallery.identities,
        lambda: len(gallery),
        lambda: gallery.space,
        gallery.__enter__,
    ]
    for call in calls:
        with pytest.raises(GalleryError, match="is closed"):
            call()


def test_many_threads(gallery: Gallery) -> None:
    """Each thread enrolls, finds and removes its own people; nobody's search fails or sees a stranger first."""
    failures: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            for turn in range(6):
                name, templates = f"{worker}-{turn}", faces(2, seed=worker * 100 + turn)
                enrolled: list[Enrollment] = gallery.add(name, templates)
                (match,) = gallery.search(templates[0])[0]
                assert (match.identity, match.template_id) == (name, enrolled[0].template_id)
                if turn % 2:
                    assert gallery.remove_identity(name) == 2
                    assert all(m.identity != name for m in gallery.search(templates[0], top=100)[0])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert gallery.identities() == sorted((f"{worker}-{turn}", 2) for worker in range(6) for turn in (0, 2, 4))
