"""Training of face models: data, augmentation, backbones, losses, heads, one recipe, and export as a model card.

Where to look: ``recipe`` is one training run from top to bottom; ``settings`` is all that can be set; ``data`` packs,
merges, cleans and loads images; ``augmentation`` changes them; ``backbones`` are the networks; ``losses`` and ``heads``
what they are trained with; ``ranks`` is many processes as one; ``exporting`` turns a run into a model card.

Everything but ``data`` needs PyTorch (extra ``train``), so nothing is imported here; import the module you want.
"""

from __future__ import annotations

__all__: list[str] = []
