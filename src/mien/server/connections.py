"""HTTP connections that do not wait for ever: uvicorn's protocol with an end to its patience."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from mien.server.services import Services

__all__ = ["Connection"]

_HEAD_S = 15.0
_MOST_HEAD_BYTES = 64 * 1024
# A client that was refused gets this long to notice before its line is cut; closing at once would lose the answer.
_REST_S = 5.0


class Connection(HttpToolsProtocol):
    """A connection whose requests' heads must come within 15 seconds and 64 KiB.

    The rest of a body that was refused is read and thrown away for five seconds. When the server stops, the
    application is told before open requests are waited for.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._phase: Literal["idle", "head", "body"] = "idle"
        self._head_bytes = 0
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The client is there."""
        super().connection_made(transport)
        self._wait(_HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A part of a request, or of several."""
        if self._phase != "body":
            self._head_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._phase == "head" and self._head_bytes > _MOST_HEAD_BYTES:
            self.send_400_response("The request's head is too large.")
        elif self._phase == "idle" and self._answered() and self._patience is self.timeout_keep_alive_task is None:
            self._wait(_HEAD_S)  # empty lines between requests

    def on_message_begin(self) -> None:
        """A request begins."""
        self._phase = "head"
        if self._patience is None:
            self._wait(_HEAD_S)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._phase, self._head_bytes = "body", 0
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it is there."""
        self._phase, self._head_bytes = "idle", 0
        super().on_message_complete()
        if self._patience is not None:
            self._wait(self.timeout_keep_alive)

    def on_response_complete(self) -> None:
        """It is answered, maybe before all of it has come."""
        super().on_response_complete()
        if self._phase == "body" and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._wait(_REST_S)

    def shutdown(self) -> None:
        """The server begins to stop."""
        services: Services | None = self.app_state.get("mien_services")
        if services is not None:
            services.stop()
        super().shutdown()

    def _answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._patience = self.loop.call_later(seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        if not self.transport.is_closing():
            self.transport.close()
