"""What an evaluation has done so far, in a file: an interrupted run goes on where it stopped.

The file holds templates, which are personal data: only its owner can read it, and it is removed when the evaluation is
done unless the caller asked to keep it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien._version import __version__
from mien.errors import BadInput, CacheError
from mien.recognizer import Recognizer
from mien.types import FloatArray
from mien.zoo import cache_dir, card
from mien.zoo.cache import locked

__all__ = ["KeptFile", "KeptSample", "acquisition_facts", "resumable"]

_FACE_NUMBERS = 14  # the box and five points


@dataclass(frozen=True, slots=True, eq=False)
class KeptSample:
    """What one image gave.

    Attributes:
        code: why nothing was acquired (an error's code), or None.
        message: the error's sentence, or empty.
        vector: ``(d,) float32`` template, or None.
        face: ``(14,) float32`` box and landmarks, or None.
        score: the detector's, or NaN.
        faces: how many faces the image shows.
        size_wh: the image's size in pixels, zeros where it could not be opened.
        quality: unified quality 0..100, or NaN.
    """

    code: str | None
    message: str
    vector: FloatArray | None
    face: FloatArray | None
    score: float
    faces: int
    size_wh: tuple[int, int]
    quality: float


def acquisition_facts(recognizer: Recognizer, face: str) -> dict[str, object]:
    """What templates depend on besides the images."""
    settings = recognizer.settings
    detector: str = type(recognizer.detector).__module__
    if detector.startswith("mien.detection"):
        detector = card(settings.detector).space
    return {
        "version": __version__,
        "space": recognizer.space,
        "detector": detector,
        "runtime": settings.runtime,
        "precision": settings.precision,
        "min_face": settings.min_face,
        "min_score": settings.min_score,
        "max_overlap": settings.max_overlap,
        "max_pixels": settings.max_pixels,
        "face": face,
        "upright": False,
    }


@contextmanager
def resumable(recognizer: Recognizer, face: str, subject: str, keep: Path | None = None) -> Iterator[Path]:
    """A file for ``acquire``: ``keep``, or one in the cache folder, removed when the block ends well.

    Args:
        recognizer: what makes the templates.
        face: as for ``acquire``.
        subject: what is evaluated, such as a protocol's path.
        keep: a file of the caller's own.

    Raises:
        CacheError: another process works on the same.
    """
    facts = json.dumps(acquisition_facts(recognizer, face), sort_keys=True)
    where = os.path.abspath(subject if keep is None else keep)
    digest = hashlib.sha256(os.fsencode(where) + (facts.encode() if keep is None else b"")).hexdigest()[:24]
    path = cache_dir() / "evaluations" / f"{digest}.sqlite" if keep is None else keep
    with locked(f"evaluate-{digest}", timeout_s=0):
        yield path
        if keep is None:
            path.unlink(missing_ok=True)


class KeptFile:
    """Samples by key, in a SQLite file; a context manager. What was added is safe after ``flush``.

    Args:
        path: the file; made if it is not there.
        facts: what the samples depend on; a file made with others is refused.

    Raises:
        BadInput: the file was made with other settings.
        CacheError: it cannot be read or written, or is no such file.
    """

    def __init__(self, path: Path, facts: dict[str, object]) -> None:
        self._path = path
        self._waiting: list[tuple[object, ...]] = []
        text = json.dumps(facts, sort_keys=True)
        with self._guarded():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Made before SQLite sees it, so that nobody else can read it for a moment.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._connection = sqlite3.connect(path, check_same_thread=False)
            self._connection.execute("CREATE TABLE IF NOT EXISTS facts (facts TEXT NOT NULL)")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS samples (key TEXT PRIMARY KEY, code TEXT, message TEXT NOT NULL, "
                "vector BLOB, face BLOB, score REAL, faces INTEGER NOT NULL, width INTEGER NOT NULL, "
                "height INTEGER NOT NULL, quality REAL) WITHOUT ROWID"
            )
            row = self._connection.execute("SELECT facts FROM facts").fetchone()
            if row is None:
                self._connection.execute("INSERT INTO facts VALUES (?)", (text,))
                self._connection.commit()
        if row is not None and row[0] != text:
            self._connection.close()
            held, wanted = json.loads(row[0]), json.loads(text)
            other = ", ".join(f"{k} {held.get(k)!r}" for k in wanted if held.get(k) != wanted[k])
            asked = ", ".join(f"{k} {wanted[k]!r}" for k in wanted if held.get(k) != wanted[k])
            raise BadInput(f"{path}: expected templates made with {asked}, got {other}; name another file")

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise CacheError(f"{self._path}: cannot keep what is done there: {reason}") from error

    def __enter__(self) -> KeptFile:
        return self

    def __exit__(self, *_error: object) -> None:
        try:
            self.flush()
        finally:
            self._connection.close()

    def held(self, keys: Iterable[str]) -> dict[str, KeptSample]:
        """Those of the keys that the file has."""
        wanted = set(keys)
        with self._guarded():
            return {
                row[0]: _sample(row[1:])
                for row in self._connection.execute("SELECT * FROM samples")
                if row[0] in wanted
            }

    def add(self, key: str, sample: KeptSample) -> None:
        """Take one in, at the latest with the next ``flush``."""
        vector = None if sample.vector is None else np.ascontiguousarray(sample.vector, "<f4").tobytes()
        face = None if sample.face is None else np.ascontiguousarray(sample.face, "<f4").tobytes()
        numbers = (_stored(sample.score), sample.faces, *sample.size_wh, _stored(sample.quality))
        self._waiting.append((key, sample.code, sample.message, vector, face, *numbers))

    def flush(self) -> None:
        """Put what was added on the disk."""
        with self._guarded():
            self._connection.executemany("INSERT OR REPLACE INTO samples VALUES (?,?,?,?,?,?,?,?,?,?)", self._waiting)
            self._connection.commit()
        self._waiting = []

    @property
    def waiting(self) -> int:
        """How many were added since the last ``flush``."""
        return len(self._waiting)


def _stored(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _sample(row: tuple[object, ...]) -> KeptSample:
    code, message, vector, face, score, faces, width, height, quality = row
    return KeptSample(
        None if code is None else str(code),
        str(message),
        np.frombuffer(vector, "<f4").astype(np.float32) if isinstance(vector, bytes) else None,
        np.frombuffer(face, "<f4", _FACE_NUMBERS).astype(np.float32) if isinstance(face, bytes) else None,
        score if isinstance(score, float) else float("nan"),
        faces if isinstance(faces, int) else 0,
        (width if isinstance(width, int) else 0, height if isinstance(height, int) else 0),
        quality if isinstance(quality, float) else float("nan"),
    )
