from __future__ import annotations

import numpy as np
import pytest
from gallery_cases import SPACE, faces

from mien.errors import BadInput, GalleryError, SpaceMismatch
from mien.galleries import Gallery, open_gallery
from mien.galleries.group import GalleryGroup


def made(*names: str, count: int = 4) -> list[Gallery]:
    galleries = []
    for seed, name in enumerate(names):
        gallery = open_gallery(f"memory:?name={name}")
        for k in range(count):
            gallery.add(f"{name} {k}", faces(count, seed=seed)[k], tags=["even"] if k % 2 == 0 else [])
        galleries.append(gallery)
    return galleries


def test_the_best_of_all_galleries() -> None:
    galleries = made("a", "b", "c")
    probes = faces(7, seed=9)
    every = [
        (g.name, name, vector)
        for g in galleries
        for name, _ in g.identities()
        for vector in g.templates(name)[1].vectors
    ]
    found = GalleryGroup(galleries).search(probes, top=5)
    for probe, matches in zip(probes.vectors, found, strict=True):
        scores = sorted((-float(vector @ probe), gallery, name) for gallery, name, vector in every)[:5]
        assert [(m.gallery, m.identity) for m in matches] == [(gallery, name) for _, gallery, name in scores]
        np.testing.assert_allclose([m.score for m in matches], [-s for s, _, _ in scores], atol=1e-6)
        assert [m.rank for m in matches] == [1, 2, 3, 4, 5]


def test_filters_and_thresholds_reach_each_gallery() -> None:
    group = GalleryGroup(made("a", "b"))
    probes = faces(3, seed=0)
    assert all(m.identity[-1] in "02" for ones in group.search(probes, top=9, tags=["even"]) for m in ones)
    assert [[m.identity for m in ones] for ones in group.search(probes, top=9, identities=["b 1"])] == [["b 1"]] * 3
    assert [[m.identity for m in ones] for ones in group.search(probes, top=9, threshold=0.999)] == [
        ["a 0"],
        ["a 1"],
        ["a 2"],
    ]
    assert len(group) == 8
    assert group.space == SPACE
    assert group.search(faces(0)) == []


def test_ties_go_by_the_order_of_the_galleries() -> None:
    galleries = [open_gallery(f"memory:?name={name}") for name in ("z", "a")]
    for gallery in galleries:
        gallery.add("Same", faces(1))
    for order in (galleries, galleries[::-1]):
        (matches,) = GalleryGroup(order).search(faces(1), top=2)
        assert [m.gallery for m in matches] == [g.name for g in order]
        assert [m.rank for m in matches] == [1, 2]


def test_one_gallery_and_empty_ones() -> None:
    (only,) = made("a")
    empty = open_gallery("memory:?name=empty")
    group = GalleryGroup([empty, only])
    assert group.search(faces(1))[0][0].gallery == "a"
    assert GalleryGroup([empty]).search(faces(2)) == [[], []]
    assert GalleryGroup([empty]).space is None
    with pytest.raises(BadInput, match="top"):
        group.search(faces(1), top=0)
    only.close()
    with pytest.raises(GalleryError):
        group.search(faces(1))


def test_spaces_must_agree() -> None:
    a, b = made("a", "b")
    other = open_gallery("memory:?name=other")
    other.add("Ada", faces(1, space="other@11111111"))
    with pytest.raises(SpaceMismatch, match="other@11111111"):
        GalleryGroup([a, b, other])
    with pytest.raises(SpaceMismatch):
        GalleryGroup([a]).search(faces(1, space="other@11111111"))
    with pytest.raises(BadInput, match="at least one"):
        GalleryGroup([])


def test_galleries_of_one_name_are_told_apart_by_their_place(tmp_path: object) -> None:
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("a", "b")]
    galleries = [open_gallery(f"{url}?timeout_s=1") for url in urls]
    for gallery in galleries:
        gallery.add("Ada", faces(1))
    (matches,) = GalleryGroup(galleries).search(faces(1), top=2)
    assert [m.gallery for m in matches] == urls
    with pytest.raises(BadInput, match="each gallery once"):
        GalleryGroup([galleries[0], galleries[0]])
    for gallery in galleries:
        gallery.close()
