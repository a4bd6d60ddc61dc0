"""Figures in words that people read: names, numbers with units, and the standard that a figure comes from."""

from __future__ import annotations

import math
import re

from mien.evaluation.intervals import Interval

__all__ = ["PERCENT", "origin", "percent", "short_percent", "shown", "span", "titled"]

_ABBREVIATIONS = frozenset(
    ("auc", "eer", "far", "fdr", "fmr", "fnir", "fnmr", "fpir", "frr", "fta", "fte", "tmr", "tpir")
)
PERCENT = "\N{NO-BREAK SPACE}%"
"""Ends a percentage; no line is broken before it."""

_TITLES = {
    "mated": "Mated comparisons",
    "non_mated": "Non-mated comparisons",
    "enrolled": "Enrolled people",
    "fta_mated": "FTA, mated comparisons",
    "fta_non_mated": "FTA, non-mated comparisons",
    "accuracy_standard_error": "Standard error of accuracy",
    "threshold_operating": "Operating threshold",
    "threshold_default": "Model's own threshold",
    "fmr_max_min": "FMR, highest group over lowest",
    "fmr_max_mean": "FMR, highest group over geometric mean",
    "fnmr_max_min": "FNMR, highest group over lowest",
    "fnmr_max_mean": "FNMR, highest group over geometric mean",
    "fdr": "Fairness discrepancy rate (FDR)",
}
_MOST_DECIMALS = 6
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

_ISO_RATES = "ISO/IEC 19795-1"
_ORIGINS = (
    ("accuracy", "LFW, Huang et al. 2007"),
    ("rank_", "ISO/IEC 19795-1, CMC"),
    ("tpir", "ISO/IEC 19795-1; NIST FRTE 1:N"),
    ("fpir", "ISO/IEC 19795-1; NIST FRTE 1:N"),
    ("fnir", "ISO/IEC 19795-1; NIST FRTE 1:N"),
    ("threshold_at_fpir", "ISO/IEC 19795-1; NIST FRTE 1:N"),
    ("fdr", "ISO/IEC 19795-10"),
    ("fmr_max", "NIST IR 8429"),
    ("fnmr_max", "NIST IR 8429"),
    ("auc", "Hanley and McNeil 1982"),
    ("threshold_default", "the model's card or settings"),
    ("edc", "ISO/IEC 29794-1"),
)


def titled(name: str) -> str:
    """A figure's name for people: ``tmr_at_fmr_1e-3`` is ``TMR at FMR 0.1 %``."""
    if name in _TITLES:
        return _TITLES[name]
    for ending, place in (("_operating", "operating threshold"), ("_default", "model's own threshold")):
        if name.endswith(ending):
            return f"{titled(name.removesuffix(ending))} at the {place}"
    if edc := re.fullmatch(r"edc_(area|gain)_([\d.]+)", name):
        return f"EDC, {edc[1]} up to {edc[2]} % discarded"
    found = [word.upper() if word in _ABBREVIATIONS else word for word in name.split("_")]
    if re.fullmatch(r"\d+(\.\d+)?(e-\d+)?", found[-1]) and len(found) > 1 and found[-2] in ("FMR", "FPIR"):
        found[-1] = short_percent(float(found[-1]))
    text = " ".join(found).replace("non mated", "non-mated")
    return text[:1].upper() + text[1:]


def origin(name: str) -> str:
    """The standard or paper that defines a figure."""
    return next((source for start, source in _ORIGINS if name.startswith(start)), _ISO_RATES)


def percent(rate: float) -> str:
    """A rate 0..1 as a percentage that is never rounded to 0 or to 100: ``99.997 %``, ``0.0021 %``."""
    value = 100 * rate
    if value == 0 or not math.isfinite(value):
        return f"{value:g}{PERCENT}"
    if abs(value) < 9e-5:
        digits, exponent = f"{value:.1e}".split("e")
        return f"{digits} · 10{str(int(exponent)).translate(_SUPERSCRIPTS)}{PERCENT}"
    if abs(value) < 0.1:
        return f"{value:.2g}{PERCENT}"
    decimals = 2
    while abs(value) < 100 and abs(round(value, decimals)) == 100 and decimals < _MOST_DECIMALS:
        decimals += 1
    return f"{value:.{decimals}f}{PERCENT}"


def short_percent(rate: float) -> str:
    """The same without zeros at its end, for axes and for rates that were asked for: ``10 %``."""
    text = percent(rate)
    number = text.removesuffix(PERCENT)
    return text if "." not in number or "·" in number else number.rstrip("0").rstrip(".") + PERCENT


def shown(value: float | None, unit: str) -> str:
    """A value with its unit: ``rate``, ``score``, ``count`` or ``ratio``."""
    if value is None:
        return "not supported"
    if unit == "count":
        return f"{value:,.0f}"
    if unit == "rate":
        return percent(value)
    if unit == "score":
        # To the last digit: applied as it stands here, a threshold gives the rates beside it.
        return f"{value:.4f}" if round(value, 4) == value else repr(float(value))
    return f"{value:.3g}"


def span(interval: Interval | None, unit: str = "rate") -> str:
    """An interval in few words, empty for none."""
    if interval is None:
        return ""
    low, high = (_end(end, unit) if math.isfinite(end) else "∞" for end in (interval.low, interval.high))
    both = high.endswith(PERCENT) and "·" not in low
    return f"{low.removesuffix(PERCENT) if both else low} to {high}"


def _end(value: float, unit: str) -> str:
    return f"{value:.4f}" if unit == "score" else shown(value, unit)
