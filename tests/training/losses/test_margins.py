from __future__ import annotations

import itertools
import math
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

sys.path.insert(0, str(Path(__file__).parent))
import slow_losses as slow

from mien.errors import BadInput, BadSettings
from mien.training.heads import ShardedHead
from mien.training.losses import (
    AdaFaceSettings,
    ArcFaceSettings,
    CifpSettings,
    CosFaceSettings,
    CurricularFaceSettings,
    LossSettings,
    MagFaceSettings,
    ScfSettings,
    SoftmaxSettings,
    TripletSettings,
    make_objective,
)
from mien.training.losses.making import MarginSettings
from mien.training.ranks import Ranks

Oracle = Callable[[slow.Pair, slow.Pair, list[int]], float]
CASES: dict[str, tuple[MarginSettings, Oracle]] = {
    "softmax": (SoftmaxSettings(), slow.softmax),
    "normalized": (SoftmaxSettings(normalized=True), slow.normalized),
    "arcface": (ArcFaceSettings(), slow.arcface),
    "arcface_easy": (ArcFaceSettings(easy_margin=True), slow.arcface_easy),
    "straight": (ArcFaceSettings(gradient="straight_through"), slow.straight),
    "cosface": (CosFaceSettings(), slow.cosface),
    "curricularface": (CurricularFaceSettings(), slow.curricularface),
    "adaface": (AdaFaceSettings(), slow.adaface),
    "magface": (MagFaceSettings(shortest=2, longest=6), slow.magface),
    "cifp": (CifpSettings(), slow.cifp),
}
EVERY: dict[str, MarginSettings] = {**{name: case[0] for name, case in CASES.items()}, "scf": ScfSettings()}


def head_of(settings: LossSettings, classes: int, dimension: int) -> ShardedHead:
    head = make_objective(settings, classes=classes, dimension=dimension, ranks=Ranks())
    assert isinstance(head, ShardedHead)
    return head


