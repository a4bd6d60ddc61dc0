"""Finding faces: boxes, scores and five landmarks, in batches of images of any sizes.

``Detector`` is the interface, ``make_detector`` builds one from a model card and a loaded network.
``views.py`` decides at which sizes an image is looked at, ``yunet.py`` and ``scrfd.py`` read the networks'
outputs, ``detector.py`` does the rest, the same for both.
"""

from __future__ import annotations

from mien.detection.detector import Detector, DetectorOptions, NetworkDetector, Preprocessing
from mien.detection.heads import Candidates, Head
from mien.detection.scrfd import ScrfdHead
from mien.detection.views import ADAPTIVE, Range, View, framed_view, plan_views, render
from mien.detection.yunet import YuNetHead
from mien.errors import BadCard
from mien.runtimes import Network
from mien.zoo import Card

__all__ = [
    "ADAPTIVE",
    "Candidates",
    "Detector",
    "DetectorOptions",
    "Head",
    "NetworkDetector",
    "Preprocessing",
    "Range",
    "ScrfdHead",
    "View",
    "YuNetHead",
    "framed_view",
    "make_detector",
    "plan_views",
    "render",
]

# Measured on uncropped photos of people shrunk and enlarged so that the face had each size: the range in which
# at least nine of ten faces are found at a score of 0.6. SCRFD's networks miss faces that fill a view.
_FAMILIES: dict[str, tuple[type[Head], Range]] = {
    "yunet": (YuNetHead, Range(smallest=20, largest=384)),
    "scrfd": (ScrfdHead, Range(smallest=20, largest=320, border=0.25)),
}


def make_detector(card: Card, network: Network, options: DetectorOptions) -> NetworkDetector:
    """The detector of a card.

    Args:
        card: a card whose task is ``detector``.
        network: the card's network, loaded or lazy.
        options: what counts as a face.

    Raises:
        BadCard: the card is no detector's.
    """
    if card.family not in _FAMILIES:
        raise BadCard(f"{card.name}: expected a detector ({', '.join(_FAMILIES)}), got family {card.family}")
    head, found = _FAMILIES[card.family]
    preprocessing = Preprocessing(card.input.color == "bgr", card.input.mean, card.input.scale)
    return NetworkDetector(network, head(), preprocessing, found, options)
