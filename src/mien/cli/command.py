"""What makes a function a command: the shared options in its signature, and its errors as one line and an exit code."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import typer

from mien.cli.options import Reporting
from mien.cli.output import Output
from mien.errors import BadSettings, MienError

__all__ = ["FAILED", "INTERRUPTED", "READER_GONE", "WRONG_USAGE", "command"]

FAILED = 1
WRONG_USAGE = 2
# As shells tell of processes that SIGINT and SIGPIPE ended: 128 and the signal's number.
INTERRUPTED = 130
READER_GONE = 141


def command(function: Callable[..., None]) -> Callable[..., None]:
    """A function that Typer can turn into a command.

    A parameter whose type is a dataclass of options (``mien.cli.options``) becomes those options, after the
    function's own; one of type ``Output`` becomes ``--json`` and ``--debug``. The function raises ``MienError`` for
    what stops it as a whole and ``typer.BadParameter`` for wrong usage; ``Output.failed`` tells of single inputs.
    """
    # Not get_type_hints: before Python 3.11 it wraps a parameter with a default of None in Optional, options and all.
    signature = inspect.signature(function, eval_str=True)
    hints = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    own: list[inspect.Parameter] = []
    shared: list[inspect.Parameter] = []
    groups: dict[str, type] = {}
    for name, parameter in signature.parameters.items():
        group = Reporting if hints[name] is Output else hints[name]
        if dataclasses.is_dataclass(group) and isinstance(group, type):
            groups[name] = group
            shared += _options_of(group)
        else:
            own.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name]))

    def run(**values: Any) -> None:
        arguments: dict[str, Any] = {}
        output = Output(False, False)
        for name, group in groups.items():
            options = group(**{field.name: values.pop(field.name) for field in dataclasses.fields(group)})
            if isinstance(options, Reporting):
                output = Output(options.json_lines, options.debug)
            arguments[name] = output if isinstance(options, Reporting) else options
        code = _guarded(lambda: function(**arguments, **values), output)
        if code:
            raise typer.Exit(code)

    parameters = [*own, *shared]
    run.__name__, run.__doc__, run.__module__ = function.__name__, _paragraphs(function.__doc__), function.__module__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def _paragraphs(text: str | None) -> str | None:
    """A docstring with each paragraph on a line of its own, for the terminal to break; brackets are no markup."""
    if text is None:
        return None
    paragraphs = inspect.cleandoc(text).replace("[", r"\[").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _options_of(group: type) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in dataclasses.fields(group)
    ]


def _guarded(work: Callable[[], None], output: Output) -> int:
    """Run a command's body; its exit code. Typer's own exceptions pass through."""
    code = 0
    try:
        try:
            work()
        finally:
            # Also after an error or Ctrl-C: what was found until then is worth its table.
            output.close()
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except BrokenPipeError:
        # The reader has had enough, as with "| head": no fault to report, and nobody to report it to.
        return READER_GONE
    except KeyboardInterrupt:
        output.note("interrupted")
        return INTERRUPTED
    except MienError as error:
        output.failure({}, error)
        code = WRONG_USAGE if isinstance(error, BadSettings) else FAILED
    except Exception as error:
        output.crash(error)
        code = FAILED
    return FAILED if output.failed and code == 0 else code
