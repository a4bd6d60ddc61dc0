"""A backbone: a chain of stages and a head that turns the last maps into a feature vector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mien.errors import BadInput

__all__ = ["Backbone"]


class Backbone(nn.Module):
    """A network from aligned faces to features. Make one with ``build_backbone``.

    Its input is ``(pixel - 127.5) / 127.5`` of RGB images. The stages run under automatic mixed precision and with
    channels last as they stand; the head's last layers are computed in float32 whatever the rest is.

    Args:
        name: which network it is, see ``BACKBONES``.
        size: side of its images in pixels.
        dimension: numbers in a feature vector.
        body: the stages, each of which takes the one before's maps ``(n, c, h, w)``.
        head: from the last maps to ``(n, dimension)``.
    """

    def __init__(self, name: str, size: int, dimension: int, body: Sequence[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.name, self.size, self.dimension = name, size, dimension
        self.body = nn.ModuleList(body)
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """The features of images.

        Args:
            images: ``(n, 3, size, size)`` float, -1..1.

        Returns:
            ``(n, dimension)``, not normalized: float32 under mixed precision, too.

        Raises:
            BadInput: the images have another shape.
        """
        return self.stages(images)[1]

    def stages(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """The maps that each stage ends in, and the features.

        Args:
            images: as in ``forward``.

        Returns:
            The stages' maps ``(n, c, h, w)``, from the widest to the smallest, and the features ``(n, dimension)``.

        Raises:
            BadInput: the images have another shape.
        """
        # An exporter's trace has sizes that are not numbers; its graph states the input's shape itself.
        if not torch.onnx.is_in_onnx_export() and tuple(images.shape[1:]) != (3, self.size, self.size):
            raise BadInput(
                f"{self.name}: expected images of shape (n, 3, {self.size}, {self.size}), got {tuple(images.shape)}"
            )
        maps: list[Tensor] = []
        x = images
        for stage in self.body:
            x = stage(x)
            maps.append(x)
        return maps, self.head(x)
