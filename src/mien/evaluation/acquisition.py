"""From images to one template each, by the ``Recognizer`` itself; what fails is counted, with its reason."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput, MienError, NoFace, RuntimeFailed, SeveralFaces
from mien.evaluation.kept import KeptFile, KeptSample, acquisition_facts
from mien.evaluation.protocols import Sample
from mien.matching import paired_scores
from mien.recognizer import Outcome, Recognizer
from mien.types import Analysis, Faces, FloatArray

__all__ = ["Acquired", "FaceRule", "acquire", "central_face"]

FaceRule = Literal["central", "largest", "single"]
"""Which face of an image is the sample's: see ``acquire``."""

_NAN = float("nan")
_SECONDS_A_FLUSH = 3.0
_PAIRS_A_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Acquired:
    """One template a sample, where one could be had.

    Attributes:
        space: the templates' embedding space.
        names: the m samples' names.
        vectors: ``(m, d) float32``; zeros where nothing was acquired.
        acquired: ``(m,) bool``.
        codes: why a sample was not acquired, an error's code; None where it was.
        messages: the errors' sentences; empty where there is none.
        xyxy: ``(m, 4) float32`` box of the face in pixels, NaN where there is none.
        landmarks: ``(m, 5, 2) float32``, as in ``Faces``, NaN where there are none.
        scores: ``(m,) float64`` detection scores, NaN where there is none.
        faces: ``(m,) int64``, how many faces the image shows.
        size_wh: ``(m, 2) int64`` of the images, zeros where one could not be opened.
        quality: ``(m,) float64`` unified quality 0..100, NaN where it is not known.
    """

    space: str
    names: tuple[str, ...]
    vectors: FloatArray
    acquired: NDArray[np.bool_]
    codes: tuple[str | None, ...]
    messages: tuple[str, ...]
    xyxy: FloatArray
    landmarks: FloatArray
    scores: NDArray[np.float64]
    faces: NDArray[np.int64]
    size_wh: NDArray[np.int64]
    quality: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def failures(self) -> dict[str, int]:
        """How many samples failed for each reason, most frequent first."""
        return dict(Counter(code for code in self.codes if code is not None).most_common())

    @property
    def has_quality(self) -> bool:
        """Whether every acquired sample has a quality score, and there are some."""
        return bool(self.acquired.any()) and not bool(np.isnan(self.quality[self.acquired]).any())

    def part(self, chosen: slice | NDArray[np.int64]) -> Acquired:
        """Some of the samples."""
        rows = np.arange(len(self))[chosen]
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                values[name] = value[rows]
            elif isinstance(value, tuple):
                values[name] = tuple(value[k] for k in rows)
        return Acquired(**values)

    def compared(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
        """``(n,)`` scores of pairs of samples; NaN where one of them was not acquired."""
        scores = np.full(len(left), _NAN)
        (both,) = np.nonzero(self.acquired[left] & self.acquired[right])
        for start in range(0, len(both), _PAIRS_A_BLOCK):
            part = both[start : start + _PAIRS_A_BLOCK]
            scores[part] = paired_scores(self.vectors[left[part]], self.vectors[right[part]])
        return scores


def central_face(faces: Faces, size_wh: tuple[int, int]) -> int:
    """The face that an image is probably about: large and near the middle.

    The largest of area less twice the squared distance of the box's center from the image's, in pixels.
    """
    shift = (faces.xyxy[:, :2] + faces.xyxy[:, 2:]) / 2 - np.asarray(size_wh, np.float32) / 2
    return int(np.argmax(faces.areas - 2 * (shift**2).sum(axis=1)))


def acquire(
    recognizer: Recognizer,
    samples: Sequence[Sample],
    *,
    face: FaceRule = "central",
    quality: bool = False,
    keep: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Acquired:
    """The template of each sample's face.

    Args:
        recognizer: makes the templates.
        samples: the images.
        face: which face of several: ``central``, ``largest``, or ``single``: several are a failure.
        quality: measure the unified quality too, of the very face and picture that are embedded; templates are the
            same with and without.
        keep: a file to keep what is done in. An interrupted call with the same file and settings goes on; images whose
            size or time of change is another are looked at again.
        progress: called with the number of images that are done since the last call.

    Raises:
        BadInput: ``face`` is none of the three, or ``keep`` was made with other settings.
        CacheError: ``keep`` cannot be written.
        MienError: what is no single image's fault: a model that is not there, a license not agreed to.
    """
    if face not in get_args(FaceRule):
        raise BadInput(f"face: expected one of {', '.join(get_args(FaceRule))}, got {face!r}")
    advance = progress if progress is not None else lambda _count: None
    keys = [_key(sample) for sample in samples]
    found: dict[str, KeptSample] = {}
    with ExitStack() as stack:
        kept = None
        if keep is not None:
            kept = stack.enter_context(KeptFile(keep, acquisition_facts(recognizer, face)))
            found = kept.held(keys)
            if quality:
                found = {key: row for key, row in found.items() if row.vector is None or not math.isnan(row.quality)}
        todo = dict.fromkeys(key for key in keys if key not in found)
        advance(len(keys) - sum(key in todo for key in keys))
        copies = Counter(keys)
        flushed = time.monotonic()
        for key, sample in _work(recognizer, dict(zip(keys, samples, strict=True)), todo, face, quality):
            found[key] = sample
            # A runtime's failure may be gone with the next run; an image's own stays.
            if kept is not None and sample.code != RuntimeFailed.code:
                kept.add(key, sample)
                if time.monotonic() - flushed > _SECONDS_A_FLUSH:
                    kept.flush()
                    flushed = time.monotonic()
            advance(copies[key])
    return _gathered(recognizer, samples, [found[key] for key in keys])


def _key(sample: Sample) -> str:
    """What a sample is known by in a kept file."""
    if isinstance(sample.source, bytes):
        return f"sha256 {hashlib.sha256(sample.source).hexdigest()}"
    path = os.path.abspath(sample.source)
    try:
        status = os.stat(path)
    except OSError:
        return f"absent {path!r}"
    return f"{status.st_size} {status.st_mtime_ns} {path!r}"


def _work(
    recognizer: Recognizer, by_key: dict[str, Sample], todo: dict[str, None], face: FaceRule, quality: bool
) -> Iterator[tuple[str, KeptSample]]:
    waiting: deque[str] = deque()

    def sources() -> Iterator[str | bytes]:
        for key in todo:
            waiting.append(key)
            yield by_key[key].source

    # As ``verify`` sees them: a photo on a side stays on it, whether its quality is measured or not.
    outcomes = recognizer.iter_analyze(sources(), quality=quality, upright=False)
    try:
        for outcome in outcomes:
            yield waiting.popleft(), _sampled(outcome, face)
    finally:
        close = getattr(outcomes, "close", None)
        if close is not None:
            close()


def _sampled(outcome: Outcome[Analysis], face: FaceRule) -> KeptSample:
    analysis = outcome.result
    size_wh = (0, 0) if outcome.size_wh is None else outcome.size_wh
    if isinstance(analysis, MienError):
        return KeptSample(analysis.code, analysis.message, None, None, _NAN, 0, size_wh, _NAN)
    count = len(analysis)
    if count == 0:
        return KeptSample(NoFace.code, "expected a face, found none", None, None, _NAN, 0, size_wh, _NAN)
    if face == "single" and count > 1:
        message = f"expected one face, found {count}"
        return KeptSample(SeveralFaces.code, message, None, None, _NAN, count, size_wh, _NAN)
    faces = analysis.faces
    chosen = central_face(faces, size_wh) if face == "central" else int(np.argmax(faces.areas))
    numbers = np.concatenate([faces.xyxy[chosen], faces.landmarks[chosen].ravel()]).astype(np.float32)
    vector, score = analysis.templates.vectors[chosen], float(faces.scores[chosen])
    return KeptSample(None, "", vector, numbers, score, count, size_wh, _unified(analysis, chosen))


def _unified(analysis: Analysis, face: int) -> float:
    """The unified quality of a face, or NaN where the recognizer gives none."""
    return _NAN if analysis.quality is None else float(analysis.quality.unified[face])


def _gathered(recognizer: Recognizer, samples: Sequence[Sample], rows: Sequence[KeptSample]) -> Acquired:
    vectors = np.zeros((len(rows), recognizer.embedder.dimension), np.float32)
    faces = np.full((len(rows), 14), np.nan, np.float32)
    for k, row in enumerate(rows):
        if row.vector is not None and row.face is not None:
            vectors[k], faces[k] = row.vector, row.face
    return Acquired(
        space=recognizer.space,
        names=tuple(sample.name for sample in samples),
        vectors=vectors,
        acquired=np.asarray([row.vector is not None for row in rows], np.bool_),
        codes=tuple(row.code for row in rows),
        messages=tuple(row.message for row in rows),
        xyxy=faces[:, :4],
        landmarks=faces[:, 4:].reshape(-1, 5, 2),
        scores=np.asarray([row.score for row in rows], np.float64),
        faces=np.asarray([row.faces for row in rows], np.int64),
        size_wh=np.asarray([row.size_wh for row in rows], np.int64).reshape(-1, 2),
        quality=np.asarray([row.quality for row in rows], np.float64),
    )
