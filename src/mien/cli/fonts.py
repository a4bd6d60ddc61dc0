"""A font that can write a name, whatever its script."""

from __future__ import annotations

from functools import lru_cache

from PIL import ImageFont

__all__ = ["Font", "font_for", "writable"]

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Tried in this order where the built-in font lacks a character; Pillow looks in the system's font folders.
_SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansArabic-Regular.ttf",
    "NotoSansDevanagari-Regular.ttf",
    "wqy-microhei.ttc",
    "Arial Unicode.ttf",
    "arialuni.ttf",
    "arial.ttf",
    "PingFang.ttc",
    "msyh.ttc",
)
_NO_CHARACTER = "\U0010ffff"
_REPLACEMENT = "?"


@lru_cache(maxsize=64)
def font_for(text: str, size: int) -> Font:
    """The first font that can write all of ``text``, else the one that can write most of it."""
    fonts = _fonts(size)
    return min(fonts, key=lambda font: len(_missing(text, font)))


def writable(text: str, font: Font) -> str:
    """``text`` with a question mark for each character that ``font`` lacks."""
    missing = _missing(text, font)
    return "".join(_REPLACEMENT if character in missing else character for character in text)


@lru_cache(maxsize=8)
def _fonts(size: int) -> tuple[Font, ...]:
    fonts: list[Font] = [ImageFont.load_default(size)]
    for name in _SYSTEM_FONTS:
        try:
            fonts.append(ImageFont.truetype(name, size))
        except OSError:
            continue
    return tuple(fonts)


def _missing(text: str, font: Font) -> set[str]:
    """The characters that the font draws as its sign for an unknown one."""
    unknown = _drawn(_NO_CHARACTER, font)
    return {c for c in set(text) if not c.isspace() and _drawn(c, font) == unknown}


def _drawn(character: str, font: Font) -> tuple[tuple[int, int], bytes] | None:
    try:
        mask = font.getmask(character)
    except (UnicodeError, OSError):
        return None
    return mask.size, bytes(mask)
