"""The connection to a Milvus, a cluster or milvus-lite in this process, with its errors turned into mien's."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from mien.errors import ConnectionLost, GalleryError, MissingExtra
from mien.galleries.milvus.local import LocalServer, attach, detach
from mien.galleries.urls import GalleryUrl

__all__ = ["Connection", "Row", "translated"]

Row = dict[str, Any]

_CONNECT_TIMEOUT_S = 10.0
_CALL_TIMEOUT_S = 20.0
_LONG_CALL_TIMEOUT_S = 600.0
_PAGE_ROWS = 10_000
_NOISY = ("pymilvus.decorators", "pymilvus.client.connection_manager", "pymilvus.client.iterator.query_iterator")
_in_call = threading.local()


class Connection:
    """What mien asks of Milvus, over its client; the same for a cluster and for milvus-lite.

    Safe to use from many threads. Calls to milvus-lite take turns: it promises nothing to a reader while
    another call writes.

    Args:
        url: where.
        create: make the file of milvus-lite where there is none.

    Raises:
        MissingExtra: ``pymilvus`` or, for a file, ``milvus-lite`` is not installed.
        BadGallery: there is no such file, or it is something else.
        GalleryLocked: another process holds the file.
        ConnectionLost: the server cannot be reached.
    """

    def __init__(self, url: GalleryUrl, create: bool) -> None:
        self.place = url.place
        self._local: LocalServer | None = None
        self._client: Any = None
        client_class = _client_class()
        if url.path:
            self._local = attach(url, create and url.mode == "rw")
        address = self._local.address if self._local else _address(url)
        try:
            with self._translated():
                self._client = client_class(
                    uri=address,
                    user=url.user or "",
                    password=url.password or "",
                    db_name=url.database,
                    timeout=_CONNECT_TIMEOUT_S,
                    dedicated=True,
                )
                if self._local:
                    self._local.clients.append(self._client)
        except BaseException:
            self.close()
            raise

    @property
    def is_local(self) -> bool:
        """Whether this is milvus-lite, which one process holds alone."""
        return self._local is not None

    def writers_lock(self, gallery: str) -> threading.Lock:
        """What the writers of one gallery in this process hold in turn."""
        return self._local.writers.setdefault(gallery, threading.Lock()) if self._local else threading.Lock()

    @contextmanager
    def _translated(self, *, changes: bool = False) -> Iterator[Any]:
        client = self._client
        call = self._local.call(changes=changes) if self._local else nullcontext()
        with translated(self.place), call:
            yield client

    def exists(self, collection: str) -> bool:
        """Whether there is a collection of that name."""
        with self._translated() as client:
            return bool(client.has_collection(collection, timeout=_CALL_TIMEOUT_S))

    def make(self, collection: str, fields: Sequence[Mapping[str, Any]], indexes: Sequence[Mapping[str, Any]]) -> None:
        """Make a collection with its indexes, ready to be searched."""
        with self._translated() as client:
            schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
            for field in fields:
                schema.add_field(**field)
            client.create_collection(
                collection, schema=schema, consistency_level="Strong", num_shards=1, timeout=_CALL_TIMEOUT_S
            )
        self.index(collection, indexes)
        self.load(collection)

    def index(self, collection: str, indexes: Sequence[Mapping[str, Any]]) -> None:
        """Give an empty collection its indexes."""
        with self._translated() as client:
            parameters = client.prepare_index_params()
            for index in indexes:
                parameters.add_index(**index)
            # Nothing to index yet: waiting for it would only sleep.
            client.create_index(collection, parameters, timeout=_CALL_TIMEOUT_S, sync=False)

    def load(self, collection: str) -> None:
        """Have the engine hold a collection ready for searching."""
        try:
            with self._translated() as client:
                client.load_collection(collection, timeout=_LONG_CALL_TIMEOUT_S)
        except GalleryError:
            if self._local is None or not self._local.drop_indexes(collection):
                raise
            with self._translated() as client:
                client.load_collection(collection, timeout=_LONG_CALL_TIMEOUT_S)

    def drop(self, collection: str) -> None:
        """Remove a collection and all it holds; none is fine."""
        with self._translated() as client:
            client.drop_collection(collection, timeout=_LONG_CALL_TIMEOUT_S)

    def insert(self, collection: str, rows: Sequence[Row]) -> None:
        """Insert rows in one request, sent once: sent again after a lost answer, they would be there twice."""
        with self._translated(changes=True) as client:
            client.insert(collection, list(rows), retry_times=0)

    def replace(self, collection: str, rows: Sequence[Row]) -> None:
        """Insert rows in place of those with the same ids, in one request."""
        with self._translated(changes=True) as client:
            client.upsert(collection, list(rows), timeout=_CALL_TIMEOUT_S)

    def delete(self, collection: str, where: str) -> None:
        """Delete the rows that a condition chooses."""
        with self._translated(changes=True) as client:
            client.delete(collection, filter=where, timeout=_CALL_TIMEOUT_S)

    def rows(self, collection: str, where: str, fields: Sequence[str]) -> list[Row]:
        """The rows that a condition chooses, in any order; for few."""
        with self._translated() as client:
            found = client.query(
                collection,
                filter=where,
                output_fields=list(fields),
                consistency_level="Strong",
                timeout=_CALL_TIMEOUT_S,
            )
            return [dict(row) for row in found]

    def pages(
        self, collection: str, where: str, fields: Sequence[str], *, rows: int = _PAGE_ROWS
    ) -> Iterator[list[Row]]:
        """The rows that a condition chooses, by rising id, in lists of at most ``rows``; for any number."""
        with self._translated() as client:
            pages = client.query_iterator(
                collection,
                batch_size=rows,
                filter=where,
                output_fields=list(fields),
                consistency_level="Strong",
                timeout=_CALL_TIMEOUT_S,
            )
        try:
            while True:
                with self._translated():
                    page = pages.next()
                if not page:
                    return
                yield [dict(row) for row in page]
        finally:
            with self._translated():
                pages.close()

    def count(self, collection: str, where: str) -> int:
        """How many rows a condition chooses."""
        return int(self.rows(collection, where, ["count(*)"])[0]["count(*)"])

    def nearest(
        self,
        collection: str,
        vectors: Sequence[Any],
        where: str,
        fields: Sequence[str],
        *,
        limit: int,
        parameters: Mapping[str, Any],
    ) -> list[list[Row]]:
        """For each vector the ``limit`` rows of the greatest inner product; its value is in the key ``score``."""
        with self._translated() as client:
            found = client.search(
                collection,
                data=list(vectors),
                filter=where,
                limit=limit,
                output_fields=list(fields),
                search_params={"metric_type": "IP", "params": dict(parameters)},
                anns_field="vector",
                consistency_level="Strong",
                timeout=_CALL_TIMEOUT_S,
            )
            return [[{**hit["entity"], "id": hit["id"], "score": hit["distance"]} for hit in hits] for hits in found]

    def flush(self, collection: str) -> None:
        """Have the engine write its files, and drop the log of what is in them."""
        with self._translated(changes=True) as client:
            client.flush(collection, timeout=_LONG_CALL_TIMEOUT_S)

    def compact(self, collection: str) -> None:
        """Ask a cluster to rewrite its files without what was deleted; it does so in its own time."""
        with self._translated() as client:
            client.compact(collection, timeout=_LONG_CALL_TIMEOUT_S)

    def close(self) -> None:
        """Give back the connection; closing twice is fine."""
        client, self._client = self._client, None
        local, self._local = self._local, None
        if local is not None and client in local.clients:
            local.clients.remove(client)
        try:
            if client is not None:
                with translated(self.place):
                    client.close()
        finally:
            if local is not None:
                detach(local)


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Errors of the client as mien's, with the place in the message; its own reports of them are kept quiet."""
    import grpc
    from pymilvus.exceptions import MilvusException

    outer = getattr(_in_call, "quiet", False)
    _in_call.quiet = True
    try:
        yield
    except MilvusException as error:
        lost = isinstance(error.code, grpc.StatusCode) or "Fail connecting" in str(error.message)
        kind = ConnectionLost if lost else GalleryError
        raise kind(f"{place}: {'no answer from Milvus' if lost else 'Milvus refused'}: {error.message}") from error
    except grpc.RpcError as error:
        raise ConnectionLost(f"{place}: no answer from Milvus: {error}") from error
    except OSError as error:
        raise GalleryError(f"{place}: {error}") from error
    finally:
        _in_call.quiet = outer


def _keep_quiet(record: logging.LogRecord) -> bool:
    """The client prints a traceback for each error that it raises as well; mien raises it, and that is enough."""
    return not getattr(_in_call, "quiet", False)


def _client_class() -> Any:
    try:
        from pymilvus import MilvusClient
    except ImportError as error:
        raise MissingExtra("galleries in Milvus need pymilvus: pip install 'mien[milvus]'") from error
    for name in _NOISY:
        # Adding the same function again changes nothing.
        logging.getLogger(name).addFilter(_keep_quiet)
    return MilvusClient


def _address(url: GalleryUrl) -> str:
    host = f"[{url.host}]" if ":" in url.host else url.host or "localhost"
    return f"{'https' if url.tls else 'http'}://{host}:{url.port or 19530}"
