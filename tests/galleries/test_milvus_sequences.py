"""Random sequences of calls against a dictionary on milvus-lite, with two handles on one file."""

from __future__ import annotations

from gallery_cases import milvus_url
from hypothesis import HealthCheck, settings
from test_random_sequences import GalleryMachine

from mien.galleries import Gallery, open_gallery


class MilvusMachine(GalleryMachine):
    lasting = True

    def open(self) -> Gallery:
        return open_gallery(milvus_url(self.folder))


TestMilvus = MilvusMachine.TestCase
TestMilvus.settings = settings(
    max_examples=8, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
