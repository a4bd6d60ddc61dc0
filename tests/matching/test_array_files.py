from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.errors import BadInput, OutputError
from mien.matching.array_files import load_arrays, read_member, reading_archive, save_arrays, write_member

FORMAT, EXPECTED = "mien test 1", "a file that this test made"


def saved(path: Path) -> Path:
    arrays: dict[str, NDArray[Any]] = {
        "matrix": np.arange(12, dtype=np.float32).reshape(3, 4),
        "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "none": np.empty((0, 5), np.float64),
        "names": np.array(["Ada", "Zoë"]),
    }
    save_arrays(path, FORMAT, {"note": "Zoë", "count": 3}, arrays)
    return path


def refused(path: Path, match: str, names: tuple[str, ...] = ("matrix",)) -> None:
    with pytest.raises(BadInput, match=match) as caught:
        load_arrays(path, FORMAT, names, expected=EXPECTED)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz")
    facts, arrays = load_arrays(path, FORMAT, ("matrix", "columns", "none", "names"), expected=EXPECTED)
    assert facts == {"note": "Zoë", "count": 3}
    np.testing.assert_array_equal(arrays["matrix"], np.arange(12).reshape(3, 4))
    assert arrays["matrix"].dtype == np.float32
    np.testing.assert_array_equal(arrays["columns"], [[0, 1, 2], [3, 4, 5]])
    assert arrays["none"].shape == (0, 5)
    assert arrays["names"].tolist() == ["Ada", "Zoë"]


def test_numpy_reads_it_without_pickles(tmp_path: Path) -> None:
    with np.load(saved(tmp_path / "a.npz"), allow_pickle=False) as file:
        assert json.loads(file["metadata"].tobytes()) == {"format": FORMAT, "note": "Zoë", "count": 3}
        np.testing.assert_array_equal(file["columns"], [[0, 1, 2], [3, 4, 5]])


def test_files_that_numpy_wrote_are_read(tmp_path: Path) -> None:
    text = json.dumps({"format": FORMAT, "count": 1}).encode()
    for write in (np.savez, np.savez_compressed):
        path = tmp_path / "numpy.npz"
        write(path, metadata=np.frombuffer(text, np.uint8), matrix=np.eye(3))
        facts, arrays = load_arrays(path, FORMAT, ("matrix",), expected=EXPECTED)
        assert facts == {"count": 1}
        np.testing.assert_array_equal(arrays["matrix"], np.eye(3))


def test_objects_are_neither_written_nor_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    objects = np.array([{"a": 1}], dtype=object)
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        save_arrays(path, FORMAT, {}, {"matrix": objects})
    assert not path.exists()
    text = np.frombuffer(json.dumps({"format": FORMAT}).encode(), np.uint8)
    np.savez(path, metadata=text, matrix=objects)
    refused(path, "expected a file that this test made, got another file, or a damaged one")


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    refused(path, "cannot be read: No such file or directory")
    for content in (b"", b"hello", b"PK\x03\x04 no zip"):
        path.write_bytes(content)
        refused(path, "got another file, or a damaged one")
    np.save(tmp_path / "single.npy", np.eye(3))
    refused(tmp_path / "single.npy", "got another file, or a damaged one")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", "cannot be read: (Is a directory|Permission denied)")
    save_arrays(path, "mien test 2", {}, {"matrix": np.eye(3)})
    refused(path, "got another kind of file, or one of a newer version")
    refused(saved(path), "damaged one", ("absent",))


def test_every_kind_of_damage_is_told(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz")
    whole = path.read_bytes()
    for end in (10, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:end])
        refused(path, "got another file, or a damaged one")
    flipped = bytearray(whole)
    flipped[whole.index(b"matrix.npy") + 200] ^= 0xFF
    path.write_bytes(flipped)
    refused(path, "got another file, or a damaged one")
    for told in (b"no JSON", b"[]", b"\xff\xfe", b'{"format": 1}'):
        np.savez(path, metadata=np.frombuffer(told, np.uint8), matrix=np.eye(3))
        refused(path, "expected a file that this test made")


@pytest.mark.parametrize("shape", ["(99999999999999,)", "(4,)", "(-1,)", "(-1, 2)"])
def test_a_shape_that_does_not_fit_is_not_believed(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    member = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + np.arange(3, dtype="<f4").tobytes()
    path = tmp_path / "a.npz"
    text = io.BytesIO()
    np.save(text, np.frombuffer(json.dumps({"format": FORMAT}).encode(), np.uint8))
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("metadata.npy", text.getvalue())
        file.writestr("matrix.npy", member)
    refused(path, "got another file, or a damaged one")


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written: Is a directory"):
        save_arrays(tmp_path, FORMAT, {}, {})
    with pytest.raises(OutputError, match="cannot be written: No such file or directory"):
        save_arrays(tmp_path / "absent" / "a.npz", FORMAT, {}, {})
    full = Path("/dev/full")
    if full.exists():
        with pytest.raises(OutputError, match="/dev/full: cannot be written: No space left on device"):
            save_arrays(full, FORMAT, {}, {"matrix": np.eye(50)})


def test_an_error_of_ones_own_passes(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz")
    mine = BadInput("mine")
    with pytest.raises(BadInput) as caught, reading_archive(path, EXPECTED):
        raise mine
    assert caught.value is mine


def test_members_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as file:
        write_member(file, "one", np.arange(3))
    with reading_archive(path, EXPECTED) as file:
        np.testing.assert_array_equal(read_member(file, "one"), [0, 1, 2])
