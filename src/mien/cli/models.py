"""``mien models``: list, show, pull, add, check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.command import command
from mien.cli.models_profile import profile
from mien.cli.output import Output
from mien.cli.records import Record
from mien.cli.servers import Place
from mien.cli.usage import PlainCommand
from mien.errors import MienError, ModelNotFound

if TYPE_CHECKING:
    from mien.zoo import Card

__all__ = ["models"]

models = typer.Typer(name="models", no_args_is_help=True, help="Models: what there is, their licenses and their files.")
models.command(cls=PlainCommand)(profile)

_FIELDS = ("name", "task", "license", "commercial", "accepted", "present", "space", "description")
AcceptOption = Annotated[
    bool,
    typer.Option("--accept-license", help="Agree to the license of a model that is not free for commercial use."),
]


@models.command(name="list", cls=PlainCommand)
@command
def list_models(place: Place, output: Output) -> None:
    """List the models, with their licenses and whether their files are on this machine, or on the server.

    Example: mien models list
    """
    output.columns("name", "task", "license", "commercial", "present", "description")
    for record in _records(place):
        commercial = "yes" if record["commercial"] else "no"
        if not record["commercial"] and record["accepted"]:
            commercial = "no (agreed)"
        present = "yes" if record["present"] else "no"
        cells = (record["name"], record["task"], record["license"], commercial, present, record["description"])
        output.result(record, cells)


@models.command(cls=PlainCommand)
@command
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The model's name.")], output: Output
) -> None:
    """Show a model's card: license, file, input and output.

    Example: mien models show sface
    """
    from mien.zoo import card

    found = card(name)
    state = _record(found)
    record = {**found.model_dump(mode="json"), **{key: state[key] for key in ("accepted", "present", "space")}}
    output.columns("fact", "value")
    output.result(record, *_facts(record))


@models.command(cls=PlainCommand)
@command
def pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", show_default=False, help="The models' names.")],
    output: Output,
    accept_license: AcceptOption = False,
) -> None:
    """Fetch models, check and convert their files, so that they are ready without a network.

    Example: mien models pull sface dlib-resnet
    """
    from mien import zoo

    output.columns("name", "file")
    for name in names:
        try:
            card = zoo.card(name)
            for model in zoo.part_cards(card) or [card]:
                if accept_license:
                    zoo.accept_license(model)
                path = _resolve(model, output)
                output.result({"name": model.name, "path": str(path)}, (model.name, str(path)))
        except MienError as error:
            output.failure({"name": name}, error)


@models.command(cls=PlainCommand)
@command
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False, help="The model, an ONNX file.")],
    output: Output,
    card: Annotated[
        str,
        typer.Option(
            metavar="CARD", show_default=False, help="The model's card, a TOML file; or a template: arcface or scrfd."
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", show_default=False, help="What to call it; by default the card's or the file's name."
        ),
    ] = None,
    accept_license: AcceptOption = False,
) -> None:
    """Take in a model file of your own, with a card that says what it is.

    Example: mien models add glint.onnx --card arcface --name glint --accept-license
    """
    from mien import zoo

    added = zoo.add(file, card, name=name, accept_license=accept_license)
    output.columns("name", "task", "license")
    output.result(_record(added), (added.name, added.task, added.license.id))


@models.command(cls=PlainCommand)
@command
def fuse(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="What to call the new model.")],
    output: Output,
    part: Annotated[
        list[str],
        typer.Option(
            metavar="CARD=SHARE",
            show_default=False,
            help="An embedder and its share of the score, as in sface=0.4; give two or more.",
        ),
    ],
    threshold: Annotated[
        float, typer.Option(min=-1, max=1, show_default=False, help="Score from which two faces match.")
    ],
    note: Annotated[str, typer.Option(help="Where the threshold comes from.")] = "",
) -> None:
    """Make a model of several embedders: one template, whose score is the weighted mean of theirs.

    Its templates are a space of their own. Measure the threshold with mien evaluate pairs --embedder NAME.

    Example: mien models fuse both --part sface=0.4 --part dlib-resnet=0.6 --threshold 0.7
    """
    from mien import zoo

    parts = [(zoo.card(model), share) for model, share in map(_share, part)]
    made = zoo.add_fused(zoo.fuse(name, parts, threshold=threshold, note=note))
    output.columns("name", "task", "license", "space")
    output.result(_record(made), (made.name, made.task, made.license.id, made.space))


def _share(text: str) -> tuple[str, float]:
    name, _, share = text.rpartition("=")
    try:
        return name, float(share)
    except ValueError as error:
        raise typer.BadParameter(
            f"expected a card and its share, as in sface=0.4, got {text!r}", param_hint="--part"
        ) from error


@models.command(cls=PlainCommand)
@command
def check(
    output: Output,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME...", show_default=False, help="The models' names; by default all on this machine."
        ),
    ] = None,
) -> None:
    """Check the files of models against their cards; nothing is fetched or repaired.

    Example: mien models check
    """
    from mien import zoo

    output.columns("name", "intact", "file")
    for name in names if names else [card.name for card in zoo.cards()]:
        try:
            path = zoo.check(zoo.card(name))
        except ModelNotFound as error:
            if names:
                output.failure({"name": name}, error)
        except MienError as error:
            output.failure({"name": name}, error)
        else:
            output.result({"name": name, "intact": True, "path": str(path)}, (name, "yes", str(path)))


def _records(place: Place) -> list[Record]:
    """All models, here or on the server."""
    if not place.remote:
        from mien.zoo import cards

        return [_record(card) for card in cards()]
    with place.client() as client:
        return [{name: model.record[name] for name in _FIELDS} for model in client.models()]


def _record(card: Card) -> Record:
    from mien.zoo import is_present, license_accepted

    return {
        "name": card.name,
        "task": card.task,
        "license": card.license.id,
        "commercial": card.license.commercial,
        "accepted": license_accepted(card),
        "present": is_present(card),
        "space": card.space if card.task == "embedder" else None,
        "description": card.description,
    }


def _facts(record: Record, prefix: str = "") -> list[tuple[str, str]]:
    """Dotted names and values of a nested record."""
    facts: list[tuple[str, str]] = []
    for key, value in record.items():
        if isinstance(value, dict):
            facts += _facts(value, f"{prefix}{key}.")
        elif key == "parts":
            facts += [fact for part in value for fact in _facts(part, f"parts.{part['card']}.")]
        elif value is not None:
            facts.append((prefix + key, _shown(value)))
    return facts


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _resolve(card: Card, output: Output) -> Path:
    from mien.zoo import resolve

    with output.progress(card.name, card.file.size_bytes, unit="bytes") as advance:
        seen = 0

        def told(fetched: int, _total: int | None) -> None:
            nonlocal seen
            advance(fetched - seen)
            seen = fetched

        return resolve(card, progress=told)
