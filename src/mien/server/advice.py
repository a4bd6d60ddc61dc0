"""What is wrong with a photo, in words: one sentence of advice for every reason that the quality gate may give."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mien.errors import QualityRefused
from mien.types import QualityReason

__all__ = ["ADVICE", "advice", "reason_records"]

ADVICE = {
    "too_dark": "The face is too dark: turn on a light or face the window.",
    "too_bright": "The face is too bright: step out of the glare or turn the light down.",
    "low_contrast": "The face is flat and gray: use more even light and no haze or filter.",
    "blurred": "The face is blurred: hold still, clean the lens and let the camera focus.",
    "compressed": "The picture is compressed too much: send the original file instead of a copy from a messenger.",
    "too_small": "The face is too small: move closer to the camera or send a larger picture.",
    "turned_away": "The face is turned away: look straight into the camera.",
    "leaning": "The head leans to a side: hold it upright.",
    "cropped": "The face is cut off: keep the whole head in the picture, with some room around it.",
    "several_faces": "There are several people in the picture: show one person alone.",
    "rotated": "The picture lies on its side or upside down: turn it upright.",
    "poor": "The picture is not good enough on the whole: take another one in good light, sharp and from the front.",
}
"""What to do about each reason, by its name."""


def advice(reason: QualityReason) -> str:
    """What to do about it."""
    return ADVICE[reason.name]


def reason_records(error: QualityRefused) -> list[dict[str, Any]]:
    """The reasons for which a face was refused, each with its advice as ``message``."""
    return [{**asdict(reason), "message": advice(reason)} for reason in error.reasons]
