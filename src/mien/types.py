"""The data that flows through mien: frozen arrays-of-structs, checked once when they are made.

Conventions, everywhere: images are ``uint8 (H, W, 3)`` in RGB with the EXIF orientation applied; points
and boxes are in pixels of that original image, where (0, 0) is the center of the top-left pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.errors import BadInput, SpaceMismatch

__all__ = [
    "Analysis",
    "Chips",
    "Enrollment",
    "Faces",
    "FloatArray",
    "ImageArray",
    "Match",
    "Quality",
    "QualityReason",
    "Templates",
    "Verification",
]

ImageArray = NDArray[np.uint8]
FloatArray = NDArray[np.float32]

_NORM_TOLERANCE = 1e-3


def _array(owner: str, name: str, value: ArrayLike, dtype: type, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """``value`` as a read-only contiguous array of ``dtype``; None in ``shape`` admits any length."""
    source = np.asarray(value)
    if source.ndim != len(shape) or any(w is not None and w != s for w, s in zip(shape, source.shape, strict=True)):
        wanted = "(" + ", ".join("n" if w is None else str(w) for w in shape) + ")"
        raise BadInput(f"{owner}.{name}: expected shape {wanted}, got {source.shape}")
    if dtype is np.uint8 and source.dtype != np.uint8:
        raise BadInput(f"{owner}.{name}: expected uint8, got {source.dtype}")
    array: NDArray[Any] = np.ascontiguousarray(source, dtype=dtype)
    if dtype is np.float32 and not np.isfinite(array).all():
        raise BadInput(f"{owner}.{name}: expected finite numbers, got NaN or infinity")
    view = array.view()
    view.flags.writeable = False
    return view


def _same_length(owner: str, **lengths: int) -> None:
    if len(set(lengths.values())) > 1:
        raise BadInput(f"{owner}: lengths differ: " + ", ".join(f"{k} {v}" for k, v in lengths.items()))


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """The n ≥ 0 faces of one image, best score first.

    Attributes:
        xyxy: ``(n, 4) float32``, left, top, right, bottom in pixels of the original image; a box may
            reach past the image's border.
        scores: ``(n,) float32`` in 0..1, the detector's confidence.
        landmarks: ``(n, 5, 2) float32`` x, y: the eye on the left of the image, the eye on the right,
            the nose tip, the mouth corner on the left, the one on the right.

    Raises:
        BadInput: shapes or lengths do not fit, or a number is not finite.
    """

    xyxy: FloatArray
    scores: FloatArray
    landmarks: FloatArray

    def __post_init__(self) -> None:
        for name, shape in (("xyxy", (None, 4)), ("scores", (None,)), ("landmarks", (None, 5, 2))):
            object.__setattr__(self, name, _array("Faces", name, getattr(self, name), np.float32, shape))
        _same_length("Faces", xyxy=len(self.xyxy), scores=len(self.scores), landmarks=len(self.landmarks))
        if len(self.scores) and not (self.scores.min() >= 0 and self.scores.max() <= 1):
            raise BadInput(f"Faces.scores: expected 0..1, got {self.scores.min()}..{self.scores.max()}")

    @classmethod
    def none(cls) -> Faces:
        """No faces: arrays of length 0."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty((0, 5, 2), np.float32))

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: int | slice | NDArray[Any] | list[int]) -> Faces:
        """The chosen faces, as ``Faces`` again (an int gives ``Faces`` of length 1)."""
        chosen = np.arange(len(self))[index]
        rows = np.atleast_1d(chosen)
        return Faces(self.xyxy[rows], self.scores[rows], self.landmarks[rows])

    @property
    def areas(self) -> FloatArray:
        """``(n,) float32`` box areas in square pixels."""
        size = np.maximum(self.xyxy[:, 2:] - self.xyxy[:, :2], 0)
        return np.asarray(size[:, 0] * size[:, 1], dtype=np.float32)

    def largest(self) -> Faces:
        """The face of the largest box alone (empty if there is none)."""
        return self[int(np.argmax(self.areas))] if len(self) else self


