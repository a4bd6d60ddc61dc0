"""Clients of the server, in a process of their own: each sends a request, waits for the answer, and sends the next.

Requests are ready-made bytes on open connections, so that the clients take little of the cores that the server runs on.
What is printed is one JSON object: the answers by status, their times, and the processor time that the clients took.

    python benchmarks/server_load.py URL --clients N (--seconds S | --requests N) PHOTO...
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit


def main() -> int:
    """Send, then print what came back."""
    parser = argparse.ArgumentParser(description="clients that identify photos")
    parser.add_argument("url", help="with path and query")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--requests", type=int, default=sys.maxsize)
    parser.add_argument("photos", nargs="+", type=Path)
    options = parser.parse_args()
    place = urlsplit(options.url)
    head = f"POST {place.path}?{place.query} HTTP/1.1\r\nHost: {place.netloc}\r\n"
    head += "Content-Type: image/jpeg\r\nContent-Length: "
    requests = [
        head.encode() + str(len(photo)).encode() + b"\r\n\r\n" + photo
        for photo in (path.read_bytes() for path in options.photos)
    ]
    load = Load(str(place.hostname), int(place.port or 80), requests, options.requests)
    asyncio.run(load.run(options.clients, options.seconds))
    print(
        json.dumps(
            {
                "statuses": {str(status): count for status, count in sorted(load.statuses.items())},
                "seconds": load.seconds,
                "times_ms": [round(1000 * each, 3) for each in load.times],
                "unanswered": load.sent - sum(load.statuses.values()),
                "processor_s": time.process_time(),
            }
        )
    )
    return 0


class Load:
    """Clients that share a supply of requests."""

    def __init__(self, host: str, port: int, requests: list[bytes], most: int) -> None:
        self.statuses: Counter[int] = Counter()
        self.times: list[float] = []
        self.sent = 0
        self.seconds = 0.0
        self._host, self._port, self._most = host, port, most
        self._requests: Iterator[bytes] = cycle(requests)

    async def run(self, clients: int, seconds: float) -> None:
        """All clients at once, until the time is over or the supply is used up; what is under way is waited for."""
        start = time.perf_counter()
        await asyncio.gather(*(self._client(start + seconds) for _ in range(clients)))
        self.seconds = time.perf_counter() - start

    async def _client(self, end: float) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            while time.perf_counter() < end and self.sent < self._most:
                self.sent += 1
                start = time.perf_counter()
                writer.write(next(self._requests))
                await writer.drain()
                status = await answered(reader)
                self.statuses[status] += 1
                if status == 200:
                    self.times.append(time.perf_counter() - start)
        finally:
            writer.close()


async def answered(reader: asyncio.StreamReader) -> int:
    """Read one answer to its end; its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
    await reader.readexactly(int(length))
    return int(head.split(b" ", 2)[1])


if __name__ == "__main__":
    sys.exit(main())
