"""The cases of one process of ``search.py``: everyone in turns on one set of data, one JSON object a case."""

from __future__ import annotations

import ctypes
import json
import statistics
import sys
import time
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.matching import SearchIndex, kernel_names

Vectors = NDArray[np.float32]
TOP = 10
_SLOW_S = 4.0
_BUFFER_BYTES = 512 << 20


def face_like(count: int, dimension: int, seed: int) -> tuple[Vectors, Vectors]:
    """``count`` vectors of people with four templates each, and 1,000 probes, half of them of people among these.

    A person is a random direction with fewer strong dimensions than weak ones, as embeddings have; a template is
    the person and as much noise that two of one person score about 0.6.
    """
    random = np.random.default_rng(seed)
    weights = (1 / np.sqrt(1 + np.arange(dimension) / (dimension / 8))).astype(np.float32)
    vectors = np.empty((count, dimension), np.float32)
    people = np.empty((0, dimension), np.float32)
    for start in range(0, count, 40_000):
        stop = min(count, start + 40_000)
        people = random.standard_normal((-(-(stop - start) // 4), dimension), np.float32) * weights
        vectors[start:stop] = np.repeat(people, 4, axis=0)[: stop - start]
        vectors[start:stop] += 0.8 * random.standard_normal((stop - start, dimension), np.float32) * weights
    probes = random.standard_normal((1000, dimension), np.float32) * weights
    known = people[random.integers(0, len(people), 500)]
    probes[:500] = known + 0.8 * probes[:500]
    for matrix in (vectors, probes):
        for start in range(0, len(matrix), 40_000):
            part = matrix[start : start + 40_000]
            part /= np.linalg.norm(part, axis=1, keepdims=True)
    return vectors, probes[random.permutation(1000)]


class Limits:
    """The loops of ``peaks.c``."""

    def __init__(self, library: str, threads: int) -> None:
        self._library = ctypes.CDLL(library)
        self._library.read_peak.restype = self._library.product_peak.restype = ctypes.c_double
        self._library.read_peak.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        self._library.product_peak.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_int]
        self._buffer = np.ones(_BUFFER_BYTES + 4096, np.uint8)
        self._start = self._buffer.ctypes.data + -self._buffer.ctypes.data % 4096
        self._threads = threads
        self.int8_kind = "VNNI" if self._asked("has_vnni") else "AVX2 int8"

    def _asked(self, name: str) -> bool:
        function: Callable[[], int] = getattr(self._library, name)
        return bool(function())

    def read(self) -> float:
        """Bytes a second."""
        return float(self._library.read_peak(self._start, _BUFFER_BYTES, self._threads))

    def products(self, kind: int) -> float:
        """Products a second of float32 (1) or int8 (2) numbers."""
        return float(self._library.product_peak(kind, 20_000_000, self._threads))


def contenders(vectors: Vectors, threads: int, peers: bool) -> dict[str, Callable[[Vectors], Any]]:
    """Everyone who searches, ready; each call gives scores and rows of the ten best."""
    ids = np.arange(len(vectors))
    indexes = {}
    for codec in ("float32", "int8"):
        indexes[codec] = SearchIndex(vectors.shape[1], codec, threads=threads)
        indexes[codec].add(ids, ids, vectors)
    found: dict[str, Callable[[Vectors], Any]] = {
        "mien int8": lambda probes: indexes["int8"].snapshot().rank(probes, top=TOP),
        "mien float32": lambda probes: indexes["float32"].snapshot().rank(probes, top=TOP),
    }
    if peers:
        found["numpy"] = lambda probes: by_numpy(vectors, probes)
        found |= by_faiss(vectors, threads)
        found |= by_usearch(vectors, threads)
    return found


def by_numpy(vectors: Vectors, probes: Vectors) -> tuple[Vectors, NDArray[np.intp]]:
    """A matrix product and a partial sort, some probes at a time."""
    step = max(1, 100_000_000 // len(vectors))
    scores, rows = [], []
    for start in range(0, len(probes), step):
        part = probes[start : start + step]
        table = part @ vectors.T if len(part) > 1 else (vectors @ part[0])[None]
        best = np.argpartition(table, len(vectors) - TOP, axis=1)[:, -TOP:]
        values = np.take_along_axis(table, best, axis=1)
        order = np.argsort(-values, axis=1)
        scores.append(np.take_along_axis(values, order, axis=1))
        rows.append(np.take_along_axis(best, order, axis=1))
    return np.concatenate(scores), np.concatenate(rows)


def by_faiss(vectors: Vectors, threads: int) -> dict[str, Callable[[Vectors], Any]]:
    """The faiss library, flat and with 8-bit scalar quantization."""
    import faiss

    faiss.omp_set_num_threads(threads)
    dimension = vectors.shape[1]
    flat = faiss.IndexFlatIP(dimension)
    quantized = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    quantized.train(vectors[:: max(1, len(vectors) // 100_000)])
    for index in (flat, quantized):
        index.add(vectors)
    return {"faiss flat": lambda p: flat.search(p, TOP), "faiss SQ8": lambda p: quantized.search(p, TOP)}


def by_usearch(vectors: Vectors, threads: int) -> dict[str, Callable[[Vectors], Any]]:
    """The exact search of usearch over int8 vectors."""
    from usearch.index import MetricKind, search

    codes = np.clip(np.rint(vectors * 127), -127, 127).astype(np.int8)

    def run(probes: Vectors) -> Any:
        wanted = np.clip(np.rint(probes * 127), -127, 127).astype(np.int8)
        return search(codes, wanted, TOP, MetricKind.IP, exact=True, threads=threads)

    return {"usearch int8": run}


def run_case(
    everyone: dict[str, Callable[[Vectors], Any]], probes: Vectors, limits: Limits, rounds: int
) -> dict[str, Any]:
    """Times of everyone and of the limits, in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in everyone}
    peaks: dict[str, list[float]] = {"read": [], "fma": [], "int8": []}
    measures: dict[str, Callable[[], float]] = {
        "read": limits.read,
        "fma": lambda: limits.products(1),
        "int8": lambda: limits.products(2),
    }
    order = Random(0)
    for number in range(-1, rounds):
        for name in order.sample([*everyone, *measures], len(everyone) + len(measures)):
            if name in measures:
                if number >= 0:
                    peaks[name].append(measures[name]())
                continue
            # The first round warms up; who is slow need not be asked as often.
            if seconds[name] and min(seconds[name]) > _SLOW_S and len(seconds[name]) > (number >= rounds - 2):
                continue
            repeats = 1 if not seconds[name] else max(1, min(20, int(0.02 / min(seconds[name]))))
            start = time.perf_counter()
            for _ in range(repeats):
                everyone[name](probes)
            seconds[name].append((time.perf_counter() - start) / repeats)
    times = {}
    for name, values in seconds.items():
        counted = [1000 * value for value in (values[1:] if len(values) > 1 else values)]
        times[name] = {
            "median": statistics.median(counted),
            "low": min(counted),
            "high": max(counted),
            "rounds": len(counted),
        }
    medians = {name: statistics.median(values) for name, values in peaks.items()}
    return {"times": times, "peaks": medians}


def main() -> None:
    """Read the request, print a line a case."""
    request = json.loads(sys.argv[1])
    limits = Limits(request["peaks"], request["threads"])
    for dimension in request["dimensions"]:
        for rows in request["sizes"]:
            vectors, probes = face_like(rows, dimension, seed=rows + dimension)
            everyone = contenders(vectors, request["threads"], request["peers"])
            for batch in request["batches"]:
                case = run_case(everyone, probes[:batch], limits, request["rounds"])
                peaks = case.pop("peaks")
                shares = {}
                for name, width, kind in (("mien int8", 1, "int8"), ("mien float32", 4, "fma")):
                    rate = 1000 / case["times"][name]["median"]
                    one = rate * rows * dimension * width / peaks["read"]
                    shares[name] = one if batch == 1 else rate * rows * dimension * batch / peaks[kind]
                case |= {
                    "rows": rows,
                    "dimension": dimension,
                    "batch": batch,
                    "threads": request["threads"],
                    "kernel": kernel_names()[0],
                    "shares": shares,
                    "limit": "read bandwidth" if batch == 1 else "peak",
                    "read_gb_s": peaks["read"] / 1e9,
                    "fma_g_s": peaks["fma"] / 1e9,
                    "int8_g_s": peaks["int8"] / 1e9,
                    "int8_kind": limits.int8_kind,
                    "equal": equality(everyone, vectors, probes) if batch == 1000 else None,
                }
                print(json.dumps(case), flush=True)


def equality(everyone: dict[str, Callable[[Vectors], Any]], vectors: Vectors, probes: Vectors) -> str:
    """How far int8's answers are float32's: the ten best with their scores, so every threshold decides alike."""
    int8, exact = everyone["mien int8"](probes), everyone["mien float32"](probes)
    same = [all(np.array_equal(a[k], b[k]) for a, b in zip(int8, exact, strict=True)) for k in range(len(probes))]
    first = int((by_numpy(vectors, probes)[1][:, 0] == int8[1][:, 0]).sum())
    return (
        f"int8 gives float32's ten best and their scores, bit for bit, for {sum(same)} of {len(probes)} probes; "
        f"NumPy's best for {first}"
    )


if __name__ == "__main__":
    main()
