"""How long mien takes: its steps apart and together, its start, its threads.

``scenes`` makes the images, ``steps`` times the pipeline on them, ``cold_start`` a process from nothing, ``scaling``
one instance of n threads against n instances of one, ``plot`` draws that.
"""

from mien.evaluation.speed.cold_start import ColdStart, measure_cold_start
from mien.evaluation.speed.plot import plot_scaling, require_plot
from mien.evaluation.speed.scaling import Way, measure_scaling
from mien.evaluation.speed.scenes import Scene, compose, scene_of
from mien.evaluation.speed.steps import STEPS, SceneTimes, measure_scene, measure_search
from mien.evaluation.speed.timing import Times, time_calls

__all__ = [
    "STEPS",
    "ColdStart",
    "Scene",
    "SceneTimes",
    "Times",
    "Way",
    "compose",
    "measure_cold_start",
    "measure_scaling",
    "measure_scene",
    "measure_search",
    "plot_scaling",
    "require_plot",
    "scene_of",
    "time_calls",
]
