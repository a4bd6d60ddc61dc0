from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import mien
from mien.errors import GalleryError, SpaceMismatch
from mien.galleries import Gallery, Migratable, Portraits, SqlGallery
from mien.matching.mapping import SpaceMap, fit_map
from mien.recognizer.migrating import begin_migration, migrate, plan_migration
from mien.testing import FakeDetector, FakeEmbedder, draw_face
from mien.types import FloatArray, ImageArray, Templates

OLD, NEW = "old@00000000", "new@11111111"
COLORS = [(255, 10, 10), (10, 255, 10), (10, 10, 255), (250, 250, 10), (250, 10, 250), (10, 250, 250), (250, 250, 250)]


class Turned(FakeEmbedder):
    """Another model: it sees what the first sees and writes it down in another order and sign."""

    def embed(self, chips: ImageArray) -> Templates:
        vectors = super().embed(chips).vectors
        return Templates(np.ascontiguousarray(-vectors[:, ::-1]), self.space)


def photo(color: tuple[int, int, int], shift: int = 0) -> ImageArray:
    image = np.full((160, 160, 3), 20, np.uint8)
    draw_face(image, (40 + shift, 50, 100 + shift, 110), color)
    return image


def recognizer(embedder: FakeEmbedder) -> mien.Recognizer:
    # Drawn faces are of no quality.
    return mien.Recognizer(mien.Settings(quality="off"), detector=FakeDetector(), embedder=embedder)


@pytest.fixture
def old() -> mien.Recognizer:
    return recognizer(FakeEmbedder(OLD))


@pytest.fixture
def new() -> mien.Recognizer:
    return recognizer(Turned(NEW))


@pytest.fixture
def space_map() -> SpaceMap:
    random = np.random.default_rng(0)
    people = [f"p{k}" for k in range(40) for _ in range(6)]
    # Fewer directions than dimensions, as real faces have.
    faces = np.repeat(random.standard_normal((40, 8)), 6, axis=0) + 0.2 * random.standard_normal((240, 8))
    vectors = faces @ random.standard_normal((8, FakeEmbedder.dimension))
    first = Templates.normalized(vectors, OLD)
    return fit_map(first, Templates(np.ascontiguousarray(-first.vectors[:, ::-1]), NEW), people)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/people.db?portraits=yes"


def opened(url: str) -> SqlGallery:
    gallery = mien.open_gallery(url)
    assert isinstance(gallery, SqlGallery)
    assert isinstance(gallery, Migratable)
    return gallery


def enrolled(url: str, old: mien.Recognizer) -> SqlGallery:
    gallery = opened(url)
    for k, color in enumerate(COLORS):
        old.enroll(gallery, f"person {k}", [photo(color), photo(color, 5)])
    return gallery


def named(gallery: Gallery, by: mien.Recognizer) -> list[str]:
    return [by.identify(gallery, photo(color, 3), threshold=-1)[0][0].identity for color in COLORS]


EVERYBODY = [f"person {k}" for k in range(len(COLORS))]


def test_a_gallery_moves_by_its_portraits(url: str, old: mien.Recognizer, new: mien.Recognizer) -> None:
    with enrolled(url, old) as gallery:
        ids = [gallery.templates(name)[0] for name in EVERYBODY]
        assert sum(migrate(gallery, new.embedder)) == 14
        assert gallery.space == NEW
        assert [gallery.templates(name)[0] for name in EVERYBODY] == ids
        assert named(gallery, new) == EVERYBODY
        assert gallery.mapped() == 0
        assert gallery.migration() is None
        with pytest.raises(SpaceMismatch):
            old.identify(gallery, photo(COLORS[0]))
        # Once more, back to where it came from.
        assert sum(migrate(gallery, old.embedder)) == 14
        assert named(gallery, old) == EVERYBODY