def some_faces(seed: int, classes: int = 7, dimension: int = 5) -> tuple[slow.Pair, list[int]]:
    """Features of all angles to their own center, one of them beyond pi - m, and of all lengths."""
    random = np.random.default_rng(seed)
    centers = random.normal(size=(classes, dimension)) * random.uniform(0.1, 3, (classes, 1))
    labels = [0, 3, 3, 6, 2, 5]
    features = random.normal(size=(len(labels), dimension)) * random.uniform(0.5, 4, (len(labels), 1))
    features[1] = centers[3] * 2 + random.normal(size=dimension) * 0.05
    features[4] = -centers[2] + random.normal(size=dimension) * 0.05
    pair = features.astype(np.float32).astype(np.float64), centers.astype(np.float32).astype(np.float64)
    return pair, labels


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_loss_and_slopes_are_those_of_the_slow_version(name: str, seed: int) -> None:
    settings, oracle = CASES[name]
    pair, labels = some_faces(seed)
    head = head_of(settings, 7, 5)
    head.set_centers(torch.tensor(pair[1], dtype=torch.float32), frozen=False)
    features = torch.tensor(pair[0], dtype=torch.float32, requires_grad=True)
    output = head(features, torch.tensor(labels))
    output.loss.backward()
    assert float(output.loss.detach()) == pytest.approx(oracle(pair, pair, labels), rel=2e-5)
    by_features = slow.slope(lambda moved: oracle((moved, pair[1]), pair, labels), pair[0])
    by_centers = slow.slope(lambda moved: oracle((pair[0], moved), pair, labels), pair[1])
    assert features.grad is not None
    assert head.centers.grad is not None
    for found, wanted in ((features.grad, by_features), (head.centers.grad, by_centers)):
        assert np.abs(found.double().numpy() - wanted).max() < 2e-3 * np.abs(wanted).max()
    assert float(output.parts["target_cosine"]) == pytest.approx(
        np.mean([slow.cosine(pair[0][i], pair[1][j]) for i, j in enumerate(labels)]), abs=1e-5
    )


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("arcface", ArcFaceSettings()),
        ("cosface", CosFaceSettings()),
        ("normalized", SoftmaxSettings(normalized=True, scale=20)),
    ],
)
def test_it_is_what_pytorch_metric_learning_computes(name: str, ours: MarginSettings) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = pytest.importorskip("pytorch_metric_learning.losses")
    pair, labels = some_faces(3)
    features, centers = (torch.tensor(part, dtype=torch.float32) for part in pair)
    theirs = {
        "arcface": lambda: library.ArcFaceLoss(7, 5, margin=math.degrees(0.5), scale=64),
        "cosface": lambda: library.CosFaceLoss(7, 5, margin=0.35, scale=64),
        "normalized": lambda: library.NormalizedSoftmaxLoss(7, 5, temperature=0.05),
    }[name]()
    theirs.W.data = torch.nn.functional.normalize(centers).T.clone()
    head = head_of(ours, 7, 5)
    head.set_centers(torch.nn.functional.normalize(centers), frozen=False)
    one, other = features.clone().requires_grad_(), features.clone().requires_grad_()
    loss = head(one, torch.tensor(labels)).loss
    wanted = theirs(other, torch.tensor(labels))
    loss.backward()
    wanted.backward()
    assert float(loss.detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)
    assert one.grad is not None
    assert other.grad is not None
    assert float((one.grad - other.grad).abs().max()) < 1e-3 * float(other.grad.abs().max())


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32])
def test_slopes_are_finite_at_the_ends_of_the_cosine(name: str, kind: torch.dtype) -> None:
    centers = torch.nn.functional.one_hot(torch.arange(4), 8).float()
    features = torch.cat([centers * 3, -centers * 60000, centers.roll(1, 0), torch.zeros(1, 8)]).to(kind)
    features = features.requires_grad_()
    head = head_of(EVERY[name], 4, 8)
    head.set_centers(centers, frozen=False)
    labels = torch.tensor([0, 1, 2, 3] * 3 + [0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = head(features, labels)
    output.loss.backward()
    assert output.loss.dtype == torch.float32
    assert features.grad is not None
    assert head.centers.grad is not None
    assert bool(output.loss.isfinite())
    assert bool(features.grad.isfinite().all())
    assert bool(head.centers.grad.isfinite().all())


def test_half_precision_features_give_the_loss_of_their_values() -> None:
    pair, labels = some_faces(5)
    head = head_of(ArcFaceSettings(), 7, 5)
    half = torch.tensor(pair[0]).half()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = head(half, torch.tensor(labels)).loss
    assert torch.equal(loss, head(half.float(), torch.tensor(labels)).loss)


def test_beyond_the_end_the_target_falls_on() -> None:
    """With no fallback, a face on the opposite side would be rewarded."""
    centers = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    losses = []
    for angle in np.linspace(0.01, math.pi - 0.01, 60):
        head = head_of(ArcFaceSettings(scale=1), 2, 2)
        head.set_centers(centers, frozen=False)
        # The other class's cosine stays the same on both sides, as it is left out of the comparison.
        face = torch.tensor([[math.cos(angle), -math.sin(angle)]])
        logit = head(face, torch.tensor([0])).loss.detach()
        losses.append(-math.log(math.expm1(float(logit))) - math.sin(angle))
    assert all(later < before for before, later in itertools.pairwise(losses))


def test_running_statistics_move_in_training_only() -> None:
    pair, labels = some_faces(2)
    features = torch.tensor(pair[0], dtype=torch.float32)
    for settings, names in ((CurricularFaceSettings(), ["t"]), (AdaFaceSettings(), ["mean", "deviation"])):
        head = head_of(settings, 7, 5)
        before = [head.margin.state_dict()[name].clone() for name in names]
        head.eval()(features, torch.tensor(labels))
        assert [head.margin.state_dict()[name] for name in names] == before
        head.train()(features, torch.tensor(labels))
        assert all(head.margin.state_dict()[name] != was for name, was in zip(names, before, strict=True))
        assert head.margin.state_dict().keys() == set(names)


def test_one_image_alone_leaves_the_deviation() -> None:
    head = head_of(AdaFaceSettings(), 7, 5)
    output = head(torch.ones(1, 5), torch.tensor([1]))
    assert bool(output.loss.isfinite())
    assert float(head.margin.state_dict()["deviation"]) == 100


READ: TypeAdapter[LossSettings] = TypeAdapter(LossSettings)


@pytest.mark.parametrize(
    "name", ["adaface", "arcface", "cifp", "cosface", "curricularface", "ddl", "magface", "scf", "softmax", "triplet"]
)
def test_each_loss_is_named_by_its_settings(name: str) -> None:
    settings = READ.validate_python({"name": name})
    assert settings.name == name
    assert make_objective(settings, classes=3, dimension=8, ranks=Ranks()) is not None
    with pytest.raises(ValidationError, match=r"typo\n.*[Uu]nexpected"):
        READ.validate_python({"name": name, "typo": 1})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "arcfase"}, "does not match any of the expected tags"),
        ({"name": "arcface", "margin": 2}, "less than"),
        ({"name": "arcface", "scale": 0}, "greater than 0"),
        ({"name": "arcface", "gradient": "none"}, "'exact' or 'straight_through'"),
        ({"name": "cosface", "margin": -1}, "greater than or equal to 0"),
        ({"name": "curricularface", "decay": 1}, "less than 1"),
        ({"name": "adaface", "spread": 0}, "greater than 0"),
        (
            {"name": "magface", "shortest": 200},
            r"expected shortest < longest and least_margin <= most_margin, got 200\.0",
        ),
        ({"name": "cifp", "rate": 0}, "greater than 0"),
        ({"name": "scf", "radius": 0}, "greater than 0"),
        ({"name": "ddl", "nodes": 2}, "greater than or equal to 3"),
        ({"name": "triplet", "margin": 5}, "less than or equal to 4"),
        ({"name": "softmax", "normalized": "perhaps"}, "valid boolean"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        READ.validate_python(settings)


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(BadSettings, match="loss arcface: expected two or more people in the data set, got 1"):
        make_objective(ArcFaceSettings(), classes=1, dimension=8, ranks=Ranks())
    with pytest.raises(BadSettings, match=r"sample_rate: expected 1 for triplet, which has no class centers, got 0\.5"):
        make_objective(TripletSettings(), classes=5, dimension=8, ranks=Ranks(), sample_rate=0.5)
    with pytest.raises(BadSettings, match="loss scf: expected templates of 4 or more numbers, got 3"):
        make_objective(ScfSettings(), classes=5, dimension=3, ranks=Ranks())
    with pytest.raises(BadInput, match="sample_rate: expected over 0, up to 1, got 0"):
        make_objective(ArcFaceSettings(), classes=5, dimension=8, ranks=Ranks(), sample_rate=0)
