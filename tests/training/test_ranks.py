from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from processes import start, wait
from ranks_worker import ROWS

from mien.errors import BadSettings, RankLost
from mien.training.batch_norms import SyncBatchNorm
from mien.training.ranks import Ranks, convert_batch_norms, join

WORKER = Path(__file__).with_name("ranks_worker.py")


Found = tuple[list[dict[str, dict[str, object]]], torch.Tensor, list[tuple[int | None, str, str]]]


@pytest.fixture(scope="module")
def of_three(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What three processes found, before the second of them died, and how they ended."""
    folder = tmp_path_factory.mktemp("ranks")
    images = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(1)).double() * 3 + 5
    torch.save(images, folder / "images.pt")
    ends = wait(start(WORKER, 3, "all", str(folder)), 120)
    files = [folder / f"rank-{rank}.pt" for rank in range(3)]
    assert all(file.exists() for file in files), ends
    return [torch.load(file) for file in files], images, ends


def test_every_process_sees_the_same(of_three: Found) -> None:
    rows = torch.tensor([0.0] * 5 + [2.0] * 3)[:, None].expand(8, 2)
    slopes = torch.arange(16.0).view(8, 2)
    for rank, found in enumerate(of_three[0]):
        calls = found["calls"]
        assert torch.equal(torch.as_tensor(calls["gathered"]), rows)
        start_row = sum(ROWS[:rank])
        assert torch.equal(torch.as_tensor(calls["gathered_gradient"]), 3 * slopes[start_row : start_row + ROWS[rank]])
        assert calls["nobody"] == (0, 2)
        assert int(torch.as_tensor(calls["sum"])) == 3
        assert float(torch.as_tensor(calls["sum_gradient"])) == 1 + 2 + 3
        assert int(torch.as_tensor(calls["max"])) == 0
        assert calls["all"] == [torch.tensor([number]) for number in range(3)]
        assert torch.equal(torch.as_tensor(calls["own_gradient"]), torch.full((3,), 1 / 3))
        assert torch.equal(torch.as_tensor(calls["module"]), torch.zeros(2, 2))
        assert calls["object"] == {"rank": 0}
        assert calls["objects"] == ["of 0", "of 1", "of 2"]
        assert calls["mean"] == {"loss": 1.0}
        assert "expected the same names in all processes" in str(calls["names"])
        assert calls["any"] == (True, False)
        assert calls["equal"] == (True, False)
        # Rank 0 has rows 0, 3 and 6 of the batch, rank 1 has 1 and 4, rank 2 has 2 and 5.
        assert torch.as_tensor(calls["order"]).tolist() == [0, 3, 5, 1, 4, 6, 2]


def test_normalization_over_processes_is_that_of_one(
    of_three: Found,
) -> None:
    results, images, _ = of_three
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.BatchNorm1d(36, momentum=None))
    torch.manual_seed(0)
    for weight in module.parameters():
        nn.init.normal_(weight)
    module.double()
    given = images.clone().requires_grad_()
    for _ in range(2):
        out = module(given)
    out.square().mul(torch.arange(36.0)).mean().backward()
    gradients = [weight.grad for weight in module.parameters()]
    state = module.state_dict()
    wanted = [out.detach(), given.grad, *gradients, *state.values(), module.eval()(images).detach()]
    worst = 0.0
    for found in results:
        part = found["normalization"]
        assert part["kinds"] == ["Conv2d", "SyncBatchNorm", "Flatten", "SyncBatchNorm"]
        found_gradients, found_state = part["gradients"], part["state"]
        assert isinstance(found_gradients, list)
        assert isinstance(found_state, dict)
        assert list(found_state) == list(state)
        got = [part["out"], part["input_gradient"], *found_gradients, *found_state.values(), part["evaluated"]]
        for one, other in zip(wanted, got, strict=True):
            assert one is not None
            gap = (one - torch.as_tensor(other)).abs().max() / one.abs().max().clamp_min(1)
            worst = max(worst, float(gap))
    sys.stdout.write(f"worst relative difference {worst:.1e}\n")
    assert worst < 1e-12


def test_one_value_cannot_be_normalized(of_three: Found) -> None:
    for found in of_three[0]:
        assert str(found["one"]) == "expected two or more values per channel over all processes, got 1"


def test_all_stop_when_one_dies(of_three: Found) -> None:
    ends = of_three[2]
    assert [code for code, _, _ in ends] == [3, 9, 3], ends
    for _, output, _ in (ends[0], ends[2]):
        told = re.match(r"rank_lost after ([\d.]+) s: another process has died or does not answer: ", output)
        assert told, output
        assert float(told[1]) < 30


@pytest.mark.slow
def test_all_stop_when_one_hangs() -> None:
    processes = start(WORKER, 2, "hang", ".")
    (code, output, errors), *_ = wait(processes[:1], 60)
    assert processes[1].poll() is None
    wait(processes[1:], 0.1)
    assert code == 3, errors
    told = re.match(r"rank_lost after ([\d.]+) s", output)
    assert told, output
    assert 4 < float(told[1]) < 40


@pytest.mark.slow
def test_the_first_is_waited_for_longer_than_others_but_not_when_it_is_dead() -> None:
    (first, *_), (code, output, errors) = wait(start(WORKER, 2, "wait", "."), 60)
    assert (first, code) == (9, 3), errors
    told = re.fullmatch(r"met, then rank_lost after ([\d.]+) s", output)
    assert told, output
    assert float(told[1]) < 30


def test_alone_every_call_gives_back_what_it_got(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    ranks = join("cpu")
    assert (ranks.rank, ranks.world, ranks.device) == (0, 1, torch.device("cpu"))
    rows = torch.randn(3, 2, requires_grad=True)
    assert ranks.gather_features(rows) is rows
    assert ranks.all_reduce_sum(rows) is rows
    assert ranks.own(rows) is rows
    assert not ranks.all_reduce_max(rows).requires_grad
    assert ranks.row_counts(0) == [0]
    assert ranks.batch_order([3]).tolist() == [0, 1, 2]
    assert ranks.gather_objects("x") == ["x"]
    assert ranks.mean_of({"loss": 2.0}) == {"loss": 2.0}
    assert ranks.any_of(True)
    assert ranks.all_equal(object())
    module = nn.Sequential(nn.BatchNorm1d(2))
    convert_batch_norms(module, ranks)
    assert not isinstance(module[0], SyncBatchNorm)
    ranks.barrier()
    ranks.await_first()
    ranks.leave()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE: expected an integer, got 'two'"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "expected 0 <= RANK < WORLD_SIZE .* RANK=2 WORLD_SIZE=2"),
        ({"WORLD_SIZE": "0"}, "expected 0 <= RANK < WORLD_SIZE .* WORLD_SIZE=0"),
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE=2: expected RANK, MASTER_ADDR, MASTER_PORT in the environment too"),
    ],
)
def test_a_wrong_environment_is_refused(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings, match=message):
        join("cpu")


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "99")
    with pytest.raises(BadSettings, match="device cuda: expected a GPU for LOCAL_RANK=99, found"):
        join("cuda")
    with pytest.raises(BadSettings, match="device: expected auto, cpu or cuda, got 'tpu'"):
        join("tpu")  # type: ignore[arg-type]


def test_others_that_never_come_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RankLost, match="another process has died or does not answer"):
        join("cpu", timeout_s=1)


def test_ranks_are_a_value() -> None:
    assert Ranks() == Ranks(0, 1, 0, torch.device("cpu"))


def test_a_process_that_dies_while_gradients_are_averaged() -> None:
    """PyTorch's own layer talks to the others there, and its error is as gloo gives it."""
    reset = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:537] Read error: Connection reset by peer"
    with pytest.raises(RankLost, match="another process has died"), Ranks(0, 2).averaging():
        raise RuntimeError(reset)
    for ranks, text in ((Ranks(), reset), (Ranks(0, 2), "not enough memory")):
        with pytest.raises(RuntimeError, match=re.escape(text)), ranks.averaging():
            raise RuntimeError(text)