@dataclass(frozen=True, slots=True, eq=False)
class Chips:
    """Aligned face crops of one image.

    Attributes:
        pixels: ``(n, S, S, 3) uint8`` RGB.
        matrices: ``(n, 2, 3) float32``, the affine map from the original image's pixels to the chip's.

    Raises:
        BadInput: shapes, dtypes or lengths do not fit.
    """

    pixels: ImageArray
    matrices: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixels", _array("Chips", "pixels", self.pixels, np.uint8, (None, None, None, 3)))
        object.__setattr__(self, "matrices", _array("Chips", "matrices", self.matrices, np.float32, (None, 2, 3)))
        _same_length("Chips", pixels=len(self.pixels), matrices=len(self.matrices))
        if self.pixels.shape[1] != self.pixels.shape[2]:
            raise BadInput(f"Chips.pixels: expected square chips, got {self.pixels.shape[1:3]}")

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True, slots=True, eq=False)
class Templates:
    """Face templates of one embedding space.

    Attributes:
        vectors: ``(n, d) float32`` of unit Euclidean norm.
        space: the embedding space, ``name@first 8 hex digits of the weights' sha256``.

    Raises:
        BadInput: wrong shape, not finite, or a vector whose norm is not 1.
    """

    vectors: FloatArray
    space: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "vectors", _array("Templates", "vectors", self.vectors, np.float32, (None, None)))
        if not self.space:
            raise BadInput("Templates.space: expected a name, got an empty string")
        if len(self.vectors):
            worst = float(np.abs(np.linalg.norm(self.vectors, axis=1) - 1).max())
            if worst > _NORM_TOLERANCE:
                raise BadInput(f"Templates.vectors: expected unit norm, got one off by {worst:.3g}")

    @classmethod
    def normalized(cls, vectors: ArrayLike, space: str) -> Templates:
        """Templates from raw ``(n, d)`` vectors, scaled to unit norm.

        Raises:
            BadInput: a vector is zero or not finite, which no scaling can mend.
        """
        raw = np.asarray(vectors, dtype=np.float32)
        if raw.ndim != 2:
            raise BadInput(f"Templates.vectors: expected shape (n, d), got {raw.shape}")
        norms = np.linalg.norm(raw.astype(np.float64), axis=1, keepdims=True)
        if not np.isfinite(norms).all() or (norms < 1e-12).any():
            raise BadInput("Templates.vectors: a zero or non-finite vector has no direction")
        return cls((raw / norms).astype(np.float32), space)

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, index: int | slice | NDArray[Any] | list[int]) -> Templates:
        """The chosen templates, as ``Templates`` again (an int gives ``Templates`` of length 1)."""
        return Templates(self.vectors[np.atleast_1d(np.arange(len(self))[index])], self.space)

    @property
    def dimension(self) -> int:
        """Length d of a vector."""
        return int(self.vectors.shape[1])

    def require_space(self, space: str) -> None:
        """Check that these templates belong to ``space``.

        Raises:
            SpaceMismatch: they belong to another one.
        """
        if self.space != space:
            raise SpaceMismatch(f"expected templates of {space}, got {self.space}")


@dataclass(frozen=True, slots=True)
class QualityReason:
    """One thing that is wrong with a face.

    Attributes:
        name: what is wrong: ``too_dark``, ``blurred``, ``turned_away`` and so on.
        measure: the measure that says so, as in ``Quality.names``; or ``unified``.
        value: what was measured.
        limit: what would have been good enough.
        unit: of both.
        lowest: whether the limit is a lowest value; else it is a highest one.
    """

    name: str
    measure: str
    value: float
    limit: float
    unit: str
    lowest: bool

    def __str__(self) -> str:
        bound = "at least" if self.lowest else "at most"
        return f"{self.name} ({self.measure} {self.value:.3g} {self.unit}, {bound} {self.limit:g} wanted)"


