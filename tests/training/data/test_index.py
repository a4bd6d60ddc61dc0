"""The index: what comes back, what is refused, and where shards are found."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pack_making import made_index, written_index

from mien.errors import BadInput, BadPack, OutputError
from mien.training.data import Index, ShardReader, join_indexes, read_index, write_index

LABELS = [0, 0, 1, -1, 2]


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    points = np.arange(50, dtype=np.float32).reshape(5, 5, 2)
    points[3] = np.nan
    made = made_index(tmp_path, LABELS).with_columns(landmarks=points, quality=[1.0, None, 3.0, 4.0, 5.0])
    write_index(made, tmp_path)
    for path in (tmp_path, tmp_path / "index.parquet"):
        index = read_index(path)
        assert len(index) == 5
        assert index.labels.dtype == np.int32
        assert index.labels.tolist() == LABELS
        assert index.classes == 3
        assert index.identities == ["person 0", "person 1", "person 2"]
        assert index.aligned == 112
        np.testing.assert_array_equal(index.landmarks, points)
        np.testing.assert_array_equal(index.quality, np.asarray([1, np.nan, 3, 4, 5], np.float32))
        assert index.digests == made.digests
        assert [len(digest) for digest in index.digests] == [16] * 5


def test_facts_come_back(tmp_path: Path) -> None:
    made = made_index(tmp_path, LABELS)
    write_index(Index(made.path, made.table, None, "a note", ("here", "there")), tmp_path)
    index = read_index(tmp_path)
    assert (index.aligned, index.note, index.sources) == (None, "a note", ("here", "there"))


def test_an_empty_index(tmp_path: Path) -> None:
    write_index(made_index(tmp_path, LABELS).take([]), tmp_path / "none")
    index = read_index(tmp_path / "none")
    assert (len(index), index.classes, index.identities) == (0, 0, [])
    assert index.landmarks.shape == (0, 5, 2)
    assert len(ShardReader(index)) == 0


def test_rows_are_taken_and_labels_made_anew(tmp_path: Path) -> None:
    index = made_index(tmp_path, LABELS)
    some = index.take([4, 3, 0])
    assert some.labels.tolist() == [2, -1, 0]
    assert some.identities == ["person 0", "", "person 2"]
    assert some.texts("name") == ["4.jpg", "3.jpg", "0.jpg"]
    assert some.relabeled().labels.tolist() == [1, -1, 0]
    assert some.relabeled().identities == ["person 0", "person 2"]
    assert index.take(index.labels == 0).texts("name") == ["0.jpg", "1.jpg"]
    assert index.labels.tolist() == LABELS


def test_labels_follow_the_order_of_names(tmp_path: Path) -> None:
    index = made_index(tmp_path, LABELS).with_columns(identity=["b", "b", "é", "x", "Z"])
    assert index.relabeled().labels.tolist() == [1, 1, 2, -1, 0]
    assert index.relabeled().identities == ["Z", "b", "é"]


def test_an_index_elsewhere_finds_the_shards(tmp_path: Path) -> None:
    written_index(tmp_path / "pack", LABELS)
    index = read_index(tmp_path / "pack")
    write_index(index.take([2, 4]).relabeled(), tmp_path / "clean" / "first.parquet")
    cleaned = read_index(tmp_path / "clean" / "first.parquet")
    assert cleaned.texts("shard") == ["../pack/shard-00000.tar"] * 2
    with ShardReader(cleaned, verify=True) as reader:
        assert [reader.read(0), reader.read(1)] == [b"image 2", b"image 4"]
    # Both folders together can go anywhere.
    (tmp_path / "moved").mkdir()
    for name in ("pack", "clean"):
        shutil.move(tmp_path / name, tmp_path / "moved" / name)
    with ShardReader(read_index(tmp_path / "moved" / "clean" / "first.parquet")) as reader:
        assert reader.read(1) == b"image 4"


def test_indexes_are_joined(tmp_path: Path) -> None:
    first = read_index(written_index(tmp_path / "a", [0, 1]))
    second = read_index(written_index(tmp_path / "b", [0]))
    second = second.with_columns(identity=["someone else"])
    joined = join_indexes([first, second], tmp_path / "both").relabeled()
    write_index(joined, tmp_path / "both")
    both = read_index(tmp_path / "both")
    assert both.texts("shard") == ["../a/shard-00000.tar"] * 2 + ["../b/shard-00000.tar"]
    assert both.labels.tolist() == [0, 1, 2]
    assert both.aligned == 112


def test_it_goes_to_other_processes(tmp_path: Path) -> None:
    index = read_index(written_index(tmp_path, LABELS))
    assert index.digests
    again = pickle.loads(pickle.dumps(index))
    assert again.digests == index.digests
    assert again.path == index.path


def spoiled(tmp_path: Path, *, metadata: dict[str, Any] | None = None, **columns: Any) -> Path:
    """An index whose file was changed behind the checks' back; None drops a column."""
    file = written_index(tmp_path, LABELS) / "index.parquet"
    table = pq.ParquetFile(file).read()
    facts = table.schema.metadata
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.remove_column(place) if values is None else table.set_column(place, name, pa.array(values))
    if metadata is not None:
        facts = {b"mien": json.dumps({"format": 1, "aligned": 112, "note": "", "sources": [], **metadata}).encode()}
    pq.write_table(table.replace_schema_metadata(facts), file)
    return tmp_path


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": [0, 0, 1, -1, 3]}, r"labels have a gap: expected every label from 0 to 3, found no image of 2 \(1"),
        ({"label": [1, 1, 2, -1, 3]}, "labels have a gap: expected every label from 0 to 3, found no image of 0"),
        ({"label": [0, 0, 1, -2, 2]}, "row 3: expected a label of 0 or more, or -1 for none, got -2"),
        ({"identity": ["a", "b", "c", "d", "e"]}, "label 0: expected one identity, got '[ab]' and '[ab]'"),
        ({"identity": ["a", "a", "a", "d", "e"]}, "identity 'a': expected one label, got 0 and 1"),
        ({"offset": [512, 512, 90_000, 512, 512]}, r"row 2: points past its shard .*shard-00000\.tar: expected bytes "
         r"90000 to 90007, found a file of 6144 bytes \(1 such rows\)"),
        ({"offset": [512, -1, 512, 512, 512]}, "row 1: expected an offset of 0 or more, got -1"),
        ({"length": [7, 7, 7, 0, 7]}, "row 3: expected a length of 1 or more, got 0"),
        ({"shard": ["shard-00000.tar"] * 4 + ["gone.tar"]}, r"row 4: expected the shard .*gone\.tar, got: no such"),
        ({"digest": None}, r"expected a column 'digest' of fixed_size_binary\[16\], found none"),
        ({"label": ["a", "b", "c", "d", "e"]}, "expected column 'label' of int32, got string"),
        ({"identity": ["a", "a", None, "d", "e"]}, "row 2: expected a value in column 'identity', found none"),
        ({"digest": [b"1234"] * 5}, r"expected column 'digest' of fixed_size_binary\[16\], got binary"),
        ({"metadata": {"format": 2}}, "expected an index of format 1, got 2"),
        ({"metadata": {"aligned": "112"}}, "expected a number of pixels or null as 'aligned', got '112'"),
        ({"metadata": {"sources": "here"}}, "expected texts as 'note' and 'sources', got '' and 'here'"),
    ],
)  # fmt: skip
def test_a_bad_index_is_refused(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    path = spoiled(tmp_path, **columns)
    with pytest.raises(BadPack, match=rf"index\.parquet: {message}"):
        read_index(path)


def test_a_shard_that_was_cut_off(tmp_path: Path) -> None:
    written_index(tmp_path, LABELS)
    shard = tmp_path / "shard-00000.tar"
    shard.write_bytes(shard.read_bytes()[:4000])
    with pytest.raises(BadPack, match=r"row 4: points past its shard .* bytes 4608 to 4615, found a file of 4000"):
        read_index(tmp_path)


def test_files_that_are_no_index(tmp_path: Path) -> None:
    with pytest.raises(BadPack, match=r"gone: expected a pack with index\.parquet or an index, found none"):
        read_index(tmp_path / "gone")
    (tmp_path / "index.parquet").write_bytes(b"no Parquet at all")
    with pytest.raises(BadPack, match=r"index\.parquet: expected a Parquet file, got one that cannot be read"):
        read_index(tmp_path)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "index.parquet")
    with pytest.raises(BadPack, match="expected an index of training images, got a Parquet file that does not say it"):
        read_index(tmp_path)


def test_a_bad_index_is_not_written(tmp_path: Path) -> None:
    index = made_index(tmp_path, LABELS)
    with pytest.raises(BadPack, match="labels have a gap: expected every label from 0 to 2, found no image of 0"):
        write_index(index.take([2, 4]), tmp_path)
    assert not (tmp_path / "index.parquet").exists()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    index = made_index(tmp_path, LABELS)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/index\.parquet: cannot be written: (Not a directory|File exists)"):
        write_index(index, tmp_path / "file")
    assert not list(tmp_path.glob(".part*"))


def test_columns_that_do_not_fit(tmp_path: Path) -> None:
    index = made_index(tmp_path, LABELS)
    with pytest.raises(BadInput, match="column 'label': expected 5 values, got 2"):
        index.with_columns(label=[1, 2])
    with pytest.raises(BadInput, match=r"column: expected one of shard, offset, .* got 'lable'"):
        index.with_columns(lable=[1, 2, 3, 4, 5])
    with pytest.raises(BadPack, match="expected column 'label' of int32"):
        index.with_columns(label=list("abcde"))
    with pytest.raises(BadInput, match="expected a column of numbers, got 'name' of string"):
        index.numbers("name")
