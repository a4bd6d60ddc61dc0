"""An index in a file: what is damaged is found, where that costs no reading of all of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mien.errors import BadInput
from mien.matching import CODECS, Codec, SearchIndex, erase_rows
from mien.types import FloatArray

ROWS, DIMENSION = 3000, 16


def unit(count: int, seed: int = 0) -> FloatArray:
    raw = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    return np.asarray(raw / np.linalg.norm(raw, axis=1, keepdims=True), np.float32)


def saved(path: Path, codec: Codec = "float32") -> SearchIndex:
    index = SearchIndex(DIMENSION, codec)
    index.add(range(10, 10 + ROWS), np.arange(ROWS) // 3, unit(ROWS))
    index.save(path, {"epoch": 3})
    return index


@pytest.mark.parametrize("codec", CODECS)
def test_damage_to_what_is_read_at_opening_is_found(codec: Codec, tmp_path: Path) -> None:
    path = tmp_path / "people.idx"
    saved(path, codec)
    whole = path.read_bytes()
    ids = np.arange(10, 10 + ROWS, dtype="<i8").tobytes()
    identities = (np.arange(ROWS, dtype="<i8") // 3).tobytes()
    error = whole.index(b'"error": ') + 9
    for place in (9, 14, 20, error, whole.index(ids) + 4000, whole.index(identities) + 4001):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(BadInput, match=r"people\.idx.*damaged"):
            SearchIndex.load(path)
    path.write_bytes(whole)
    assert len(SearchIndex.load(path)[0]) == ROWS


def test_an_older_version_is_told_from_a_newer_one(tmp_path: Path) -> None:
    path = tmp_path / "people.idx"
    saved(path)
    whole = path.read_bytes()
    for version, age in ((b"\x01", "older"), (b"\x09", "newer")):
        path.write_bytes(whole[:7] + version + whole[8:])
        with pytest.raises(BadInput, match=age):
            SearchIndex.load(path)


@pytest.mark.parametrize("codec", CODECS)
def test_rows_erased_by_many_leave_a_file_that_opens(codec: Codec, tmp_path: Path) -> None:
    path = tmp_path / "people.idx"
    index = saved(path, codec)
    assert erase_rows(path, [10, 11, 12, 500]) == 4
    assert erase_rows(path, [500, 9999]) == 1
    loaded, facts = SearchIndex.load(path)
    assert facts == {"epoch": 3}
    assert len(loaded) == ROWS - 4
    assert sorted(loaded.removed_ids().tolist()) == [10, 11, 12, 500]
    assert loaded.ids().tolist() == [id_ for id_ in range(10, 10 + ROWS) if id_ not in (10, 11, 12, 500)]
    kept = [13, 499, 2000]
    for one, other in zip(loaded.rows(kept).arrays, index.rows(kept).arrays, strict=True):
        if one is not None and other is not None:
            np.testing.assert_array_equal(one, other)
        else:
            assert one is other
    assert len(loaded.rows([10, 11])) == 0
    # Written anew, the rows that were erased are gone, and the checksums are of those that are left.
    loaded.save(path, {})
    again, _ = SearchIndex.load(path)
    assert (len(again), len(again.removed_ids())) == (ROWS - 4, 0)


def test_saving_tells_how_far_it_is(tmp_path: Path) -> None:
    index = SearchIndex(2, "int8")
    index.add(range(150_000), range(150_000), np.tile(np.array([[1, 0]], np.float32), (150_000, 1)))
    told: list[int] = []
    index.save(tmp_path / "people.idx", {}, progress=told.append)
    assert sum(told) == 150_000
    assert max(told) <= 10_000
