"""The loader: the same batches whoever asks, and what it does with images that cannot be read."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from face_packs import SIDE, damage, face_pack
from pack_making import encoded, noise

from mien.errors import BadInput, BadPack
from mien.training.augmentation import Augmentation, AugmentationSettings
from mien.training.data import Index, read_index
from mien.training.data.loader import Batch, Loader, Position

LABELS = [k % 5 for k in range(40)] + [-1] * 3


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return face_pack(tmp_path_factory.mktemp("pack"), LABELS)


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return face_pack(tmp_path_factory.mktemp("second"), [0, 1, 0, 1, 2, 2])


def strong() -> Augmentation:
    return Augmentation(AugmentationSettings(preset="strong"))


def first(
    indexes: list[Index], count: int, start: Position | None = None, **options: Any
) -> list[tuple[Position, Batch]]:
    options.setdefault("batch", 8)
    with Loader(indexes, **options) as loader:
        return list(itertools.islice(loader.batches(start or Position()), count))


def same(one: Batch, other: Batch) -> bool:
    names = ("images", "labels", "sets", "rows", "mirrored")
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names) and one.skipped == other.skipped


def test_what_a_batch_holds(index: Index) -> None:
    (position, batch), *_ = first([index], 1)
    assert position == Position(0, 1)
    assert batch.images.dtype == torch.uint8
    assert batch.images.shape == (8, 3, SIDE, SIDE)
    assert batch.images.is_contiguous()
    assert batch.labels.dtype == batch.rows.dtype == batch.sets.dtype == torch.int64
    assert batch.mirrored.dtype == torch.bool
    assert not batch.mirrored.any()
    assert batch.skipped == []
    for image, label, row in zip(batch.images, batch.labels.tolist(), batch.rows.tolist(), strict=True):
        assert label == LABELS[row]
        assert torch.equal(image, torch.from_numpy(noise(row, SIDE, SIDE)).permute(2, 0, 1))


def test_all_labelled_images_once_an_epoch(index: Index) -> None:
    with Loader([index], batch=8) as loader:
        assert loader.steps_per_epoch == 5
        assert (loader.shares, loader.left_out) == ([1.0], 0)
        batches = list(itertools.islice(loader.batches(), 10))
    rows = [row for _, batch in batches for row in batch.rows.tolist()]
    assert sorted(rows[:40]) == sorted(rows[40:]) == list(range(40))
    assert rows[:40] != rows[40:]
    assert [batches[k][0] for k in (3, 4, 9)] == [Position(0, 4), Position(1, 0), Position(2, 0)]


@pytest.mark.parametrize("sampler", ["shuffled", "balanced"])
@pytest.mark.parametrize("world", [2, 4])
def test_the_batches_of_all_processes_together_are_one(index: Index, second: Index, sampler: str, world: int) -> None:
    options: dict[str, Any] = {"augmentation": strong(), "sampler": sampler, "classes": 4, "images": 2, "seed": 3}
    whole = first([index, second], 6, **options)
    parts = [first([index, second], 6, rank=rank, world=world, **options) for rank in range(world)]
    for step, (position, batch) in enumerate(whole):
        for rank in range(world):
            at, part = parts[rank][step]
            assert at == position
            for name in ("images", "labels", "sets", "rows", "mirrored"):
                assert torch.equal(getattr(batch, name)[rank::world], getattr(part, name))
    assert any(batch.mirrored.any() for _, batch in whole)
    assert {row for _, batch in whole for row in batch.sets.tolist()} == {0, 1}


@pytest.mark.parametrize("sampler", ["shuffled", "balanced"])
def test_going_on_in_mid_epoch_gives_the_same_batches(index: Index, sampler: str) -> None:
    options: dict[str, Any] = {"augmentation": strong(), "sampler": sampler, "classes": 4, "images": 2, "seed": 1}
    whole = first([index], 12, **options)
    for done, workers in ((3, 0), (6, 2), (11, 1)):
        rest = first([index], 12 - done, whole[done - 1][0], workers=workers, **options)
        for (position, batch), (other, again) in zip(whole[done:], rest, strict=True):
            assert position == other
            assert same(batch, again)


def test_workers_leave_the_random_numbers_of_training_alone(index: Index) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first([index], 3, workers=1)
    assert torch.equal(torch.rand(3), expected)


def test_the_same_image_is_changed_otherwise_each_time(second: Index) -> None:
    augmentation = Augmentation(AugmentationSettings(preset="none", gaussian_noise={"probability": 1.0}))  # type: ignore[arg-type]
    batches = first([second], 1, batch=12, augmentation=augmentation)
    rows, images = batches[0][1].rows, batches[0][1].images
    for row in range(6):
        one, other = images[rows == row]
        assert not torch.equal(one, other)


def test_images_that_cannot_be_read_are_replaced_and_listed(tmp_path: Path) -> None:
    small = encoded(noise(99, SIDE, SIDE + 4), ".png")
    index = face_pack(tmp_path, [0, 0, 1, 1, 2, 2], data={1: b"no image", 5: small})
    (_, batch), *_ = first([index], 1, batch=6)
    assert sorted(batch.rows.tolist()) == [0, 0, 2, 2, 3, 4]
    assert batch.labels.tolist() == [[0, 0, 1, 1, 2, 2][row] for row in batch.rows.tolist()]
    assert {(number, row): reason for number, row, reason in batch.skipped} == {
        (0, 1): "expected an image, got 8 bytes that cannot be decoded",
        (0, 5): f"expected {SIDE}×{SIDE} pixels, got {SIDE}×{SIDE + 4}",
    }


def test_a_balanced_batch_keeps_its_people(tmp_path: Path) -> None:
    index = face_pack(tmp_path, [0, 1, 0, 1, 0, 1], data={2: b"no image"})
    for _, batch in first([index], 4, batch=6, sampler="balanced", classes=2, images=3):
        assert sorted(batch.labels.tolist()) == [0, 0, 0, 1, 1, 1]
        assert [row for _, row, _ in batch.skipped] == [2]
        assert 2 not in batch.rows.tolist()


def test_other_bytes_are_found_when_asked_for(tmp_path: Path) -> None:
    index = face_pack(tmp_path, [0, 0, 1, 1])
    start = int(index.numbers("offset")[3])
    with index.shards[index.shard_numbers[3]].open("r+b") as stream:
        # Another image of the right size: decoding alone does not notice.
        stream.seek(start)
        stream.write(encoded(noise(2, SIDE, SIDE), ".png")[: int(index.numbers("length")[3])])
    assert first([index], 1, batch=4)[0][1].skipped == []
    ((number, row, reason),) = first([index], 1, batch=4, verify=True)[0][1].skipped
    assert (number, row) == (0, 3)
    assert "expected bytes of digest" in reason


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_that_can_be_read_stops(tmp_path: Path, workers: int) -> None:
    index = face_pack(tmp_path, [0, 0, 1, 1])
    for row in range(4):
        damage(index, row)
    with pytest.raises(
        BadPack, match=r"^data set 0: none of the images after row \d can be read; the last one: expected"
    ):
        first([index], 1, batch=2, workers=workers)


def test_shares_of_several_sets(index: Index, second: Index) -> None:
    with Loader([index, second], batch=8) as loader:
        assert loader.shares == [7 / 8, 1 / 8]
        assert loader.steps_per_epoch == 6
    with Loader([index, second], batch=8, shares=[1, 1]) as loader:
        _, batch = next(loader.batches())
        assert loader.shares == [0.5, 0.5]
        assert batch.sets.tolist().count(1) == 4
    with Loader([index, second], batch=8, shares=[0, 1]) as loader:
        _, batch = next(loader.batches())
        assert (loader.shares, loader.steps_per_epoch) == ([0.0, 1.0], 1)
        assert batch.sets.tolist() == [1] * 8


def test_a_set_may_be_missing_from_a_process(index: Index, second: Index) -> None:
    ones = [
        sum(first([index, second], 1, batch=4, shares=[3, 1], rank=rank, world=4)[0][1].sets.tolist())
        for rank in range(4)
    ]
    assert sorted(ones) == [0, 0, 0, 1]


def test_people_left_out_are_counted(tmp_path: Path) -> None:
    index = face_pack(tmp_path, [0, 0, 1, 2, 2, 3])
    with Loader([index], batch=4, sampler="balanced", classes=2, images=2) as loader:
        assert loader.left_out == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 2, "world": 4}, "batch: expected an image or more for each of 4 processes, got 2"),
        ({"rank": 2, "world": 2}, "rank: expected 0 to 1, got 2"),
        ({"workers": -1}, "expected workers of 0 or more and prefetch of 1 or more, got -1 and 2"),
        (
            {"sampler": "balanced", "classes": 4, "images": 4},
            "expected classes × images = 16 for a balanced batch, got 8",
        ),
        (
            {"sampler": "balanced", "classes": 8, "images": 2, "batch": 16},
            "data set 0: expected 8 people or more with 2 images or more, as a balanced batch takes, got 5 of 5",
        ),
        ({"shares": [1, 1]}, "shares: expected one for each of 1 data sets, got 2"),
        ({"shares": [0]}, r"shares: expected numbers of 0 or more, not all 0, got \[0\]"),
        ({"shares": [float("nan")]}, r"shares: expected numbers of 0 or more, not all 0, got \[nan\]"),
        ({"buffer_rows": 0}, "buffer_rows: expected 1 or more, got 0"),
        ({"sampler": "sorted"}, "sampler: expected shuffled or balanced, got 'sorted'"),
    ],
)
def test_what_cannot_be_is_refused(index: Index, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        first([index], 1, **options)


def test_sets_that_cannot_be_loaded_are_refused(index: Index, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="indexes: expected one data set or more, got none"):
        Loader([], batch=8)
    face_pack(tmp_path / "photos", [0, 1], aligned=None)
    with pytest.raises(BadInput, match="indexes: expected images aligned to one size, got 32, not aligned"):
        Loader([index, read_index(tmp_path / "photos")], batch=8)
    nobody = face_pack(tmp_path / "nobody", [-1, -1])
    with pytest.raises(BadInput, match="data set 1: expected images with a label, got none among 2"):
        Loader([index, nobody], batch=8)
    with pytest.raises(BadInput, match="batch: expected one or more for each of 3 data sets, got 2"):
        Loader([index, index, index], batch=2)


def test_a_closed_loader_gives_nothing(index: Index) -> None:
    loader = Loader([index], batch=8)
    batches = loader.batches()
    next(batches)
    loader.close()
    with pytest.raises(BadInput, match="expected a loader that is open, got one that is closed"):
        next(batches)
    with pytest.raises(BadInput, match="is closed"):
        next(loader.batches())


@pytest.mark.data
def test_faces(data_root: Path, tmp_path: Path) -> None:
    from mien.training.data.packing import pack_images

    people = sorted((data_root / "faces112").iterdir())[:3]
    for person in people:
        (tmp_path / "some" / person.name).mkdir(parents=True)
        for photo in sorted(person.iterdir())[:4]:
            (tmp_path / "some" / person.name / photo.name).symlink_to(photo)
    pack_images(tmp_path / "some", tmp_path / "pack", aligned=112)
    index = read_index(tmp_path / "pack")
    (_, batch), *_ = first([index], 1, batch=12, augmentation=strong())
    assert sorted(batch.rows.tolist()) == list(range(12))
    assert batch.images.float().std() > 20
