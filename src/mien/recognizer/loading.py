"""From the settings' model names to detectors and embedders whose networks load on first use."""

from __future__ import annotations

from mien.detection import Detector, make_detector
from mien.embedding import Embedder, FusedEmbedder, make_embedder
from mien.recognizer.settings import Settings
from mien.runtimes import LazyNetwork, load_network
from mien.zoo import Card, card, part_cards, resolve

__all__ = ["Models"]


class Models:
    """The networks of one recognizer, and what is made of them.

    Args:
        settings: which models and how.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._networks: list[LazyNetwork] = []

    def detector(self) -> Detector:
        """The settings' detector. Raises ModelNotFound."""
        found = card(self._settings.detector)
        return make_detector(found, self._lazy(found), self._settings.detector_options())

    @property
    def detector_is_yunet(self) -> bool:
        """Whether the settings' detector is of the family whose confidence the quality score was fitted with."""
        return card(self._settings.detector).family == "yunet"

    def embedder(self) -> Embedder:
        """The settings' embedder, made of its parts where the card names several. Raises ModelNotFound."""
        found, flip = card(self._settings.embedder), self._settings.flip
        if not found.parts:
            return make_embedder(found, self._lazy(found), flip=flip)
        parts = [make_embedder(part, self._lazy(part), flip=flip) for part in part_cards(found)]
        return FusedEmbedder(found, parts, flip=flip)

    def load(self) -> None:
        """Load every network now."""
        for network in self._networks:
            network.load()

    def _lazy(self, model: Card) -> LazyNetwork:
        options = self._settings.runtime_options()
        network = LazyNetwork(lambda: load_network(resolve(model), options))
        self._networks.append(network)
        return network
