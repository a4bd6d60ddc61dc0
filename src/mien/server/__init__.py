"""The server: a REST API and a web console over one ``Recognizer`` and its galleries (extra ``server``).

- ``settings``: ``ServerSettings``, how it listens and what it allows; ``serving``: processes, sockets, TLS, shutdown.
- ``app``: ``create_app``, the application; ``services``: what its routes work with; ``routes``: one file a part of
  the API; ``problems``: errors as RFC 9457 problem documents.
- ``access`` and ``keys``: who may do what; ``limits``: how much and how fast; ``headers``: what browsers are told;
  ``audit``: who did what; ``state``: the database behind these.
- ``batching`` and ``places``: images of many requests through the models together, and the galleries kept open.
- ``jobs`` and ``idempotency``: work that takes long, and work that must not be done twice; ``metrics``, ``activity``.

Importing this package needs none of the extra's packages; ``app`` and ``serving`` do.
"""

from __future__ import annotations

from mien.server.settings import ServerSettings

__all__ = ["ServerSettings"]
