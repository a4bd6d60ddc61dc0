"""The line "Usage" of a command's help."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

__all__ = ["PlainCommand"]


class PlainCommand(TyperCommand):
    """A command whose usage reads ``IMG...`` and ``[NAME...]``, as the arguments' metavars do.

    Typer itself adds braces, brackets and dots to them, in ways that differ from version to version.
    """

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words behind the program's name."""
        arguments = [p for p in self.get_params(ctx) if p.param_type_name == "argument"]
        names = [(str(p.metavar if p.metavar is not None else p.name), p.required) for p in arguments]
        return ["[OPTIONS]", *(name if required else f"[{name}]" for name, required in names)]
