"""What a run draws from: packs, the loader, the teacher, the first weights, the sets it is evaluated on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mien.errors import BadInput, BadSettings
from mien.recognizer import Recognizer, Settings
from mien.training.augmentation import Augmentation
from mien.training.backbones import Backbone, build_backbone
from mien.training.data.describing import require_chips_of
from mien.training.data.index import Index, read_index
from mien.training.data.loader import Batch, Loader
from mien.training.evaluating import Watched, open_watched
from mien.training.learner import TeacherPart
from mien.training.ranks import Ranks
from mien.training.runs import read_run
from mien.training.settings import TrainingSettings
from mien.training.teachers import TeacherTemplates
from mien.training.watching import Watch

__all__ = ["Sources", "open_sources"]

_ROWS = 4096


@dataclass(slots=True)
class Sources:
    """What a run draws from.

    Attributes:
        loader: the batches.
        indexes: the data sets.
        classes: how many each has.
        shares: each one's share of a batch.
        watched: sets to evaluate on, in the first process; elsewhere only their names matter.
        teacher: its templates, or None.
        teacher_backbone: its network, where stages are wanted.
        centers: ``(classes, d)`` mean templates of the teacher, a data set each, where they are to be copied.
        start: the first weights, or None.
    """

    loader: Loader
    indexes: list[Index]
    classes: list[int]
    shares: list[float]
    watched: list[Watched] = field(default_factory=list)
    teacher: TeacherTemplates | None = None
    teacher_backbone: Backbone | None = None
    centers: list[Tensor] = field(default_factory=list)
    start: dict[str, Tensor] | None = None

    @property
    def teacher_dimension(self) -> int | None:
        """Numbers in a template of the teacher, or None without one."""
        return None if self.teacher is None else self.teacher.teacher.dimension

    def taught(self, batch: Batch) -> TeacherPart | None:
        """What the teacher says of a batch: of the mirrored image where the student sees one."""
        if self.teacher is None:
            return None
        sets, rows = batch.sets.tolist(), batch.rows.tolist()
        digests = [self.indexes[number].digests[row] for number, row in zip(sets, rows, strict=True)]
        both, known = self.teacher.of(digests)
        side = batch.mirrored.numpy().astype(np.int64)
        return TeacherPart(torch.from_numpy(both[np.arange(len(side)), side]), torch.from_numpy(known))


@contextmanager
def open_sources(settings: TrainingSettings, ranks: Ranks, watch: Watch) -> Iterator[Sources]:
    """Open all that a run draws from, and close it at the end.

    Raises:
        BadPack: a pack or its index is damaged.
        BadSettings: a data set that the network, the loss or the teacher cannot work with.
        MienError: a model that is not there.
    """
    indexes = [read_index(path) for path in settings.data.packs]
    size = build_backbone(settings.backbone.name, dimension=settings.backbone.dimension).size
    for path, index in zip(settings.data.packs, indexes, strict=True):
        if index.aligned != size:
            found = "images that are not aligned" if index.aligned is None else f"{index.aligned} pixels"
            raise BadSettings(
                f"{path}: expected images aligned to {size} pixels for {settings.backbone.name}, got {found}"
            )
        if index.classes < 2:
            raise BadSettings(f"{path}: expected images of two people or more, got {index.classes}")
    with ExitStack() as stack:
        loader = _loader(settings, indexes, ranks)
        stack.callback(loader.close)
        sources = Sources(loader, indexes, [index.classes for index in indexes], list(loader.shares))
        if settings.backbone.start is not None:
            sources.start = read_run(settings.backbone.start).weights
        if settings.distillation is not None:
            _teach(settings, sources, ranks, watch, stack)
        if settings.evaluation.protocols:
            sources.watched = open_watched(settings, ranks, watch)
        yield sources


def _loader(settings: TrainingSettings, indexes: list[Index], ranks: Ranks) -> Loader:
    data = settings.data
    return Loader(
        indexes,
        batch=data.batch,
        rank=ranks.rank,
        world=ranks.world,
        seed=settings.seed,
        augmentation=Augmentation(settings.augmentation),
        workers=data.workers,
        buffer_rows=data.buffer_rows,
        sampler=data.sampler,
        classes=data.classes,
        images=data.images,
        shares=data.shares or None,
        verify=data.verify,
    )


def _teach(settings: TrainingSettings, sources: Sources, ranks: Ranks, watch: Watch, stack: ExitStack) -> None:
    how = settings.distillation
    if how is None:
        return
    teacher = TeacherTemplates(Recognizer(Settings(embedder=how.teacher)).embedder)
    stack.callback(teacher.close)
    for index in sources.indexes:
        require_chips_of(index, teacher.teacher)
    if how.teacher_run is not None:
        found = read_run(how.teacher_run)
        sources.teacher_backbone = build_backbone(
            found.settings.backbone.name, dimension=found.settings.backbone.dimension
        )
        sources.teacher_backbone.load_state_dict(found.weights)
    if ranks.rank == 0:
        total, done = sum(len(index) for index in sources.indexes), 0

        def told(count: int) -> None:
            nonlocal done
            done += count
            watch.preparing(f"templates of {how.teacher}", done, total)

        for index in sources.indexes:
            teacher.fill(index, told)
    ranks.await_first()
    sources.teacher = teacher
    if how.copy_centers:
        if teacher.teacher.dimension != settings.backbone.dimension:
            raise BadSettings(
                f"distillation.copy_centers: expected backbone.dimension={teacher.teacher.dimension}, as the "
                f"teacher's, got {settings.backbone.dimension}"
            )
        sources.centers = [_centers(teacher, index) for index in sources.indexes]


def _centers(teacher: TeacherTemplates, index: Index) -> Tensor:
    """``(classes, d)`` the unit mean of each class's templates, images and mirrors."""
    sums = np.zeros((index.classes, teacher.teacher.dimension), np.float64)
    labels, digests = index.labels, index.digests
    for start in range(0, len(index), _ROWS):
        both, known = teacher.of(digests[start : start + _ROWS])
        part = labels[start : start + _ROWS]
        usable = known & (part >= 0)
        np.add.at(sums, part[usable], both[usable].sum(axis=1))
    if not np.linalg.norm(sums, axis=1).all():
        raise BadInput("expected an image that can be read of every person, found people without one")
    return functional.normalize(torch.from_numpy(sums).float(), dim=1)
