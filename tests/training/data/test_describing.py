"""Templates of a pack's images: made once, kept, and gone on with."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import numpy as np
import pytest
from face_packs import SIDE, damage, face_pack
from pack_making import encoded, noise
from PIL import Image

import mien
from mien.errors import BadImage, BadInput, BadPack, CacheError
from mien.testing import FakeEmbedder
from mien.training.data import ShardReader
from mien.training.data.describing import describe
from mien.types import ImageArray, Templates

SPACE = "counted@00000000"


class Counting(FakeEmbedder):
    """Counts the chips it was given."""

    def __init__(self, space: str = SPACE) -> None:
        super().__init__(space)
        self.seen = 0

    def embed(self, chips: ImageArray) -> Templates:
        self.seen += len(chips)
        return super().embed(chips)


def test_they_are_the_embedders_own(tmp_path: Path) -> None:
    index = face_pack(tmp_path / "pack", [0, 0, 1, -1])
    found = describe(index, Counting(), keep=tmp_path / "kept.sqlite")
    with ShardReader(index) as reader:
        chips = [np.asarray(Image.open(io.BytesIO(reader.read(row))).convert("RGB")) for row in range(4)]
    wanted = FakeEmbedder().embed(np.stack(chips)).vectors
    np.testing.assert_array_equal(found.vectors, wanted)
    assert (found.space, found.complete, found.made, found.failures) == (SPACE, True, 4, {})
    assert found.there.all()


def test_those_that_are_kept_are_not_made_again(tmp_path: Path) -> None:
    index, keep = face_pack(tmp_path / "pack", [0, 1, 2]), tmp_path / "kept.sqlite"
    first = describe(index, Counting(), keep=keep)
    again = Counting()
    second = describe(index.take([2, 0]), again, keep=keep)
    assert (again.seen, second.made) == (0, 0)
    np.testing.assert_array_equal(second.vectors, first.vectors[[2, 0]])
    assert stat.S_IMODE(keep.stat().st_mode) == 0o600


def test_images_of_the_same_bytes_are_described_once(tmp_path: Path) -> None:
    same = encoded(noise(7, SIDE, SIDE), ".png")
    index = face_pack(tmp_path / "pack", [0, 0, 1], data={0: same, 2: same})
    embedder = Counting()
    found = describe(index, embedder, keep=tmp_path / "kept.sqlite")
    assert embedder.seen == found.made == 2
    np.testing.assert_array_equal(found.vectors[0], found.vectors[2])


def test_stopped_it_goes_on_where_it_was(tmp_path: Path) -> None:
    index, keep = face_pack(tmp_path / "pack", [0] * 150), tmp_path / "kept.sqlite"
    first = Counting()
    done: list[int] = []
    stopped = describe(index, first, keep=keep, progress=done.append, stopped=lambda: first.seen >= 64)
    assert not stopped.complete
    assert stopped.made == first.seen == sum(done) == int(stopped.there.sum()) == 64
    second = Counting()
    whole = describe(index, second, keep=keep)
    assert (second.seen, whole.complete) == (150 - 64, True)
    np.testing.assert_array_equal(whole.vectors, describe(index, Counting(), keep=tmp_path / "other").vectors)


def test_a_kill_in_the_middle_costs_a_batch(tmp_path: Path) -> None:
    class Killed(Counting):
        def embed(self, chips: ImageArray) -> Templates:
            if self.seen >= 64:
                raise KeyboardInterrupt
            return super().embed(chips)

    index, keep = face_pack(tmp_path / "pack", [0] * 150), tmp_path / "kept.sqlite"
    with pytest.raises(KeyboardInterrupt):
        describe(index, Killed(), keep=keep)
    assert describe(index, Counting(), keep=keep).made == 150 - 64


def test_images_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    wide = encoded(noise(1, 40, 20), ".png")
    index = face_pack(tmp_path / "pack", [0, 0, 1, 1], data={1: b"no image", 2: wide})
    damage(index, 3)
    found = describe(index, Counting(), keep=tmp_path / "kept.sqlite")
    assert found.there.tolist() == [True, False, False, False]
    assert not found.vectors[1:].any()
    assert [type(found.failures[row]) for row in (1, 2, 3)] == [BadImage, BadImage, BadPack]
    assert "row 1: expected an image, got bytes that cannot be decoded" in str(found.failures[1])
    assert "row 2: expected 32×32 pixels, got 40×20" in str(found.failures[2])
    assert "expected bytes of digest" in str(found.failures[3])


def test_none(tmp_path: Path) -> None:
    found = describe(face_pack(tmp_path / "pack", [0]).take([]), Counting(), keep=tmp_path / "kept.sqlite")
    assert found.vectors.shape == (0, FakeEmbedder.dimension)
    assert found.complete


def test_other_chips_than_the_embedders_are_refused(tmp_path: Path) -> None:
    index = face_pack(tmp_path / "loose", [0], aligned=None)
    with pytest.raises(BadInput, match=r"expected images aligned to 32×32 pixels.*some that are not aligned"):
        describe(index, Counting())
    with pytest.raises(BadInput, match=r"aligned to 32×32 pixels, as counted@00000000 takes them; got 64×64"):
        describe(face_pack(tmp_path / "large", [0], aligned=64), Counting())
    points = np.tile(FakeEmbedder().reference + 5, (2, 1, 1))
    moved = face_pack(tmp_path / "moved", [0, 0]).with_columns(landmarks=points)
    with pytest.raises(BadInput, match="got landmarks that lie 7 pixels from its reference points on average"):
        describe(moved, Counting())
    near = moved.with_columns(landmarks=points - 4)
    assert describe(near, Counting(), keep=tmp_path / "kept.sqlite").complete


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kept.sqlite").write_bytes(b"something else" * 100)
    with pytest.raises(CacheError, match=r"kept.sqlite: cannot be opened"):
        describe(face_pack(tmp_path / "pack", [0]), Counting(), keep=tmp_path / "kept.sqlite")


def test_templates_of_another_length_are_made_anew(tmp_path: Path) -> None:
    class Short(Counting):
        dimension = 2

        def embed(self, chips: ImageArray) -> Templates:
            return Templates.normalized(np.ones((len(chips), 2), np.float32), self.space)

    index, keep = face_pack(tmp_path / "pack", [0]), tmp_path / "kept.sqlite"
    describe(index, Short(), keep=keep)
    assert describe(index, Counting(), keep=keep).made == 1


def test_they_are_kept_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    describe(face_pack(tmp_path / "pack", [0]), Counting())
    assert (tmp_path / "cache" / "described" / f"{SPACE}.sqlite").is_file()


def test_real_chips(real: mien.Recognizer, tmp_path: Path) -> None:
    chip = real.embedder.chip_size
    index = face_pack(tmp_path / "pack", [0], data={0: encoded(noise(1, chip, chip), ".png")}, aligned=chip)
    found = describe(index, real.embedder, keep=tmp_path / "kept.sqlite")
    np.testing.assert_allclose(found.vectors, real.embedder.embed(noise(1, chip, chip)[None]).vectors, atol=1e-6)
    assert found.space == real.space
