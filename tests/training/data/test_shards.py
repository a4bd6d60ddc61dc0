"""Shards: tar files for every tar program, read by offset."""

from __future__ import annotations

import io
import pickle
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pack_making import made_index, written_index

from mien.errors import BadInput, BadPack, OutputError
from mien.training.data import ShardReader, ShardWriter, read_index
from mien.training.data.shards import digest_of

SIZES = (0, 1, 511, 512, 513, 3000)


def test_tar_programs_read_them(tmp_path: Path) -> None:
    images = [bytes([k]) * size for k, size in enumerate(SIZES)]
    with ShardWriter(tmp_path) as writer:
        stored = [writer.add(image, ".png") for image in images]
    content = (tmp_path / "shard-00000.tar").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = archive.getmembers()
        assert [member.name for member in members] == [f"{k:08d}.png" for k in range(len(SIZES))]
        for member, image, place in zip(members, images, stored, strict=True):
            opened = archive.extractfile(member)
            assert opened is not None
            assert opened.read() == image
            assert place.offset == member.offset_data
            assert content[place.offset : place.offset + place.length] == image


def test_a_full_shard_is_closed(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, 2048) as writer:
        stored = [writer.add(b"x" * 100, ".jpg") for _ in range(5)]
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "shard-00000.tar",
            "shard-00001.tar",
            "shard-00002.tar.part",
        ]
    assert [place.shard for place in stored] == [f"shard-{k:05d}.tar" for k in (0, 0, 1, 1, 2)]
    for path in tmp_path.iterdir():
        with tarfile.open(path) as archive:
            assert archive.getnames()


def test_a_writer_goes_on_where_another_was_cut_off(tmp_path: Path) -> None:
    first = ShardWriter(tmp_path)
    for k in range(3):
        first.add(b"%d" % k, ".jpg")
        if k == 1:
            length, image = first.length, first.image
    first.abandon()
    with ShardWriter(tmp_path, length=length, image=image) as second:
        second.add(b"again", ".jpg")
    with tarfile.open(tmp_path / "shard-00000.tar") as archive:
        assert archive.getnames() == ["00000000.jpg", "00000001.jpg", "00000002.jpg"]
        opened = archive.extractfile("00000002.jpg")
        assert opened is not None
        assert opened.read() == b"again"


def test_a_shorter_file_than_was_left(tmp_path: Path) -> None:
    (tmp_path / "shard-00000.tar.part").write_bytes(b"x" * 100)
    with pytest.raises(BadInput, match=r"shard-00000\.tar\.part: expected 1024 bytes, found 100"):
        ShardWriter(tmp_path, length=1024)


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"shard-00000\.tar\.part: cannot be written: (Not a directory|File exists)"):
        ShardWriter(tmp_path / "file")


def test_many_threads_read_at_once(tmp_path: Path) -> None:
    index = made_index(tmp_path, [0] * 200, shard_bytes=20_000)
    with ShardReader(index, verify=True) as reader, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(reader.read, range(200))) == [b"image %d" % k for k in range(200)]
    assert reader.read(7) == b"image 7"
    reader.close()


def test_a_reader_goes_to_another_process(tmp_path: Path) -> None:
    reader = ShardReader(made_index(tmp_path, [0, 1]), verify=True)
    reader.read(0)
    assert pickle.loads(pickle.dumps(reader)).read(1) == b"image 1"
    reader.close()


def test_other_bytes_than_were_stored(tmp_path: Path) -> None:
    index = read_index(written_index(tmp_path, [0, 1]))
    shard = tmp_path / "shard-00000.tar"
    shard.write_bytes(shard.read_bytes().replace(b"image 1", b"image X"))
    assert ShardReader(index).read(1) == b"image X"
    with (
        ShardReader(index, verify=True) as reader,
        pytest.raises(BadPack, match=f"row 1: .*expected bytes of digest {digest_of(b'image 1').hex()}, got"),
    ):
        reader.read(1)


def test_a_shard_that_goes_while_it_is_read(tmp_path: Path) -> None:
    index = read_index(written_index(tmp_path, [0, 1]))
    shard = tmp_path / "shard-00000.tar"
    shard.write_bytes(shard.read_bytes()[:1000])
    with ShardReader(index) as reader, pytest.raises(BadPack, match=r"row 1: points past its shard .* found 0"):
        reader.read(1)
    shard.unlink()
    with pytest.raises(BadPack, match=r"row 0: .*shard-00000\.tar: cannot be read: no such file or directory"):
        ShardReader(index).read(0)
