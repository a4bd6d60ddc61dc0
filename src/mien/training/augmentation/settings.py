"""How likely and how strong each change of an image is, and the presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import ArgsKwargs

from mien.training.augmentation.presets import PRESETS

__all__ = [
    "AffineSettings",
    "AugmentationSettings",
    "BrightnessSettings",
    "ContrastSettings",
    "CropSettings",
    "ErasingSettings",
    "FlipSettings",
    "GaussianBlurSettings",
    "GaussianNoiseSettings",
    "GlassesSettings",
    "GraySettings",
    "HeadscarfSettings",
    "HueSettings",
    "JpegSettings",
    "MaskSettings",
    "MaskShape",
    "MotionBlurSettings",
    "PoissonNoiseSettings",
    "PresetName",
    "ResampleSettings",
    "SaturationSettings",
    "SunglassesSettings",
]

_CONFIG = ConfigDict(extra="forbid")
Share = Annotated[float, Field(ge=0, le=1)]
MaskShape = Literal["surgical", "cup", "cloth", "low"]
PresetName = Literal["none", "flip", "light", "default", "strong", "surveillance"]


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class FlipSettings:
    """Left and right swapped.

    Attributes:
        probability: share of the images.
    """

    probability: Share = 0.0


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class AffineSettings:
    """Turned, scaled and moved, as by a detector that errs; what comes in from outside is black, as in aligned chips.

    Attributes:
        probability: share of the images.
        turn_deg: largest turn to either side.
        zoom: largest share by which it grows or shrinks.
        shift_px: largest move in x and in y, of 112 pixels.
    """

    probability: Share = 0.0
    turn_deg: Annotated[float, Field(ge=0, le=180)] = 5.0
    zoom: Annotated[float, Field(ge=0, lt=1)] = 0.05
    shift_px: Annotated[float, Field(ge=0, le=56)] = 2.0


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class CropSettings:
    """A part stays in its place and the rest is black (Kim and others, AdaFace, CVPR 2022, section 4.1).

    Attributes:
        probability: share of the images.
        least: smallest share of the area that stays.
    """

    probability: Share = 0.0
    least: Annotated[float, Field(gt=0, le=1)] = 0.3


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class MaskSettings:
    """A face mask, drawn.

    Attributes:
        probability: share of the images.
        shapes: of which one is taken: ``surgical`` with pleats, ``cup`` (a respirator), ``cloth``, ``low`` (worn below
            the nose).
        variety: how far edges and colors differ from image to image; 0 draws all alike.
    """

    probability: Share = 0.0
    shapes: Annotated[tuple[MaskShape, ...], Field(min_length=1)] = ("surgical", "cup", "cloth", "low")
    variety: Share = 0.5


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class GlassesSettings:
    """Glasses that can be looked through, drawn; never together with sunglasses.

    Attributes:
        probability: share of the images.
        variety: how far shapes, colors and reflections differ from image to image; 0 draws all alike.
    """

    probability: Share = 0.0
    variety: Share = 0.5


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class SunglassesSettings:
    """Dark glasses, drawn.

    Attributes:
        probability: share of the images.
        least_opacity: share of the light that the lightest lenses hold back; the darkest hold back all.
        variety: how far shapes and colors differ from image to image; 0 draws all alike.
    """

    probability: Share = 0.0
    least_opacity: Share = 0.75
    variety: Share = 0.5


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class HeadscarfSettings:
    """A headscarf around the face, drawn.

    Attributes:
        probability: share of the images.
        variety: how far its edge and color differ from image to image; 0 draws all alike.
    """

    probability: Share = 0.0
    variety: Share = 0.5


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class BrightnessSettings:
    """All levels times one number.

    Attributes:
        probability: share of the images.
        change: largest share by which they rise or fall.
    """

    probability: Share = 0.0
    change: Share = 0.3


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class ContrastSettings:
    """Distances from the mean level times one number.

    Attributes:
        probability: share of the images.
        change: largest share by which they rise or fall.
    """

    probability: Share = 0.0
    change: Share = 0.3


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class SaturationSettings:
    """Distances from gray times one number.

    Attributes:
        probability: share of the images.
        change: largest share by which they rise or fall.
    """

    probability: Share = 0.0
    change: Share = 0.4


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class HueSettings:
    """Colors turned on the color circle.

    Attributes:
        probability: share of the images.
        turn_deg: largest turn to either side.
    """

    probability: Share = 0.0
    turn_deg: Annotated[float, Field(ge=0, le=180)] = 10.0


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class GraySettings:
    """No colors.

    Attributes:
        probability: share of the images.
    """

    probability: Share = 0.0


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class ErasingSettings:
    """A rectangle of noise (Zhong and others, Random erasing, AAAI 2020).

    Attributes:
        probability: share of the images.
        largest: largest share of the area.
    """

    probability: Share = 0.0
    largest: Annotated[float, Field(gt=0, le=1)] = 0.2


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class GaussianBlurSettings:
    """Out of focus.

    Attributes:
        probability: share of the images.
        sigma_px: largest standard deviation, of 112 pixels.
    """

    probability: Share = 0.0
    sigma_px: Annotated[float, Field(gt=0, le=20)] = 2.0


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class MotionBlurSettings:
    """Smeared along a line in any direction.

    Attributes:
        probability: share of the images.
        length_px: longest line, of 112 pixels.
    """

    probability: Share = 0.0
    length_px: Annotated[float, Field(gt=1, le=56)] = 7.0


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class ResampleSettings:
    """Made small and large again, by methods drawn at random.

    Attributes:
        probability: share of the images.
        smallest_px: smallest side on the way; 112 pixels would change nothing.
    """

    probability: Share = 0.0
    smallest_px: Annotated[int, Field(ge=4, le=112)] = 28


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class GaussianNoiseSettings:
    """Noise that is the same in dark and light parts.

    Attributes:
        probability: share of the images.
        sigma: largest standard deviation, of 255 levels.
    """

    probability: Share = 0.0
    sigma: Annotated[float, Field(gt=0, le=128)] = 12.0


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class PoissonNoiseSettings:
    """Noise as of few photons, stronger in light parts.

    Attributes:
        probability: share of the images.
        photons: fewest that a white pixel counts; the fewer, the more noise.
    """

    probability: Share = 0.0
    photons: Annotated[float, Field(ge=1, le=100000)] = 300.0


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class JpegSettings:
    """Compressed once more.

    Attributes:
        probability: share of the images.
        lowest: lowest JPEG quality; the highest is 95.
    """

    probability: Share = 0.0
    lowest: Annotated[int, Field(ge=1, le=95)] = 30


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class AugmentationSettings:
    """What is done to images before they are trained on.

    A preset says all; what is set beside it takes its place, value by value: ``preset = "light"`` and
    ``jpeg.probability = 0.5`` leaves JPEG's qualities as ``light`` has them. An operation given as an object, not as a
    table, is taken as it is. Each operation's strength is drawn anew for each image, up to the one stated.

    Attributes:
        preset: ``none``; ``flip`` alone; ``light``, ``default`` and ``strong`` for photos of ever lower quality and
            with ever more that hides the face; ``surveillance`` for far, small, noisy and compressed faces.
        mask: see ``MaskSettings``.
        glasses: see ``GlassesSettings``.
        sunglasses: see ``SunglassesSettings``.
        headscarf: see ``HeadscarfSettings``.
        flip: see ``FlipSettings``.
        affine: see ``AffineSettings``.
        crop: see ``CropSettings``.
        brightness: see ``BrightnessSettings``.
        contrast: see ``ContrastSettings``.
        saturation: see ``SaturationSettings``.
        hue: see ``HueSettings``.
        gray: see ``GraySettings``.
        erasing: see ``ErasingSettings``.
        gaussian_blur: see ``GaussianBlurSettings``.
        motion_blur: see ``MotionBlurSettings``.
        resample: see ``ResampleSettings``.
        gaussian_noise: see ``GaussianNoiseSettings``.
        poisson_noise: see ``PoissonNoiseSettings``.
        jpeg: see ``JpegSettings``.
    """

    preset: PresetName = "default"
    mask: MaskSettings = MaskSettings()
    glasses: GlassesSettings = GlassesSettings()
    sunglasses: SunglassesSettings = SunglassesSettings()
    headscarf: HeadscarfSettings = HeadscarfSettings()
    flip: FlipSettings = FlipSettings()
    affine: AffineSettings = AffineSettings()
    crop: CropSettings = CropSettings()
    brightness: BrightnessSettings = BrightnessSettings()
    contrast: ContrastSettings = ContrastSettings()
    saturation: SaturationSettings = SaturationSettings()
    hue: HueSettings = HueSettings()
    gray: GraySettings = GraySettings()
    erasing: ErasingSettings = ErasingSettings()
    gaussian_blur: GaussianBlurSettings = GaussianBlurSettings()
    motion_blur: MotionBlurSettings = MotionBlurSettings()
    resample: ResampleSettings = ResampleSettings()
    gaussian_noise: GaussianNoiseSettings = GaussianNoiseSettings()
    poisson_noise: PoissonNoiseSettings = PoissonNoiseSettings()
    jpeg: JpegSettings = JpegSettings()

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: Any) -> Any:
        """The preset's tables, with what was given in them."""
        values = given.kwargs if isinstance(given, ArgsKwargs) else given
        values = {} if values is None else values
        if not isinstance(values, Mapping):
            return given
        name = values.get("preset", "default")
        if not isinstance(name, str) or name not in PRESETS:
            return given
        filled: dict[str, Any] = {key: dict(table) for key, table in PRESETS[name].items()}
        for key, value in values.items():
            filled[key] = {**filled.get(key, {}), **value} if isinstance(value, Mapping) else value
        return ArgsKwargs(given.args, filled) if isinstance(given, ArgsKwargs) else filled
