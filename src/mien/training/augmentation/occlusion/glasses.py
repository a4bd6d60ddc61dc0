"""Glasses: the frames, and lenses that can be looked through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.training.augmentation.drawing_lots import between, one_of
from mien.training.augmentation.occlusion.head import Head, Points
from mien.training.augmentation.occlusion.painting import Color, Sheet, light_on, tinted
from mien.training.augmentation.settings import GlassesSettings
from mien.types import ImageArray

__all__ = ["Frame", "draw_frame", "glasses", "lens_outlines", "made_frame"]

_FRAMES: tuple[Color, ...] = ((25, 25, 28), (25, 25, 28), (70, 45, 30), (95, 95, 100), (170, 140, 80), (110, 30, 35))
_REFLECTION: Color = (235, 242, 250)
_CORNERS = 28
# Lenses stand before the eyes and curve back toward the sides.
_BEFORE, _WRAP = 0.55, 0.09
_EAR = (2.05, -0.05, -2.1)


@dataclass(frozen=True, slots=True)
class Frame:
    """The form of a pair of glasses, in the head's units (halves of the distance between the eyes).

    Attributes:
        half_wide: half a lens's width.
        half_high: half its height.
        square: exponent of its outline: 2 is an ellipse, larger ones are ever more of a rectangle.
        droop: how much lower its outer half hangs, as in aviator's glasses.
        y: of the lenses' middles.
        thick: of the rims.
        color: of the frame.
    """

    half_wide: float
    half_high: float
    square: float
    droop: float
    y: float
    thick: float
    color: Color


def glasses(image: ImageArray, head: Head, settings: GlassesSettings, random: np.random.Generator) -> ImageArray:
    """A face with glasses on, sometimes with a reflection in the lenses."""
    frame = made_frame(settings.variety, random, size=1.0)
    sheet = Sheet(head.side)
    haze = settings.variety * between(random, 0.0, 0.12)
    for outline in lens_outlines(frame):
        sheet.fill(head.seen(outline), _REFLECTION, haze)
    if settings.variety and random.random() < 0.35:
        _reflect(sheet, head, frame, between(random, 0.2, 0.2 + 0.4 * settings.variety), random)
    draw_frame(sheet, head, frame)
    return sheet.over(image, light_on(image, 0.7))


def made_frame(variety: float, random: np.random.Generator, *, size: float) -> Frame:
    """A frame; ``size`` 1 is that of usual glasses."""

    def about(value: float, reach: float) -> float:
        return value + variety * between(random, -reach, reach)

    return Frame(
        half_wide=size * about(0.76, 0.08),
        half_high=size * about(0.55, 0.14),
        square=max(2.0, about(2.9, 1.6)),
        droop=max(0.0, about(0.0, 0.16)),
        y=about(0.1, 0.1),
        thick=max(0.04, about(0.1, 0.09)),
        color=tinted(one_of(random, _FRAMES), variety, random),
    )


def lens_outlines(frame: Frame) -> tuple[Points, Points]:
    """``(n, 3)`` points around each lens on the head; they begin at the outer side."""
    angle = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    cosine, sine = np.cos(angle), np.sin(angle)
    power = 2 / frame.square
    x = 1.02 + frame.half_wide * np.sign(cosine) * np.abs(cosine) ** power
    y = frame.y + frame.half_high * np.sign(sine) * np.abs(sine) ** power
    y = y + frame.droop * np.maximum(cosine, 0) * np.maximum(sine, 0) * frame.half_high * 2
    z = _BEFORE - _WRAP * x**2
    right = np.stack((x, y, z), axis=-1)
    return right * (-1, 1, 1), right


def draw_frame(sheet: Sheet, head: Head, frame: Frame) -> None:
    """Rims, bridge, and the temples on the sides that are seen."""
    width_px = frame.thick * head.unit_px
    for sign, outline in zip((-1.0, 1.0), lens_outlines(frame), strict=True):
        hinge = outline[0] + (0, -0.25 * frame.half_high, 0)
        if head.nearness((sign, 0.0, 0.1)) > 0:
            ear = np.array((sign * _EAR[0], _EAR[1], _EAR[2]))
            sheet.line(head.seen(np.stack((hinge, ear))), frame.color, 0.9 * width_px)
        sheet.line(head.seen(outline), frame.color, width_px, closed=True)
    inner = 1.02 - frame.half_wide
    x = np.linspace(-inner, inner, 7)
    # The bridge arches over the nose, in front of it.
    arch = np.stack((x, frame.y - 0.12 - 0.1 * (1 - (x / inner) ** 2), np.full(7, _BEFORE + 0.08)), axis=-1)
    sheet.line(head.seen(arch), frame.color, max(0.08 * head.unit_px, 0.9 * width_px))


def _reflect(sheet: Sheet, head: Head, frame: Frame, opacity: float, random: np.random.Generator) -> None:
    """A slanted streak of light in each lens, in the same place."""
    left, wide = between(random, -0.5, 0.2), between(random, 0.12, 0.3)
    slant = between(random, -0.3, 0.3)
    reach = 0.72
    for sign in (-1.0, 1.0):
        across = np.array((left + slant, left + slant + wide, left + wide, left)) * frame.half_wide * reach
        down = np.array((-reach, -reach, reach, reach)) * frame.half_high
        x = sign * 1.02 + across
        streak = np.stack((x, frame.y + down, _BEFORE - _WRAP * x**2), axis=-1)
        sheet.fill(head.seen(streak), _REFLECTION, opacity)
