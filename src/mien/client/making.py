"""Methods out of described calls: each call is written once, and sent by both clients."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from mien.client.call import Call, Talk

if TYPE_CHECKING:
    from mien.client.asynchronous import AsyncClient, AsyncRemoteGallery
    from mien.client.client import Client
    from mien.client.gallery import RemoteGallery

__all__ = ["awaits", "awaits_named", "awaits_talk", "sends", "sends_named", "sends_talk"]

_P = ParamSpec("_P")
_Result = TypeVar("_Result")


def sends(describe: Callable[_P, Call[_Result]]) -> Callable[Concatenate[Client, _P], _Result]:
    """A method of ``Client`` that sends a call."""

    def method(client: Client, /, *args: _P.args, **options: _P.kwargs) -> _Result:
        return client.send(describe(*args, **options))

    _name(method, describe, 0)
    return method


def awaits(
    describe: Callable[_P, Call[_Result]],
) -> Callable[Concatenate[AsyncClient, _P], Coroutine[Any, Any, _Result]]:
    """A method of ``AsyncClient`` that sends a call."""

    async def method(client: AsyncClient, /, *args: _P.args, **options: _P.kwargs) -> _Result:
        return await client.send(await client.described(functools.partial(describe, *args, **options)))

    _name(method, describe, 0)
    return method


def sends_named(
    describe: Callable[Concatenate[str, _P], Call[_Result]],
) -> Callable[Concatenate[RemoteGallery, _P], _Result]:
    """A method of ``RemoteGallery`` that sends a call about it."""

    def method(gallery: RemoteGallery, /, *args: _P.args, **options: _P.kwargs) -> _Result:
        return gallery.client.send(describe(gallery.name, *args, **options))

    _name(method, describe, 1)
    return method


def awaits_named(
    describe: Callable[Concatenate[str, _P], Call[_Result]],
) -> Callable[Concatenate[AsyncRemoteGallery, _P], Coroutine[Any, Any, _Result]]:
    """A method of ``AsyncRemoteGallery`` that sends a call about it."""

    async def method(gallery: AsyncRemoteGallery, /, *args: _P.args, **options: _P.kwargs) -> _Result:
        client = gallery.client
        return await client.send(await client.described(functools.partial(describe, gallery.name, *args, **options)))

    _name(method, describe, 1)
    return method


def sends_talk(
    describe: Callable[Concatenate[str, _P], Talk[_Result]],
) -> Callable[Concatenate[RemoteGallery, _P], _Result]:
    """A method of ``RemoteGallery`` that sends several calls about it."""

    def method(gallery: RemoteGallery, /, *args: _P.args, **options: _P.kwargs) -> _Result:
        return gallery.client.talk(describe(gallery.name, *args, **options))

    _name(method, describe, 1)
    return method


def awaits_talk(
    describe: Callable[Concatenate[str, _P], Talk[_Result]],
) -> Callable[Concatenate[AsyncRemoteGallery, _P], Coroutine[Any, Any, _Result]]:
    """A method of ``AsyncRemoteGallery`` that sends several calls about it."""

    async def method(gallery: AsyncRemoteGallery, /, *args: _P.args, **options: _P.kwargs) -> _Result:
        return await gallery.client.talk(describe(gallery.name, *args, **options))

    _name(method, describe, 1)
    return method


def _name(method: Any, describe: Callable[..., Any], left_out: int) -> None:
    """Give a method the name, the documentation and the arguments of its call."""
    method.__name__ = describe.__name__
    method.__qualname__ = describe.__qualname__
    method.__doc__ = describe.__doc__
    given = inspect.signature(describe)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__signature__ = given.replace(
        parameters=[own, *list(given.parameters.values())[left_out:]], return_annotation=inspect.Signature.empty
    )
