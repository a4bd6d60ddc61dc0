"""One training run, from top to bottom: settings in, a run's folder out.

    settings = read_settings(Path("recipe.toml"), ["length.steps=2000"])
    train(settings, Path("runs/first"))

The same call works on one CPU, on one GPU, and in every process that ``torchrun`` starts. The run's folder has
``settings.toml``, ``log.jsonl``, ``tensorboard/``, ``checkpoints/``, ``best/`` and, at the end, ``result.json``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from mien.errors import TrainingDiverged
from mien.training.averaging import WeightAverage
from mien.training.data.loader import Batch
from mien.training.evaluating import Watched, evaluate_backbone
from mien.training.learner import Learner, TeacherPart
from mien.training.logs import RunLog
from mien.training.memory import keep_freed_memory
from mien.training.ranks import Ranks, join
from mien.training.runs import RunFolder
from mien.training.schedules import rate_at
from mien.training.settings import LengthSettings, TrainingSettings
from mien.training.sources import Sources, open_sources
from mien.training.state import RunState, make_optimizer
from mien.training.watching import Meter, Watch

__all__ = ["TrainingResult", "total_steps", "train"]


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """How a run ended.

    Attributes:
        steps: done in all, and asked for.
        of: steps that were asked for.
        reason: ``done``, ``minutes``, ``stopped`` (somebody asked), or ``patience``.
        images: seen, over all processes and calls.
        seconds: of training, over all calls.
        loss: mean of the last logged steps.
        skipped: images that could not be read, in this call.
        evaluation: figures by protocol of the last evaluation.
        best: the best accuracy, and its step.
    """

    steps: int
    of: int
    reason: str
    images: int
    seconds: float
    loss: float | None
    skipped: int
    evaluation: dict[str, dict[str, float]] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)


def train(
    settings: TrainingSettings,
    run: Path,
    *,
    resume: bool = False,
    ranks: Ranks | None = None,
    watch: Watch | None = None,
) -> TrainingResult:
    """Train a network.

    Args:
        settings: everything.
        run: the run's folder; made if need be.
        resume: go on from the folder's last checkpoint; with none there, begin.
        ranks: the processes; None for those of ``torchrun``'s environment, or this one alone.
        watch: is told how it goes, and may ask to stop.

    Raises:
        BadSettings: what cannot be: ``resume`` with settings that compute something else (the differences are listed),
            fewer classes than the loss needs.
        OutputError: the folder holds another run and ``resume`` is False, or cannot be written.
        BadPack: a pack or its index is damaged.
        BadCheckpoint: the checkpoint is damaged or of other weights.
        TrainingDiverged: the loss or its gradient is not finite; the batch is kept in the run's folder.
    """
    if ranks is None:
        ranks = join(settings.device)
        try:
            return train(settings, run, resume=resume, ranks=ranks, watch=watch)
        finally:
            ranks.leave()
    watch = Watch() if watch is None else watch
    if ranks.device.type == "cpu":
        keep_freed_memory()
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    with (
        RunFolder.open(run, settings, ranks, resume=resume) as folder,
        open_sources(settings, ranks, watch) as sources,
    ):
        steps = total_steps(settings.length, sources.loader.steps_per_epoch)
        state = _begin(settings, sources, ranks)
        if resume and (found := folder.checkpoint()) is not None:
            state.restore(found)
        with folder.log(state.step) as log:
            return _run(settings, folder, sources, state, steps, log, watch)


def total_steps(length: LengthSettings, steps_per_epoch: int) -> int:
    """How many steps a run has."""
    if length.steps is not None:
        return length.steps
    return max(1, round((length.epochs or 0.0) * steps_per_epoch))


def _begin(settings: TrainingSettings, sources: Sources, ranks: Ranks) -> RunState:
    """A run before its first step."""
    learner = Learner(
        settings,
        sources.classes,
        sources.shares,
        ranks,
        teacher_dimension=sources.teacher_dimension,
        teacher=sources.teacher_backbone,
    )
    if sources.start is not None:
        learner.backbone.load_state_dict(sources.start)
    for head, centers in zip(learner.heads, sources.centers, strict=False):
        head.set_centers(centers, frozen=True)
    ranks.broadcast_module(learner.trunk)
    # Weights are the same everywhere now; what is drawn from here on must not be.
    torch.manual_seed(settings.seed + ranks.rank)
    average = WeightAverage(learner.backbone, settings.optimizer.average) if settings.optimizer.average else None
    scaler = torch.amp.GradScaler(ranks.device.type, enabled=settings.precision == "fp16")
    optimizer = make_optimizer(settings, learner)
    for head in learner.heads:
        head.attach(optimizer)
    return RunState(learner, optimizer, average, scaler)


def _run(
    settings: TrainingSettings,
    folder: RunFolder,
    sources: Sources,
    state: RunState,
    steps: int,
    log: RunLog | None,
    watch: Watch,
) -> TrainingResult:
    """The loop: one batch, one step, and now and then a line, a checkpoint, an evaluation."""
    ranks, every = state.learner.ranks, settings.checkpoints.every
    meter = Meter(state.step, steps)
    before, evaluation = state.seconds, folder.evaluation(state.step)
    saved = state.step
    reason = "done"
    batches = sources.loader.batches(state.position)
    state.learner.train()
    while state.step < steps:
        with meter.waiting():
            position, batch = next(batches)
        parts = _step(settings, state, batch, sources.taught(batch), rate_at(settings.optimizer, state.step, steps))
        state.position = position
        state.step += 1
        state.images += settings.data.batch
        state.seconds = before + meter.seconds
        meter.add(parts, settings.data.batch, len(batch.skipped))
        folder.note_skipped(batch.skipped)
        if _diverged(state, parts):
            raise TrainingDiverged(folder.keep_batch(state.step, batch, parts))
        if state.step % settings.log_every == 0 or state.step == steps:
            line = meter.line(ranks, rate_at(settings.optimizer, state.step - 1, steps))
            if log is not None:
                log.write("step", state.step, line)
            watch.stepped(state.step, steps, line)
        asked = watch.stop_asked() or _past(settings.length.minutes, meter.seconds)
        stop = bool(ranks.any_of(asked))
        due = settings.evaluation.every is not None and state.step % settings.evaluation.every == 0
        if sources.watched and (due or state.step == steps):
            with meter.pause():
                evaluation = _evaluate(folder, sources.watched, state, log, watch)
        # After the evaluation, so that a run that goes on from here knows its best one.
        if state.step % every == 0 or stop or state.step == steps:
            state.save(folder.checkpoints, keep=settings.checkpoints.keep)
            saved = state.step
        if sources.watched and due and _out_of_patience(settings, state):
            reason = "patience"
            break
        if stop and state.step < steps:
            reason = "stopped" if watch.stop_asked() else "minutes"
            break
    if saved != state.step:
        state.save(folder.checkpoints, keep=settings.checkpoints.keep)
    result = TrainingResult(
        steps=state.step,
        of=steps,
        reason=reason,
        images=state.images,
        seconds=round(state.seconds, 3),
        loss=meter.last_loss,
        skipped=meter.skipped,
        evaluation=evaluation,
        best=state.best,
    )
    if ranks.rank == 0:
        folder.finish(asdict(result))
    ranks.barrier()
    return result


def _step(
    settings: TrainingSettings, state: RunState, batch: Batch, teacher: TeacherPart | None, rate: float
) -> dict[str, float]:
    """One step of the optimizer; the loss and what else is to be logged, of this process."""
    learner, optimizer, how = state.learner, state.optimizer, settings.optimizer
    device = learner.ranks.device
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    sums: dict[str, float] = {}
    parts = _parts(settings.data.batch, how.accumulate, learner.ranks)
    for number, (part, share) in enumerate(parts):
        images, labels, sets = (whole[part].to(device) for whole in (batch.images, batch.labels, batch.sets))
        said = (
            None if teacher is None else TeacherPart(teacher.templates[part].to(device), teacher.known[part].to(device))
        )
        last = number == len(parts) - 1
        with learner.ranks.averaging(), learner.averaging() if last else learner.without_averaging():
            loss = learner.loss(images, labels, sets, said)
            state.scaler.scale(loss.total * share).backward()  # type: ignore[no-untyped-call]
        for name, value in loss.parts.items():
            sums[name] = sums.get(name, 0.0) + float(value) * share
    if state.scaler.is_enabled() and not math.isfinite(_clip(learner, None)):
        # An overflow in one process's class centers: all of them must see it, or they would not stay alike.
        next(weight.grad for weight in learner.trunk.parameters() if weight.grad is not None).fill_(math.inf)
    state.scaler.unscale_(optimizer)
    sums["gradient_norm"] = _clip(learner, how.clip)
    if _diverged(state, sums):
        return sums  # the weights stay as they are
    state.scaler.step(optimizer)
    state.scaler.update()
    if state.average is not None:
        state.average.update(learner.backbone)
    return sums


def _diverged(state: RunState, parts: dict[str, float]) -> bool:
    """Whether a step cannot be gone on from: all processes have the same gradients, so all find the same."""
    if not math.isfinite(parts["loss"]):
        return True
    if math.isfinite(parts["gradient_norm"]):
        return False
    # In fp16 gradients overflow now and then, and are scaled less after that; where that does not help, they are wrong.
    return not state.scaler.is_enabled() or state.scaler.get_scale() < 1


def _parts(batch: int, parts: int, ranks: Ranks) -> list[tuple[slice, float]]:
    """A batch in parts of about the same size: each one's images in this process, and its share of the whole batch.

    There are as many parts in each process, and none is empty, whatever the batch is divided by.
    """
    counts = [len(range(rank, batch, ranks.world)) for rank in range(ranks.world)]
    parts = min(parts, min(counts))

    def part(count: int, number: int) -> slice:
        return slice(count * number // parts, count * (number + 1) // parts)

    found = []
    for number in range(parts):
        slices = [part(count, number) for count in counts]
        share = sum(each.stop - each.start for each in slices) / batch
        found.append((slices[ranks.rank], share))
    return found


def _clip(learner: Learner, most: float | None) -> float:
    """The norm of all gradients, also of other processes' class centers; above ``most`` they are scaled down to it."""
    shared = learner.shared_parameters()
    common = [weight.grad for weight in shared if weight.grad is not None]
    alike = {id(weight) for weight in shared}
    own = [w.grad for w in learner.head_parameters() if w.grad is not None and id(w) not in alike]
    norm = float(torch.sqrt(_squares(common, learner) + learner.ranks.all_reduce_sum(_squares(own, learner))))
    if most is not None and math.isfinite(norm) and norm > most:
        for gradient in (*common, *own):
            gradient.mul_(most / norm)
    return norm


