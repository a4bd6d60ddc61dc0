"""A mien server, called as the library is. Extra ``client``.

- ``client``: ``Client``, the way in; ``asynchronous``: ``AsyncClient``, the same for programs that await.
- ``gallery``: ``RemoteGallery``, a gallery on a server; ``recognizer``: ``RemoteRecognizer``, for the command line.
- ``calls``, ``gallery_calls``, ``job_calls``: every request as data, written once; ``making`` makes methods of them.
- ``sending``, ``retrying``, ``problems``: on the wire, again, and gone wrong; ``reading``: answers as mien's types.
"""

from __future__ import annotations

from mien.client.asynchronous import AsyncClient, AsyncRemoteGallery
from mien.client.calls import ModelInfo, ServerInfo
from mien.client.client import Client
from mien.client.gallery import RemoteGallery
from mien.client.job_calls import Job
from mien.client.recognizer import RemoteModel, RemoteRecognizer, RemoteSettings

__all__ = [
    "AsyncClient",
    "AsyncRemoteGallery",
    "Client",
    "Job",
    "ModelInfo",
    "RemoteGallery",
    "RemoteModel",
    "RemoteRecognizer",
    "RemoteSettings",
    "ServerInfo",
]
