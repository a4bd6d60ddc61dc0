from __future__ import annotations

import numpy as np
import pytest
from image_makers import CpuTensor, painting

from mien.errors import BadImage
from mien.images import load, open_image


def test_color() -> None:
    image = painting()
    picture = open_image(image)
    assert picture.size_wh == (61, 43)
    assert picture.reductions == (1,)
    np.testing.assert_array_equal(picture.pixels(), image)
    np.testing.assert_array_equal(load(image, color="bgr"), image[..., ::-1])


def test_an_rgb_array_is_shared_read_only_and_stays_writable_itself() -> None:
    image = painting()
    pixels = load(image)
    assert np.shares_memory(pixels, image)
    assert not pixels.flags.writeable
    assert image.flags.writeable


@pytest.mark.parametrize("view", ["flipped", "cropped", "transposed", "fortran"])
def test_views_become_contiguous(view: str) -> None:
    image = painting()
    views = {
        "flipped": image[::-1, ::-1],
        "cropped": image[3:20, 5:30],
        "transposed": image.transpose(1, 0, 2),
        "fortran": np.asfortranarray(image),
    }
    for color in ("rgb", "bgr"):
        pixels = load(views[view], color=color)
        assert pixels.flags.c_contiguous
        np.testing.assert_array_equal(pixels, views[view] if color == "rgb" else views[view][..., ::-1])


def test_grey_of_two_and_three_axes() -> None:
    grey = painting()[..., 0]
    expected = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(load(grey), expected)
    np.testing.assert_array_equal(load(grey[..., None], color="bgr"), expected)


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_four_channels_lie_on_white(color: str) -> None:
    order = slice(None) if color == "rgb" else slice(None, None, -1)
    image = np.dstack([painting()[..., order], np.full((43, 61), 255, np.uint8)])
    np.testing.assert_array_equal(load(image, color=color), painting())  # type: ignore[arg-type]
    image[:5, :, 3] = 0
    image[5:9, :, 3] = 51
    pixels = load(image, color=color)  # type: ignore[arg-type]
    assert (pixels[:5] == 255).all()
    np.testing.assert_allclose(pixels[5:9], painting()[5:9] * 0.2 + 255 * 0.8, atol=0.51)
    np.testing.assert_array_equal(pixels[9:], painting()[9:])


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
@pytest.mark.parametrize("factor", [256, 257])
def test_sixteen_bits_keep_their_high_byte(dtype: str, factor: int) -> None:
    deep = (painting().astype(np.uint16) * factor).astype(dtype)
    np.testing.assert_array_equal(load(deep), painting())
    np.testing.assert_array_equal(load(deep[..., ::-1], color="bgr"), painting())


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int32, np.int64, np.uint32, np.float16, np.float32, np.float64])
def test_types_of_unknown_range_are_refused(dtype: type) -> None:
    with pytest.raises(BadImage, match=f"array: expected uint8 or uint16, got {np.dtype(dtype)}"):
        open_image(np.zeros((4, 4, 3), dtype))


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((), r"got \(\)"),
        ((100,), "pass an encoded image as bytes"),
        ((2, 4, 4, 3), r"got a batch \(2, 4, 4, 3\)"),
        ((1, 1, 1, 4, 3), "got"),
        ((3, 20, 30), r"the channels come first, move them last with \.transpose\(1, 2, 0\)"),
        ((1, 20, 30), "the channels come first"),
        ((20, 30, 2), r"got \(20, 30, 2\)$"),
        ((20, 30, 5), r"got \(20, 30, 5\)$"),
        ((0, 30, 3), "at least one pixel"),
        ((20, 0), "at least one pixel"),
    ],
)
def test_other_shapes_are_refused(shape: tuple[int, ...], reason: str) -> None:
    with pytest.raises(BadImage, match=reason):
        open_image(np.zeros(shape, np.uint8))


def test_the_last_axis_is_the_channels_even_where_the_first_could_be() -> None:
    assert open_image(np.zeros((3, 50, 3), np.uint8)).size_wh == (50, 3)


def test_limit() -> None:
    with pytest.raises(BadImage, match="array: expected at most 11 pixels, got 4×3 = 12"):
        open_image(np.zeros((3, 4, 3), np.uint8), max_pixels=11)


def test_tensor_by_its_methods() -> None:
    np.testing.assert_array_equal(load(CpuTensor(painting())), painting())
    np.testing.assert_array_equal(load(CpuTensor(painting()), color="bgr"), painting()[..., ::-1])
    with pytest.raises(BadImage, match=r"tensor: .* got \(3, 43, 61\); the channels come first.*\.permute\(1, 2, 0\)"):
        open_image(CpuTensor(painting().transpose(2, 0, 1)))
    with pytest.raises(BadImage, match="tensor: expected uint8 or uint16, got float32; scale to"):
        open_image(CpuTensor(painting().astype(np.float32)))


def test_real_tensor() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(painting())
    np.testing.assert_array_equal(load(tensor), painting())
    with pytest.raises(BadImage, match="channels come first"):
        open_image(tensor.permute(2, 0, 1))
    with pytest.raises(BadImage, match="tensor: "):
        open_image(tensor.to(torch.bfloat16))