def test_the_old_space_is_searched_until_the_end(
    url: str, old: mien.Recognizer, new: mien.Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mien.recognizer.migrating._PORTRAITS_A_BATCH", 3)
    with enrolled(url, old) as gallery, opened(url) as elsewhere:
        for _ in migrate(gallery, new.embedder):
            if gallery.space == NEW:
                break
            assert named(gallery, old) == EVERYBODY
            assert named(elsewhere, old) == EVERYBODY
        assert gallery.space == NEW
        assert named(elsewhere, new) == EVERYBODY
        assert elsewhere.space == NEW


def stopped(steps: Iterator[int], count: int) -> int:
    return sum(next(steps) for _ in range(count))


def test_a_stopped_run_is_gone_on_with(
    url: str, old: mien.Recognizer, new: mien.Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mien.recognizer.migrating._PORTRAITS_A_BATCH", 3)
    with enrolled(url, old) as gallery:
        assert stopped(migrate(gallery, new.embedder), 2) == 6
    with opened(url) as gallery:
        state = gallery.migration()
        assert state is not None
        assert (state.target, state.done, state.left, state.left_without_portrait) == (NEW, 6, 8, 0)
        assert named(gallery, old) == EVERYBODY
        # What changes in between: one goes whose new vector is there, one whose is not, and one comes.
        gallery.remove_identity("person 0")
        gallery.remove_identity("person 6")
        old.enroll(gallery, "person 6", photo(COLORS[6]))
        assert begin_migration(gallery, new.embedder).done == 4
        assert sum(migrate(gallery, new.embedder)) == 7
        assert named(gallery, new)[1:] == EVERYBODY[1:]
        assert len(gallery) == 11


def test_another_target_is_refused_until_the_first_is_given_up(
    url: str, old: mien.Recognizer, new: mien.Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mien.recognizer.migrating._PORTRAITS_A_BATCH", 3)
    with enrolled(url, old) as gallery:
        stopped(migrate(gallery, new.embedder), 2)
        third = recognizer(FakeEmbedder("third@22222222"))
        for step in (plan_migration, begin_migration):
            with pytest.raises(GalleryError, match=rf"{NEW} .*under way \(6 of 14 .*--abandon"):
                step(gallery, third.embedder)
        with pytest.raises(GalleryError, match="--abandon"):
            next(migrate(gallery, third.embedder))
        state = gallery.migration()
        assert state is not None
        assert (state.target, state.done) == (NEW, 6)
        assert gallery.abandon_migration() == 6
        assert sum(migrate(gallery, third.embedder)) == 14
        assert gallery.space == "third@22222222"


def test_templates_without_portraits_are_mapped_and_marked(
    url: str, old: mien.Recognizer, new: mien.Recognizer, space_map: SpaceMap
) -> None:
    plain = url.partition("?")[0]
    with enrolled(plain, old) as gallery:
        vectors = np.concatenate([gallery.templates(name)[1].vectors for name in EVERYBODY])
        assert sum(migrate(gallery, new.embedder, space_map)) == 14
        assert (gallery.space, gallery.mapped()) == (NEW, 14)
        found = np.concatenate([gallery.templates(name)[1].vectors for name in EVERYBODY])
        np.testing.assert_allclose(found, space_map.apply(Templates(vectors, OLD)).vectors, atol=1e-6)


def mixed(url: str, old: mien.Recognizer, broken: bytes | None = None) -> SqlGallery:
    """A gallery in which one template has no portrait, or a damaged one."""
    gallery = enrolled(url, old)
    template = old.analyze(photo(COLORS[0])).templates
    landmarks = np.zeros((1, 5, 2), np.float32)
    gallery.add("without", template, portraits=None if broken is None else Portraits([broken], landmarks))
    return gallery


@pytest.mark.parametrize("broken", [None, b"no picture"])
def test_only_what_has_no_good_portrait_is_mapped(
    url: str, old: mien.Recognizer, new: mien.Recognizer, space_map: SpaceMap, broken: bytes | None
) -> None:
    with mixed(url, old, broken) as gallery:
        assert sum(migrate(gallery, new.embedder, space_map)) == 15
        assert gallery.mapped() == 1
        assert named(gallery, new)[1:] == EVERYBODY[1:]


def test_without_portraits_and_map_nothing_is_done(url: str, old: mien.Recognizer, new: mien.Recognizer) -> None:
    with mixed(url, old) as gallery:
        with pytest.raises(GalleryError, match="1 of 15 templates have no portrait"):
            next(migrate(gallery, new.embedder))
        assert gallery.migration() is None
        assert named(gallery, old) == EVERYBODY


def test_a_damaged_portrait_without_a_map_is_an_error(url: str, old: mien.Recognizer, new: mien.Recognizer) -> None:
    with mixed(url, old, b"no picture") as gallery:
        with pytest.raises(GalleryError, match="portrait of template 15 is damaged"):
            list(migrate(gallery, new.embedder))
        assert gallery.space == OLD
        gallery.remove_template(15)
        list(migrate(gallery, new.embedder))
        assert gallery.space == NEW


def test_maps_and_targets_must_fit(url: str, old: mien.Recognizer, new: mien.Recognizer, space_map: SpaceMap) -> None:
    with opened(url) as empty, pytest.raises(GalleryError):
        list(migrate(empty, new.embedder))
    with enrolled(url, old) as gallery:
        with pytest.raises(GalleryError):
            list(migrate(gallery, old.embedder))
        with pytest.raises(SpaceMismatch, match="third@22222222"):
            list(migrate(gallery, FakeEmbedder("third@22222222"), space_map))
        assert gallery.migration() is None


class Enrolling(Turned):
    """A model during whose work somebody enrolls."""

    def __init__(self, gallery: SqlGallery, templates: Templates, portraits: Portraits) -> None:
        super().__init__(NEW)
        self._gallery, self._templates, self._portraits = gallery, templates, portraits
        self._done = False

    def embed(self, chips: ImageArray) -> Templates:
        if not self._done:
            self._done = True
            self._gallery.add("late", self._templates, portraits=self._portraits)
        return super().embed(chips)


def test_who_is_enrolled_meanwhile_moves_too(url: str, old: mien.Recognizer, new: mien.Recognizer) -> None:
    with enrolled(url, old) as gallery:
        gallery.begin_migration("third@22222222", 3)
        (row,) = gallery.unmigrated(1)
        gallery.abandon_migration()
        assert row.picture is not None
        assert row.landmarks is not None
        landmarks: FloatArray = row.landmarks[None]
        late = Enrolling(gallery, Templates(row.vector[None], OLD), Portraits([row.picture], landmarks))
        assert sum(migrate(gallery, late)) == 15
        assert gallery.space == NEW
        np.testing.assert_allclose(
            gallery.templates("late")[1].vectors, gallery.templates("person 0")[1][0].vectors, atol=1e-6
        )


def test_a_migration_by_a_map_is_not_dropped_by_mistake(
    url: str, old: mien.Recognizer, new: mien.Recognizer, space_map: SpaceMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mien.recognizer.migrating._PORTRAITS_A_BATCH", 3)
    with mixed(url, old) as gallery:
        stopped(migrate(gallery, new.embedder, space_map), 2)
        with pytest.raises(GalleryError, match="6 templates are done"):
            begin_migration(gallery, new.embedder)
        assert begin_migration(gallery, new.embedder, space_map).done == 6
        assert sum(migrate(gallery, new.embedder, space_map)) == 9


def test_a_refused_one_throws_nothing_away(
    url: str, old: mien.Recognizer, new: mien.Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mien.recognizer.migrating._PORTRAITS_A_BATCH", 3)
    with enrolled(url, old) as gallery:
        stopped(migrate(gallery, new.embedder), 2)
        gallery.add("without", old.analyze(photo(COLORS[0])).templates)
        before = gallery.migration()
        assert before is not None
        assert (before.done, before.left_without_portrait) == (6, 1)
        for target in (new.embedder, FakeEmbedder("third@22222222")):
            with pytest.raises(GalleryError, match=r"have no portrait|--abandon"):
                begin_migration(gallery, target)
            assert gallery.migration() == before


def test_a_map_given_later_keeps_what_the_portraits_gave(
    url: str, old: mien.Recognizer, new: mien.Recognizer, space_map: SpaceMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mien.recognizer.migrating._PORTRAITS_A_BATCH", 3)
    with enrolled(url, old) as gallery:
        stopped(migrate(gallery, new.embedder), 2)
        gallery.add("without", old.analyze(photo(COLORS[0])).templates)
        assert plan_migration(gallery, new.embedder, space_map).done == 6
        before = gallery.migration()
        assert before is not None
        assert before.method is None
        assert sum(migrate(gallery, new.embedder, space_map)) == 9
        assert (gallery.space, gallery.mapped()) == (NEW, 1)


def test_vectors_do_not_get_into_a_migration_begun_meanwhile(
    url: str, old: mien.Recognizer, new: mien.Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mien.recognizer.migrating._PORTRAITS_A_BATCH", 3)
    with enrolled(url, old) as gallery, opened(url) as elsewhere:
        steps = migrate(gallery, new.embedder)
        assert next(steps) == 3
        third = FakeEmbedder("third@22222222")
        elsewhere.abandon_migration()
        begin_migration(elsewhere, third)
        with pytest.raises(GalleryError, match=rf"expected a migration to {NEW} .*third@22222222"):
            list(steps)
        assert sum(migrate(elsewhere, third)) == 14
        assert named(elsewhere, recognizer(third)) == EVERYBODY


def test_an_encrypted_gallery_moves_too(tmp_path: Path, old: mien.Recognizer, new: mien.Recognizer) -> None:
    key = tmp_path / "key"
    key.write_text("5c" * 32)
    with enrolled(f"sqlite:///{tmp_path}/secret.db?portraits=yes&encrypted=yes&key_file={key}", old) as gallery:
        assert sum(migrate(gallery, new.embedder)) == 14
        assert named(gallery, new) == EVERYBODY
        assert gallery.check() == []
    stored = (tmp_path / "secret.db").read_bytes()
    assert b"JFIF" not in stored
    assert b"person" not in stored
