"""OpenFace's inception modules against a slow version of what Torch's own does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mien.training.backbones.excitation import Excitation, divisible
from mien.training.backbones.inception import Inception, LocalNorm, Module, Pool

Values = NDArray[np.float64]


def slow_local_norm(maps: Values) -> Values:
    """SpatialCrossMapLRN(5, 0.0001, 0.75) of Torch, a channel at a time."""
    made = np.empty_like(maps)
    for channel in range(maps.shape[1]):
        near = maps[:, max(0, channel - 2) : channel + 3]
        made[:, channel] = maps[:, channel] / (1 + 1e-4 / 5 * (near**2).sum(axis=1)) ** 0.75
    return made


def slow_pool(maps: Values, kind: str, stride: int) -> Values:
    """Windows of 3×3 without padding, one after the other."""
    side = (maps.shape[2] - 3) // stride + 1
    made = np.empty((*maps.shape[:2], side, side))
    for row in range(side):
        for column in range(side):
            window = maps[:, :, row * stride : row * stride + 3, column * stride : column * stride + 3]
            made[:, :, row, column] = window.max((2, 3)) if kind == "max" else np.sqrt((window**2).sum((2, 3)))
    return made


def test_local_norm() -> None:
    maps = np.random.default_rng(0).normal(0, 30, (2, 7, 4, 4))
    made = LocalNorm(7, 4)(torch.from_numpy(maps).float()).numpy()
    assert np.abs(made - slow_local_norm(maps)).max() < 1e-4
    assert not np.allclose(made, maps, atol=0.1)


@pytest.mark.parametrize(("kind", "stride"), [("max", 2), ("l2", 3), ("l2", 1)])
def test_pooled_maps_are_put_in_the_middle_of_zeros(kind: str, stride: int) -> None:
    """A branch with smaller maps, here without a projection, as DepthConcat puts it beside the others."""
    maps = np.random.default_rng(1).uniform(0, 1, (2, 5, 12, 12))
    module = Module(((3, 4, 6),), Pool(kind, stride), None, None)  # type: ignore[arg-type]
    made = Inception(5, module, 12).eval()(torch.from_numpy(maps).float()).detach().numpy()
    assert made.shape == (2, module.channels(5), 12, 12)
    pooled = slow_pool(maps, kind, stride)
    side = pooled.shape[2]
    before = (12 - side) // 2
    wanted = np.zeros((2, 5, 12, 12))
    wanted[:, :, before : before + side, before : before + side] = pooled
    assert np.abs(made[:, 6:] - wanted).max() < 1e-5


def test_branches_halve_together() -> None:
    module = Module(((3, 4, 6), (5, 2, 3)), Pool("max", 2), None, None, stride=2)
    made = Inception(5, module, 12)(torch.rand(2, 5, 12, 12))
    assert made.shape == (2, 6 + 3 + 5, 6, 6)


def test_excitation_weighs_whole_maps() -> None:
    torch.manual_seed(0)
    layer = Excitation(6, 2, torch.nn.ReLU(), torch.nn.Sigmoid())
    maps = torch.rand(3, 6, 4, 4)
    shares = (layer(maps) / maps).flatten(2)
    assert torch.allclose(shares, shares[:, :, :1].expand_as(shares), atol=1e-5)
    assert bool(((shares > 0) & (shares < 1)).all())


@pytest.mark.parametrize(("channels", "by", "wanted"), [(20.8, 4, 20), (24.0, 4, 24), (1.0, 4, 4), (9.0, 8, 16)])
def test_divisible(channels: float, by: int, wanted: int) -> None:
    assert divisible(channels, by) == wanted
