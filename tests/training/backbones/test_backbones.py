"""Every network: its size as published, its shapes, and that it trains in whole and in mixed precision."""

from __future__ import annotations

import pytest
import torch

from mien.errors import BadInput, BadSettings
from mien.training.backbones import BACKBONES, build_backbone

# In millions, of the literature: ArcFace's networks as TFace lists them, MobileFaceNet with 512 numbers.
IN_MILLIONS = {"ir18": 24.0, "ir34": 34.1, "ir50": 43.6, "ir101": 65.2, "mobilefacenet": 1.2}
OPENFACE = {"nn4.small2": 3_733_968, "nn4.small1": 5_579_520, "nn4": 6_959_088, "nn2": 7_472_144}
FAMILIES = ("mobilefacenet", "ghostnet130", "efficientnet-b0", "nn4.small2")


def parameters(module: torch.nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def images(count: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_the_names() -> None:
    assert set(BACKBONES) == {*IN_MILLIONS, *OPENFACE, "ghostnet130", "efficientnet-b0", "efficientnet-b1"}


@pytest.mark.parametrize(("name", "millions"), IN_MILLIONS.items())
def test_parameters_are_those_of_the_literature(name: str, millions: float) -> None:
    with torch.device("meta"):
        network = build_backbone(name)
    assert round(parameters(network) / 1e6, 1) == millions


@pytest.mark.parametrize(("name", "count"), OPENFACE.items())
def test_openfaces_parameters_are_exact(name: str, count: int) -> None:
    assert parameters(build_backbone(name, dimension=128)) == count


@pytest.mark.parametrize(("name", "count"), [("efficientnet-b0", 5_288_548), ("efficientnet-b1", 7_794_184)])
def test_efficientnets_trunk_is_the_published_one(name: str, count: int) -> None:
    """The published networks end in a linear layer from 1280 numbers to 1000 classes."""
    network = build_backbone(name)
    last = network.get_submodule("head.0")
    assert parameters(network.body) + parameters(last) + 1280 * 1000 + 1000 == count


def test_ghostnets_trunk_is_the_published_one() -> None:
    """The published network has 7.36 million, with a convolution to 1280 numbers and one to 1000 classes at its end."""
    network = build_backbone("ghostnet130")
    last = network.get_submodule("head.0")
    end = 1248 * 1280 + 1280 + 1280 * 1000 + 1000
    assert parameters(network.body) + parameters(last) + end == pytest.approx(7.36e6, rel=1e-3)


def test_mobilefacenet_with_128_numbers_is_that_of_the_paper() -> None:
    """0.99 million in table 2 of the paper."""
    assert round(parameters(build_backbone("mobilefacenet", dimension=128)) / 1e6, 2) == pytest.approx(0.99, abs=0.02)


@pytest.mark.parametrize("name", BACKBONES)
def test_shapes(name: str) -> None:
    with torch.device("meta"):
        network = build_backbone(name, dimension=96).eval()
        side = BACKBONES[name].size
        assert network.size == side
        assert (network.name, network.dimension) == (name, 96)
        maps, features = network.stages(torch.zeros(2, 3, side, side))
    assert features.shape == (2, 96)
    first = side // 2 if side == 112 else side // 4
    assert [each.shape[-1] for each in maps] == [first, first // 2, first // 4, first // 8]
    assert network(torch.zeros(0, 3, side, side, device="meta")).shape == (0, 96)


@pytest.mark.parametrize("name", FAMILIES)
def test_forward_is_the_end_of_the_stages(name: str) -> None:
    torch.manual_seed(0)
    network = build_backbone(name, dimension=16).eval()
    given = images(2, network.size)
    with torch.no_grad():
        maps, features = network.stages(given)
        assert torch.equal(network(given), features)
        assert torch.allclose(network.head(maps[-1]), features)
        alone = torch.cat([network(each[None]) for each in given])
    assert torch.allclose(alone, features, rtol=1e-4, atol=1e-5 * float(features.abs().max()))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_weight_learns(name: str) -> None:
    torch.manual_seed(0)
    network = build_backbone(name, dimension=16, dropout=0.1).train()
    features = network(images(4, network.size))
    features.square().mean().backward()
    # A bias in front of a batch normalization has no effect, so only rounding is left of its gradient.
    idle = [n for n, each in network.named_parameters() if each.grad is None or not torch.isfinite(each.grad).all()]
    assert not idle


@pytest.mark.parametrize("name", ["mobilefacenet", "nn4.small2"])
def test_mixed_precision_ends_in_float32(name: str) -> None:
    torch.manual_seed(0)
    network = build_backbone(name, dimension=32).train()
    given = images(4, network.size)
    exact = network(given)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.autocast("cpu", torch.bfloat16):
        mixed = network(given.to(memory_format=torch.channels_last))
    assert mixed.dtype == torch.float32
    # Of a network that has learned nothing, the last normalization makes much of small differences.
    assert float(torch.nn.functional.cosine_similarity(exact, mixed).mean().detach()) > 0.9
    mixed.square().mean().backward()
    assert all(torch.isfinite(each.grad).all() for each in network.parameters() if each.grad is not None)


@pytest.mark.parametrize("name", ["mobilefacenet", "nn4.small2"])
def test_a_black_image_gives_finite_gradients(name: str) -> None:
    """Windows of zeros under a root are where slopes become infinite."""
    network = build_backbone(name, dimension=8).train()
    given = torch.zeros(2, 3, network.size, network.size, requires_grad=True)
    network(given).sum().backward()
    assert all(torch.isfinite(each.grad).all() for each in network.parameters() if each.grad is not None)


def test_two_networks_of_one_seed_are_the_same() -> None:
    made = []
    for _ in range(2):
        torch.manual_seed(7)
        made.append(build_backbone("mobilefacenet", dimension=8).state_dict())
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])


def test_first_weights_keep_the_variance_of_the_maps() -> None:
    torch.manual_seed(0)
    network = build_backbone("ir18", dimension=32).train()
    weight = network.get_parameter("body.1.0.path.1.weight")
    assert float(weight.detach().std()) == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)
    features = network(images(8, 112))
    assert float(features.detach().std()) == pytest.approx(1, abs=0.1)


def test_dropout_is_before_the_last_layer() -> None:
    torch.manual_seed(0)
    network = build_backbone("nn4.small2", dimension=16, dropout=0.5)
    given = images(2, 96)
    assert not torch.equal(network(given), network(given))
    network.eval()
    assert torch.equal(network(given), network(given))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"name": "mobilefacenett"}, "did you mean mobilefacenet"),
        ({"name": "vgg"}, "expected one of ir18, ir34"),
        ({"name": "ir18", "dimension": 0}, "expected a dimension of 1 or more, got 0"),
        ({"name": "ir18", "dropout": 1.0}, "expected a dropout from 0 up to 1, got 1.0"),
    ],
)
def test_what_cannot_be_built(arguments: dict[str, object], told: str) -> None:
    with pytest.raises(BadSettings, match=told):
        build_backbone(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(1, 3, 96, 96), (1, 1, 112, 112), (3, 112, 112)])
def test_images_of_another_shape(shape: tuple[int, ...]) -> None:
    with torch.device("meta"):
        network = build_backbone("mobilefacenet")
        with pytest.raises(BadInput, match=r"mobilefacenet: expected images of shape \(n, 3, 112, 112\), got"):
            network(torch.zeros(shape))
