"""Training by two and by four processes is training by one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from equality_worker import CASES, CLASSES, DIMENSION, MARGINS, train_all  # noqa: E402
from processes import start, wait  # noqa: E402

from mien.errors import BadInput  # noqa: E402
from mien.training.losses import make_objective  # noqa: E402
from mien.training.ranks import Ranks  # noqa: E402

pytestmark = pytest.mark.slow
# Of the largest value, or absolute where that is below 1: centers and gradients reach 10 and more here.
MOST = 1e-5
MOST_FLOAT64 = 1e-10


@pytest.fixture(scope="module")
def alone() -> dict[str, dict[str, Any]]:
    return train_all(Ranks())


@pytest.fixture(scope="module", params=[2, 4])
def together(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    world = int(request.param)
    folder = tmp_path_factory.mktemp(f"world-{world}")
    for code, _, errors in wait(start(HERE / "equality_worker.py", world, str(folder)), 300):
        assert code == 0, errors
    return [torch.load(folder / f"rank-{rank}.pt") for rank in range(world)]


def differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    """By name, the largest difference over the largest value or 1."""
    names = [name for name, value in one.items() if isinstance(value, torch.Tensor)]
    assert names == [name for name, value in other.items() if isinstance(value, torch.Tensor)]
    found = {}
    for name in names:
        assert one[name].shape == other[name].shape, name
        first, second = one[name].double(), other[name].double()
        found[name] = float((first - second).abs().max() / first.abs().max().clamp_min(1)) if first.numel() else 0.0
    return found


def test_losses_gradients_and_weights_are_equal(
    alone: dict[str, dict[str, Any]], together: list[dict[str, Any]]
) -> None:
    worst: dict[str, tuple[float, str]] = {}
    for name in alone:
        for found in together:
            gaps = differences(alone[name], found[name])
            place = max(gaps, key=gaps.__getitem__)
            worst[name] = max(worst.get(name, (0.0, "")), (gaps[place], place))
    for name, (gap, place) in worst.items():
        sys.stdout.write(f"{len(together)} processes, {name}: {gap:.1e} in {place}\n")
    assert len(worst) == 2 * len(CASES)
    assert max(gap for name, (gap, _) in worst.items() if not name.endswith("float64")) < MOST
    # What float32 leaves is rounding: in float64 nothing is left.
    assert max(gap for name, (gap, _) in worst.items() if name.endswith("float64")) < MOST_FLOAT64


def test_training_changed_something(alone: dict[str, dict[str, Any]]) -> None:
    """What is compared is not all zero."""
    for name, found in alone.items():
        assert float(found["loss 0 0"]) > 0.01, name
        assert float(found["input gradient 0 0"].abs().max()) > 1e-5, name
        assert float(found["gradient 2 0"].abs().max()) > 1e-5, name


def test_a_sampled_head_has_fewer_classes(alone: dict[str, dict[str, Any]]) -> None:
    for name in MARGINS:
        rows = alone[f"{name} sampled"]["gradient of sampled 0"]
        assert 6 <= len(rows) < CLASSES * 0.7
        assert len(alone[name]["gradient of centers 0"]) == CLASSES


@pytest.mark.parametrize("case", ["arcface", "curricularface sampled", "ddl", "scf"])
def test_centers_are_divided_anew(case: str, alone: dict[str, dict[str, Any]], together: list[dict[str, Any]]) -> None:
    """What two and four processes kept is loaded by one, three and five."""
    settings, rate = next((settings, rate) for name, settings, rate, *_ in CASES if name == case)
    kept = together[0][case]["shards"]
    centers = alone[case]["centers"]
    for world in (1, 3, 5):
        parts, momenta = [], []
        for rank in range(world):
            # No call of this test needs the other processes, but the first weights of a margin do.
            ranks = Ranks(rank, world) if case != "scf" else Ranks()
            objective = make_objective(
                settings, classes=CLASSES, dimension=DIMENSION, ranks=ranks, sample_rate=rate, seed=8
            )
            objective.load_shards(kept)
            state = objective.shard_state()
            assert state["draws"] == kept[0]["draws"]
            parts.append(state["centers"])
            momenta += [state["momenta"]["momentum_buffer"]] if rate < 1 else []
            for name, value in state["margin"].items():
                assert torch.equal(value, kept[0]["margin"][name])
            if case == "scf":
                break
        assert float((torch.cat(parts) - centers).abs().max()) < MOST * float(centers.abs().max().clamp_min(1))
        if rate < 1:
            wanted = alone[case]["momenta momentum_buffer"]
            assert float((torch.cat(momenta) - wanted).abs().max()) < MOST * float(wanted.abs().max().clamp_min(1))
    with pytest.raises(
        BadInput, match=f"expected centers of 50 classes × {DIMENSION} from class 0 on, got {CLASSES} ×"
    ):
        make_objective(settings, classes=50, dimension=DIMENSION, ranks=Ranks(), sample_rate=rate).load_shards(kept)
    with pytest.raises(BadInput, match="expected centers of 41 classes × 8 from class 0 on, got 41 × 16"):
        make_objective(settings, classes=CLASSES, dimension=8, ranks=Ranks(), sample_rate=rate).load_shards(kept)
    with pytest.raises(BadInput, match=f"expected the centers of {CLASSES} classes, got"):
        make_objective(settings, classes=CLASSES, dimension=DIMENSION, ranks=Ranks(), sample_rate=rate).load_shards(
            kept[:-1]
        )
