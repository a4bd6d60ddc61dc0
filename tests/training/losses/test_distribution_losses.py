"""DDL, SCF and SDD-FIQA: losses of distributions."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import slow_losses as slow

from mien.errors import BadInput
from mien.training.heads import ShardedHead
from mien.training.losses import (
    ArcFaceSettings,
    DdlSettings,
    QualityRegression,
    ScfSettings,
    make_objective,
    quality_labels,
)
from mien.training.losses.quality_regression import wasserstein
from mien.training.losses.scf import Scf, log_bessel
from mien.training.ranks import Ranks

LABELS = [0, 0, 1, 1, 2, 2, 2, 3, 3, 4]
SETS = [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]


def ddl_oracle(faces: slow.Array) -> float:
    """Without ArcFace."""
    unit = faces / np.linalg.norm(faces, axis=1, keepdims=True)
    nodes = np.linspace(-1, 1, 401)

    def histogram(values: list[float]) -> slow.Array:
        bells = sum(np.exp(-0.5 * ((value - nodes) / 0.1) ** 2) for value in values)
        return np.asarray(bells / np.sum(bells))

    positives: list[list[float]] = []
    negatives: list[list[float]] = []
    for number in (0, 1):
        rows = [row for row in range(len(faces)) if SETS[row] == number]
        pairs = [float(unit[a] @ unit[b]) for a in rows for b in rows if a < b and LABELS[a] == LABELS[b]]
        positives.append([value for value in pairs if value > 0] or pairs)
        negatives.append([max(float(unit[a] @ unit[b]) for b in rows if LABELS[a] != LABELS[b]) for a in rows])

    def divergence(parts: list[list[float]]) -> float:
        easy, hard = (histogram(part) for part in parts)
        return float(np.sum(easy * (np.log(easy + 1e-9) - np.log(hard + 1e-9))))

    order = sum(np.mean(below) - np.mean(above) for below in negatives for above in positives)
    return 0.1 * divergence(positives) + 0.02 * divergence(negatives) + 0.5 * float(order)


@pytest.mark.parametrize("seed", [0, 1])
def test_ddl_is_arcface_and_the_slow_version(seed: int) -> None:
    faces = np.random.default_rng(seed).normal(size=(10, 6)) + np.eye(6)[LABELS] * 2
    features = torch.tensor(faces, dtype=torch.float32, requires_grad=True)
    other = features.detach().clone().requires_grad_()
    labels = torch.tensor(LABELS)
    objective = make_objective(DdlSettings(), classes=5, dimension=6, ranks=Ranks())
    assert objective.joint
    output = objective(features, labels, torch.tensor(SETS))
    arcface = make_objective(ArcFaceSettings(), classes=5, dimension=6, ranks=Ranks())(other, labels).loss
    output.loss.backward()
    arcface.backward()
    assert float((output.loss - arcface).detach()) == pytest.approx(ddl_oracle(faces), abs=2e-5)
    assert float(output.parts["distilled"]) == pytest.approx(ddl_oracle(faces), abs=2e-5)
    assert features.grad is not None
    assert other.grad is not None
    wanted = slow.slope(ddl_oracle, faces)
    assert np.abs((features.grad - other.grad).double().numpy() - wanted).max() < 1e-4


def test_ddl_needs_both_sets_with_pairs() -> None:
    objective = make_objective(DdlSettings(), classes=5, dimension=6, ranks=Ranks())
    features, labels = torch.randn(10, 6), torch.tensor(LABELS)
    with pytest.raises(BadInput, match=r"ddl: expected the data set of each image \(0 easy, 1 hard\), got none"):
        objective(features, labels)
    with pytest.raises(
        BadInput, match=r"ddl: expected two hard images of a person, .* got 0 images of 0; use the balan"
    ):
        objective(features, labels, torch.zeros(10, dtype=torch.int64))
    with pytest.raises(BadInput, match=r"ddl: expected two easy images of a person, .* got 5 images of 5"):
        objective(features, torch.arange(10) % 5, torch.tensor(SETS))


def test_bessel_is_scipy_s() -> None:
    special = pytest.importorskip("scipy.special")
    x = torch.logspace(-1, 5, 40, dtype=torch.float64)
    for order, most in ((1.0, 0.02), (7.0, 1e-5), (63.0, 1e-9), (255.0, 1e-11)):
        with np.errstate(divide="ignore"):
            wanted = np.log(special.ive(order, x.numpy())) + x.numpy()
        there = np.isfinite(wanted)
        gaps = np.abs(log_bessel(order, x).numpy() - wanted)[there] / np.maximum(1, np.abs(wanted[there]))
        assert there.sum() > 10
        assert gaps.max() < most
    # Where scipy's is 0, the logarithm of the first term of the series is still right.
    tiny = torch.tensor([0.5], dtype=torch.float64)
    assert float(log_bessel(255.0, tiny)) == pytest.approx(255 * math.log(0.25) - math.lgamma(256), rel=1e-6)


def test_scf_has_the_loss_of_its_formula_and_moves_nothing_else() -> None:
    special = pytest.importorskip("scipy.special")
    torch.manual_seed(0)
    features = torch.randn(6, 16, requires_grad=True)
    other = features.detach().clone().requires_grad_()
    labels = torch.arange(6) % 4
    objective = make_objective(ScfSettings(), classes=4, dimension=16, ranks=Ranks())
    plain = make_objective(ArcFaceSettings(), classes=4, dimension=16, ranks=Ranks())
    assert isinstance(objective, ShardedHead)
    assert isinstance(plain, ShardedHead)
    output, wanted = objective(features, labels), plain(other, labels)
    margin = objective.margin
    assert isinstance(margin, Scf)
    kappa = margin.kappa(features).detach().numpy()
    unit = torch.nn.functional.normalize(features.detach()).double().numpy()
    centers = torch.nn.functional.normalize(objective.centers.detach()).double().numpy()
    losses = [
        -k * float(unit[i] @ centers[int(labels[i])])
        - 7 * math.log(k)
        + math.log(special.iv(7, k))
        + 16 * math.log(64)
        + 8 * math.log(2 * math.pi)
        for i, k in enumerate(kappa)
    ]
    assert float(output.parts["confidence_loss"]) == pytest.approx(np.mean(losses), rel=1e-5)
    assert float(output.loss.detach()) == pytest.approx(float(wanted.loss.detach()) + float(np.mean(losses)), rel=1e-5)
    output.loss.backward()
    wanted.loss.backward()
    assert torch.equal(features.grad, other.grad)  # type: ignore[arg-type]
    assert torch.equal(objective.centers.grad, plain.centers.grad)  # type: ignore[arg-type]
    weight = next(margin.parameters())
    assert weight.grad is not None
    assert weight.grad.any()


def test_scf_is_surer_of_faces_near_their_center() -> None:
    torch.manual_seed(0)
    centers = torch.eye(16)[:4] * 3
    objective = make_objective(ScfSettings(weight=1), classes=4, dimension=16, ranks=Ranks())
    assert isinstance(objective, ShardedHead)
    objective.set_centers(centers, frozen=True)
    assert isinstance(objective.margin, Scf)
    optimizer = torch.optim.Adam(objective.margin.parameters(), lr=0.01)
    labels = torch.arange(64) % 4
    spread = torch.where(torch.arange(64) < 32, 0.1, 1.5)[:, None]
    features = centers[labels] * torch.where(spread > 1, 0.3, 1.0) + spread * torch.randn(64, 16)
    for _ in range(60):
        optimizer.zero_grad()
        objective(features, labels).loss.backward()
        optimizer.step()
    kappa = objective.margin.kappa(features).detach()
    assert float(kappa[:32].min()) > float(kappa[32:].median())


def test_wasserstein_is_scipy_s() -> None:
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(0)
    for first, second in ((24, 24), (3, 24), (1, 1), (5, 2)):
        a, b = random.normal(size=first).astype(np.float32), random.normal(1, 2, size=second).astype(np.float32)
        assert wasserstein(a, b) == pytest.approx(stats.wasserstein_distance(a, b), rel=1e-9)
    same = np.array([0.5, 0.5], np.float32)
    assert wasserstein(same, same) == 0


def test_blurred_templates_get_a_lower_quality() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(12), 8)
    noise = np.where(np.arange(96) % 8 < 2, 1.5, 0.2)
    vectors = np.eye(16)[labels % 16] + noise[:, None] * random.normal(size=(96, 16)) / 4
    templates = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    shuffled = random.permutation(96)
    found = np.empty(96, np.float32)
    found[shuffled] = quality_labels(templates[shuffled], labels[shuffled])
    assert found.dtype == np.float32
    assert (found.min(), found.max()) == (0, 100)
    assert found[noise > 1].mean() + 30 < found[noise < 1].mean()
    assert np.array_equal(found[shuffled], quality_labels(templates[shuffled], labels[shuffled]))


def test_quality_is_what_all_pairs_say_where_all_are_drawn() -> None:
    random = np.random.default_rng(1)
    labels = np.array([4, 9, 4, 2, 9, 4])
    vectors = random.normal(size=(6, 8))
    templates = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    similar = templates @ templates.T
    raw = np.array(
        [
            np.nan
            if (labels == labels[i]).sum() == 1
            else wasserstein(similar[i][(labels == labels[i]) & (np.arange(6) != i)], similar[i][labels != labels[i]])
            for i in range(6)
        ]
    )
    wanted = (raw - np.nanmin(raw)) / (np.nanmax(raw) - np.nanmin(raw)) * 100
    assert np.allclose(quality_labels(templates, labels, pairs=24, rounds=2), wanted, atol=1e-3, equal_nan=True)


def test_quality_labels_need_people_with_two_images() -> None:
    templates = np.eye(3, dtype=np.float32)
    with pytest.raises(BadInput, match="expected two people and a person with two images, got 3 images of 3"):
        quality_labels(templates, np.arange(3))
    with pytest.raises(BadInput, match="expected two people and a person with two images, got 3 images of 1"):
        quality_labels(templates, np.zeros(3, np.int64))
    with pytest.raises(BadInput, match=r"expected \(n, d\) templates and \(n,\) labels, got \(3, 3\) and \(2,\)"):
        quality_labels(templates, np.arange(2))
    with pytest.raises(BadInput, match="expected pairs >= 1 and rounds >= 1, got 0 and 12"):
        quality_labels(templates, np.array([0, 0, 1]), pairs=0)


def test_quality_is_learned() -> None:
    torch.manual_seed(0)
    features = torch.randn(64, 8)
    quality = 50 + 10 * features[:, 0]
    quality[3] = torch.nan
    layer = QualityRegression(8, Ranks())
    optimizer = torch.optim.Adam(layer.parameters(), lr=1.0)
    errors = []
    for _ in range(200):
        optimizer.zero_grad()
        output = layer.loss(features, quality)
        output.loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        errors.append(float(output.parts["quality_error"]))
    assert errors[0] > 30
    assert errors[-1] < 3
    wanted = torch.nn.functional.huber_loss(layer(features)[quality == quality], quality[quality == quality])
    assert float(layer.loss(features, quality).loss.detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)
    with pytest.raises(BadInput, match=r"expected \(n, d\) features and \(n,\) qualities, got \(64, 8\), \(3,\)"):
        layer.loss(features, quality[:3])
