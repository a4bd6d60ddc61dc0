"""What the routes work with: opened when the server starts, closed when it stops."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
from starlette.requests import HTTPConnection

from mien.errors import ServerError
from mien.galleries import parse_url
from mien.recognizer import Recognizer, Settings
from mien.server import activity, audit, idempotency, jobs, keys
from mien.server.activity import Activity
from mien.server.audit import AuditLog
from mien.server.batching import Batcher
from mien.server.idempotency import Idempotency
from mien.server.jobs import Jobs
from mien.server.keys import KeyRing
from mien.server.metrics import Meters
from mien.server.places import Places
from mien.server.settings import ServerSettings
from mien.server.state import FILE_NAME, State, private_folder

__all__ = ["Services", "open_keys", "open_services", "services_of"]

_SCHEMAS = (keys.SCHEMA, audit.SCHEMA, jobs.SCHEMA, idempotency.SCHEMA, activity.SCHEMA)
_THREADS = 64


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a running server.

    Attributes:
        settings: how it listens and what it allows.
        recognizer: finds, compares, enrolls and identifies faces.
        places: the galleries, kept open.
        batcher: takes the images of many requests through the models together.
        keys: who may call.
        audit: who did what.
        jobs: work that takes long.
        idempotency: work that must not be done twice.
        meters: counts and times.
        activity: what was done in the last hour.
        state: the database behind keys, audit log, jobs and idempotency records.
        limiter: how many threads do blocking work of requests at once.
        stopping: set when the server has begun to stop; what streams without end should end then.
    """

    settings: ServerSettings
    recognizer: Recognizer
    places: Places
    batcher: Batcher
    keys: KeyRing
    audit: AuditLog
    jobs: Jobs
    idempotency: Idempotency
    meters: Meters
    activity: Activity
    state: State
    limiter: anyio.CapacityLimiter
    stopping: threading.Event

    def stop(self) -> None:
        """Begin to stop: streams without end shall end, and no new job is begun; calling it twice is fine."""
        self.stopping.set()
        self.jobs.stop()


def services_of(request: HTTPConnection) -> Services:
    """The services of the application that a request came to.

    Raises:
        ServerError: the application was not started (its lifespan was not run).
    """
    services = getattr(request.app.state, "services", None)
    if not isinstance(services, Services):
        raise ServerError("the application was not started")
    return services


def open_state(settings: ServerSettings) -> State:
    """The server's own database in the folder ``settings.data``.

    Raises:
        ServerError: it cannot be opened or made.
    """
    return State(settings.data / FILE_NAME, _SCHEMAS)


def open_keys(settings: ServerSettings) -> tuple[KeyRing, State]:
    """The keys alone, for who manages them beside a running server; close the state afterwards.

    Raises:
        ServerError: the database cannot be opened or made.
    """
    state = open_state(settings)
    return KeyRing(state), state


@asynccontextmanager
async def open_services(settings: ServerSettings, recognizer: Recognizer | None = None) -> AsyncIterator[Services]:
    """The services inside the block; what they took is finished at its end.

    Args:
        settings: the server's.
        recognizer: finds faces; None for one of the recognizer's own settings, with the server's limit of pixels.

    Raises:
        MienError: the models, the galleries' place or the server's database cannot be opened.
    """
    run = anyio.to_thread.run_sync
    async with AsyncExitStack() as stack:
        state = await run(open_state, settings)
        stack.callback(state.close)
        loaded = await run(_warm, settings, recognizer)
        log = AuditLog(state, settings.audit_days)
        stack.push_async_callback(run, log.close)
        _make_folder(settings)
        places = await run(Places, settings.gallery)
        stack.push_async_callback(run, places.close)
        meters = Meters(settings)
        stack.callback(meters.close)
        recent = Activity(state, meters)
        await run(recent.start)
        stack.push_async_callback(run, recent.close)
        batcher = Batcher(loaded, settings, meters)
        await batcher.start()
        stack.push_async_callback(batcher.close)
        work = Jobs(state, settings, loaded, places, meters)
        await run(work.start)
        stack.push_async_callback(run, work.close)
        once = Idempotency(state)
        stack.callback(once.close)
        # Before the batcher and the galleries are closed, on which such work relies.
        stack.push_async_callback(once.finish)
        services = Services(
            settings=settings,
            recognizer=loaded,
            places=places,
            batcher=batcher,
            keys=KeyRing(state),
            audit=log,
            jobs=work,
            idempotency=once,
            meters=meters,
            activity=recent,
            state=state,
            limiter=anyio.CapacityLimiter(_THREADS),
            stopping=threading.Event(),
        )
        try:
            yield services
        finally:
            services.stop()


def _warm(settings: ServerSettings, recognizer: Recognizer | None) -> Recognizer:
    if recognizer is None:
        own = Settings()
        recognizer = Recognizer(own.model_copy(update={"max_pixels": min(own.max_pixels, settings.max_pixels)}))
    return recognizer.warmup()


def _make_folder(settings: ServerSettings) -> None:
    """The folder of a SQLite place, where it lies in the data folder or below; others are made by their owners."""
    url = parse_url(settings.gallery)
    if url.path:
        folder = Path(url.path).resolve().parent
        if folder.is_relative_to(settings.data.resolve()):
            private_folder(folder)
