"""All that can be set of a training run, as small checked values; ``settings_files`` reads and writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from mien.training.augmentation import AugmentationSettings
from mien.training.losses import ArcFaceSettings, LossSettings

__all__ = [
    "BackboneSettings",
    "CheckpointSettings",
    "DataSettings",
    "DistillationSettings",
    "EvaluationSettings",
    "LengthSettings",
    "OptimizerSettings",
    "ProtocolSettings",
    "TrainingSettings",
]

_CONFIG = ConfigDict(extra="forbid")
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class DataSettings:
    """What is trained on, and in which portions.

    Attributes:
        packs: folders that ``mien data pack`` made, or their index files; each is a data set with a head of its own.
        batch: images of one step, over all processes and data sets.
        shares: each data set's share of a batch; empty for shares by size.
        sampler: ``shuffled``: every image once an epoch; ``balanced``: some images each of some people, for triplets.
        classes: people in a balanced batch.
        images: images a person in a balanced batch.
        buffer_rows: images among which the order is shuffled; larger is more random, smaller reads more in sequence.
        workers: processes that decode and change images; 0 does it in the training process.
        verify: check each image's bytes against the index while training.
    """

    packs: tuple[Path, ...] = Field(min_length=1)
    batch: int = Field(default=128, ge=1)
    shares: tuple[Share, ...] = ()
    sampler: Literal["shuffled", "balanced"] = "shuffled"
    classes: int = Field(default=16, ge=2)
    images: int = Field(default=4, ge=2)
    buffer_rows: int = Field(default=65536, ge=1)
    workers: int = Field(default=1, ge=0, le=256)
    verify: bool = False


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class BackboneSettings:
    """The network.

    Attributes:
        name: see ``mien models profile``.
        dimension: numbers in a template.
        dropout: share of the last features that are set to 0 in training.
        start: a run's folder, or a checkpoint's, whose weights to begin with; None for random ones.
    """

    name: str = "mobilefacenet"
    dimension: int = Field(default=512, ge=1, le=65536)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    start: Path | None = None


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class OptimizerSettings:
    """How weights follow gradients.

    Attributes:
        name: ``sgd`` with Nesterov's momentum, or ``adamw``.
        rate: learning rate at its highest.
        momentum: of ``sgd``.
        weight_decay: of all weights but those of normalizations, slopes and biases.
        head_weight_decay: of the class centers; None for the same.
        schedule: how the rate falls to ``last_rate`` after the warm-up: ``cosine``, ``polynomial`` (power 2), ``step``
            or ``constant``.
        last_rate: share of ``rate`` at the end.
        warmup: share of all steps in which the rate rises from 0.
        milestones: shares of all steps after which ``step`` multiplies the rate by ``factor``.
        factor: see ``milestones``.
        clip: largest norm of all gradients together; None for any.
        accumulate: parts in which a batch goes through the network, one after the other, to save memory.
        average: decay of the exponential moving average of the weights that is evaluated and exported; 0 for none.
    """

    name: Literal["sgd", "adamw"] = "sgd"
    rate: float = Field(default=0.1, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    head_weight_decay: float | None = Field(default=None, ge=0)
    schedule: Literal["cosine", "polynomial", "step", "constant"] = "cosine"
    last_rate: Share = 0.0
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    milestones: tuple[Share, ...] = (0.4, 0.65, 0.9)
    factor: float = Field(default=0.1, gt=0, lt=1)
    clip: float | None = Field(default=5.0, gt=0)
    accumulate: int = Field(default=1, ge=1)
    average: float = Field(default=0.0, ge=0, lt=1)


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class LengthSettings:
    """How long a run goes on: ``steps`` or ``epochs``, one of the two.

    Attributes:
        steps: batches.
        epochs: times through the data.
        minutes: stop in order after so long even if the run is not done; it can be resumed. None for no limit.
    """

    steps: int | None = Field(default=None, ge=1)
    epochs: float | None = Field(default=None, gt=0)
    minutes: float | None = Field(default=None, gt=0)

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("expected steps or epochs, one of the two")


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class CheckpointSettings:
    """What a run can be resumed from.

    Attributes:
        every: steps between two checkpoints.
        keep: how many of the latest stay.
    """

    every: int = Field(default=500, ge=1)
    keep: int = Field(default=2, ge=1)


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class ProtocolSettings:
    """One set of pairs to evaluate on, as ``mien evaluate pairs`` reads it.

    Attributes:
        path: the set.
        kind: ``lfw``, ``cfp-ff``, ``cfp-fp``, ``bin``, ``csv``; None to find out.
        images: the folder of images, where it is not beside the set.
    """

    path: Path
    kind: str | None = None
    images: Path | None = None


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class EvaluationSettings:
    """How a run is watched.

    Attributes:
        every: steps between two evaluations; None for only at the end.
        protocols: the first one's accuracy says which weights are the best.
        patience: evaluations without a better one after which the run stops; None for never.
    """

    every: int | None = Field(default=None, ge=1)
    protocols: tuple[ProtocolSettings, ...] = ()
    patience: int | None = Field(default=None, ge=1)


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class DistillationSettings:
    """What a student learns from a teacher, beside or instead of the labels.

    Attributes:
        teacher: name of an embedder's model card.
        embedding: weight of the distance to the teacher's template.
        features: weight of the distance to the intermediate features; needs a teacher trained with mien.
        teacher_run: the run of such a teacher.
        labels: weight of the loss of the labels.
        copy_centers: begin with the teacher's mean templates as class centers, and keep them.
        flip: the teacher sees the mirrored image where the student does.
    """

    teacher: str = "sface"
    embedding: float = Field(default=1.0, ge=0)
    features: float = Field(default=0.0, ge=0)
    teacher_run: Path | None = None
    labels: float = Field(default=0.0, ge=0)
    copy_centers: bool = False
    flip: bool = True


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class TrainingSettings:
    """A training run.

    Attributes:
        data: what is trained on.
        length: how long.
        backbone: the network.
        loss: one loss's settings; its ``name`` says which.
        sample_rate: share of the classes that a margin loss takes into account at each step (Partial FC).
        augmentation: what is done to images.
        optimizer: how weights change.
        checkpoints: what is kept.
        evaluation: how the run is watched.
        distillation: a teacher, or None.
        device: ``auto`` takes a GPU where there is one.
        precision: ``f32``, or ``bf16`` or ``fp16`` where that is safe (automatic mixed precision).
        compile: let PyTorch compile the network.
        threads: threads of PyTorch in this process; None for one a core.
        log_every: steps between two lines of the log.
        seed: of weights, order and augmentation.
        note: any words; they go into the model's page.
    """

    data: DataSettings
    length: LengthSettings
    backbone: BackboneSettings = BackboneSettings()
    loss: LossSettings = Field(default_factory=ArcFaceSettings)
    sample_rate: float = Field(default=1.0, gt=0, le=1)
    augmentation: AugmentationSettings = Field(default_factory=AugmentationSettings)
    optimizer: OptimizerSettings = OptimizerSettings()
    checkpoints: CheckpointSettings = CheckpointSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    distillation: DistillationSettings | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["f32", "bf16", "fp16"] = "f32"
    compile: bool = False
    threads: int | None = Field(default=None, ge=1, le=1024)
    log_every: int = Field(default=10, ge=1)
    seed: int = Field(default=0, ge=0, lt=1 << 31)
    note: str = ""

    def __post_init__(self) -> None:
        data = self.data
        if data.shares and len(data.shares) != len(data.packs):
            raise ValueError(f"data.shares: expected one for each of {len(data.packs)} packs, got {len(data.shares)}")
        if data.sampler == "balanced" and data.batch != data.classes * data.images:
            raise ValueError(
                f"data.batch: expected classes × images = {data.classes * data.images} for a balanced batch, "
                f"got {data.batch}"
            )
        if data.batch < 2 * self.optimizer.accumulate:
            raise ValueError(
                f"data.batch: expected two images or more in each of optimizer.accumulate={self.optimizer.accumulate} "
                f"parts, as batch normalization needs, got {data.batch}"
            )
        self._check_loss()
        if self.evaluation.patience is not None and not (self.evaluation.protocols and self.evaluation.every):
            raise ValueError("evaluation.patience: expected evaluation.every and protocols to go with it")

    def _check_loss(self) -> None:
        name, taught = self.loss.name, self.distillation
        if taught is not None and taught.labels == 0:
            if taught.copy_centers:
                raise ValueError(
                    "distillation.copy_centers: expected distillation.labels above 0, without which there are no "
                    "class centers, got 0"
                )
            return
        if name in ("triplet", "ddl") and self.data.sampler != "balanced":
            raise ValueError(
                f"loss {name}: expected data.sampler=balanced, which gives each batch several images of a person, "
                f"got {self.data.sampler}"
            )
        if name == "ddl" and len(self.data.packs) != 2:
            raise ValueError(f"loss ddl: expected two packs, easy images and hard ones, got {len(self.data.packs)}")