def _squares(gradients: Sequence[Tensor], learner: Learner) -> Tensor:
    if not gradients:
        return torch.zeros((), device=learner.ranks.device)
    return torch.stack([gradient.float().square().sum() for gradient in gradients]).sum()


def _evaluate(
    folder: RunFolder, watched: Sequence[Watched], state: RunState, log: RunLog | None, watch: Watch
) -> dict[str, dict[str, float]]:
    """Evaluate the weights as they would be exported, in the first process; the best ones so far are kept."""
    ranks = state.learner.ranks
    found: dict[str, dict[str, float]] = {}
    if ranks.rank == 0:
        found = evaluate_backbone(state.learner.backbone, state.weights(), watched, ranks.device)
        for name, figures in found.items():
            watch.evaluated(state.step, name, figures)
            if log is not None:
                log.write("evaluation", state.step, {"protocol": name, **figures})
    ranks.await_first()
    found = ranks.broadcast_object(found)
    accuracy = found[watched[0].name]["accuracy"]
    if accuracy > state.best.get("accuracy", -math.inf):
        state.best = {"accuracy": accuracy, "step": float(state.step), "since": 0.0}
        if ranks.rank == 0:
            folder.keep_best(state.weights(), state.step, found)
    else:
        state.best["since"] += 1
    state.learner.train()
    return found


def _out_of_patience(settings: TrainingSettings, state: RunState) -> bool:
    patience = settings.evaluation.patience
    return patience is not None and state.best["since"] >= patience


def _past(minutes: float | None, seconds: float) -> bool:
    return minutes is not None and seconds >= minutes * 60
