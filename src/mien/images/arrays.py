"""Arrays and tensors as images: what is accepted, and how it becomes ``uint8 (H, W, 3)`` RGB.

Nothing is guessed. The last axis is the channels; ``uint16`` spans 0..65535 and keeps its high byte; floats and
booleans are refused, for their range is not in their type.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import BadImage
from mien.types import ImageArray

__all__ = ["array_to_rgb", "as_array", "check_array", "grey_to_rgb", "is_tensor", "over_white"]

_CHANNELS = (1, 3, 4)


def is_tensor(source: object) -> bool:
    """Whether ``source`` is a torch tensor, told by its methods: torch is not imported for it."""
    return not isinstance(source, np.ndarray) and all(
        callable(getattr(source, method, None)) for method in ("detach", "cpu", "numpy")
    )


def as_array(source: Any, name: str) -> NDArray[Any]:
    """The array of an array or tensor; a tensor on a device is copied to the CPU.

    Raises:
        BadImage: the tensor has no NumPy counterpart (``bfloat16``, sparse).
    """
    if isinstance(source, np.ndarray):
        return np.asarray(source)
    try:
        return np.asarray(source.detach().cpu().numpy())
    except (TypeError, RuntimeError, ValueError) as error:
        raise BadImage(f"{name}: expected a dense uint8 tensor, got one that NumPy cannot hold: {error}") from error


def check_array(array: NDArray[Any], name: str) -> None:
    """Check that an array is one image.

    Accepted are ``uint8`` and ``uint16`` of shape ``(H, W)``, ``(H, W, 1)``, ``(H, W, 3)`` and ``(H, W, 4)``. The last
    axis is always the channels: ``(3, H, W)`` is refused, and ``(3, H, 3)`` is an image 3 pixels high.

    Raises:
        BadImage: another shape or dtype, or no pixels.
    """
    shape = array.shape
    expected = "(H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
    if array.ndim == 1:
        raise BadImage(f"{name}: expected shape {expected}, got {shape}; pass an encoded image as bytes")
    if array.ndim == 4:
        raise BadImage(f"{name}: expected one image of shape {expected}, got a batch {shape}")
    if array.ndim not in (2, 3):
        raise BadImage(f"{name}: expected shape {expected}, got {shape}")
    if array.ndim == 3 and shape[2] not in _CHANNELS:
        hint = "; the channels come first, move them last with .transpose(1, 2, 0) or, a tensor, .permute(1, 2, 0)"
        raise BadImage(f"{name}: expected shape {expected}, got {shape}{hint if shape[0] in _CHANNELS else ''}")
    if array.size == 0:
        raise BadImage(f"{name}: expected at least one pixel, got shape {shape}")
    if array.dtype.kind != "u" or array.dtype.itemsize not in (1, 2):
        why = "; scale to 0..255 and cast, for the range of floats is unknown" if array.dtype.kind == "f" else ""
        raise BadImage(f"{name}: expected uint8 or uint16, got {array.dtype}{why}")


def array_to_rgb(array: NDArray[Any], color: str) -> ImageArray:
    """The pixels of a checked array.

    Args:
        array: as ``check_array`` accepts it.
        color: ``"rgb"`` or ``"bgr"``, the order of its channels.

    Returns:
        ``uint8 (H, W, 3)`` RGB, contiguous; 4 channels are composited on white. An array that is so already comes
        back as a read-only view of itself, without a copy.
    """
    eight_bit = array if array.dtype.itemsize == 1 else (array >> 8).astype(np.uint8)
    if eight_bit.ndim == 2 or eight_bit.shape[2] == 1:
        return grey_to_rgb(eight_bit.reshape(eight_bit.shape[:2]))
    pixels = over_white(eight_bit) if eight_bit.shape[2] == 4 else np.ascontiguousarray(eight_bit)
    if color == "bgr":
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    if np.may_share_memory(pixels, array):
        pixels = pixels.view()
        pixels.flags.writeable = False
    return pixels


def grey_to_rgb(grey: ImageArray) -> ImageArray:
    """``uint8 (H, W)`` as ``(H, W, 3)``, all channels alike."""
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(grey), cv2.COLOR_GRAY2RGB), dtype=np.uint8)


def over_white(image: ImageArray) -> ImageArray:
    """Composite ``uint8 (H, W, 4)`` with straight alpha on white, as a page shows it; the color order is kept."""
    alpha = image[..., 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(image[..., :3])
    # At most 255 * 255 + 127, which uint16 holds.
    opacity = alpha.astype(np.uint16)
    blended = (image[..., :3] * opacity + 255 * (255 - opacity) + 127) // 255
    return blended.astype(np.uint8)
