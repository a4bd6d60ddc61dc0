"""Jobs: begin them, see how far they are, cancel them."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal

import anyio.to_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from mien.errors import BadInput, JobNotFound
from mien.galleries.names import canonical_name
from mien.recognizer.outcomes import check_face_choice
from mien.server.access import Caller, require
from mien.server.job_kinds import check_embedder
from mien.server.job_records import Job
from mien.server.services import Services, services_of
from mien.server.uploads import Upload, boundary_of

__all__ = ["router"]

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
# So much of a body is gathered before a thread writes it.
_PIECE_BYTES = 1_000_000
_STILL_THERE_S = 15.0
_Enroll = Annotated[Caller, Depends(require("enroll"))]
_GalleryName = Annotated[str, Query(max_length=64)]


class JobError(BaseModel):
    """Why a job, or an image of one, came to nothing."""

    code: str
    message: str


class JobFailure(BaseModel):
    """An image that came to nothing."""

    item: str
    identity: str
    error: JobError


class JobRecord(BaseModel):
    """A job; times are seconds since 1970 (UTC). ``done`` counts those that ``failed`` too."""

    id: str
    kind: Literal["enroll", "migrate"]
    gallery: str
    caller: str
    state: Literal["queued", "running", "done", "failed", "canceled"]
    done: int
    failed: int
    total: int
    created: float
    started: float | None
    ended: float | None
    error: JobError | None


class JobDetails(JobRecord):
    """A job with the first thousand of its images that came to nothing."""

    failures: list[JobFailure]


class JobList(BaseModel):
    """The last jobs, newest first."""

    jobs: list[JobRecord]


class NewMigration(BaseModel):
    """A gallery to be moved to another embedding model."""

    model_config = ConfigDict(extra="forbid")

    gallery: str = Field(max_length=64)
    embedder: str = Field(min_length=1, max_length=200)


_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "images": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "identity": {"type": "string"},
                    },
                }
            },
            "application/zip": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.post("/enroll", status_code=202, summary="Enroll many images", openapi_extra=_UPLOAD)
async def enroll(
    request: Request,
    response: Response,
    caller: _Enroll,
    gallery: _GalleryName = "default",
    identity: Annotated[str | None, Query(max_length=1000)] = None,
    face: Literal["single", "largest"] = "single",
    tags: Annotated[list[str] | None, Query(max_length=100)] = None,
) -> JobRecord:
    """Images as a multipart form, whose file names are ``person/photo.jpg``, or as a zip archive of such files.

    Images that lie in no folder are enrolled as ``identity``. The answer comes when all images are there; they are
    enrolled afterwards, and what they were kept in until then is erased.
    """
    services = services_of(request)
    run = functools.partial(anyio.to_thread.run_sync, limiter=services.limiter)
    caller.require_gallery(gallery)
    boundary = boundary_of(request.headers.get("content-type", ""))
    check_face_choice(face)
    options = {"face": face, "tags": [canonical_name(tag, "tag") for tag in tags or ()]}
    await run(services.places.get, gallery)
    job = await run(services.jobs.begin, "enroll", gallery, caller.name, options)
    try:
        job = await _taken_in(request, services, job, boundary, identity, run)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await run(services.jobs.drop, job)
        raise
    detail = {"job": job.id, "images": job.total}
    services.audit.record(caller, "job_enroll", gallery=gallery, detail=detail, status=202)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return _record(job)


async def _taken_in(
    request: Request,
    services: Services,
    job: Job,
    boundary: bytes | None,
    identity: str | None,
    run: Callable[..., Any],
) -> Job:
    """Write the body's images to the job's files, and let it be worked on."""
    settings = services.settings
    folder = await run(services.jobs.spool.make, job.id)
    limits = {"most_file_bytes": settings.max_body_bytes, "most_bytes": settings.max_batch_bytes}
    upload = await run(functools.partial(Upload, folder, boundary, **limits))
    try:
        gathered = bytearray()
        async for piece in request.stream():
            gathered += piece
            if len(gathered) >= _PIECE_BYTES:
                await run(upload.feed, bytes(gathered))
                gathered.clear()
        await run(upload.feed, bytes(gathered))
        await run(upload.finish, identity)
    except ClientDisconnect as error:
        raise BadInput("the client went away before all images were there") from error
    finally:
        with anyio.CancelScope(shield=True):
            await run(upload.close)
    if not upload.items and not upload.refused:
        raise BadInput("expected at least one image, got none")
    submitted: Job = await run(services.jobs.submit, job, upload.items, upload.refused)
    return submitted


@router.post("/migrate", status_code=202, summary="Move a gallery to another embedding model")
async def migrate(
    request: Request,
    response: Response,
    wanted: NewMigration,
    caller: Annotated[Caller, Depends(require("admin"))],
) -> JobRecord:
    """From the portraits that the gallery has kept. It is searched in its old space until the last one is done.

    A server works with one model: afterwards it must be started anew with that embedder.
    """
    services = services_of(request)
    caller.require_gallery(wanted.gallery)

    def begin() -> Job:
        check_embedder(wanted.embedder)
        services.places.get(wanted.gallery)
        job = services.jobs.begin("migrate", wanted.gallery, caller.name, {"embedder": wanted.embedder})
        return services.jobs.submit(job)

    job = await anyio.to_thread.run_sync(begin, limiter=services.limiter)
    detail = {"job": job.id, "embedder": wanted.embedder}
    services.audit.record(caller, "job_migrate", gallery=wanted.gallery, detail=detail, status=202)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return _record(job)


@router.get("", summary="List the jobs")
async def list_jobs(
    request: Request,
    caller: _Enroll,
    gallery: Annotated[str | None, Query(max_length=64)] = None,
    state: Literal["queued", "running", "done", "failed", "canceled"] | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> JobList:
    """The last ones, newest first; those that ended are kept for some days."""
    services = services_of(request)
    if gallery is not None:
        caller.require_gallery(gallery)
    # More are read than asked for where some are of galleries that the key does not open.
    most = limit if caller.galleries is None else 10_000
    found = await anyio.to_thread.run_sync(services.jobs.newest, gallery, state, most, limiter=services.limiter)
    return JobList(jobs=[_record(job) for job in found if caller.may_use(job.gallery)][:limit])


@router.get("/{job_id}", summary="How far a job is")
async def job(request: Request, job_id: str, caller: _Enroll) -> JobDetails:
    """With the first thousand images that came to nothing."""
    services = services_of(request)

    def read() -> JobDetails:
        found = _allowed(services, job_id, caller)
        failures = [
            JobFailure(item=one.name, identity=one.identity, error=JobError(code=one.code, message=one.message))
            for one in services.jobs.failures(found)
        ]
        return JobDetails(**_record(found).model_dump(), failures=failures)

    return await anyio.to_thread.run_sync(read, limiter=services.limiter)


@router.delete("/{job_id}", summary="Cancel a job, or forget one that has ended")
async def cancel(request: Request, job_id: str, caller: _Enroll) -> JobRecord:
    """One that is worked on ends within a moment; what it has enrolled stays. The answer is the job as it was left."""
    services = services_of(request)

    def end() -> Job:
        _allowed(services, job_id, caller)
        return services.jobs.cancel(job_id)

    found = await anyio.to_thread.run_sync(end, limiter=services.limiter)
    services.audit.record(caller, "job_cancel", gallery=found.gallery, detail={"job": found.id})
    return _record(found)


@router.get(
    "/{job_id}/events",
    summary="A job's progress as it comes",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def events(request: Request, job_id: str, caller: _Enroll) -> StreamingResponse:
    """Server-sent events named ``job``, each with the job in JSON, until it has ended."""
    services = services_of(request)
    run = functools.partial(anyio.to_thread.run_sync, limiter=services.limiter)
    await run(_allowed, services, job_id, caller)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(services, job_id, run), media_type="text/event-stream", headers=headers)


async def _events(services: Services, job_id: str, run: Callable[..., Any]) -> AsyncIterator[str]:
    told_at = time.monotonic()
    try:
        async for found in services.jobs.watch(job_id, run):
            if found is not None:
                yield f"event: job\ndata: {json.dumps(_record(found).model_dump())}\n\n"
            elif time.monotonic() - told_at < _STILL_THERE_S:
                continue
            else:
                yield ": still there\n\n"
            told_at = time.monotonic()
    except JobNotFound:
        return


def _allowed(services: Services, job_id: str, caller: Caller) -> Job:
    """The job; one of a gallery that the key does not open is none. Raises JobNotFound."""
    found = services.jobs.get(job_id)
    if not caller.may_use(found.gallery):
        raise JobNotFound(f"there is no job {job_id[:64]!r}")
    return found


def _record(job: Job) -> JobRecord:
    return JobRecord.model_validate({name: getattr(job, name) for name in JobRecord.model_fields})
