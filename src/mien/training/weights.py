"""Weights on their way into a network: read from a file, and compared with what the network wants."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from mien.errors import BadCheckpoint
from mien.training.backbones import Backbone, build_backbone

__all__ = ["load_backbone", "read_weights"]

_SHOWN_FAULTS = 3


def read_weights(file: Path) -> dict[str, Tensor]:
    """A network's weights by name, from a file that ``torch.save`` wrote: them alone, or in a table ``weights``.

    Raises:
        BadCheckpoint: it cannot be read, or holds something else.
    """
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise BadCheckpoint(f"{file}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # torch.load raises several unrelated types for what torch.save did not write
        raise BadCheckpoint(f"{file}: expected weights written by torch.save: {str(error).splitlines()[0]}") from error
    if isinstance(content, dict) and isinstance(content.get("weights"), dict):
        content = content["weights"]
    if not isinstance(content, dict) or not content or not all(isinstance(each, Tensor) for each in content.values()):
        raise BadCheckpoint(f"{file}: expected a table of tensors, got {type(content).__name__}")
    return cast("dict[str, Tensor]", content)


def load_backbone(weights: Mapping[str, Tensor], network: str, dimension: int, *, origin: str) -> Backbone:
    """A network with given weights, set to evaluation.

    Args:
        weights: by the names of its ``state_dict``, all of them and no others.
        network: its name.
        dimension: numbers in a feature vector.
        origin: what an error calls the weights.

    Raises:
        BadCheckpoint: they are those of another network or dimension, or not finite; the message says where.
        BadSettings: there is no such network.
    """
    backbone = build_backbone(network, dimension=dimension)
    own = backbone.state_dict()
    faults = [f"no {name}" for name in own.keys() - weights.keys()]
    faults += [f"an unknown {name}" for name in weights.keys() - own.keys()]
    faults += [
        f"{name} of shape {tuple(weights[name].shape)}, not {tuple(value.shape)}"
        for name, value in own.items()
        if name in weights and weights[name].shape != value.shape
    ]
    what = f"{network} with {dimension} numbers"
    if faults:
        more = f" and {len(faults) - _SHOWN_FAULTS} more" if len(faults) > _SHOWN_FAULTS else ""
        shown = "; ".join(sorted(faults)[:_SHOWN_FAULTS])
        raise BadCheckpoint(f"{origin}: expected the weights of {what}, got {shown}{more}")
    broken = sorted(name for name, value in weights.items() if not torch.isfinite(value.float()).all())
    if broken:
        raise BadCheckpoint(
            f"{origin}: expected finite weights of {what}, got others in {', '.join(broken[:_SHOWN_FAULTS])}"
        )
    backbone.load_state_dict(dict(weights))
    return backbone.eval()
