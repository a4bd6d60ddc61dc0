"""The native scan, where it was built: which kernel runs, and calling it.

The extension module ``_native`` (C, in ``kernels/``) is built with the package if there is a compiler. Without it
the search runs in NumPy: slower, with the same results. A kernel is tried once on made vectors before it is used, so
a processor, compiler or emulator that gets it wrong costs speed and never a wrong answer.
"""

from __future__ import annotations

import functools
import importlib
import os
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.types import FloatArray

__all__ = ["Ranking", "available_threads", "kernel_names", "native_quantize", "native_search"]

IntArray = NDArray[np.int64]
Buffers = tuple[Any, Any, Any, float, IntArray, IntArray]
"""Of one segment: vectors, int8 codes, scales (None where there are none), error, template ids, identities."""

Ranking = tuple[FloatArray, IntArray, IntArray, IntArray]
"""Scores, template ids and identities ``(m, top)``, best first, and how many of them ``(m,)`` there are."""


@functools.cache
def _module() -> ModuleType | None:
    try:
        module = importlib.import_module("mien.matching._native")
    except ImportError:
        warnings.warn(
            "mien was installed without its native search (no C compiler then): searching in NumPy, "
            "with the same results but several times slower",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return module


@functools.cache
def kernel_names() -> tuple[str, ...]:
    """The kernels that this processor runs and that passed their trial, fastest first; empty without the extension."""
    module = _module()
    if module is None:
        return ()
    return tuple(name for name in module.kernels() if name == "generic" or _passes(name))


def available_threads() -> int:
    """How many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def native_search(
    segments: Sequence[Buffers],
    probes: FloatArray,
    top: int,
    threshold: float | None,
    *,
    threads: int | None = None,
    kernel: str | None = None,
) -> Ranking | None:
    """The best identities of each probe by the native scan, or None where it was not built.

    Args:
        segments: contiguous arrays of one codec, all of the probes' dimension.
        probes: ``(m, d) float32``, contiguous, of unit norm.
        top: the most identities a probe.
        threshold: the least score (inclusive), or None.
        threads: how many may work; None for all processors of this process.
        kernel: one of ``kernel_names()``; None for the fastest.

    Raises:
        BadInput: no such kernel.
    """
    names = kernel_names()
    if kernel is not None and kernel not in names:
        raise BadInput(f"kernel: expected one of {', '.join(names) or 'none'}, got {kernel!r}")
    if not names:
        return None
    return _call(kernel or names[0], segments, probes, top, threshold, threads or available_threads())


def _call(
    kernel: str, segments: Sequence[Buffers], probes: FloatArray, top: int, threshold: float | None, threads: int
) -> Ranking:
    count, dimension = probes.shape
    scores = np.zeros((count, top), np.float32)
    ids, identities = np.full((count, top), -1, np.int64), np.full((count, top), -1, np.int64)
    found = np.zeros(count, np.int64)
    module = _module()
    if module is None:
        raise BadInput("the native search was not built")
    limit = -np.inf if threshold is None else threshold
    module.search(kernel, list(segments), probes, count, dimension, top, limit, threads, scores, ids, identities, found)
    return scores, ids, identities, found


def native_quantize(vectors: FloatArray) -> tuple[NDArray[np.int8], FloatArray, FloatArray] | None:
    """Codes ``(n, d)``, scales ``(n,)`` and error norms ``(n,)``, or None where the extension was not built."""
    module = _module()
    if module is None:
        return None
    rows = np.ascontiguousarray(vectors, np.float32)
    codes = np.empty(rows.shape, np.int8)
    scales, errors = np.empty(len(rows), np.float32), np.empty(len(rows), np.float32)
    module.quantize(rows, rows.shape[1], codes, scales, errors)
    return codes, scales, errors


def _passes(name: str) -> bool:
    """Whether a kernel finds what the plain one finds, for a few probes and many, in both codecs."""
    random = np.random.default_rng(0)
    for dimension in (67, 128):
        vectors = random.standard_normal((203, dimension)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        ids = np.arange(len(vectors))
        quantized = native_quantize(vectors)
        if quantized is None:
            return False
        codes, scales, errors = quantized
        error = float(errors.max())
        for buffers in ((vectors, None, None, 0.0, ids, ids), (vectors, codes, scales, error, ids, ids)):
            for count in (2, 29):
                probes = np.ascontiguousarray(vectors[:count])
                expected = _call("generic", [buffers], probes, 7, 0.05, 1)
                found = _call(name, [buffers], probes, 7, 0.05, 1)
                if any(found[k].tobytes() != expected[k].tobytes() for k in range(4)):
                    return False
    return True
