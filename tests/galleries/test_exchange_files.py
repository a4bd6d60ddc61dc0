from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exchange_cases import FORMATS, exported, filled, imported, whole
from gallery_cases import SPACE, faces

from mien.errors import BadInput, OutputError
from mien.galleries import open_gallery
from mien.galleries.exchange import checked_templates
from mien.galleries.exchange_npz import NumpyTemplates, write_npz
from mien.galleries.exchange_parquet import ParquetTemplates, write_parquet
from mien.galleries.exchange_rows import Block, FileFacts
from mien.galleries.exchange_seen import Tally


def good_columns(count: int = 3) -> dict[str, Any]:
    return {"identity": ["Ada", "Bo", "Cy"][:count], "vector": list(faces(count).vectors), "space": [SPACE] * count}


def test_a_parquet_file_of_somebody_elses(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    columns = {
        **good_columns(),
        "age": [1, 2, 3],
        "vector": [row.astype(np.float64).tolist() for row in faces(3).vectors],
    }
    pq.write_table(pa.table(columns), file)
    with open_gallery(f"sqlite:///{tmp_path}/a.db") as gallery:
        assert imported(gallery, file) == (3, 0)
        (block,) = whole(gallery)
        assert abs(block.created - time.time()).max() < 60
        assert not block.mapped.any()
        np.testing.assert_allclose(block.vectors, faces(3).vectors, atol=1e-7)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"identity": ["Ada", None, "Cy"]}, "row 2: expected a name in column identity, found none"),
        ({"identity": ["Ada", " ", "Cy"]}, "row 2: identity"),
        ({"identity": ["Ada", "a\nb", "Cy"]}, "row 2: .*control character"),
        ({"identity": ["Ada", "Bo", "x" * 1001]}, "row 3: .*at most 1000"),
        ({"identity": [1, 2, 3]}, r"expected names \(text\) in column identity, got int64"),
        ({"vector": [[1.0, 0.0], [0.0, 1.0], [1.0]]}, r"row 3: expected vectors of one length \(2\), got one of 1"),
        ({"vector": [[1.0, 0.0], [0.0, 1.0], None]}, "row 3: expected a list of numbers in column vector, found none"),
        ({"vector": [None, [0.0, 1.0], [1.0, 0.0]]}, "row 1: expected a list of numbers"),
        ({"vector": [[], [], []]}, "row 1: expected a list of numbers"),
        ({"vector": [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]}, "row 3: vector: .*unit norm"),
        ({"vector": [[1.0, 0.0], [float("nan"), 0.0], [0.0, 1.0]]}, "row 2: vector: .*finite"),
        ({"vector": [[1.0, 0.0], [None, 0.0], [0.0, 1.0]]}, "row 2: vector: .*finite"),
        ({"vector": ["a", "b", "c"]}, "expected lists of numbers in column vector, got string"),
        ({"vector": [["a"], ["b"], ["c"]]}, "expected lists of numbers in column vector, got list<element: string>"),
        ({"space": [SPACE, SPACE, "other@11111111"]}, "row 3: .*other@11111111"),
        ({"space": [SPACE, None, SPACE]}, "row 2: .*None"),
        ({"space": [None, SPACE, SPACE]}, "column space.*in its first row"),
        ({"space": None}, "column space.*no such column"),
        ({"space": [1, 2, 3]}, "expected text in column space, got int64"),
        ({"template_id": ["a", "b", "c"]}, "expected whole numbers in column template_id, got string"),
        ({"mapped": [0.5, 1.0, 0.0]}, "expected true or false in column mapped, got double"),
        ({"portrait": [b"x"] * 3, "landmarks": [[0.0] * 10, [0.0] * 9, None]}, "row 2: expected 10 numbers in column"),
        ({"vector": None}, "no vector"),
        ({"identity": None}, "no identity"),
        ({"tags": [["ok"], ["b\tad"], []]}, "row 2: tag"),
        ({"tags": ["ok", "bad", "x"]}, "expected lists of text in column tags, got string"),
        ({"created": [0, 0, -5_000_000]}, "row 3: created: .*in the past, in seconds since 1970, got -5$"),
        ({"created": [0, 4_000_000_000_000_000, 0]}, "row 2: created: .*in the past"),
        ({"created": ["2020-01-01T00:00:00Z", "b", "c"]}, "row 2: expected a time in UTC in column created, got 'b'"),
        ({"created": [1.5, 2.5, 3.5]}, "expected times in column created, got double"),
        ({"created": pa.array([1_700_000_000] * 3)}, "expected times in column created, got int64"),
        ({"portrait": [b"x"] * 3, "landmarks": [[0.5] * 10, None, [0.5] * 10]}, "row 2: expected 10 finite numbers"),
        (
            {"portrait": [None, None, b"x"], "landmarks": [None, None, [0.5] * 9 + [float("nan")]]},
            "row 3: expected 10 finite numbers in column landmarks beside the portrait",
        ),
        ({"portrait": [b"x", None, None]}, "expected a column landmarks beside column portrait"),
    ],
)
def test_bad_rows_are_refused_before_anything_is_stored(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    columns = {name: column for name, column in {**good_columns(), **changes}.items() if column is not None}
    if isinstance(changes.get("created", [""])[0], int):
        columns["created"] = pa.array(changes["created"], pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with open_gallery("memory:") as gallery:
        with pytest.raises(BadInput, match=match):
            imported(gallery, tmp_path / "a.parquet")
        assert len(gallery) == 0


@pytest.mark.parametrize("end", FORMATS)
def test_files_that_are_none(tmp_path: Path, end: str) -> None:
    file = tmp_path / f"a{end}"

    def refused() -> None:
        with pytest.raises(BadInput, match=f"a{end}"):
            checked_templates(str(file))

    refused()
    for content in (b"", b"hello", b"PK\x03\x04", b"PAR1PAR1"):
        file.write_bytes(content)
        refused()
    with filled("memory:") as gallery:
        exported(gallery, file)
    good = file.read_bytes()
    for length in (len(good) // 3, len(good) - 20):
        file.write_bytes(good[:length])
        refused()
    file.unlink()
    file.mkdir()
    refused()
    with pytest.raises(BadInput, match="ends in"):
        checked_templates(str(tmp_path / "a.csv"))


def test_a_flipped_bit_in_a_numpy_file_is_found(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    with filled("memory:") as gallery:
        exported(gallery, file)
    data = bytearray(file.read_bytes())
    data[data.rindex(b"vectors.npy", 0, len(data) - 200) + 400] ^= 1
    file.write_bytes(data)
    with pytest.raises(BadInput, match="damaged"):
        checked_templates(str(file))


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": np.frombuffer(b"[]", np.uint8)},
        {"metadata": np.frombuffer(b'{"layout": 2, "space": "a", "codec": "float32"}', np.uint8)},
        {"identity": np.array([99] * 15)},
        {"identity": np.array([-1] * 15)},
        {"created": np.zeros(3)},
        {"vectors": np.zeros((15, 16))},
        {"vectors": None},
        {"identities": np.frombuffer(b'[["Ada", "staff"]]', np.uint8), "identity": np.zeros(15, np.int64)},
        {"identities": np.frombuffer(b'[["Ada", [1]]]', np.uint8), "identity": np.zeros(15, np.int64)},
        {"mapped": np.array([{}] * 15, object)},
    ],
)
def test_numpy_files_that_do_not_fit(tmp_path: Path, changes: dict[str, Any]) -> None:
    file = tmp_path / "a.npz"
    with filled("memory:") as gallery:
        exported(gallery, file)
    with np.load(file) as arrays:
        there = dict(arrays)
    np.savez(file, **{name: array for name, array in {**there, **changes}.items() if array is not None})
    with pytest.raises(BadInput, match="npz"):
        checked_templates(str(file))


@pytest.mark.parametrize("end", FORMATS)
def test_places_that_cannot_be_written(tmp_path: Path, end: str) -> None:
    with filled("memory:") as gallery:
        with pytest.raises(OutputError):
            exported(gallery, tmp_path / "absent" / f"a{end}")
        with pytest.raises(BadInput, match="ends in"):
            exported(gallery, tmp_path / "a.csv")


def test_blocks_are_written_as_they_come(tmp_path: Path) -> None:
    made = 0

    def blocks() -> Iterator[Block]:
        nonlocal made
        for k in range(5):
            made += 1
            columns = (np.full(4, np.nan), np.zeros(4, bool))
            yield Block(np.arange(4 * k, 4 * k + 4), ["Ada"] * 4, [()] * 4, faces(4, seed=k).vectors, *columns)

    facts = FileFacts(SPACE, 16, "float32", 20)
    steps = write_parquet(str(tmp_path / "a.parquet"), facts, blocks(), portraits=False)
    assert (next(steps), made) == (4, 1)
    assert list(steps) == [4] * 4
    assert [len(b) for b in ParquetTemplates(str(tmp_path / "a.parquet")).blocks(8)] == [8, 8, 4]
    assert list(write_npz(str(tmp_path / "a.npz"), facts, blocks())) == [4] * 5
    source = NumpyTemplates(str(tmp_path / "a.npz"))
    assert [len(b) for b in source.blocks(8)] == [8, 8, 4]
    assert source.facts.templates == 20
    assert np.isnan(next(source.blocks(20)).created).all()


def test_a_tally_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.galleries.exchange_seen._FRESH_DIGESTS", 50)
    random = np.random.default_rng(0)
    tally, oracle = Tally(), Counter[bytes]()
    for _ in range(30):
        # Few values, and many zero bytes at the end, which NumPy's byte strings leave out.
        digests = [bytes([*random.integers(0, 4, 4).tolist()]).ljust(16, b"\0") for _ in range(20)]
        given = np.array([*digests, digests[0]], "S16")
        assert tally.count(given).tolist() == [oracle[digest] for digest in [*digests, digests[0]]]
        expected = []
        for digest in [*digests, digests[0]]:
            expected.append(oracle[digest])
            oracle[digest] += 1
        assert tally.add(given).tolist() == expected
    assert max(oracle.values()) > 2
    assert tally.add(np.empty(0, "S16")).tolist() == []


def test_blocks_say_what_does_not_fit() -> None:
    good: dict[str, Any] = {
        "template_ids": np.arange(2),
        "identities": ["a", "b"],
        "tags": [(), ()],
        "vectors": faces(2).vectors,
        "created": np.zeros(2),
        "mapped": np.zeros(2, bool),
    }
    assert [len(Block(**good)[part]) for part in (slice(1), slice(0), np.array([1, 0]))] == [1, 0, 2]
    changes: list[dict[str, Any]] = [
        {"identities": ["a"]},
        {"vectors": faces(3).vectors},
        {"pictures": [b"", b""]},
        {"pictures": [b"", b""], "landmarks": np.zeros((2, 4, 2))},
        {"pictures": [b""], "landmarks": np.zeros((2, 5, 2))},
    ]
    for change in changes:
        with pytest.raises(BadInput, match="Block"):
            Block(**{**good, **change})
