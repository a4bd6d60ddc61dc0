"""How a run goes: what it tells while it trains, and the time it takes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mien.training.ranks import Ranks

__all__ = ["Meter", "Watch"]


class Watch:
    """Is told how a run goes; this one does nothing. Make a subclass, or use the command line's."""

    def stepped(self, step: int, steps: int, line: Mapping[str, float]) -> None:
        """Some steps more are done.

        Args:
            step: steps done.
            steps: of the whole run.
            line: means since the last call: losses, ``images_per_second``, ``data_wait`` (the share of time spent
                waiting for images), ``seconds_left``.
        """

    def evaluated(self, step: int, protocol: str, figures: Mapping[str, float]) -> None:
        """The weights were evaluated."""

    def preparing(self, what: str, done: int, total: int) -> None:
        """Something that comes before the first step goes on."""

    def stop_asked(self) -> bool:
        """Whether somebody wants the run to stop, in order, after this step."""
        return False


class Meter:
    """Means of what is logged, and where the time goes, between two lines of the log.

    Args:
        step: steps done before.
        steps: of the whole run.
    """

    def __init__(self, step: int, steps: int) -> None:
        self.seconds = 0.0
        self.skipped = 0
        self.last_loss: float | None = None
        self._step, self._steps = step, steps
        self._clock = time.monotonic()
        self._sums: dict[str, float] = {}
        self._count = self._images = 0
        self._since = self._waited = 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """In it, the run waits for images."""
        begun = time.monotonic()
        yield
        self._waited += time.monotonic() - begun

    @contextmanager
    def pause(self) -> Iterator[None]:
        """In it, the run does something else than train, which counts as no time."""
        self._tick()
        yield
        self._clock = time.monotonic()

    def add(self, parts: Mapping[str, float], images: int, skipped: int) -> None:
        """A step is done."""
        self._tick()
        for name, value in parts.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        self._step += 1
        self._images += images
        self.skipped += skipped

    def line(self, ranks: Ranks, rate: float) -> dict[str, float]:
        """What is to be logged, the mean of all processes, and begin anew."""
        count = max(1, self._count)
        means = ranks.mean_of({name: total / count for name, total in self._sums.items()})
        self.last_loss = means.get("loss")
        pace = self._since / count
        values = {
            **means,
            "rate": rate,
            "images_per_second": self._images / self._since if self._since else 0.0,
            "data_wait": self._waited / self._since if self._since else 0.0,
            "seconds_left": pace * (self._steps - self._step),
        }
        self._sums, self._count, self._images, self._since, self._waited = {}, 0, 0, 0.0, 0.0
        return values

    def _tick(self) -> None:
        now = time.monotonic()
        self.seconds += now - self._clock
        self._since += now - self._clock
        self._clock = now
