"""The pipeline's steps on one scene: each apart, and all together through the calls that users make."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.errors import MienError
from mien.evaluation.speed.scenes import Scene
from mien.evaluation.speed.timing import Times, time_calls
from mien.galleries import Gallery, NewEnrollment, open_gallery
from mien.recognizer import Recognizer
from mien.types import Chips, Templates

__all__ = ["STEPS", "SceneTimes", "filled_gallery", "measure_scene", "measure_search"]

STEPS = ("decode", "detect", "align", "embed")
"""The steps in order; searching a gallery comes after them."""

_FILL_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class SceneTimes:
    """What one scene took.

    Attributes:
        scene: its name.
        size_wh: its size in pixels.
        faces: how many the detector found in it.
        images: how many copies of it went into each call.
        steps: each of ``STEPS`` by itself, times of one call for all copies.
        together: ``Recognizer.analyze`` of all copies.
    """

    scene: str
    size_wh: tuple[int, int]
    faces: int
    images: int
    steps: dict[str, Times]
    together: Times

    @property
    def images_per_second(self) -> float:
        """How many images of the kind one caller gets through in a second, by the median."""
        return 1e3 * self.images / self.together.median_ms


def measure_scene(recognizer: Recognizer, scene: Scene, images: int, *, seconds: float) -> SceneTimes:
    """Time the steps on ``images`` copies of a scene, for about ``seconds`` each.

    The steps are those that ``Recognizer.analyze`` goes through, called one after the other: what all together
    takes less than their sum is what decoding ahead saves; what it takes more is the pipeline's own work.
    """
    pipeline = recognizer.pipeline
    sources = [scene.content] * images
    decoded = [pipeline.decode(source) for source in sources]
    faces = pipeline.find(decoded)
    chips = [_whole(pipeline.cut(d, f)) for d, f in zip(decoded, faces, strict=True)]
    steps = {
        "decode": time_calls(lambda: [pipeline.decode(source) for source in sources], seconds=seconds),
        "detect": time_calls(lambda: pipeline.find(decoded), seconds=seconds),
        "align": time_calls(lambda: [pipeline.cut(d, f) for d, f in zip(decoded, faces, strict=True)], seconds=seconds),
        "embed": time_calls(lambda: pipeline.embed(chips), seconds=seconds),
    }
    together = time_calls(lambda: recognizer.analyze(sources), seconds=seconds)
    return SceneTimes(scene.name, scene.size_wh, len(faces[0]), images, steps, together)


def _whole(chips: Chips | MienError) -> Chips:
    if isinstance(chips, MienError):
        raise chips
    return chips


def filled_gallery(space: str, dimension: int, rows: int) -> Gallery:
    """A gallery in memory of so many made people, a random template each."""
    generator = np.random.default_rng(0)
    gallery = open_gallery("memory:")
    for start in range(0, rows, _FILL_ROWS):
        count = min(_FILL_ROWS, rows - start)
        vectors = generator.standard_normal((count, dimension), dtype=np.float32)
        templates = Templates.normalized(vectors, space)
        gallery.add_many([NewEnrollment(f"person {start + k}", templates[k]) for k in range(count)])
    return gallery


def measure_search(recognizer: Recognizer, rows: int, *, seconds: float) -> Times:
    """Time the search of one probe among ``rows`` templates in memory."""
    embedder = recognizer.embedder
    probe = Templates.normalized(np.ones((1, embedder.dimension), np.float32), recognizer.space)
    gallery = filled_gallery(recognizer.space, embedder.dimension, rows)
    return time_calls(lambda: recognizer.search(gallery, probe), seconds=seconds)
