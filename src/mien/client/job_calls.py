"""The calls about long work, as data."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from mien.client.call import Answer, Call
from mien.client.calls import listed
from mien.client.gallery_calls import place
from mien.client.pictures import to_send
from mien.client.reading import error_in
from mien.errors import BadInput, MienError
from mien.images import ImageSource
from mien.recognizer import FaceChoice

__all__ = ["Job"]

ENDED = ("done", "failed", "canceled")


@dataclass(frozen=True, slots=True)
class Job:
    """Long work of a server.

    Attributes:
        id: its name.
        kind: ``enroll`` or ``migrate``.
        state: ``queued``, ``running``, ``done``, ``failed`` or ``canceled``.
        done: how many items were handled, failed ones among them.
        total: of how many.
        failed: how many could not be handled.
        gallery: the gallery that it works on.
        failures: these, each with ``item``, ``identity`` and ``error``; the first thousand, and only of one job that
            was asked for by itself.
        error: why the job as a whole failed, or None.
        created: when it was asked for, seconds since 1970.
        started: when it began, or None.
        ended: when it ended, or None.
    """

    id: str
    kind: str
    state: str
    done: int
    total: int
    failed: int
    gallery: str
    failures: tuple[dict[str, Any], ...]
    error: MienError | None
    created: float
    started: float | None
    ended: float | None

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ENDED


def job_of(record: Any) -> Job:
    """A job from the server's record."""
    return Job(
        str(record["id"]),
        str(record["kind"]),
        str(record["state"]),
        int(record["done"]),
        int(record["total"]),
        int(record["failed"]),
        str(record["gallery"]),
        tuple(record.get("failures", ())),
        error_in(record),
        float(record["created"]),
        record["started"],
        record["ended"],
    )


def _read(answer: Answer) -> Job:
    return job_of(answer.json())


def jobs() -> Call[list[Job]]:
    """The server's jobs, newest first."""
    return Call("GET", "/v1/jobs", lambda a: [job_of(record) for record in a.json()["jobs"]], repeatable=True)


def job(job_id: str) -> Call[Job]:
    """One job.

    Raises:
        JobNotFound: there is none of that id.
    """
    return Call("GET", _path(job_id), _read, repeatable=True)


def cancel_job(job_id: str) -> Call[None]:
    """Stop a job; what it has done stays done.

    Raises:
        JobNotFound: there is none of that id.
    """
    return Call("DELETE", _path(job_id), lambda _: None)


def start_enrolling(
    gallery: str,
    items: Iterable[tuple[str, ImageSource]],
    *,
    face: FaceChoice = "single",
    tags: Collection[str] = (),
) -> Call[Job]:
    """Hand many images over at once; the server enrolls them on its own, and goes on after a restart.

    Args:
        gallery: the gallery's name.
        items: identity and image of each; all are held in memory.
        face: ``"largest"`` takes the largest face where an image shows several.
        tags: words to find the people by.

    Raises:
        BadInput: a name has a slash or there is no image; use ``enroll_many`` for such names.
    """
    place(gallery)
    body, count = io.BytesIO(), 0
    # Not a form: there is no one way to write quotation marks in the names of its files.
    with zipfile.ZipFile(body, "w", zipfile.ZIP_STORED) as archive:
        for number, (identity, source) in enumerate(items):
            if not isinstance(identity, str) or not identity.strip() or "/" in identity or "\\" in identity:
                raise BadInput(f"identity: expected a name without slashes, which becomes a folder's, got {identity!r}")
            archive.writestr(f"{identity}/{number}.img", to_send(source).content)
            count += 1
    if not count:
        raise BadInput("items: expected at least one image, got none")
    query = {"gallery": gallery, "face": face, "tags": listed(tags)}
    headers = {"Content-Type": "application/zip"}
    return Call("POST", "/v1/jobs/enroll", _read, query, body=body.getvalue(), headers=headers)


def start_migrating(gallery: str, embedder: str) -> Call[Job]:
    """Let the server move a gallery to another model, from its portraits.

    Args:
        gallery: the gallery's name.
        embedder: the name of the model's card.
    """
    place(gallery)
    return Call("POST", "/v1/jobs/migrate", _read, json={"gallery": gallery, "embedder": embedder})


def _path(job_id: str) -> str:
    if not isinstance(job_id, str) or not job_id.replace("-", "").replace("_", "").isalnum():
        raise BadInput(f"job: expected an id, got {job_id!r}")
    return f"/v1/jobs/{job_id}"
