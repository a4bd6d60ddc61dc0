"""Models: what is known about each, and its weights, checked and ready to run.

A model is a card (TOML): name, license, sha256, sources, input and output. ``card`` and ``cards`` find them,
``resolve`` turns one into a file that a runtime can load, ``add`` takes in a user's own file.

- ``schema``: what a card holds, and TOML in and out. The cards themselves are in ``cards/``.
- ``registry``: the cards that come with mien and the user's own.
- ``store``: find, check, convert and keep a model's file. ``sources`` looks on this machine, ``download`` on
  the network, ``converters`` rewrites files into plain ONNX.
- ``fusing``: cards of several embedders together.
- ``additions`` and ``inspection``: a user's own file, and whether it fits its card.
- ``consents``: the user's yes to non-commercial licenses.
- ``cache``: where all this is kept, whole-file writes, locks.
"""

from __future__ import annotations

from mien.zoo.additions import add, add_fused
from mien.zoo.cache import cache_dir
from mien.zoo.consents import accept_license, license_accepted
from mien.zoo.fusing import fuse
from mien.zoo.registry import card, cards, part_cards, templates
from mien.zoo.schema import Card, EmbeddingFacts, FileFacts, InputFacts, LicenseFacts, PartFacts
from mien.zoo.sources import Progress
from mien.zoo.store import check, is_present, resolve

__all__ = [
    "Card",
    "EmbeddingFacts",
    "FileFacts",
    "InputFacts",
    "LicenseFacts",
    "PartFacts",
    "Progress",
    "accept_license",
    "add",
    "add_fused",
    "cache_dir",
    "card",
    "cards",
    "check",
    "fuse",
    "is_present",
    "license_accepted",
    "part_cards",
    "resolve",
    "templates",
]
