"""The API's routes, one file a part; each has its ``router``, and ``routers`` lists them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from mien.server.routes import (
    activity,
    audit,
    calibrations,
    console,
    faces,
    galleries,
    health,
    identification,
    identities,
    jobs,
    keys,
    metrics,
    models,
    verification,
)

if TYPE_CHECKING:
    from mien.server.settings import ServerSettings

__all__ = ["routers"]


def routers(settings: ServerSettings) -> list[APIRouter]:
    """The routers of a server; the console's only where the settings have it."""
    api = (
        *(health, faces, verification, galleries, identities, identification, models, calibrations),
        *(jobs, activity, metrics, audit, keys),
    )
    found = [module.router for module in api]
    return [*found, console.router] if settings.console else found
