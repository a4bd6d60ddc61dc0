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
    "GalleryError",
    "GalleryLocked",
    "HashMismatch",
    "IdentityNotFound",
    "KeyMissing",
    "LicenseRefused",
    "MienError",
    "MissingExtra",
    "ModelNotFound",
    "NoFace",
    "OutputError",
    "QualityRefused",
    "RankLost",
    "RuntimeFailed",
    "SampleNotFound",
    "SeveralFaces",
    "SpaceMismatch",
    "TemplateNotFound",
    "TrainingDiverged",
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
