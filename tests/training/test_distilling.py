from __future__ import annotations

import pytest
import torch

from mien.errors import BadSettings
from mien.training.backbones import build_backbone
from mien.training.distilling import Distiller
from mien.training.settings import DistillationSettings


def test_the_embedding_loss_is_the_mean_squared_distance_of_those_known() -> None:
    distiller = Distiller(DistillationSettings(embedding=2.0), build_backbone("mobilefacenet", dimension=3), 3)
    features = torch.tensor([[2.0, 0, 0], [0, 5, 0], [0, 0, 1]], requires_grad=True)
    templates = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0.6, 0.8, 0]])
    known = torch.tensor([True, True, False])
    loss, parts = distiller(features, (), torch.zeros(3, 3, 112, 112), templates, known)
    # Distances 0 and 2 of those known, weighted by two.
    assert loss.item() == pytest.approx(2.0)
    assert parts["teacher_distance"].item() == pytest.approx(1.0)
    loss.backward()
    assert features.grad is not None
    assert not features.grad[2].any()


def test_no_template_known_is_no_loss() -> None:
    distiller = Distiller(DistillationSettings(), build_backbone("mobilefacenet", dimension=4), 4)
    loss, _ = distiller(torch.ones(2, 4), (), torch.zeros(2, 3, 112, 112), torch.zeros(2, 4), torch.zeros(2).bool())
    assert loss.item() == 0


def test_another_dimension_goes_through_a_layer_of_its_own() -> None:
    student = build_backbone("mobilefacenet", dimension=8)
    distiller = Distiller(DistillationSettings(), student, 5)
    names = [name for name, _ in distiller.named_parameters()]
    assert names == ["projection.weight"]


def test_features_are_compared_stage_by_stage() -> None:
    student, teacher = build_backbone("mobilefacenet", dimension=8), build_backbone("ir18", dimension=8)
    settings = DistillationSettings(embedding=0.0, features=1.0)
    distiller = Distiller(settings, student, 8, teacher)
    assert distiller.needs_stages
    images = torch.randn(2, 3, 112, 112)
    maps, features = student.stages(images)
    loss, parts = distiller(features, maps, images, torch.zeros(2, 8), torch.ones(2).bool())
    # Maps of unit norm are no further apart than 2, squared 4.
    assert 0 < loss.item() <= 4
    assert parts["feature_distance"].item() == pytest.approx(loss.item())
    loss.backward()
    assert all(weight.grad is None for weight in teacher.parameters())
    assert any(weight.grad is not None and bool(weight.grad.any()) for weight in student.parameters())
    assert len(distiller.state_dict()) == len(distiller.matchers) == 4


def test_features_need_a_teacher_of_the_same_size() -> None:
    settings = DistillationSettings(features=1.0)
    student = build_backbone("mobilefacenet", dimension=8)
    with pytest.raises(BadSettings, match=r"expected distillation\.teacher_run"):
        Distiller(settings, student, 8)
    with pytest.raises(BadSettings, match="expected a network of 112 pixels, got 96"):
        Distiller(settings, student, 128, build_backbone("nn4.small2", dimension=128))
