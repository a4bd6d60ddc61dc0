"""Milvus galleries: what the contract suite does not ask of every gallery."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from gallery_cases import SPACE, faces

from mien.errors import BadGallery, BadInput, GalleryError, IdentityNotFound, MissingExtra
from mien.galleries import parse_url
from mien.galleries.memory import MemoryGallery
from mien.galleries.milvus import MilvusGallery, listing, searching
from mien.galleries.milvus.schema import collection_name, first_id
from mien.types import Match, Templates


def opened(url: str, create: bool = True) -> MilvusGallery:
    return MilvusGallery(parse_url(url), create)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"milvus:///{tmp_path / 'people.db'}"


def crowd(people: int, each: int, seed: int = 0) -> list[tuple[str, Templates]]:
    """Templates that lie near to each other, several a person."""
    random = np.random.default_rng(seed)
    raw = random.standard_normal((people, 1, 16)) + 0.7 * random.standard_normal((people, each, 16))
    return [(f"person {i}", Templates.normalized(rows, SPACE)) for i, rows in enumerate(raw)]


def shown(found: list[list[Match]]) -> list[list[tuple[str, float]]]:
    return [[(match.identity, match.score) for match in matches] for matches in found]


@pytest.mark.parametrize("fusion", ["max", "mean"])
def test_answers_are_those_of_a_memory_gallery(url: str, fusion: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_PROBES_AT_ONCE", 3)
    monkeypatch.setattr(searching, "_PERSONS_AT_ONCE", 4)
    items, probes = crowd(25, 8), faces(7, seed=5)
    with opened(f"{url}?fusion={fusion}") as gallery, MemoryGallery(parse_url(f"memory:?fusion={fusion}")) as model:
        gallery.add_many(items)
        model.add_many(items)
        for top, threshold in ((1, None), (3, 0.1), (25, None), (40, -0.2)):
            expected = shown(model.search(probes, top=top, threshold=threshold))
            assert shown(gallery.search(probes, top=top, threshold=threshold)) == expected
        some = {f"person {i}" for i in range(11)} | {"nobody"}
        assert shown(gallery.search(probes, top=5, identities=some)) == shown(
            model.search(probes, top=5, identities=some)
        )


def test_a_person_with_many_templates_hides_nobody(url: str) -> None:
    """The engine is asked for a few templates first; here they all belong to one person."""
    probe = faces(1)
    near = Templates.normalized(probe.vectors + 0.01 * faces(300, seed=1).vectors, probe.space)
    with opened(url) as gallery:
        gallery.add_many([("Ada", near), *((f"far {i}", faces(1, seed=i + 2)) for i in range(5))])
        (found,) = gallery.search(probe, top=3)
        assert found[0].identity == "Ada"
        assert len({match.identity for match in found}) == 3


def test_equal_templates_by_the_hundred_are_told_apart_by_their_ids(url: str) -> None:
    with opened(url) as gallery:
        enrolled = gallery.add_many([(f"twin {i}", faces(1)) for i in range(200)])
        (found,) = gallery.search(faces(1), top=4)
        assert [match.template_id for match in found] == [one.template_id for one in enrolled[:4]]


def test_more_than_the_engine_can_name_is_an_error_and_no_short_answer(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "_MOST_HITS", 20)
    with opened(url) as gallery:
        gallery.add_many([("Ada", faces(1)) for _ in range(30)] + [("Bob", faces(1, seed=1))])
        with pytest.raises(GalleryError, match="at most 20 templates for a probe"):
            gallery.search(faces(1), top=2)
        assert [match.identity for match in gallery.search(faces(1), top=2, identities=["Bob"])[0]] == ["Bob"]


@pytest.mark.parametrize("index", ["HNSW", "IVF_SQ8"])
def test_an_approximate_index_finds_what_is_there(url: str, index: str) -> None:
    items = crowd(30, 4)
    with opened(f"{url}?index={index.lower()}") as gallery:
        gallery.add_many(items)
        gallery._access.connection.flush(collection_name("default", 1))
        for name, templates in items[:5]:
            assert gallery.search(templates[1])[0][0].identity == name
    with opened(url) as gallery:
        assert gallery._access.state().index == index


NAMES = [
    '"] or id > 0 or person in ["',
    "') OR 1=1 --",
    "{name}",
    "a\\",
    "%_like",
    "𝔘" * 1000,
    "ü" * 1000,
    "null",
    "١٢٣",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_no_name_or_tag_is_taken_for_a_condition(url: str, name: str) -> None:
    with opened(url) as gallery:
        gallery.add("Ada", faces(1, seed=1))
        gallery.add(name, faces(2), tags=[name])
        assert gallery.tags(name) == [name]
        assert gallery.tags("Ada") == []
        assert [match.identity for match in gallery.search(faces(1), top=5, tags=[name])[0]] == [name]
        assert [match.identity for match in gallery.search(faces(1), top=5, identities=[name])[0]] == [name]
        assert gallery.remove_identity(name) == 2
        assert gallery.identities() == [("Ada", 1)]


def test_any_gallery_name_has_collections_of_its_own(url: str) -> None:
    with opened(f"{url}?name=a%20b"), opened(f"{url}?name=a_b") as other, opened(f"{url}?name=%F0%9D%94%98'") as third:
        other.add("Ada", faces(1))
        third.add("Bob", faces(1, dimension=8, space="other@1"))
        assert len(other) == 1
    with pytest.raises(BadGallery, match=r"no gallery named 'c' at .*; it has: a b, a_b, 𝔘'"):
        opened(f"{url}?name=c", create=False)
    with opened(f"{url}?name=a%20b", create=False) as first:
        assert first.space is None


def test_all_galleries_of_a_place_are_listed(url: str, tmp_path: Path) -> None:
    for call in (listing.summaries, listing.require_place):
        with pytest.raises(GalleryError, match=r"no folder|no gallery at"):
            call(parse_url(f"milvus:///{tmp_path / 'none' / 'people.db'}"))
    listing.require_place(parse_url(url))
    assert not list(tmp_path.iterdir())
    with opened(f"{url}?name=b&fusion=mean") as gallery, opened(f"{url}?name=a"):
        gallery.add_many([("Ada", faces(2)), ("Bob", faces(1))])
        empty, full = listing.summaries(parse_url(url))
        assert (empty.name, empty.space, empty.dimension, empty.templates) == ("a", None, None, 0)
        assert (full.name, full.space, full.dimension, full.options) == ("b", SPACE, 16, gallery.options)
        assert (full.identities, full.templates) == (2, 3)


def test_many_tags_are_too_many(url: str) -> None:
    with opened(url) as gallery:
        gallery.add("Ada", faces(1))
        many = [f"tag {i}" for i in range(1025)]
        for call in (lambda: gallery.set_tags("Ada", many), lambda: gallery.add("Ada", faces(1), tags=many)):
            with pytest.raises(BadInput, match="at most 1024 for an identity, got 1025"):
                call()
        gallery.set_tags("Ada", many[:1000])
        assert gallery.tags("Ada") == sorted(many[:1000])
        assert len(gallery) == 1


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("codec=int8", "codec=int8: a Milvus gallery stores float32"),
        ("codec=int8-only", "index=IVF_SQ8"),
        ("portraits=yes", "keeps no portraits"),
        ("audit=all", "keeps no audit log"),
        ("audit=changes", "keeps no audit log"),
        ("audit_days=3", "keeps no audit log"),
        ("encrypted=yes", "is not encrypted by mien"),
    ],
)
def test_what_milvus_cannot_do_is_refused(url: str, option: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(BadGallery, match=reason):
        opened(f"{url}?{option}")
    assert not list(tmp_path.iterdir())


def test_options_stay_with_the_gallery(url: str) -> None:
    with opened(f"{url}?fusion=mean&audit=off&codec=float32") as gallery:
        assert (gallery.options.fusion, gallery.options.audit) == ("mean", "off")
    with opened(url, create=False) as gallery:
        assert gallery.options.fusion == "mean"
    with pytest.raises(BadGallery, match=r"made with fusion=mean, the URL says max"):
        opened(f"{url}?fusion=max")


def test_read_only_forbids_changes(url: str) -> None:
    with pytest.raises(BadGallery, match="no gallery at"):
        opened(f"{url}?mode=ro")
    with opened(url) as gallery:
        gallery.add("Ada", faces(1))
    with opened(f"{url}?mode=ro") as gallery:
        assert gallery.search(faces(1))[0][0].identity == "Ada"
        calls = (
            lambda: gallery.add("Bob", faces(1)),
            lambda: gallery.remove_identity("Ada"),
            lambda: gallery.set_tags("Ada", []),
            gallery.compact,
        )
        for call in calls:
            with pytest.raises(GalleryError, match="read-only"):
                call()


def test_what_is_no_gallery_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file.db").write_text("something else")
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "folder.db" / "photo.jpg").write_text("mine")
    for place, reason in (("file.db", "a file of something else"), ("folder.db", "a folder of something else")):
        with pytest.raises(BadGallery, match=reason):
            opened(f"milvus:///{tmp_path / place}")
    with pytest.raises(BadGallery, match="no gallery at"):
        opened(f"milvus:///{tmp_path / 'none.db'}", create=False)
    with pytest.raises(GalleryError, match="there is no folder"):
        opened(f"milvus:///{tmp_path / 'none' / 'people.db'}")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file.db", "folder.db", "photo.jpg"]


def test_templates_past_their_days_are_gone(url: str) -> None:
    with opened(f"{url}?retention_days=0.00001") as gallery:
        (first,) = gallery.add("Ada", faces(1), tags=["x"])
        time.sleep(0.5)
        gallery.add("Bob", faces(1, seed=1))
        time.sleep(0.6)
        assert gallery.identities() == [("Bob", 1)]
        assert len(gallery) == 1
        assert [match.identity for match in gallery.search(faces(1), top=5)[0]] == ["Bob"]
        for call in (gallery.templates, gallery.tags, gallery.remove_identity):
            with pytest.raises(IdentityNotFound):
                call("Ada")
        time.sleep(0.5)
        collection = collection_name("default", 1)
        assert gallery._access.connection.rows(collection, f"id >= {first.template_id}", ["id"]) == []
        assert gallery.search(faces(1)) == [[]]


def test_what_was_removed_is_in_no_file_after_compacting(url: str, tmp_path: Path) -> None:
    def held() -> bytes:
        return b"".join(path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file())

    with opened(url) as gallery:
        gallery.add("Ada Lovelace", faces(2), tags=["pioneer"])
        gallery.add("Bob", faces(1, seed=1))
        assert b"Ada Lovelace" in held()
        gallery.remove_identity("Ada Lovelace")
        assert b"Ada Lovelace" not in held()
        gallery.add("Ada Lovelace", faces(2), tags=["pioneer"])
        gallery._access.connection.flush(collection_name("default", 1))
        assert b"Ada Lovelace" in held()
        gallery.remove_identity("Ada Lovelace")
        gallery.compact()
        assert b"Ada Lovelace" not in held()
        assert b"pioneer" not in held()
        assert faces(2).vectors[0].tobytes() not in held()
        assert gallery.search(faces(1), top=5)[0][0].identity == "Bob"
        (again,) = gallery.add("Cleo", faces(1, seed=2))
        gallery.compact()
    with opened(url) as gallery:
        assert gallery.identities() == [("Bob", 1), ("Cleo", 1)]
        assert gallery.templates("Cleo")[0] == [again.template_id]


def test_compacting_does_not_disturb_another_handle(url: str) -> None:
    with opened(url) as here, opened(url) as there:
        here.add("Ada", faces(1))
        assert there.search(faces(1))[0][0].identity == "Ada"
        here.compact()
        assert there.search(faces(1))[0][0].identity == "Ada"
        there.add("Bob", faces(1, seed=1))
        assert here.identities() == [("Ada", 1), ("Bob", 1)]


def test_all_that_is_held_about_someone_is_exported(url: str) -> None:
    with opened(url) as gallery:
        ids = [one.template_id for one in gallery.add("Ada", faces(2), tags=["b", "a"])]
        held = json.loads(json.dumps(gallery.export_identity(" Ada")))
        assert (held["identity"], held["tags"], held["space"], held["dimension"]) == ("Ada", ["a", "b"], SPACE, 16)
        assert [one["template_id"] for one in held["templates"]] == ids
        assert np.array_equal(np.array([one["vector"] for one in held["templates"]], np.float32), faces(2).vectors)
        age = datetime.now(timezone.utc) - datetime.fromisoformat(held["templates"][0]["enrolled"])
        assert 0 <= age.total_seconds() < 60
        with pytest.raises(IdentityNotFound):
            gallery.export_identity("Bob")


def test_damage_is_found(url: str) -> None:
    with opened(url) as gallery:
        assert gallery.check() == []
        first, *_ = gallery.add("Ada", faces(3), tags=["a"])
        assert gallery.check() == []
        collection = collection_name("default", 1)
        row = gallery._access.connection.rows(collection, f"id == {first.template_id}", ["*"])[0]
        for change, reason in (
            ({"vector": [2.0] * 16}, "no vector of unit norm, but of 8"),
            ({"name": "Bob"}, "another key than its identity 'Bob' has"),
            ({"tags": []}, "other tags than it has"),
            ({"tags": [], "words": []}, "other tags than an older one"),
        ):
            gallery._access.connection.replace(collection, [{**row, **change}])
            found = gallery.check()
            assert any(reason in fault for fault in found), found
        gallery._access.connection.replace(collection, [row])
        assert gallery.check() == []


def test_ids_rise_and_stay_exact_in_json() -> None:
    last = 0
    for _ in range(100):
        last, former = first_id(last), last
        assert former < last < 2**53
    assert first_id(2**52) == 2**52 + 1


@pytest.mark.parametrize(
    ("module", "reason"),
    [("pymilvus", r"need pymilvus: pip install 'mien\[milvus\]'"), ("milvus_lite.adapter.grpc.server", "milvus-lite")],
)
def test_a_missing_driver_is_named(url: str, module: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=reason):
        opened(url)
