from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_faces import encoded, face_image
from mien.errors import BadInput
from mien.evaluation import read_pairs

IMAGES = [encoded(face_image(person, variant)) for person, variant in ((0, 0), (0, 1), (0, 0), (1, 0))]
SAME = [True, False]


def stored(path: Path, value: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_all_pickle_protocols(tmp_path: Path, protocol: int) -> None:
    found = read_pairs(stored(tmp_path / "set.bin", (IMAGES, SAME), protocol))
    assert found.mated.tolist() == SAME
    assert [s.source for s in found.samples] == [IMAGES[0], IMAGES[1], IMAGES[3]]
    assert found.left.tolist() == [0, 0]
    assert found.right.tolist() == [1, 2]
    assert found.identity_source == "linked"


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_numpy_arrays_and_booleans(tmp_path: Path, protocol: int) -> None:
    arrays = [np.frombuffer(image, np.uint8).copy() for image in IMAGES]
    for same in (np.asarray(SAME), [np.bool_(s) for s in SAME], [int(s) for s in SAME]):
        found = read_pairs(stored(tmp_path / "set.bin", [arrays, same], protocol))
        assert found.mated.tolist() == SAME
        assert found.samples[0].source == IMAGES[0]


def test_a_file_that_python_2_wrote(tmp_path: Path) -> None:
    strings = b"".join(b"T" + len(image).to_bytes(4, "little") + image for image in IMAGES)
    (tmp_path / "set.bin").write_bytes(b"\x80\x02](" + strings + b"e](\x88\x89e\x86.")
    assert read_pairs(tmp_path / "set.bin").samples[0].source == IMAGES[0]


def test_folds_are_tenths(tmp_path: Path) -> None:
    images = [image for k in range(25) for image in (IMAGES[0], IMAGES[1 + 2 * (k % 2)])]
    found = read_pairs(stored(tmp_path / "set.bin", (images, [k % 2 == 0 for k in range(25)])))
    assert found.folds is not None
    assert np.bincount(found.folds).tolist() == [3, 2, 3, 2, 3, 2, 3, 2, 3, 2]


class _Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    owned = tmp_path / "owned"
    for value in ((IMAGES, [_Evil(owned)]), _Evil(owned), ([_Evil(owned)], SAME)):
        with pytest.raises(BadInput, match="refused"):
            read_pairs(stored(tmp_path / "evil.bin", value, protocol))
    assert not owned.exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"cbuiltins\neval\n(S'1'\ntR.", r"builtins\.eval"),
        (b"cnumpy\nload\n(S'x'\ntR.", r"numpy\.load"),
        (b"(S'x'\nios\nsystem\n.", "INST"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"Pid\n.", "PERSID"),
        (b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\x00\x00.", "refused"),
        (b"\x80\x02]r\xff\xff\xff\x7f.", "numbers a value"),
        (b"cnumpy\nndarray\n}S'kind'\nS'x'\nsb.", "refused"),
        (b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR.", "latin1"),
        (b"\x80\x02]]\x86", "refused"),
        (b"hello", "refused"),
        (b"", "refused"),
    ],
)
def test_instructions_that_are_not_needed_are_refused(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "evil.bin").write_bytes(content)
    with pytest.raises(BadInput, match=told):
        read_pairs(tmp_path / "evil.bin")


def test_pickles_of_something_else(tmp_path: Path) -> None:
    for value, told in (
        ((IMAGES, SAME, 1), "pair of lists"),
        ((IMAGES[:3], SAME), "expected two images"),
        ((["text"] * 4, SAME), "encoded image"),
        ((IMAGES, ["yes", "no"]), "boolean"),
        ((IMAGES, [2, 3]), "boolean"),
        (([np.zeros(3)] * 4, SAME), "type 'f8'"),
        ((b"no list", SAME), "where a list"),
    ):
        with pytest.raises(BadInput, match=told):
            read_pairs(stored(tmp_path / "other.bin", value))


def test_two_files_of_other_images_are_other_trials(tmp_path: Path) -> None:
    others = [encoded(face_image(person, variant)) for person, variant in ((2, 0), (2, 1), (2, 0), (3, 0))]
    (tmp_path / "other").mkdir()
    a = read_pairs(stored(tmp_path / "set.bin", (IMAGES, SAME)))
    b = read_pairs(stored(tmp_path / "other" / "set.bin", (others, SAME)))
    assert a.digest != b.digest
    assert a.digest == read_pairs(tmp_path / "set.bin").digest
