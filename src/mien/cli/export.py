"""``mien export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.command import command
from mien.cli.output import Output

__all__ = ["export"]


@command
def export(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", show_default=False, help="A training run's folder, or a file of weights with --backbone."
        ),
    ],
    output: Output,
    out: Annotated[Path, typer.Option(metavar="DIR", show_default=False, help="The folder to write the model to.")],
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", show_default=False, help="What to call the model; by default as the run."),
    ] = None,
    license_id: Annotated[
        str | None,
        typer.Option(
            "--license",
            metavar="ID",
            show_default=False,
            help="The weights' license, an SPDX identifier; by default that of the data and the teacher.",
        ),
    ] = None,
    commercial: Annotated[
        bool,
        typer.Option("--commercial", help="State that commercial use is allowed, where the licenses do not tell."),
    ] = False,
    last: Annotated[
        bool, typer.Option("--last", help="The last checkpoint's weights, not those of the best evaluation.")
    ] = False,
    backbone: Annotated[
        str | None,
        typer.Option(metavar="NETWORK", show_default=False, help="The network that a file of weights is of."),
    ] = None,
    dimension: Annotated[int, typer.Option(min=1, help="Numbers in a template, for a file of weights.")] = 512,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Make a model of trained weights: an ONNX file, its card, and a page with data, license and figures.

    The file is compared with PyTorch before it is written. Commercial use is only allowed by the card where the
    licenses of all the data and of the teacher are known to allow it, or --commercial says so.

    Example: mien export runs/first --out models/first

    Example: mien export student.pt --backbone mobilefacenet --dimension 128 --out models/student
    """
    from mien.training.requirements import need_parquet, need_torch

    if run.is_file() != (backbone is not None):
        what = "expected with a file of weights" if backbone is None else f"goes with a file of weights, {run} is none"
        raise typer.BadParameter(what, param_hint="--backbone")
    need_torch()
    need_parquet()
    from mien.training.exporting import Wishes, export_run, export_weights
    from mien.training.onnx_files import OPSET
    from mien.training.runs import read_run

    wishes = Wishes(name, license_id, commercial, overwrite)
    if backbone is None:
        made = export_run(read_run(run, best=not last), out, wishes)
    else:
        made = export_weights(run, backbone, out, dimension=dimension, wishes=wishes)
    card = made.card
    output.columns("name", "onnx", "card", "license", "commercial", "difference from PyTorch")
    record = {
        "name": card.name,
        "onnx": str(made.onnx),
        "card": str(made.toml),
        "page": str(made.page),
        "opset": OPSET,
        "difference": made.difference,
        "license": card.license.id,
        "commercial": card.license.commercial,
        "threshold": None if card.embedding is None else card.embedding.threshold,
    }
    allowed = "yes" if card.license.commercial else "no"
    output.result(
        record, (card.name, str(made.onnx), str(made.toml), card.license.id, allowed, f"{made.difference:.1e}")
    )
    agree = "" if card.license.commercial else " --accept-license"
    output.say(f"Take it in with: mien models add {made.onnx} --card {made.toml}{agree}")
