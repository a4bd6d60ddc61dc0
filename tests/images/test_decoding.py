from __future__ import annotations

import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest
from image_makers import LOSSLESS, LOSSY, encode, jpeg_segment, painting, with_orientation, worst_difference
from PIL import Image, ImageOps

from mien.errors import BadImage, BadInput
from mien.images import load, open_image
from mien.types import ImageArray


@pytest.mark.parametrize(("image_format", "options"), LOSSLESS)
def test_lossless_formats_keep_every_pixel(image_format: str, options: dict[str, Any]) -> None:
    image = painting()
    pixels = load(encode(image, image_format, **options))
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    np.testing.assert_array_equal(pixels, image)


@pytest.mark.parametrize(("image_format", "options"), LOSSY)
def test_lossy_formats_keep_colors_and_places(image_format: str, options: dict[str, Any]) -> None:
    image = painting()
    pixels = load(encode(image, image_format, **options))
    assert pixels.shape == image.shape
    assert np.abs(pixels.astype(int) - image).mean() < (6 if image_format == "GIF" else 2)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_header_gives_the_size_that_pixels_have(image_format: str) -> None:
    for width, height in ((1, 1), (1, 9), (17, 1), (300, 257)):
        picture = open_image(encode(painting(width, height), image_format))
        assert picture.size_wh == (width, height)
        assert picture.pixels().shape == (height, width, 3)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_match_pillow(image_format: str, orientation: int) -> None:
    options = {"lossless": True} if image_format == "WEBP" else {}
    data = encode(painting(), image_format, exif=with_orientation(orientation), **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    picture = open_image(data)
    pixels = picture.pixels()
    assert picture.size_wh == (expected.shape[1], expected.shape[0])
    assert pixels.flags.c_contiguous
    assert worst_difference(pixels, expected) <= 2
    np.testing.assert_array_equal(load(Image.open(io.BytesIO(data))), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_reduced_jpeg_is_the_small_upright_image(orientation: int, reduction: int) -> None:
    size = (251, 130) if orientation == 1 else (256, 136)
    picture = open_image(encode(painting(*size), exif=with_orientation(orientation), quality=95))
    assert picture.reductions == (1, 2, 4, 8)
    width, height = picture.size_wh
    small = picture.pixels(reduction)
    assert small.shape == (-(-height // reduction), -(-width // reduction), 3)
    stored = load(encode(painting(*size), quality=95))
    means = Image.fromarray(block_means(stored, reduction))
    means.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(means))
    assert np.abs(small.astype(int) - upright).mean() < 1
    assert worst_difference(small, upright) < 12


def test_a_turned_jpeg_offers_only_reductions_into_whole_blocks() -> None:
    """A partial block would come to lie at the upright picture's left or top."""
    for orientation in range(2, 9):
        assert open_image(encode(painting(252, 130), exif=with_orientation(orientation))).reductions == (1, 2)


def block_means(image: ImageArray, side: int) -> ImageArray:
    """The slow oracle: the mean of each block of ``side``², the last ones made whole by repeating the border."""
    height, width = image.shape[:2]
    whole = np.pad(image, ((0, -height % side), (0, -width % side), (0, 0)), mode="edge").astype(float)
    rows, columns = whole.shape[0] // side, whole.shape[1] // side
    means = whole.reshape(rows, side, columns, side, 3).mean(axis=(1, 3))
    return np.asarray(np.rint(means), dtype=np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_reduced_jpeg_sizes_round_up(mode: str) -> None:
    for side in range(1, 20):
        picture = open_image(encode(Image.fromarray(painting(side, 23)).convert(mode)))
        for reduction in (1, 2, 4, 8):
            assert picture.pixels(reduction).shape == (-(-23 // reduction), -(-side // reduction), 3)


def test_reduced_cmyk_keeps_block_means() -> None:
    picture = open_image(encode(Image.fromarray(painting(66, 43)).convert("CMYK"), quality=95))
    full, small = picture.pixels(), picture.pixels(4)
    np.testing.assert_allclose(small[3, 5], full[12:16, 20:24].mean(axis=(0, 1)), atol=1)
    np.testing.assert_allclose(small[0, 16], full[0:4, 64:66].mean(axis=(0, 1)), atol=2)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_other_formats_have_no_reduction(image_format: str) -> None:
    picture = open_image(encode(painting(), image_format))
    assert picture.reductions == (1,)
    with pytest.raises(BadInput, match=r"expected one of \(1,\), got 2"):
        picture.pixels(2)


def test_unknown_reduction_is_refused() -> None:
    with pytest.raises(BadInput, match="got 3"):
        open_image(encode(painting())).pixels(3)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "BMP", "TIFF", "GIF"])
def test_grey(image_format: str) -> None:
    grey = painting()[..., 0]
    pixels = load(encode(grey, image_format))
    assert worst_difference(pixels, np.repeat(grey[..., None], 3, axis=2)) <= (3 if image_format == "JPEG" else 0)


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_high_byte(image_format: str) -> None:
    deep = painting()[..., 0].astype(np.uint16) * 256 + 77
    pixels = load(encode(Image.fromarray(deep), image_format))
    np.testing.assert_array_equal(pixels, np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, axis=2))


@pytest.mark.parametrize("extension", [".png", ".tiff"])
def test_sixteen_bit_color_keeps_its_high_byte(extension: str) -> None:
    image = painting()
    done, data = cv2.imencode(
        extension, image[..., ::-1].astype(np.uint16) * 256 + 99, [cv2.IMWRITE_TIFF_COMPRESSION, 1]
    )
    assert done
    np.testing.assert_array_equal(load(data.tobytes()), image)


def test_cmyk_and_ycck_jpeg() -> None:
    image = Image.fromarray(painting())
    cmyk = encode(image.convert("CMYK"), quality=100, subsampling=0)
    assert worst_difference(load(cmyk), np.asarray(Image.open(io.BytesIO(cmyk)).convert("RGB"))) == 0
    assert np.abs(load(cmyk).astype(int) - painting()).mean() < 3
    # The Adobe segment's last byte tells CMYK (0) from YCCK (2).
    at = cmyk.index(b"Adobe") + 11
    ycck = cmyk[:at] + b"\x02" + cmyk[at + 1 :]
    assert worst_difference(load(ycck), np.asarray(Image.open(io.BytesIO(ycck)).convert("RGB"))) == 0


@pytest.mark.parametrize("image_format", ["PNG", "GIF", "TIFF", "BMP"])
def test_palette(image_format: str) -> None:
    palette = Image.fromarray(painting()).convert("P", palette=Image.Palette.ADAPTIVE, colors=64)
    np.testing.assert_array_equal(load(encode(palette, image_format)), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize(("image_format", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})])
def test_transparency_lies_on_white(image_format: str, options: dict[str, Any]) -> None:
    image = np.dstack([painting(), np.full((43, 61), 255, np.uint8)])
    image[:, :20, 3] = 0
    image[:, 20:40, 3] = 128
    pixels = load(encode(image, image_format, **options))
    assert (pixels[:, :20] == 255).all()
    halfway = image[:, 20:40, :3] * (128 / 255) + 255 * (127 / 255)
    np.testing.assert_allclose(pixels[:, 20:40], halfway, atol=0.51)
    np.testing.assert_array_equal(pixels[:, 40:], image[:, 40:, :3])


@pytest.mark.parametrize("image_format", ["PNG", "GIF"])
def test_transparent_palette_lies_on_white(image_format: str) -> None:
    palette = Image.new("P", (8, 6), 1)
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.paste(0, (0, 0, 4, 6))
    pixels = load(encode(palette, image_format, transparency=0))
    assert (pixels[:, :4] == 255).all()
    assert (pixels[:, 4:] == (200, 100, 50)).all()


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_several(image_format: str) -> None:
    first, second = (Image.new("RGB", (30, 20), color) for color in ("#c80000", "#0000c8"))
    options = {"lossless": True} if image_format == "WEBP" else {}
    data = encode(first, image_format, save_all=True, append_images=[second], **options)
    assert (load(data) == (200, 0, 0)).all()


def test_multi_picture_jpeg_is_its_first_picture() -> None:
    data = encode(Image.fromarray(painting()), "MPO", save_all=True, append_images=[Image.new("RGB", (9, 9))])
    picture = open_image(data)
    assert picture.size_wh == (61, 43)
    assert picture.reductions == (1, 2, 4, 8)
    assert np.abs(picture.pixels().astype(int) - painting()).mean() < 5


def test_bytes_after_a_jpeg_do_no_harm() -> None:
    data = encode(painting())
    np.testing.assert_array_equal(load(data + b"\0garbage" * 1000), load(data))


@pytest.mark.parametrize(
    "exif", [b"", b"II", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff" + b"\x01" * 40, b"nonsense" * 9]
)
def test_damaged_exif_is_passed_over(exif: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    plain = encode(painting())
    data = plain[:2] + jpeg_segment(0xE1, b"Exif\0\0" + exif) + plain[2:]
    np.testing.assert_array_equal(load(data), load(plain))
    assert capfd.readouterr() == ("", "")


def test_exif_of_the_largest_size_with_a_thumbnail_in_it() -> None:
    plain = encode(painting(), exif=with_orientation(6))
    thumbnail = jpeg_segment(0xE5, (encode(painting(9, 9)) * 100)[:65000])
    picture = open_image(plain[:2] + thumbnail * 20 + plain[2:])
    assert picture.size_wh == (43, 61)
    np.testing.assert_array_equal(picture.pixels(), load(plain))


def test_a_truncated_jpeg_is_not_saved_by_its_thumbnail() -> None:
    plain = encode(painting())
    data = plain[:2] + jpeg_segment(0xE1, b"Exif\0\0" + encode(painting(9, 9))) + plain[2:-200]
    with pytest.raises(BadImage, match="image bytes: truncated JPEG"):
        open_image(data)


@pytest.mark.parametrize(("image_format", "options"), [*LOSSLESS, *LOSSY])
def test_truncation_is_always_found_and_silent(
    image_format: str, options: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    data = encode(painting(200, 150), image_format, **options)
    for share in (0.02, 0.3, 0.6, 0.9, 0.99):
        with pytest.raises(BadImage) as caught:
            load(data[: int(len(data) * share)])
        assert caught.value.code == "bad_image"
        assert "\n" not in caught.value.message
        assert caught.value.message.startswith("image bytes: ")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_truncation_of_the_common_formats_is_found_without_decoding(image_format: str) -> None:
    data = encode(painting(200, 150), image_format)
    for cut in (1, 2, 40, len(data) // 2, len(data) - 20):
        with pytest.raises(BadImage, match="truncated"):
            open_image(data[:-cut])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"hello, world, this is text", "expected one of JPEG, PNG, WebP, BMP, TIFF, GIF, got none"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "got none"),
        (b"8BPS\0\x01" + bytes(40), "got none"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "'heic': HEIC"),
        (b"\xff\xd8\xff", "truncated JPEG"),
        (b"\xff\xd8\xff\xd9" + bytes(30), "no image data before marker 0xD9"),
        (b"\xff\xd8\xff\xda\0\x04" + bytes(30), "no frame header"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "does not begin with IHDR"),
        (b"RIFF\x16\0\0\0WEBPVP9 " + bytes(14), "expected a VP8, VP8L or VP8X chunk, got b'VP9 '"),
        (b"BM" + bytes(60), "unreadable BMP"),
        (b"II*\0\x08\0\0\0\0\0\0\0\0\0", "unreadable TIFF"),
        (b"GIF89a" + bytes(2), "GIF"),
    ],
)
def test_what_is_no_image_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(BadImage, match=reason):
        open_image(data)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_damaged_bytes_give_bad_image_or_the_size_of_the_header(image_format: str) -> None:
    rng = np.random.default_rng(7)
    data = encode(painting(), image_format)
    refusals: list[str] = []
    with warnings.catch_warnings():
        # What Pillow has to say of damaged TIFF tags is a warning of its own.
        warnings.simplefilter("ignore")
        for reach in [100] * 60 + [len(data)] * 60:
            damaged = bytearray(data)
            for at in rng.integers(0, min(reach, len(data)), 3):
                damaged[at] = rng.integers(256)
            try:
                picture = open_image(bytes(damaged), max_pixels=1_000_000)
                assert picture.pixels().shape == (picture.size_wh[1], picture.size_wh[0], 3)
            except BadImage as error:
                refusals.append(error.message)
    assert refusals
    assert all(message.startswith("image bytes: ") and "\n" not in message for message in refusals)


def test_a_frame_of_no_size_is_refused() -> None:
    data = bytearray(encode(painting()))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 2] = b"\0\0"
    with pytest.raises(BadImage, match="size of 61×0"):
        open_image(bytes(data))


def test_a_second_png_header_cannot_raise_the_size() -> None:
    data = encode(painting())
    png = encode(painting(4, 4), "PNG")
    bomb = encode(Image.new("L", (3000, 3000)), "PNG")
    with pytest.raises(BadImage, match="expected 4×4 pixels"):
        load(png[:33] + bomb[8:33] + png[33:], max_pixels=100)
    assert load(data, max_pixels=61 * 43).shape == (43, 61, 3)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_the_pixel_limit_is_checked_on_the_header(image_format: str) -> None:
    data = encode(painting(50, 40), image_format)
    assert open_image(data, max_pixels=2000).size_wh == (50, 40)
    with pytest.raises(BadImage, match="image bytes: expected at most 1,999 pixels, got 50×40 = 2,000"):
        open_image(data, max_pixels=1999)


def test_a_decompression_bomb_is_refused_without_pillows_warning() -> None:
    bomb = encode(Image.new("1", (16000, 16000)), "PNG")
    assert len(bomb) < 100_000
    with pytest.raises(BadImage, match="at most 100,000,000 pixels, got 16000×16000"):
        open_image(bomb)
    # Above Pillow's own limit of 89 megapixels, below ours: no warning, which would be an error here.
    large = encode(Image.new("1", (9800, 9800)), "PNG")
    assert open_image(large).size_wh == (9800, 9800)


def test_threads_decode_one_picture_alike() -> None:
    pictures = [open_image(encode(painting(300, 200), name)) for name in ("JPEG", "PNG", "WEBP", "TIFF", "GIF")]
    expected = [picture.pixels() for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        for index, pixels in enumerate(pool.map(lambda i: pictures[i % 5].pixels(), range(80))):
            np.testing.assert_array_equal(pixels, expected[index % 5])
