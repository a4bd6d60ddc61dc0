"""What the API takes and gives, as models: the OpenAPI document is made of them, and JSON bodies are checked by them.

- ``images``: requests that bring images; ``faces``: what is said of the faces in them.
- ``galleries``: galleries, identities, enrollment and identification; ``comparisons``: scores and what they mean.
- ``documents``: how a route's body, answers and problems stand in the OpenAPI document.
"""

from __future__ import annotations

__all__: list[str] = []
