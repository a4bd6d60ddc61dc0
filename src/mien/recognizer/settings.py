"""What a ``Recognizer`` is made of and how it works, as one checked value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from mien.detection import DetectorOptions
from mien.errors import BadSettings
from mien.quality import QualityLimits
from mien.runtimes import RuntimeOptions

__all__ = ["Settings"]

_FILE_VARIABLE = "MIEN_SETTINGS"
# The model cache's and the measuring data's folders, an encrypted gallery's key, a server's address: read where used.
_OTHER_VARIABLES = {_FILE_VARIABLE, "MIEN_CACHE", "MIEN_DATA", "MIEN_GALLERY_KEY", "MIEN_SERVER"}
# The server's settings, and the key that a client of it has.
_OTHER_PARTS = "MIEN_SERVER_"


class Settings(BaseSettings):
    """Settings of a ``Recognizer``: given here, or else from ``MIEN_*`` variables, or else from a TOML file.

    The file is the one that the variable ``MIEN_SETTINGS`` names. A variable is a field's name in capitals
    after ``MIEN_``, as ``MIEN_EMBEDDER=dlib-resnet``. Both are read when a ``Settings`` is made, not on import.

    Attributes:
        detector: name of the detector's model card.
        embedder: name of the embedder's model card.
        runtime: ``onnx`` or ``openvino`` (extra ``openvino``).
        precision: ``f32``, or ``bf16`` with OpenVINO on processors that have it.
        threads: threads for one call of a network; None for one a core.
        providers: ONNX Runtime's execution providers in order of preference.
        min_face: side in pixels of the smallest face to be found, or -1 to adapt to each image.
        min_score: lowest detection score of a face, 0..1.
        max_overlap: overlap of two boxes above which the weaker one is dropped, 0..1.
        flip: average each template with that of the mirrored chip, at twice the time.
        threshold: comparison score from which two templates match; None for the model card's.
        calibration: a file that ``mien calibrate`` made, for the embedder's space; None for the one in the cache
            folder or, without it, the one that comes with mien.
        quality: what a face must be like to be enrolled: ``default``, ``strict``, ``off``, or limits of your own.
        upright: whether quality and enrollment look at a photo that may not be upright from its other sides too.
        batch: images that go through the pipeline together.
        max_pixels: largest image that is decoded, in pixels.

    Raises:
        BadSettings: an unknown name, a wrong type or a value out of range; the message says which.
    """

    model_config = SettingsConfigDict(env_prefix="MIEN_", frozen=True, extra="forbid")

    detector: str = "yunet"
    embedder: str = "sface"
    runtime: Literal["onnx", "openvino"] = "onnx"
    precision: Literal["f32", "bf16"] = "f32"
    threads: int | None = Field(default=None, ge=1, le=1024)
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    min_face: int = Field(default=40, ge=-1, le=100_000)
    min_score: float = Field(default=0.6, gt=0, le=1)
    max_overlap: float = Field(default=0.3, gt=0, le=1)
    flip: bool = False
    threshold: float | None = Field(default=None, ge=-1, le=1)
    calibration: Path | None = None
    quality: QualityLimits | Literal["strict", "default", "off"] = "default"
    upright: bool = True
    batch: int = Field(default=16, ge=1, le=4096)
    max_pixels: int = Field(default=100_000_000, ge=1)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise BadSettings("; ".join(map(_told, _faults(error)))) from error
        except SettingsError as error:  # a variable whose text is not the JSON that its type needs
            raise BadSettings(f"{error}: expected JSON, as in MIEN_PROVIDERS='[\"CPUExecutionProvider\"]'") from error
        unknown = {v for v in os.environ if v.startswith("MIEN_") and not v.startswith(_OTHER_PARTS)}
        unknown -= _OTHER_VARIABLES | {f"MIEN_{field.upper()}" for field in type(self).model_fields}
        if unknown:
            raise BadSettings(f"unknown variables {', '.join(sorted(unknown))}; known: MIEN_ and one of {_known()}")
        # The parts check what is theirs; making them here moves their errors to where the value was given.
        self.runtime_options()
        self.detector_options()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then variables, then the file."""
        file = os.environ.get(_FILE_VARIABLE)
        if file is None:
            return init_settings, env_settings
        if not Path(file).is_file():
            raise BadSettings(f"{_FILE_VARIABLE}: expected a TOML file, got {file}")
        try:
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, Path(file))
        except ValueError as error:
            raise BadSettings(f"{file}: is no TOML: {error}") from error

    def runtime_options(self) -> RuntimeOptions:
        """The part that is the runtime's."""
        return RuntimeOptions(self.runtime, self.threads, self.precision, self.providers)

    def detector_options(self) -> DetectorOptions:
        """The part that is the detector's."""
        return DetectorOptions(self.min_face, self.min_score, self.max_overlap)

    def quality_limits(self) -> QualityLimits:
        """What enrollment checks, the profile's limits filled in."""
        return QualityLimits.model_validate(self.quality)


def _known() -> str:
    return ", ".join(Settings.model_fields)


def _faults(error: ValidationError) -> list[Mapping[str, Any]]:
    """Pydantic's errors, without those that only say that a table of limits is no profile's name either."""
    return [f for f in error.errors(include_url=False) if not str(f["loc"][-1]).startswith("literal[")]


def _told(fault: Mapping[str, Any]) -> str:
    """One of pydantic's errors in a line: which setting, what is wrong, what was given."""
    name = ".".join(str(part) for part in fault["loc"] if part != QualityLimits.__name__)
    if fault["type"] == "extra_forbidden":
        known = _known() if len(fault["loc"]) == 1 else ", ".join(QualityLimits.model_fields)
        return f"{name}: no such setting; known: {known}"
    return f"{name}: {fault['msg']}, got {fault['input']!r}"
