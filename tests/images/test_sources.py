from __future__ import annotations

import io
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_makers import encode, painting, with_orientation
from PIL import Image

from mien.errors import BadImage, BadInput
from mien.images import Picture, load, open_image


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_every_kind_of_source_gives_the_same_pixels(image_format: str, tmp_path: Path) -> None:
    data = encode(painting(), image_format)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    path = tmp_path / "image.dat"
    path.write_bytes(data)
    sources: list[Any] = [path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data)]
    sources += [Image.open(io.BytesIO(data)), expected]
    for source in sources:
        np.testing.assert_array_equal(load(source), expected)
    with path.open("rb") as file, Image.open(path) as image:
        np.testing.assert_array_equal(load(file), expected)
        np.testing.assert_array_equal(load(image), expected)


def test_a_file_object_is_read_from_where_it_stands() -> None:
    data = encode(painting(), "PNG")
    stream = io.BytesIO(b"prefix" + data)
    stream.seek(6)
    np.testing.assert_array_equal(load(stream), painting())


def test_a_file_object_may_give_a_little_at_a_time() -> None:
    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(7)

    np.testing.assert_array_equal(load(Trickle(encode(painting(), "PNG"))), painting())


def test_names(tmp_path: Path) -> None:
    path = tmp_path / "wrong extension.jpg"
    path.write_bytes(encode(painting(), "PNG"))
    picture = open_image(path)
    assert picture.name == str(path)
    assert picture.reductions == (1,)
    assert open_image(path.read_bytes()).name is None
    assert open_image(painting()).name is None


def test_a_picture_outlives_its_file_and_travels_between_processes(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode(painting(), "PNG"))
    picture = open_image(path)
    path.unlink()
    np.testing.assert_array_equal(picture.pixels(), painting())
    again: Picture = pickle.loads(pickle.dumps(picture))
    np.testing.assert_array_equal(again.pixels(), painting())


def test_a_picture_is_a_source() -> None:
    picture = open_image(painting())
    assert open_image(picture) is picture
    with pytest.raises(BadImage, match="at most 10 pixels"):
        open_image(picture, max_pixels=10)


def test_each_decoding_is_the_callers_own() -> None:
    picture = open_image(encode(painting(), "PNG"))
    picture.pixels()[:] = 0
    np.testing.assert_array_equal(picture.pixels(), painting())


def test_missing_folder_and_text(tmp_path: Path) -> None:
    missing = tmp_path / "nobody.jpg"
    with pytest.raises(BadImage, match=r"nobody\.jpg: no such file"):
        open_image(missing)
    with pytest.raises(BadImage, match="expected an image file, got a folder"):
        open_image(str(tmp_path))
    note = tmp_path / "note.txt"
    note.write_text("these are no pixels at all")
    with pytest.raises(BadImage, match=r"note\.txt: expected one of JPEG.* got none"):
        open_image(note)
    with note.open() as file, pytest.raises(BadImage, match=r"note\.txt: expected bytes from read\(\), got str"):
        open_image(file)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["", "with\0null.jpg", "new\nline.jpg"])
def test_odd_paths_are_bad_images_in_one_line(path: str) -> None:
    with pytest.raises(BadImage) as caught:
        open_image(path)
    assert caught.value.message.isprintable()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "locked.png"
    path.write_bytes(encode(painting(), "PNG"))
    path.chmod(0)
    with pytest.raises(BadImage, match="permission denied"):
        open_image(path)


def test_a_closed_or_empty_file_object() -> None:
    closed = io.BytesIO(encode(painting()))
    closed.close()
    with pytest.raises(BadImage, match="file object: cannot be read"):
        open_image(closed)
    with pytest.raises(BadImage, match="file object: it is empty"):
        open_image(io.BytesIO())


def test_reading_stops_at_the_first_bytes_that_are_no_image() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1, /) -> bytes:
            self.given += 1
            return b"\x01" * 64

    endless = Endless()
    with pytest.raises(BadImage, match="got none of them"):
        open_image(endless)  # type: ignore[arg-type]
    assert endless.given == 1


def test_reading_stops_at_more_bytes_than_the_pixels_can_need() -> None:
    class Endless(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            return b"BM" + bytes((1 << 22) - 2)

    with pytest.raises(BadImage, match="bytes for 1,000 pixels, got more"):
        open_image(Endless(), max_pixels=1000)  # type: ignore[arg-type]


@pytest.mark.parametrize("source", [None, 3, 2.5, {"a": 1}, {1, 2}, object(), ["a.jpg"]])
def test_other_types_are_refused(source: object) -> None:
    with pytest.raises(BadImage, match=f"got {type(source).__name__}"):
        open_image(source)  # type: ignore[arg-type]


def test_unknown_color_order() -> None:
    with pytest.raises(BadInput, match="expected 'rgb' or 'bgr', got 'gbr'"):
        open_image(painting(), color="gbr")  # type: ignore[arg-type]


def test_color_order_is_about_arrays_alone() -> None:
    data = encode(painting(), "PNG")
    np.testing.assert_array_equal(load(data, color="bgr"), painting())
    np.testing.assert_array_equal(load(Image.open(io.BytesIO(data)), color="bgr"), painting())
    np.testing.assert_array_equal(load(painting()[..., ::-1], color="bgr"), painting())


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV", "I;16"])
def test_pillow_modes(mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(painting()[..., 0].astype(np.uint16) * 257)
        expected = np.repeat(painting()[..., :1], 3, axis=2)
    else:
        image = Image.fromarray(painting()).convert(mode)
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(load(image), expected)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pillow_modes_of_unknown_range_are_refused(mode: str) -> None:
    with pytest.raises(BadImage, match=rf"Pillow image: expected 8 or 16 bits a channel, got 32 bits \(mode {mode}\)"):
        load(Image.fromarray(painting()).convert(mode))


def test_pillow_image_outlives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode(painting(), "PNG"))
    with Image.open(path) as image:
        picture = open_image(image)
    np.testing.assert_array_equal(picture.pixels(), painting())


def test_pillow_image_of_a_closed_or_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    data = encode(painting(), "PNG")
    path.write_bytes(data[: len(data) // 2])
    with Image.open(path) as image, pytest.raises(BadImage, match="Pillow image: "):
        open_image(image)
    path.write_bytes(data)
    with Image.open(path) as image:
        pass
    with pytest.raises(BadImage, match="Pillow image: "):
        open_image(image)


def test_pillow_image_limit_and_no_pixels() -> None:
    with pytest.raises(BadImage, match="Pillow image: expected at most 10 pixels, got 4×3 = 12"):
        open_image(Image.new("RGB", (4, 3)), max_pixels=10)
    with pytest.raises(BadImage, match="Pillow image: expected at least one pixel, got 0×3"):
        open_image(Image.new("RGB", (0, 3)))


def test_threads_may_share_one_unread_pillow_image() -> None:
    data = encode(painting(400, 300), "JPEG", exif=with_orientation(6))
    expected = load(Image.open(io.BytesIO(data)))
    for _ in range(5):
        shared = Image.open(io.BytesIO(data))
        with ThreadPoolExecutor(8) as pool:
            for pixels in pool.map(load, [shared] * 16):
                np.testing.assert_array_equal(pixels, expected)
