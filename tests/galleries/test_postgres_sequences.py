"""Random sequences of calls against a dictionary on PostgreSQL, searched in memory by one handle and by the server."""

from __future__ import annotations

import functools

from hypothesis import HealthCheck, settings
from postgres_server import pgvector_server
from test_random_sequences import GalleryMachine

from mien.galleries import Gallery, open_gallery


@functools.lru_cache(maxsize=1)
def place() -> str:
    server = pgvector_server()
    return server.url(server.new_database())


class PostgresMachine(GalleryMachine):
    """Two handles on one gallery, each run with a gallery of its own: one has a copy in memory, one asks pgvector."""

    lasting = True
    openings = 0

    def open(self) -> Gallery:
        self.openings += 1
        engine = "ram" if self.openings % 2 else "pgvector"
        return open_gallery(f"{place()}?name={self.folder.name}&engine={engine}")


TestPostgres = PostgresMachine.TestCase
TestPostgres.settings = settings(
    max_examples=8, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
