"""Every error mien raises on purpose: one tree, each leaf with a stable ``code``.

The code is what the command line, the server and the logs show, so programs can rely on it; the
message is for people and may change. Each error says what was expected and what was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mien.types import QualityReason

__all__ = [
    "BadCard",
    "BadCheckpoint",
    "BadGallery",
    "BadImage",
    "BadInput",
    "BadKey",
    "BadPack",
    "BadSettings",
    "CacheError",
    "CalibrationNotFound",
    "ConnectionLost",
    "Forbidden",
    "GalleryError",
    "GalleryExists",
    "GalleryLocked",
    "GalleryNotFound",
    "HashMismatch",
    "IdempotencyMismatch",
    "IdentityExists",
    "IdentityNotFound",
    "JobNotFound",
    "KeyMissing",
    "LicenseRefused",
    "MienError",
    "MissingExtra",
    "ModelNotFound",
    "NoFace",
    "OutputError",
    "Overloaded",
    "QualityRefused",
    "RankLost",
    "RateLimited",
    "RuntimeFailed",
    "SampleNotFound",
    "ServerError",
    "SeveralFaces",
    "SpaceMismatch",
    "TemplateNotFound",
    "TimedOut",
    "TooLarge",
    "TrainingDiverged",
    "Unauthorized",
    "WorkerLost",
]


class MienError(Exception):
    """Base of all errors that mien raises on purpose."""

    code = "error"

    @property
    def message(self) -> str:
        """What went wrong, in one line, without the code."""
        return str(self)


class BadInput(MienError, ValueError):
    """An argument has the wrong shape, type or range."""

    code = "bad_input"


class BadImage(MienError):
    """The source is no image that can be decoded within the limits."""

    code = "bad_image"


class BadSettings(MienError, ValueError):
    """A setting is unknown, of the wrong type or out of range."""

    code = "bad_settings"


class NoFace(MienError):
    """A call that needs one face found none."""

    code = "no_face"


class SeveralFaces(MienError):
    """A call that needs one face found several."""

    code = "several_faces"


class QualityRefused(MienError):
    """A face is not good enough to be enrolled.

    Args:
        message: for people.
        reasons: each limit that was not kept, with what was measured.
    """

    code = "quality_refused"

    def __init__(self, message: str, reasons: tuple[QualityReason, ...] = ()) -> None:
        super().__init__(message)
        self.reasons = reasons


class SpaceMismatch(MienError):
    """Templates of two embedding spaces were to be compared or stored together."""

    code = "space_mismatch"


class ModelNotFound(MienError):
    """No card has that name, or its file is in none of its sources."""

    code = "model_not_found"


class SampleNotFound(MienError):
    """A sample photograph could not be had from the package it is published in (offline, no pip)."""

    code = "sample_not_found"


class BadCard(MienError):
    """A model card is malformed, or does not fit the model it describes."""

    code = "bad_card"


class HashMismatch(MienError):
    """A file's sha256 is not the one its card states."""

    code = "hash_mismatch"


class LicenseRefused(MienError):
    """A non-commercial model was asked for without the user's consent on record."""

    code = "license_refused"


class CacheError(MienError):
    """The cache folder cannot be read or written (permissions, disk full)."""

    code = "cache_error"


class CalibrationNotFound(MienError):
    """A false match rate was asked for, and the embedding space has no calibration."""

    code = "calibration_not_found"


class OutputError(MienError):
    """A result cannot be written where it was asked for (no such folder, disk full, a foreign file in its place)."""

    code = "output_error"


class MissingExtra(MienError, ImportError):
    """An optional package is needed; the message names the extra that brings it."""

    code = "missing_extra"


class RuntimeFailed(MienError):
    """An inference runtime refused a model or an input."""

    code = "runtime_failed"


class GalleryError(MienError):
    """A gallery could not do what was asked (disk full, read-only, connection lost)."""

    code = "gallery_error"


class BadGallery(GalleryError):
    """The URL or file is no gallery that this version of mien can open."""

    code = "bad_gallery"


class GalleryLocked(GalleryError):
    """Another process holds the gallery's write lock for longer than the time-out."""

    code = "gallery_locked"


class ConnectionLost(GalleryError):
    """The server of a gallery cannot be reached, or the connection to it broke; calling again may work."""

    code = "connection_lost"


class IdentityNotFound(GalleryError):
    """The gallery holds no identity of that name."""

    code = "identity_not_found"


class TemplateNotFound(GalleryError):
    """The gallery holds no template of that id."""

    code = "template_not_found"


class BadKey(GalleryError):
    """A key that is no key, or not the one an encrypted gallery was made with."""

    code = "bad_key"


class KeyMissing(GalleryError):
    """An encrypted gallery was opened without its key, or the key's file cannot be read."""

    code = "key_missing"


class BadPack(MienError):
    """A pack of training images, or the index of one, is damaged or is none."""

    code = "bad_pack"


class BadCheckpoint(MienError):
    """A checkpoint of a training run is damaged, incomplete or of other weights."""

    code = "bad_checkpoint"


class TrainingDiverged(MienError):
    """A loss is not finite; the run stopped and kept the batch."""

    code = "training_diverged"


class RankLost(MienError):
    """Another process of a distributed training run has died, hangs, or never came."""

    code = "rank_lost"


class WorkerLost(MienError):
    """A process that works for this one ended before its work was done."""

    code = "worker_lost"


class Unauthorized(MienError):
    """A request to a server brought no key, or one that is unknown, expired or revoked."""

    code = "unauthorized"


class Forbidden(MienError):
    """A key does not allow what was asked, or a browser's request came from a foreign page."""

    code = "forbidden"


class TooLarge(MienError):
    """A request is larger than the server takes."""

    code = "too_large"


class TimedOut(MienError):
    """A request came too slowly."""

    code = "timed_out"


class GalleryNotFound(BadGallery):
    """There is no gallery of that name."""

    code = "gallery_not_found"


class GalleryExists(GalleryError):
    """There is a gallery of that name already."""

    code = "gallery_exists"


class IdentityExists(GalleryError):
    """The gallery holds an identity of that name already."""

    code = "identity_exists"


class JobNotFound(MienError):
    """There is no job of that id."""

    code = "job_not_found"


class IdempotencyMismatch(MienError):
    """An idempotency key was used again for another request."""

    code = "idempotency_mismatch"


class ServerError(MienError):
    """A server failed, or what answered is no mien server."""

    code = "server_error"


class RateLimited(MienError):
    """A key has sent more requests than it may.

    Args:
        message: for people.
        retry_after_s: after how many seconds it may work, if that is known.
    """

    code = "rate_limited"

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Overloaded(MienError):
    """A server has more work than it can do in time.

    Args:
        message: for people.
        retry_after_s: after how many seconds it may work, if that is known.
    """

    code = "overloaded"

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
