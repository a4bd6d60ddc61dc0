from __future__ import annotations

import torch
from torch import nn

from mien.training.averaging import WeightAverage


def test_the_average_follows_by_the_decay() -> None:
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(0.0)
    average = WeightAverage(module, 0.5)
    expected = 0.0
    for update in range(1, 8):
        module.weight.data.fill_(float(update))
        average.update(module)
        decay = min(0.5, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * update
        assert torch.allclose(average.weights()["weight"], torch.tensor([[expected]]))
    assert module.weight.item() == 7.0


def test_counters_are_copied_and_a_state_goes_on() -> None:
    module = nn.BatchNorm1d(2)
    average = WeightAverage(module, 0.9)
    module(torch.randn(4, 2))
    average.update(module)
    assert int(average.weights()["num_batches_tracked"]) == 1
    other = WeightAverage(nn.BatchNorm1d(2), 0.9)
    other.load_state(average.state())
    module(torch.randn(4, 2))
    average.update(module)
    other.update(module)
    for name, value in average.weights().items():
        assert torch.equal(value, other.weights()[name])
