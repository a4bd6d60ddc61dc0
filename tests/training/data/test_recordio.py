"""RecordIO files, written by the published form, read back."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import pytest
from record_writing import MAGIC, framed, header, write_records, write_training_set

from mien.errors import BadInput, BadPack
from mien.training.data.recordio import read_record, read_records

DATA = b"\xff\xd8 an image"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"abc",
        MAGIC,
        b"ab" + MAGIC + b"cd",
        b"abcd" + MAGIC + MAGIC + b"e",
        MAGIC + b"x" * 9 + MAGIC,
        b"abcd" * 3 + MAGIC,
    ],
)
def test_any_bytes_come_back(payload: bytes) -> None:
    content = framed(header(7.0) + payload) + framed(header(8.0) + b"next")
    record = read_record(content, 0, "file")
    assert record.data == payload
    assert record.labels.tolist() == [7.0]
    assert read_record(content, record.end, "file").data == b"next"


def test_a_split_record_is_written_in_parts() -> None:
    # Without this the test above would say nothing of continued records.
    content = framed(header(7.0) + b"abcd" + MAGIC + b"efgh" + MAGIC)
    kinds = [
        struct.unpack_from("<I", content, at + 4)[0] >> 29
        for at in range(0, len(content), 4)
        if content[at : at + 4] == MAGIC
    ]
    assert kinds == [1, 2, 3]


def test_a_set_as_insightface_publishes_it(tmp_path: Path) -> None:
    people = [[b"a1", b"a2"], [b"b1"], [b"c1", b"c2", b"c3"]]
    listing = read_records(write_training_set(tmp_path / "set", people))
    photos = [listing.load(k) for k in range(len(listing))]
    assert [photo.data for photo in photos] == [image for person in people for image in person]
    assert [photo.identity for photo in photos] == [f"{k:07d}" for k in (0, 0, 1, 2, 2, 2)]
    assert photos[2].name == "train.rec/3"
    assert listing.property == (3, 112, 112)


def test_records_are_read_in_the_order_of_their_keys(tmp_path: Path) -> None:
    file = write_records(tmp_path / "x.rec", [(k, header(float(k)) + b"%d" % k) for k in (2, 0, 1)])
    listing = read_records(file)
    assert [listing.load(k).data for k in range(3)] == [b"0", b"1", b"2"]


def test_without_the_file_of_offsets(tmp_path: Path) -> None:
    file = write_records(tmp_path / "x.rec", [(k, header(float(k)) + b"i%d" % k) for k in range(5)], idx=False)
    listing = read_records(file)
    assert [listing.load(k).data for k in range(5)] == [b"i%d" % k for k in range(5)]


def test_several_labels_and_the_first_is_the_person(tmp_path: Path) -> None:
    file = write_records(tmp_path / "x.rec", [(0, header([4.0, 0.5, 0.25]) + DATA), (1, header([-1.0, 0.0]) + DATA)])
    listing = read_records(file)
    assert len(listing) == 2
    assert listing.load(0).identity == "0000004"
    assert listing.load(0).data == DATA
    assert listing.load(1).identity == ""


def test_another_process_can_read_it(tmp_path: Path) -> None:
    listing = read_records(write_training_set(tmp_path, [[b"a"], [b"b"]]))
    assert pickle.loads(pickle.dumps(listing)).load(1).data == b"b"


def test_a_record_that_is_cut_off(tmp_path: Path) -> None:
    file = write_records(tmp_path / "x.rec", [(0, header(0.0) + b"whole"), (1, header(1.0) + b"x" * 100)])
    content = file.read_bytes()
    file.write_bytes(content[:-40])
    listing = read_records(file)
    assert listing.load(0).data == b"whole"
    with pytest.raises(BadPack, match=r"x\.rec: record at 40: is cut off: expected 124 bytes from 48, found a file of"):
        listing.load(1)


def test_an_offset_past_the_file(tmp_path: Path) -> None:
    file = write_records(tmp_path / "x.rec", [(0, header(0.0) + DATA)])
    file.with_suffix(".idx").write_text("0\t0\n1\t4000\n")
    with pytest.raises(BadPack, match=r"x\.idx, line 2: record 1 points past its file: .* got 4000"):
        read_records(file)


def test_an_offset_into_the_middle_of_a_record(tmp_path: Path) -> None:
    file = write_records(tmp_path / "x.rec", [(0, header(0.0) + DATA)])
    file.with_suffix(".idx").write_text("0\t4\n")
    with pytest.raises(BadPack, match="record at 4: expected 0xced7230a at 4, got 0x"):
        read_records(file)


@pytest.mark.parametrize("line", ["1", "1 2 3", "a\t0", "1\t-4"])
def test_a_line_of_the_file_of_offsets_that_is_none(tmp_path: Path, line: str) -> None:
    file = write_records(tmp_path / "x.rec", [(0, header(0.0) + DATA)])
    file.with_suffix(".idx").write_text(f"0\t0\n{line}\n")
    with pytest.raises(BadPack, match=r"x\.idx, line 2: expected a key and an offset, got"):
        read_records(file)


def test_labels_that_are_no_persons_number(tmp_path: Path) -> None:
    listing = read_records(write_records(tmp_path / "x.rec", [(0, header(0.5) + DATA)]))
    with pytest.raises(BadPack, match=r"x\.rec/0: expected a person's number as label, got 0\.5"):
        listing.load(0)


def test_fewer_labels_than_the_flag_says(tmp_path: Path) -> None:
    file = write_records(tmp_path / "x.rec", [(0, struct.pack("<IfQQ", 9, 0.0, 0, 0) + b"1234")])
    with pytest.raises(BadPack, match="record at 0: expected 9 labels, got 4 bytes"):
        read_records(file)


def test_a_record_without_room_for_a_header(tmp_path: Path) -> None:
    file = write_records(tmp_path / "x.rec", [(0, b"short")])
    with pytest.raises(BadPack, match="record at 0: expected a header of 24 bytes, got 5"):
        read_records(file)


def test_a_part_that_belongs_to_nothing(tmp_path: Path) -> None:
    file = tmp_path / "x.rec"
    file.write_bytes(MAGIC + struct.pack("<I", 2 << 29 | 4) + b"abcd")
    with pytest.raises(BadPack, match="expected the start of a record at 0, got a part of kind 2"):
        read_records(file)
    file.write_bytes(MAGIC + struct.pack("<I", 1 << 29 | 4) + b"abcd" + framed(b"whole"))
    with pytest.raises(BadPack, match="expected more of a record at 12, got a part of kind 0"):
        read_records(file)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"gone\.rec: expected a RecordIO file, got nothing of that name"):
        read_records(tmp_path / "gone.rec")
    empty = tmp_path / "empty.rec"
    empty.touch()
    with pytest.raises(
        BadPack, match=r"empty\.rec: expected a RecordIO file, got one that cannot be read: it is empty"
    ):
        read_records(empty)
    (tmp_path / "property").write_text("three,112,112")
    write_records(tmp_path / "train.rec", [(0, header(0.0) + DATA)])
    with pytest.raises(BadPack, match=r"property: expected classes, height, width, got 'three,112,112'"):
        read_records(tmp_path)


def test_a_set_of_ranges_alone(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"train\.rec: expected records of images, found none"):
        read_records(write_training_set(tmp_path, []))
