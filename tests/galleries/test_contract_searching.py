"""Searching among some: tags and names as filters, fused scores, unusual probes; one suite for all back ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gallery_cases import SPACE, BackEnd, faces

from mien.errors import BadInput, IdentityNotFound, SpaceMismatch
from mien.galleries import Gallery, NewEnrollment
from mien.matching import paired_scores
from mien.types import Match, Templates

PEOPLE = {"Ada": ["staff", "math"], "Bob": ["staff"], "Cleo": ["guest"], "Dora": []}


def enroll_people(gallery: Gallery) -> None:
    gallery.add_many([NewEnrollment(name, faces(1, seed=i), tags) for i, (name, tags) in enumerate(PEOPLE.items())])


def found(gallery: Gallery, **filters: Any) -> list[str]:
    return sorted(match.identity for match in gallery.search(faces(1, seed=9), top=99, **filters)[0])


def test_tags_are_kept_with_an_identity(gallery: Gallery) -> None:
    enroll_people(gallery)
    assert gallery.tags("Ada") == ["math", "staff"]
    assert gallery.tags("Dora") == []
    gallery.add("Ada", faces(1, seed=5), tags=["  Zoë\u0308ology "])
    assert gallery.tags("Ada") == ["Zoë̈ology", "math", "staff"]
    gallery.add("Ada", faces(1, seed=6), tags=["staff", "staff"])
    gallery.set_tags("Ada", ["guest", "guest"])
    assert gallery.tags("Ada") == ["guest"]
    gallery.set_tags("Ada", [])
    assert gallery.tags("Ada") == []


def test_tags_of_nobody(gallery: Gallery) -> None:
    for call in (lambda: gallery.tags("Ada"), lambda: gallery.set_tags("Ada", ["staff"])):
        with pytest.raises(IdentityNotFound, match="no identity 'Ada'"):
            call()
    enroll_people(gallery)
    with pytest.raises(IdentityNotFound, match="no identity 'Zoe'"):
        gallery.set_tags("Zoe", ["staff"])


def test_tags_go_with_their_identity(gallery: Gallery) -> None:
    enroll_people(gallery)
    gallery.remove_identity("Ada")
    assert found(gallery, tags=["math"]) == []
    gallery.add("Ada", faces(1))
    assert gallery.tags("Ada") == []
    assert found(gallery, tags=["staff"]) == ["Bob"]


@pytest.mark.parametrize("tags", ["staff", ["a\nb"], [""], [7], ["x" * 1001]])
def test_unfit_tags_are_refused(gallery: Gallery, tags: Any) -> None:
    enroll_people(gallery)
    for call in (
        lambda: gallery.add("Ada", faces(1, seed=7), tags=tags),
        lambda: gallery.set_tags("Ada", tags),
        lambda: gallery.search(faces(1), tags=tags),
    ):
        with pytest.raises(BadInput, match="tag"):
            call()
    assert gallery.tags("Ada") == ["math", "staff"]
    assert len(gallery) == 4


def test_search_among_tags(gallery: Gallery) -> None:
    enroll_people(gallery)
    assert found(gallery) == ["Ada", "Bob", "Cleo", "Dora"]
    assert found(gallery, tags=["staff"]) == ["Ada", "Bob"]
    assert found(gallery, tags=["math", "guest"]) == ["Ada", "Cleo"]
    assert found(gallery, tags={"nobody has this"}) == []
    assert found(gallery, tags=[]) == []
    gallery.set_tags("Dora", ["guest"])
    gallery.set_tags("Ada", ["guest"])
    assert found(gallery, tags=["guest"]) == ["Ada", "Cleo", "Dora"]
    assert found(gallery, tags=["staff"]) == ["Bob"]


def test_search_among_names(gallery: Gallery) -> None:
    enroll_people(gallery)
    assert found(gallery, identities=["Cleo", " Ada ", "nobody"]) == ["Ada", "Cleo"]
    assert found(gallery, identities=[]) == []
    assert found(gallery, identities={"nobody"}) == []
    assert found(gallery, identities=["Ada", "Cleo"], tags=["staff"]) == ["Ada"]
    assert found(gallery, identities=["Cleo"], tags=["staff"]) == []
    with pytest.raises(BadInput, match="expected several strings, got one"):
        found(gallery, identities="Ada")


def test_filters_of_an_empty_gallery(gallery: Gallery) -> None:
    assert found(gallery, tags=["staff"]) == []
    assert found(gallery, identities=["Ada"]) == []


def test_a_filtered_search_equals_all_comparisons(gallery: Gallery) -> None:
    enrolled = faces(300, seed=4)
    people = [f"person {i % 70}" for i in range(300)]
    tags = {f"person {i}": [f"tag {i % 3}"] for i in range(70)}
    gallery.add_many([NewEnrollment(people[i], enrolled[i], tags[people[i]]) for i in range(300)])
    probes = faces(3, seed=5)
    chosen = [i for i in range(300) if tags[people[i]] != ["tag 0"] and people[i] != "person 1"]
    named = sorted({people[i] for i in chosen})
    for probe, matches in zip(
        probes.vectors, gallery.search(probes, top=9, tags=["tag 1", "tag 2"], identities=named), strict=True
    ):
        scores = paired_scores(probe[None], enrolled.vectors[chosen])
        best: dict[str, float] = {}
        for i, score in zip(chosen, scores.tolist(), strict=True):
            best[people[i]] = max(score, best.get(people[i], -1.0))
        expected = sorted(best.items(), key=lambda item: -item[1])[:9]
        assert [(match.identity, match.score) for match in matches] == expected


def test_more_wanted_than_there_are(gallery: Gallery) -> None:
    enroll_people(gallery)
    assert len(gallery.search(faces(1), top=10**9)[0]) == 4
    assert gallery.search(faces(1), top=10**9, threshold=1.5) == [[]]
    assert [len(matches) for matches in gallery.search(faces(0), top=3)] == []


def test_many_probes_at_once(gallery: Gallery) -> None:
    enroll_people(gallery)
    probes = faces(150, seed=8)
    together = gallery.search(probes, top=3)
    assert len(together) == 150
    assert together[17] == gallery.search(probes[17], top=3)[0]


def test_the_mean_of_an_identitys_scores(back_end: BackEnd) -> None:
    with back_end.open("fusion=mean") as gallery:
        assert gallery.options.fusion == "mean"
        enrolled = {"Ada": faces(3, seed=1), "Bob": faces(1, seed=2), "Cleo": faces(2, seed=3)}
        for name, templates in enrolled.items():
            gallery.add(name, templates)
        probe = faces(1, seed=4)
        (matches,) = gallery.search(probe, top=3)
        means = {name: paired_scores(probe.vectors, t.vectors).mean() for name, t in enrolled.items()}
        assert [match.identity for match in matches] == sorted(means, key=lambda name: -means[name])
        assert [match.score for match in matches] == pytest.approx(sorted(means.values(), reverse=True), abs=1e-6)
        gallery.remove_template(gallery.templates("Ada")[0][0])
        left = paired_scores(probe.vectors, enrolled["Ada"].vectors[1:]).mean()
        (matches,) = gallery.search(probe, identities=["Ada"])
        assert matches[0].score == pytest.approx(left, abs=1e-6)


@pytest.mark.parametrize("vectors", [np.full((1, 16), np.nan), np.zeros((1, 16)), np.full((1, 16), np.inf)])
def test_probes_that_are_no_directions(gallery: Gallery, vectors: Any) -> None:
    enroll_people(gallery)
    with pytest.raises(BadInput):
        gallery.search(Templates(vectors.astype(np.float32), SPACE))
    with pytest.raises(BadInput):
        gallery.search(Templates.normalized(vectors, SPACE))


def test_probes_of_elsewhere(gallery: Gallery) -> None:
    enroll_people(gallery)
    with pytest.raises(SpaceMismatch, match="other@1"):
        gallery.search(faces(1, space="other@1"), tags=["staff"])
    with pytest.raises(BadInput, match="dimension 16, got dimension 8"):
        gallery.search(faces(1, dimension=8), identities=["Ada"])


def test_a_found_name_is_whose_template_it_is(gallery: Gallery) -> None:
    """Names are looked up after the search: still each with its own template."""
    enrolled = gallery.add_many([(f"person {i}", faces(1, seed=i)) for i in range(40)])
    owners = {e.template_id: e.identity for e in enrolled}
    matches: list[Match] = gallery.search(faces(1, seed=50), top=40)[0]
    assert {match.template_id: match.identity for match in matches} == owners
    gallery.remove_identity("person 3")
    gallery.add("person 3", faces(1, seed=3))
    (match,) = gallery.search(faces(1, seed=3), top=1)[0]
    assert match.identity == "person 3"
    assert match.template_id not in owners
