"""``mien data preview``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from mien.cli.command import command
from mien.cli.options import OverwriteOption
from mien.cli.output import Output
from mien.cli.whole_files import replacing, require_place
from mien.errors import BadImage, BadInput, BadPack

if TYPE_CHECKING:
    from mien.training.augmentation import AugmentationSettings
    from mien.training.augmentation.previewing import PreviewColumn
    from mien.training.augmentation.settings import PresetName
    from mien.training.data import Index
    from mien.types import FloatArray, ImageArray

__all__ = ["preview"]

_PRESETS = "none|flip|light|default|strong|surveillance"
_PAPER, _INK, _FAINT = (250, 250, 250), (20, 20, 20), (110, 110, 110)
_GAP_PX, _HEAD_PX, _TEXT_PX = 4, 34, 12


@command
def preview(
    index: Annotated[Path, typer.Argument(metavar="INDEX", show_default=False, help="A pack's folder, or its index.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.png", show_default=False, help="Where the sheet goes.")],
    output: Output,
    preset: Annotated[str, typer.Option(metavar=_PRESETS, help="Probabilities and strengths.")] = "default",
    recipe: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Those of a training recipe, in place of a preset.")
    ] = None,
    operation: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this operation; can be given several times.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, max=500, help="How many images: rows of the sheet.")] = 8,
    together: Annotated[int, typer.Option(min=0, max=50, help="Columns with all operations together.")] = 2,
    zoom: Annotated[float, typer.Option(min=0.25, max=8, help="Pixels of the sheet for one of an image.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Another number shows other images and changes.")] = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Draw what augmentation does to aligned faces: a sheet with a row for each image, a column for each operation.

    Each operation is shown by itself, on every image and as strong as the preset has it; the last columns show all
    together, as training sees them.

    Example: mien data preview packs/faces --out sheet.png --preset strong
    """
    from mien.training.requirements import need_parquet

    need_parquet()
    import cv2
    import numpy as np

    from mien.training.augmentation.previewing import preview as columns_of
    from mien.training.data import read_index

    settings = _settings(preset, recipe)
    _check_operations(operation)
    if out.suffix.lower() != ".png":
        raise typer.BadParameter(f"expected a name that ends in .png, got {out}", param_hint="--out")
    require_place(out, overwrite=overwrite)
    pack = read_index(index)
    rows, photos, landmarks = _chosen(pack, images, seed, output)
    columns = columns_of(photos, landmarks, settings, operations=operation, together=together, seed=seed)
    sheet = _sheet(columns, zoom)
    _, encoded = cv2.imencode(".png", np.ascontiguousarray(sheet[..., ::-1]))
    with replacing(out) as temporary:
        temporary.write_bytes(encoded.tobytes())
    shown = [column.title for column in columns]
    output.columns("sheet", "images", "columns")
    record: dict[str, Any] = {"sheet": str(out), "rows": rows, "columns": shown}
    output.result(record, (str(out), str(len(rows)), ", ".join(shown)))


def _settings(preset: str, recipe: Path | None) -> AugmentationSettings:
    if recipe is not None:
        from mien.training.requirements import need_torch

        need_torch()
        from mien.training.settings_files import read_settings

        return read_settings(recipe).augmentation
    from mien.training.augmentation import PRESETS, AugmentationSettings

    if preset not in PRESETS:
        raise typer.BadParameter(f"expected one of {', '.join(PRESETS)}, got {preset}", param_hint="--preset")
    return AugmentationSettings(preset=cast("PresetName", preset))


def _check_operations(names: list[str] | None) -> None:
    from mien.training.augmentation import OPERATIONS

    for name in names or ():
        if name not in OPERATIONS:
            raise typer.BadParameter(f"expected one of {', '.join(OPERATIONS)}, got {name}", param_hint="--operation")


def _chosen(
    pack: Index, count: int, seed: int, output: Output
) -> tuple[list[int], list[ImageArray], list[FloatArray | None]]:
    """Images at random that can be read; those that cannot are told."""
    import cv2
    import numpy as np

    from mien.training.data import ShardReader

    if pack.aligned is None:
        raise BadInput(f"{pack.where}: expected aligned images (mien data pack --align), got others")
    rows: list[int] = []
    photos: list[ImageArray] = []
    shape = (pack.aligned, pack.aligned)
    with ShardReader(pack) as reader:
        for row in np.random.default_rng(seed).permutation(len(pack)).tolist():
            if len(rows) == count:
                break
            try:
                data = reader.read(row)
            except BadPack as error:
                output.failure({"row": row}, error)
                continue
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            if image is None or image.shape[:2] != shape:
                output.failure({"row": row}, BadImage(f"row {row}: expected an image of {shape[0]}×{shape[1]} pixels"))
                continue
            rows.append(row)
            photos.append(np.ascontiguousarray(image[..., ::-1], np.uint8))
    if not rows:
        raise BadPack(f"{pack.where}: expected images, found none that can be read")
    return rows, photos, [pack.landmarks[row] for row in rows]


def _sheet(columns: list[PreviewColumn], zoom: float) -> ImageArray:
    """``(H, W, 3) uint8`` RGB: titles, and below each its images."""
    import cv2
    import numpy as np
    from PIL import Image, ImageDraw

    from mien.cli.fonts import font_for

    side = max(1, round(len(columns[0].images[0]) * zoom))
    step = side + _GAP_PX
    count = len(columns[0].images)
    canvas = Image.new("RGB", (len(columns) * step + _GAP_PX, count * step + _HEAD_PX), _PAPER)
    pen = ImageDraw.Draw(canvas)
    font = font_for("all", _TEXT_PX)
    for number, column in enumerate(columns):
        left = _GAP_PX + number * step
        pen.text((left, 2), column.title.replace("_", " "), fill=_INK, font=font)
        if column.probability is not None:
            pen.text((left, 4 + _TEXT_PX), f"{column.probability:.0%}", fill=_FAINT, font=font)
        for row, image in enumerate(column.images):
            shown = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC if zoom > 1 else cv2.INTER_AREA)
            canvas.paste(Image.fromarray(np.asarray(shown, np.uint8)), (left, _HEAD_PX + row * step))
    return np.asarray(canvas)
