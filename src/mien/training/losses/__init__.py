"""What networks are trained with, one loss a file; ``make_objective`` makes one of its settings.

Margin losses (``softmax``, ``arcface``, …) turn cosines to class centers into logits; the centers are those of a
``ShardedHead``. ``triplet`` compares the images of a batch with each other; ``ddl`` does both. ``quality_regression``
makes labels of quality and learns them; it is no loss of people, so it is not among ``LossSettings``.
"""

from __future__ import annotations

from mien.training.losses.adaface import AdaFaceSettings
from mien.training.losses.arcface import ArcFaceSettings
from mien.training.losses.cifp import CifpSettings
from mien.training.losses.cosface import CosFaceSettings
from mien.training.losses.curricularface import CurricularFaceSettings
from mien.training.losses.ddl import DdlSettings
from mien.training.losses.magface import MagFaceSettings
from mien.training.losses.making import LossSettings, make_objective
from mien.training.losses.objective import Objective, ObjectiveOutput
from mien.training.losses.quality_regression import QualityRegression, quality_labels
from mien.training.losses.scf import ScfSettings
from mien.training.losses.softmax import SoftmaxSettings
from mien.training.losses.triplet import TripletSettings

__all__ = [
    "AdaFaceSettings",
    "ArcFaceSettings",
    "CifpSettings",
    "CosFaceSettings",
    "CurricularFaceSettings",
    "DdlSettings",
    "LossSettings",
    "MagFaceSettings",
    "Objective",
    "ObjectiveOutput",
    "QualityRegression",
    "ScfSettings",
    "SoftmaxSettings",
    "TripletSettings",
    "make_objective",
    "quality_labels",
]
