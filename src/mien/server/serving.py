"""The server's processes: from settings to a bound socket, workers, and a graceful end."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import logging
import logging.config
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mien.errors import BadSettings, ConnectionLost, GalleryLocked, MissingExtra, ServerError
from mien.galleries import parse_url
from mien.server.settings import ServerSettings, is_loopback

if TYPE_CHECKING:
    from fastapi import FastAPI
    from uvicorn import Config

    from mien.recognizer import Settings

__all__ = ["Announcement", "require_extra", "serve"]

_PACKAGES = ("fastapi", "uvicorn", "multipart", "prometheus_client", "httpx")
_BACKLOG = 2048
_STARTING_S = 600.0
_WORKER_ANSWERS_S = 60
_LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stderr"}},
    "loggers": {
        "mien.server": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "uvicorn.error": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
    },
}


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a server says of itself when it is ready.

    Attributes:
        url: its address.
        gallery: where the galleries are, without a password.
        data: the folder of its own database.
        keys_needed: whether requests must bring a key.
        keys: whether there is a key that works.
        tls: whether it speaks TLS.
        loopback: whether it can be reached from this machine alone.
        workers: how many processes answer requests.
    """

    url: str
    gallery: str
    data: str
    keys_needed: bool
    keys: bool
    tls: bool
    loopback: bool
    workers: int


def serve(settings: ServerSettings, recognizer: Settings, announce: Callable[[Announcement], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; what was begun until then is finished.

    Args:
        settings: the server's.
        recognizer: the recognizer's.
        announce: called once, when requests can be answered.

    Raises:
        MissingExtra: the extra ``server`` is not installed.
        BadSettings: keys are needed, and there is none; or TLS files, address or port are of no use.
        GalleryError: the galleries' place is of no use; one that does not answer now may do so later.
        ServerError: the server's database cannot be opened, or the server did not start; the log says why.
    """
    require_extra()
    keys = _any_key(settings)
    if settings.keys_needed and not keys:
        raise BadSettings(
            f"host {settings.host} needs keys, and there is none in {settings.data}; make one first: "
            f"mien keys create admin --scope admin --data {settings.data}"
        )
    from mien.server.metrics import clear

    clear(settings)
    config = _config(settings, recognizer)
    _check_place(settings)
    listener = _bound(settings.host, settings.port)
    with contextlib.closing(listener):
        ready = functools.partial(announce, _announcement(settings, listener, keys))
        (_serve_here if settings.workers == 1 else _serve_by_workers)(config, listener, ready)


def require_extra() -> None:
    """Check that the extra's packages are there.

    Raises:
        MissingExtra: one is not.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(f"the server needs {', '.join(missing)}: pip install 'mien[server]'")


def application(settings: ServerSettings, recognizer: Settings) -> FastAPI:
    """The application of one worker."""
    from mien.recognizer import Recognizer
    from mien.server.app import create_app

    _end_with_parent()
    most = min(recognizer.max_pixels, settings.max_pixels)
    return create_app(settings, Recognizer(recognizer.model_copy(update={"max_pixels": most})))


def _end_with_parent() -> None:
    """Let a worker stop when the process that started it is gone; nobody else would tell it to."""
    parent = multiprocessing.parent_process()
    if parent is not None:

        def wait() -> None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=wait, name="mien-parent", daemon=True).start()


def _config(settings: ServerSettings, recognizer: Settings) -> Config:
    import uvicorn

    http: Any = "h11"
    if importlib.util.find_spec("httptools") is not None:
        from mien.server.connections import Connection

        http = Connection
    made = uvicorn.Config(
        functools.partial(application, settings, recognizer),
        factory=True,
        interface="asgi3",
        workers=settings.workers,
        http=http,
        ws="none",
        lifespan="on",
        log_config=_LOGGING,
        access_log=False,
        # A client could claim any address and scheme.
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_s)),
        timeout_worker_healthcheck=_WORKER_ANSWERS_S,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )
    if settings.tls:
        _require_certificate(settings)
    return made


def _require_certificate(settings: ServerSettings) -> None:
    """Find out now what would else end a worker."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A key with a password would ask for it on the terminal.
        context.load_cert_chain(str(settings.tls_certificate), str(settings.tls_key), password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise BadSettings(
            f"tls_certificate, tls_key: expected a certificate and its key in PEM, without a password, got "
            f"{settings.tls_certificate} and {settings.tls_key} ({error})"
        ) from error


def _any_key(settings: ServerSettings) -> bool:
    from mien.server.services import open_keys

    keys, state = open_keys(settings)
    try:
        return keys.any_in_use()
    finally:
        state.close()


def _check_place(settings: ServerSettings) -> None:
    """Find out now what would else fail every request; a database may also start after the server."""
    from mien.server.places import Places

    places = Places(settings.gallery)
    try:
        places.check()
    except (ConnectionLost, GalleryLocked) as error:
        logging.getLogger("mien.server").warning("the galleries cannot be reached yet: %s", error.message)
    finally:
        places.close()


def _bound(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
        listener = socket.socket(family)
    except OSError as error:
        raise BadSettings(f"host: expected an address of this machine, got {host!r} ({error})") from error
    try:
        # So that a server can start again while connections of the last one linger.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.set_inheritable(True)
    except OSError as error:
        listener.close()
        raise BadSettings(f"host and port: cannot listen on {host}, port {port}: {error.strerror}") from error
    return listener


def _announcement(settings: ServerSettings, listener: socket.socket, keys: bool) -> Announcement:
    host = settings.host.strip("[]")
    shown = f"[{host}]" if ":" in host else host
    return Announcement(
        url=f"{'https' if settings.tls else 'http'}://{shown}:{listener.getsockname()[1]}",
        gallery=parse_url(settings.gallery).shown,
        data=str(settings.data),
        keys_needed=settings.keys_needed,
        keys=keys,
        tls=settings.tls,
        loopback=is_loopback(settings.host),
        workers=settings.workers,
    )


def _serve_here(config: Config, listener: socket.socket, ready: Callable[[], None]) -> None:
    from uvicorn import Server

    class OneServer(Server):
        """Tells when it is ready, and returns when a signal stopped it."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            if threading.current_thread() is not threading.main_thread():
                yield
                return
            before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    try:
        OneServer(config).run([listener])
    except SystemExit as error:
        raise ServerError("the server did not start; its log says why") from error


def _serve_by_workers(config: Config, listener: socket.socket, ready: Callable[[], None]) -> None:
    from uvicorn.supervisors import Multiprocess

    class Workers(Multiprocess):
        """Tells when all workers are ready."""

        failed = False

        def init_processes(self) -> None:
            super().init_processes()
            if all(process.wait_until_ready(_STARTING_S, self.should_exit) for process in self.processes):
                ready()
            elif not self.signal_queue:
                self.failed = True
                self.should_exit.set()

    logging.config.dictConfig(_LOGGING)
    workers = Workers(config, [listener])
    workers.run()
    if workers.failed:
        raise ServerError("the server did not start; its log says why")