@dataclass(frozen=True, slots=True, eq=False)
class Quality:
    """How good the n ≥ 0 faces of one image are for recognition.

    Attributes:
        faces: the faces, in pixels of the original image.
        unified: ``(n,) float32`` in 0..100: one score for all, higher is better.
        names: the k measures' names (``mien.quality.COMPONENTS`` says what they are).
        measures: ``(n, k) float32`` in units of their own; NaN where not measured.
        components: ``(n, k) float32`` in 0..100: the measures as scores, higher is better; NaN where not measured.

    Raises:
        BadInput: shapes or lengths do not fit, or a score is out of range.
    """

    faces: Faces
    unified: FloatArray
    names: tuple[str, ...]
    measures: FloatArray
    components: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "unified", _array("Quality", "unified", self.unified, np.float32, (None,)))
        wanted = (len(self.faces), len(self.names))
        for name in ("measures", "components"):
            table = np.array(getattr(self, name), np.float32)
            if table.shape != wanted:
                raise BadInput(f"Quality.{name}: expected shape {wanted}, got {table.shape}")
            table.flags.writeable = False
            object.__setattr__(self, name, table)
        _same_length("Quality", faces=len(self.faces), unified=len(self.unified))
        for name in ("unified", "components"):
            scores = getattr(self, name)
            if not ((scores >= 0) & (scores <= 100) | np.isnan(scores)).all():
                raise BadInput(f"Quality.{name}: expected 0..100, got {np.nanmin(scores)}..{np.nanmax(scores)}")

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: int | slice | NDArray[Any] | list[int]) -> Quality:
        """The chosen faces' alone, as ``Quality`` again (an int gives ``Quality`` of length 1)."""
        rows = np.atleast_1d(np.arange(len(self))[index])
        return Quality(self.faces[rows], self.unified[rows], self.names, self.measures[rows], self.components[rows])

    def measure(self, name: str) -> FloatArray:
        """``(n,) float32``: one measure of each face; NaN where not measured.

        Raises:
            BadInput: there is none of that name.
        """
        return np.asarray(self.measures[:, self._column(name)], np.float32)

    def component(self, name: str) -> FloatArray:
        """``(n,) float32`` in 0..100: one component's score of each face; NaN where not measured.

        Raises:
            BadInput: there is none of that name.
        """
        return np.asarray(self.components[:, self._column(name)], np.float32)

    def _column(self, name: str) -> int:
        if name not in self.names:
            raise BadInput(f"quality measure: expected one of {', '.join(self.names)}, got {name!r}")
        return self.names.index(name)


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """Everything found in one image; ``faces``, ``chips`` and ``templates`` have the same length.

    Attributes:
        size_wh: width and height of the original image in pixels.
        faces: where the faces are.
        chips: the aligned crops that were embedded.
        templates: one per face.
        quality: how good each face is, where it was asked for, else None.
    """

    size_wh: tuple[int, int]
    faces: Faces
    chips: Chips
    templates: Templates
    quality: Quality | None = None

    def __post_init__(self) -> None:
        _same_length("Analysis", faces=len(self.faces), chips=len(self.chips), templates=len(self.templates))
        if self.quality is not None:
            _same_length("Analysis", faces=len(self.faces), quality=len(self.quality))

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: int | slice | NDArray[Any] | list[int]) -> Analysis:
        """The chosen faces alone, as an ``Analysis`` again."""
        rows = np.atleast_1d(np.arange(len(self))[index])
        chips = Chips(self.chips.pixels[rows], self.chips.matrices[rows])
        quality = None if self.quality is None else self.quality[rows]
        return Analysis(self.size_wh, self.faces[rows], chips, self.templates[rows], quality)


@dataclass(frozen=True, slots=True)
class Match:
    """One candidate of a search.

    Attributes:
        identity: who the gallery says it is.
        score: comparison score in -1..1, higher is more alike (cosine similarity).
        rank: 1 for the best candidate.
        template_id: the gallery's template that scored best for this identity.
        probability: calibrated probability that it is this identity, in a gallery of that size, or None without a
            calibration.
        gallery: which gallery it was found in, where several were searched at once, else None.
    """

    identity: str
    score: float
    rank: int
    template_id: int
    probability: float | None = None
    gallery: str | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of a 1:1 comparison.

    Attributes:
        score: comparison score in -1..1, higher is more alike.
        match: whether ``score >= threshold``.
        threshold: the decision threshold that was applied.
        probability: calibrated probability of a mated comparison, or None without a calibration.
        space: the embedding space of both templates.
    """

    score: float
    match: bool
    threshold: float
    probability: float | None
    space: str


@dataclass(frozen=True, slots=True)
class Enrollment:
    """One template that a gallery has taken in.

    Attributes:
        identity: whom it was enrolled as.
        template_id: the gallery's id of the template; never given out twice.
    """

    identity: str
    template_id: int
