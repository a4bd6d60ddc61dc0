"""Work that takes long: done in the background, a job at a time in each process, and gone on with after a restart.

What is to be done, and how far it is, is on the disk. A job belongs to the process that works on it for as long as that
one lives; when it was killed, another one, or the server once it is back, takes the job over where it was.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from mien.errors import MienError
from mien.recognizer import Recognizer
from mien.server import job_records
from mien.server.job_kinds import KINDS, Canceled, Stopped, Work, told
from mien.server.job_records import ENDED, Failure, Item, Job, JobRecords, Mark
from mien.server.metrics import Meters
from mien.server.places import Places
from mien.server.presence import Presence
from mien.server.settings import ServerSettings
from mien.server.spool import Spool
from mien.server.state import State

__all__ = ["SCHEMA", "Jobs"]

SCHEMA = job_records.SCHEMA

_LOGGER = logging.getLogger("mien.server")
_POLL_S = 1.0
_WATCH_S = 0.3
_SWEEP_EVERY_S = 600.0
_TRIED_AGAIN_S = 1.0


class Jobs:
    """The server's jobs, and the thread of this process that works on them.

    Args:
        state: the server's database.
        settings: the server's.
        recognizer: finds faces.
        places: the galleries.
        meters: told what goes through the models.

    Attributes:
        closing: set when the server has begun to stop.
        records: the jobs as they stand.
        spool: the files that they wait with.
    """

    def __init__(
        self, state: State, settings: ServerSettings, recognizer: Recognizer, places: Places, meters: Meters
    ) -> None:
        self.closing = threading.Event()
        self._presence = Presence(settings.data / "workers")
        self.records = JobRecords(state, self._presence)
        self.spool = Spool(settings.data / "spool")
        self._settings = settings
        self._recognizer = recognizer
        self._places = places
        self._meters = meters
        self._wake = threading.Event()
        self._sweep_at = 0.0
        self._thread = threading.Thread(target=self._run, name="mien-jobs", daemon=True)

    def start(self) -> None:
        """Begin to work, first on what was left when the server ended."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no new job, and leave the one that is worked on at its next step; returns at once."""
        self.closing.set()
        self._wake.set()

    def close(self) -> None:
        """Stop, and wait until what was begun has been left in order."""
        self.stop()
        if self._thread.ident is not None:
            self._thread.join(self._settings.shutdown_s)
            if self._thread.is_alive():
                _LOGGER.warning("a job's step takes longer than shutdown_s; it is gone on with at the next start")
        self._presence.close()

    def begin(self, kind: str, gallery: str, caller: str, options: Mapping[str, Any]) -> Job:
        """A new job, which is not worked on before ``submit``. Blocks."""
        return self.records.begin(kind, gallery, caller, options)

    def submit(self, job: Job, items: Sequence[Item] = (), refused: Sequence[Mark] = ()) -> Job:
        """Let the job be worked on. Blocks."""
        submitted = self.records.submit(job, items, refused)
        self._wake.set()
        return submitted

    def drop(self, job: Job) -> None:
        """Forget a job and erase its files. Blocks."""
        self.spool.erase(job.id)
        self.records.forget(job)

    def get(self, job_id: str) -> Job:
        """The job of that id. Blocks. Raises JobNotFound."""
        return self.records.get(job_id)

    def newest(self, gallery: str | None = None, state: str | None = None, limit: int = 100) -> list[Job]:
        """The last jobs, newest first. Blocks."""
        return self.records.newest(gallery, state, limit)

    def failures(self, job: Job) -> list[Failure]:
        """Why items of a job failed: the first thousand. Blocks."""
        return self.records.failures(job)

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state. Blocks."""
        return self.records.counts()

    def cancel(self, job_id: str) -> Job:
        """Let a job end, or forget one that has. Blocks. Raises JobNotFound."""
        job = self.records.get(job_id)
        if job.state in ENDED:
            self.drop(job)
            return job
        job = self.records.cancel(job_id)
        if job.state in ENDED:
            self.spool.erase(job.id)
        return job

    async def watch(self, job_id: str, run: Callable[..., Any]) -> AsyncIterator[Job | None]:
        """A job whenever it has changed, until it has ended or the server stops; None at times when it has not.

        Args:
            job_id: which one.
            run: calls a function in a thread, as ``anyio.to_thread.run_sync`` does.

        Raises:
            JobNotFound: there is none, or it was forgotten.
        """
        last: Job | None = None
        while not self.closing.is_set():
            job: Job = await run(self.get, job_id)
            yield job if job != last else None
            if job.state in ENDED:
                return
            last = job
            await asyncio.sleep(_WATCH_S)

    def _run(self) -> None:
        while not self.closing.is_set():
            try:
                self._sweep()
                job = self.records.claim(list(KINDS))
            except MienError as error:
                _LOGGER.warning("jobs cannot be looked up: %s", error)
                job = None
            if job is None:
                self._wake.wait(_POLL_S)
                self._wake.clear()
                continue
            self._work(job)

    def _work(self, job: Job) -> None:
        """Work on a job until it has ended or is left."""
        work = Work(
            job=job,
            records=self.records,
            recognizer=self._recognizer,
            places=self._places,
            meters=self._meters,
            settings=self._settings,
            folder=self.spool.folder(job.id),
            wait=self.closing.wait,
        )
        error: dict[str, str] | None = None
        try:
            work.check()
            KINDS[job.kind](work)
            state = "done"
        except Stopped:
            self._settle(lambda: self.records.release(job))
            return
        except Canceled:
            state = "canceled"
        except MienError as failure:
            _LOGGER.error("job %s failed: %s: %s", job.id, failure.code, failure, exc_info=failure)
            state, error = "failed", told(failure)
        except Exception as failure:
            _LOGGER.error("job %s failed", job.id, exc_info=failure)
            state, error = "failed", {"code": "error", "message": "the server failed; its log says why"}
        # First the files: if the disk is full, that makes room to say so.
        self.spool.erase(job.id)
        self._settle(lambda: self.records.end(job, state, error))

    def _settle(self, write: Callable[[], None]) -> None:
        """Write how a job stands, and try again for as long as that fails and the server runs."""
        while True:
            try:
                write()
                return
            except MienError as error:
                _LOGGER.warning("how a job stands cannot be written: %s", error)
                if self.closing.wait(_TRIED_AGAIN_S):
                    return

    def _sweep(self) -> None:
        """Now and then, forget old jobs and erase files that no job needs."""
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + _SWEEP_EVERY_S
            self.records.expire(self._settings.job_days)
            # Records come before files, so files without a record are nobody's.
            self.spool.sweep(self.records.unfinished())
