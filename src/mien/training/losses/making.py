"""From a loss's settings to the loss."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mien.errors import BadSettings
from mien.training.losses.adaface import AdaFace, AdaFaceSettings
from mien.training.losses.arcface import ArcFace, ArcFaceSettings
from mien.training.losses.cifp import Cifp, CifpSettings
from mien.training.losses.cosface import CosFace, CosFaceSettings
from mien.training.losses.curricularface import CurricularFace, CurricularFaceSettings
from mien.training.losses.ddl import DdlSettings, DistributionDistillation
from mien.training.losses.magface import MagFace, MagFaceSettings
from mien.training.losses.margin import Margin
from mien.training.losses.objective import Objective
from mien.training.losses.scf import Scf, ScfSettings
from mien.training.losses.softmax import Softmax, SoftmaxSettings
from mien.training.losses.triplet import TripletObjective, TripletSettings
from mien.training.ranks import Ranks

__all__ = ["LossSettings", "MarginSettings", "make_margin", "make_objective"]

MarginSettings = (
    AdaFaceSettings
    | ArcFaceSettings
    | CifpSettings
    | CosFaceSettings
    | CurricularFaceSettings
    | MagFaceSettings
    | ScfSettings
    | SoftmaxSettings
)
LossSettings = Annotated[MarginSettings | DdlSettings | TripletSettings, Field(discriminator="name")]


def make_objective(
    settings: LossSettings, *, classes: int, dimension: int, ranks: Ranks, sample_rate: float = 1.0, seed: int = 0
) -> Objective:
    """Make a loss.

    Args:
        settings: which one, and how.
        classes: people in the data set, or, for a loss that is ``joint``, in all of them.
        dimension: numbers in a template.
        ranks: the processes; each makes its own.
        sample_rate: share of the classes that a margin loss takes into account at each step.
        seed: of class centers and whatever is drawn; the same in all processes.

    Raises:
        BadSettings: fewer than two classes, or ``sample_rate`` with a loss that has no class centers.
    """
    if classes < 2:
        raise BadSettings(f"loss {settings.name}: expected two or more people in the data set, got {classes}")
    if isinstance(settings, TripletSettings):
        if sample_rate != 1:
            raise BadSettings(
                f"sample_rate: expected 1 for {settings.name}, which has no class centers, got {sample_rate}"
            )
        return TripletObjective(settings, ranks, seed)
    # The heads take losses apart into margins, so they import this package.
    from mien.training.heads.sharded import ShardedHead

    if isinstance(settings, DdlSettings):
        margin = ArcFace(ArcFaceSettings(scale=settings.scale, margin=settings.margin))
        head = ShardedHead(classes, dimension, margin, ranks, sample_rate, seed)
        return DistributionDistillation(settings, head, ranks)
    return ShardedHead(classes, dimension, make_margin(settings, dimension), ranks, sample_rate, seed)


def make_margin(settings: MarginSettings, dimension: int) -> Margin:
    """Make the margin of a head whose templates have ``dimension`` numbers."""
    match settings:
        case AdaFaceSettings():
            return AdaFace(settings)
        case ArcFaceSettings():
            return ArcFace(settings)
        case CifpSettings():
            return Cifp(settings)
        case CosFaceSettings():
            return CosFace(settings)
        case CurricularFaceSettings():
            return CurricularFace(settings)
        case MagFaceSettings():
            return MagFace(settings)
        case ScfSettings():
            return Scf(settings, dimension)
        case SoftmaxSettings():
            return Softmax(settings)
