"""What an encoded image says of itself, read without decoding a pixel.

JPEG, PNG and WebP are parsed here, in some microseconds: size, orientation, and whether the file reaches its
end. Pillow reads the headers of the rarer formats.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from mien.errors import BadImage
from mien.images.orientation import read_orientation, upright_size
from mien.images.pillow import size_with_pillow

__all__ = ["FORMATS", "SNIFF_BYTES", "Header", "read_header", "sniff"]

FORMATS = ("JPEG", "PNG", "WebP", "BMP", "TIFF", "GIF")
SNIFF_BYTES = 16

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
)
_END_OF_IMAGE = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of an encoded image before it is decoded.

    Attributes:
        format: one of ``FORMATS``.
        decoded_wh: width and height in pixels as the decoder gives them.
        orientation: EXIF orientation, 1 to 8, still to be applied to what the decoder gives.
        opencv: whether OpenCV decodes it as well as Pillow does: 8-bit grey or color JPEG, still opaque WebP.
    """

    format: str
    decoded_wh: tuple[int, int]
    orientation: int = 1
    opencv: bool = False

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the upright image in pixels."""
        return upright_size(self.decoded_wh, self.orientation)


def sniff(start: bytes, name: str) -> str:
    """The format of a file by its first 16 bytes; its name's extension plays no part.

    Raises:
        BadImage: it is none of ``FORMATS``.
    """
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WebP"
    for magic, image_format in _MAGIC:
        if start.startswith(magic):
            return image_format
    if not start:
        raise BadImage(f"{name}: it is empty (0 bytes)")
    known = ", ".join(FORMATS)
    if start[4:8] == b"ftyp":
        brand = start[8:12].decode("ascii", "replace").strip()
        raise BadImage(f"{name}: expected one of {known}, got an ISO media file ({brand!r}: HEIC, AVIF or video)")
    raise BadImage(f"{name}: expected one of {known}, got none of them")


def read_header(data: bytes, name: str) -> Header:
    """Read the header of an encoded image.

    Args:
        data: the whole file.
        name: what error messages call it.

    Raises:
        BadImage: not an image of a known format, damaged or, for JPEG, PNG and WebP, truncated.
    """
    image_format = sniff(data[:SNIFF_BYTES], name)
    try:
        if image_format == "JPEG":
            header = _read_jpeg(data, name)
        elif image_format == "PNG":
            header = _read_png(data, name)
        elif image_format == "WebP":
            header = _read_webp(data, name)
        else:
            # Pillow turns a TIFF upright itself, and does not look for EXIF in the other two.
            header = Header(image_format, size_with_pillow(image_format, data, name))
    except (struct.error, IndexError):
        raise BadImage(f"{name}: truncated {image_format}: it ends within its header") from None
    if min(header.decoded_wh) < 1:
        width, height = header.decoded_wh
        raise BadImage(f"{name}: damaged {image_format}: a size of {width}×{height}")
    return header


def _read_jpeg(data: bytes, name: str) -> Header:
    """Walk the marker segments up to the first scan (ITU-T T.81, annex B)."""
    size_wh: tuple[int, int] | None = None
    components = bits = 0
    orientation = 0
    at = 2
    while True:
        # Like libjpeg, so that both see the same frame: skip stray bytes, then fill bytes.
        at = data.find(b"\xff", at)
        if at < 0:
            raise BadImage(f"{name}: truncated JPEG: it ends within its header")
        while data[at] == 0xFF:
            at += 1
        marker = data[at]
        at += 1
        if marker == 0x00 or marker == 0x01 or 0xD0 <= marker <= 0xD7:
            continue
        if marker == 0xD9 or marker == 0xD8:
            raise BadImage(f"{name}: damaged JPEG: no image data before marker 0x{marker:02X}")
        (length,) = struct.unpack_from(">H", data, at)
        if marker == 0xDA:
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and size_wh is None:
            bits, height, width, components = struct.unpack_from(">BHHB", data, at + 2)
            size_wh = (width, height)
        elif marker == 0xE1 and not orientation and data[at + 2 : at + 8] == b"Exif\0\0":
            orientation = read_orientation(data[at + 2 : at + length])
        at += max(length, 2)
    if size_wh is None:
        raise BadImage(f"{name}: damaged JPEG: no frame header before the first scan")
    # Within a scan 0xFF is always followed by 0x00 or a restart marker, so this is a real end. From the back it
    # is found at once; bytes after it (a second picture, a video, garbage) are no fault.
    if data.rfind(_END_OF_IMAGE, at) < 0:
        raise BadImage(f"{name}: truncated JPEG: no end-of-image marker in its {len(data)} bytes")
    return Header("JPEG", size_wh, max(orientation, 1), opencv=bits == 8 and components in (1, 3))


def _read_png(data: bytes, name: str) -> Header:
    """Walk the chunks (PNG, third edition, section 5): EXIF may stand before or after the pixels."""
    if data[12:16] != b"IHDR":
        raise BadImage(f"{name}: damaged PNG: it does not begin with IHDR")
    width, height = struct.unpack_from(">II", data, 16)
    orientation = 0
    at = 8
    while True:
        try:
            length, kind = struct.unpack_from(">I4s", data, at)
        except struct.error:
            raise BadImage(f"{name}: truncated PNG: no IEND chunk in its {len(data)} bytes") from None
        if kind == b"IEND" and at + 12 <= len(data):
            return Header("PNG", (width, height), max(orientation, 1))
        if kind == b"eXIf" and not orientation:
            orientation = read_orientation(data[at + 8 : at + 8 + length])
        at += 12 + length


def _read_webp(data: bytes, name: str) -> Header:
    """Read the first chunk and, where there is one, EXIF (RFC 9649, sections 2.3 to 2.7; RFC 6386, 9.1)."""
    (riff_size,) = struct.unpack_from("<I", data, 4)
    if len(data) < 8 + riff_size:
        raise BadImage(f"{name}: truncated WebP: {len(data)} of {8 + riff_size} bytes")
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Header("WebP", (width & 0x3FFF, height & 0x3FFF), opencv=True)
    if kind == b"VP8L":
        (packed,) = struct.unpack_from("<I", data, 21)
        size_wh = ((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1)
        return Header("WebP", size_wh, opencv=not packed >> 28 & 1)
    if kind != b"VP8X":
        raise BadImage(f"{name}: damaged WebP: expected a VP8, VP8L or VP8X chunk, got {kind!r}")
    flags = data[20]
    width = int.from_bytes(data[24:27], "little") + 1
    height = int.from_bytes(data[27:30], "little") + 1
    orientation = 1
    at = 12
    while flags & 0x08 and at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"EXIF":
            orientation = read_orientation(data[at + 8 : at + 8 + length])
            break
        at += 8 + length + (length & 1)
    return Header("WebP", (width, height), orientation, opencv=not flags & 0x12)
