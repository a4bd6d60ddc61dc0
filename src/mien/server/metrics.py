"""What the server counts and times, in Prometheus' text format; never names of people.

One process keeps its numbers in memory. Several keep them in files in the data folder, and whichever of them is asked
adds up all of them.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mien._version import __version__
from mien.server.pace import Pace

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from mien.server.settings import ServerSettings

__all__ = ["MeterMiddleware", "Meters", "Sizes", "clear"]

_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
# Not what people wait for: probes, scrapes, and streams that stay open for as long as one looks.
_NOT_PACED = ("/livez", "/readyz", "/metrics", "/v1/jobs/{job_id}/events", "/v1/activity")

Sizes = Mapping[str, Iterable[tuple[Mapping[str, str], float]]]
"""What is looked up when the metrics are asked for: by metric, each set of labels with its value."""


class Meters:
    """The server's counters; all of its methods are cheap and safe to call from any thread.

    Args:
        settings: how many processes there are, and the data folder.

    Attributes:
        pace: requests a minute and their times, of this process.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._shared = settings.workers > 1
        if self._shared:
            folder = _folder(settings)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Prometheus' package looks for it when it is imported.
            os.environ[_FOLDER_VARIABLE] = str(folder)
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

        self.pace = Pace()
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "mien_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "mien_request_seconds",
            "From a request's first line to its answer's last byte.",
            ["method", "route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._open = Gauge("mien_requests_open", "Requests under way.", multiprocess_mode="livesum", registry=registry)
        self._queue = Gauge(
            "mien_queue_depth", "Images waiting for the models.", multiprocess_mode="livesum", registry=registry
        )
        self._batches = Histogram(
            "mien_batch_size", "Images that went together.", ["kind"], buckets=_BATCHES, registry=registry
        )
        self._faces = Counter("mien_faces", "Faces found.", registry=registry)
        if not self._shared:
            ProcessCollector(registry=registry)

    def queued(self, depth: int) -> None:
        """So many images wait in this process."""
        self._queue.set(depth)

    def batched(self, kind: str, size: int) -> None:
        """So many images of a kind of work went through the models together."""
        self._batches.labels(kind).observe(size)

    def found(self, faces: int) -> None:
        """So many faces were found."""
        self._faces.inc(faces)

    def begun(self) -> None:
        """A request has come."""
        self._open.inc()

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered, or its client went away."""
        self._open.dec()
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)
        if route.startswith("/v1/") and route not in _NOT_PACED:
            self.pace.note(seconds)

    def text(self, sizes: Sizes) -> bytes:
        """All metrics in Prometheus' text format, of all processes.

        Args:
            sizes: gauges besides those that are kept here.
        """
        from prometheus_client import CollectorRegistry, generate_latest, multiprocess

        registry = self._registry
        if self._shared:
            registry = CollectorRegistry()
            folder = os.environ[_FOLDER_VARIABLE]
            _bury_dead(Path(folder), multiprocess.mark_process_dead)
            multiprocess.MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
        return bytes(generate_latest(registry)) + bytes(generate_latest(_looked_up(sizes)))

    def close(self) -> None:
        """The end of this process's gauges, where others go on."""
        if self._shared:
            from prometheus_client import multiprocess

            multiprocess.mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]


class MeterMiddleware:
    """Counts and times every request, by the template of its route.

    Args:
        app: what is behind it.
        meters_of: gives the meters, or None before the server has started.
    """

    def __init__(self, app: ASGIApp, meters_of: Callable[[Scope], Meters | None]) -> None:
        self._app = app
        self._meters_of = meters_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See https://asgi.readthedocs.io/en/latest/specs/www.html."""
        meters = self._meters_of(scope) if scope["type"] == "http" else None
        if meters is None:
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        # The status of a request whose client went away before it was answered, as nginx has it.
        status = 499

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        meters.begun()
        try:
            await self._app(scope, receive, sent)
        except Exception:
            status = 500
            raise
        finally:
            meters.answered(_method(scope), _route(scope), status, time.perf_counter() - start)


def clear(settings: ServerSettings) -> None:
    """Forget what the processes of an earlier run counted; to be called before any of this run's begins."""
    if settings.workers > 1:
        shutil.rmtree(_folder(settings), ignore_errors=True)


def _folder(settings: ServerSettings) -> Path:
    return settings.data.absolute() / "metrics"


def _method(scope: Scope) -> str:
    """The method, or ``other``: what clients make up must not become labels."""
    method = str(scope["method"])
    return method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "other"


def _route(scope: Scope) -> str:
    """The route's template, so that galleries, ids and names stay out of the labels."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) and path else "other"


def _looked_up(sizes: Sizes) -> CollectorRegistry:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import GaugeMetricFamily
    from prometheus_client.registry import Collector

    class LookedUp(Collector):
        def collect(self) -> Iterator[Metric]:
            version = GaugeMetricFamily("mien_info", "Which version runs.", labels=["version"])
            version.add_metric([__version__], 1)
            yield version
            for name, rows in sizes.items():
                listed = list(rows)
                family = GaugeMetricFamily(name, _ABOUT[name], labels=list(listed[0][0]) if listed else [])
                for labels, value in listed:
                    family.add_metric(list(labels.values()), value)
                yield family

    registry = CollectorRegistry(auto_describe=False)
    registry.register(LookedUp())
    return registry


_ABOUT = {
    "mien_gallery_templates": "Templates in a gallery.",
    "mien_gallery_identities": "Identities in a gallery.",
    "mien_jobs": "Jobs by state.",
}


def _bury_dead(folder: Path, mark_dead: Callable[[int], None]) -> None:
    """Leave out the gauges of processes that were killed."""
    for path in folder.glob("gauge_live*_*.db"):
        number = path.stem.rpartition("_")[2]
        if number.isdigit():
            try:
                os.kill(int(number), 0)
            except ProcessLookupError:
                with suppress(OSError):
                    mark_dead(int(number))
            except OSError:
                continue
