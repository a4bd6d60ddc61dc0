"""A request as data: what is sent, and how the answer is read; ``Client`` and ``AsyncClient`` send the very same."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from mien.errors import MienError, ServerError

__all__ = ["Answer", "Call", "Talk"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    Attributes:
        url: where the server is, for messages.
        status: the HTTP status.
        headers: by their names in small letters.
        content: the body.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ServerError: it is none.
        """
        try:
            return json.loads(self.content)
        except ValueError as error:
            kind = self.headers.get("content-type", "no content type")
            raise ServerError(
                f"{self.url}: expected JSON of a mien server, got {kind} with status {self.status}"
            ) from error


@dataclass(frozen=True, slots=True)
class Call(Generic[Result]):
    """One request.

    Attributes:
        method: the HTTP method.
        path: below the server's address, quoted where that is needed.
        read: makes the result of an answer with a good status, or the error that it tells of.
        query: query parameters; None is left out, a list is given several times.
        json: a JSON body, if it has one.
        body: a body of bytes, if it has one.
        files: the parts of a multipart body, if it has one: field, file name, content.
        headers: further headers.
        repeatable: whether doing it twice is as good as doing it once, so that it may be sent again when nobody knows
            whether it arrived.
        about: what an error's message names in the place of "image bytes": the image's path.
    """

    method: str
    path: str
    read: Callable[[Answer], Result | MienError]
    query: Mapping[str, Any] = field(default_factory=dict)
    json: Any = field(default=None, repr=False)
    body: bytes | None = field(default=None, repr=False)
    files: tuple[tuple[str, str, bytes], ...] = field(default=(), repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = False
    about: str | None = None

    def parameters(self) -> list[tuple[str, str]]:
        """The query as pairs of texts."""
        pairs: list[tuple[str, str]] = []
        for name, value in self.query.items():
            for one in value if isinstance(value, (list, tuple)) else (value,):
                if one is not None:
                    pairs.append((name, str(one).lower() if isinstance(one, bool) else str(one)))
        return pairs

    def result(self, answer: Answer) -> Result:
        """What the answer says.

        Raises:
            MienError: it tells of an error.
            ServerError: it is not what a mien server answers.
        """
        try:
            found = self.read(answer)
        except ServerError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ServerError(
                f"{answer.url}: expected the answer of a mien server to {self.method} {self.path}, got one that cannot "
                f"be read: {type(error).__name__}: {error}"
            ) from error
        if isinstance(found, MienError):
            raise found
        return found


Talk: TypeAlias = Generator[Call[Any], Any, Result]
"""Several requests that make one result: a generator that yields calls, is sent their results, and returns its own."""
