"""How the server listens, what it keeps and what it allows, as one checked value."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from mien.errors import BadGallery, BadSettings
from mien.galleries import DEFAULT_NAME, parse_url

__all__ = ["LOOPBACK_NAMES", "ServerSettings", "is_loopback"]

LOOPBACK_NAMES = ("127.0.0.1", "::1", "localhost")
"""The names under which a server on this machine is reached from this machine."""

_PREFIX = "MIEN_SERVER_"
_FOLDER = "mien-server"
_GALLERY_FILE = "people.db"
# The client's: the address of a server is MIEN_SERVER itself.
_OTHER_VARIABLES = {"MIEN_SERVER_KEY"}


class ServerSettings(BaseSettings):
    """Settings of the server: given here, or else from ``MIEN_SERVER_*`` variables, as ``MIEN_SERVER_PORT=9000``.

    Variables are read when a ``ServerSettings`` is made, not on import.

    Attributes:
        host: the address to listen on. Anything but a loopback address needs keys.
        port: the port to listen on; 0 for any that is free.
        gallery: where the galleries are: a gallery URL without a name; by default ``people.db`` in ``data``.
        data: folder of the server's own database and of the files that jobs wait with, private to its owner.
        workers: processes that answer requests.
        require_keys: whether requests need a key; None for only where ``host`` is no loopback address.
        tls_certificate: PEM file of the certificate and those above it; with it the server speaks TLS alone.
        tls_key: PEM file of the certificate's private key, not encrypted.
        trusted_hosts: the names by which requests may call the server (``Host``), ``*`` for all; empty for the
            loopback names and ``host``, or for all where keys are needed and ``host`` is every address.
        max_body_bytes: largest body with one image, in bytes.
        max_batch_bytes: largest body with several images, in bytes.
        max_images: most images in one request.
        max_bytes_in_flight: most bytes of all bodies that a process holds at once; requests past it are refused with
            503. Bodies of enrollment jobs go to files and do not count.
        max_pixels: largest image that is decoded, in pixels.
        queue: most images that wait for the models; requests past it are refused with 503.
        batch: most images that go through the models together.
        wait_ms: how long an image waits for others to go with, in milliseconds.
        timeout_s: how long a request may wait for the models; also how long a body of no bytes may take.
        rate_per_minute: requests a minute for each key; 0 for no limit.
        rate_burst: requests that a key may send at once after a rest.
        console: whether the web console is there.
        audit_days: for how many days the server's audit log is kept.
        job_days: for how many days jobs are listed after their end.
        max_top: most candidates for a face.
        shutdown_s: how long requests under way may take when the server is stopped.

    Raises:
        BadSettings: an unknown name, a wrong type, a value out of range, or values that do not go together.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8080, ge=0, le=65_535)
    gallery: str = Field(default=f"sqlite:///{_FOLDER}/{_GALLERY_FILE}", repr=False)
    data: Path = Path(_FOLDER)
    workers: int = Field(default=1, ge=1, le=256)
    require_keys: bool | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    trusted_hosts: tuple[str, ...] = ()
    max_body_bytes: int = Field(default=20_000_000, ge=1024)
    max_batch_bytes: int = Field(default=200_000_000, ge=1024)
    max_images: int = Field(default=64, ge=1, le=10_000)
    max_bytes_in_flight: int = Field(default=400_000_000, ge=2048)
    max_pixels: int = Field(default=50_000_000, ge=1)
    queue: int = Field(default=256, ge=1, le=100_000)
    batch: int = Field(default=16, ge=1, le=4096)
    wait_ms: float = Field(default=4.0, ge=0, le=1000)
    timeout_s: float = Field(default=60.0, gt=0, le=3600)
    rate_per_minute: float = Field(default=6000, ge=0)
    rate_burst: int = Field(default=200, ge=1)
    console: bool = True
    audit_days: float = Field(default=365, gt=0)
    job_days: float = Field(default=7, gt=0)
    max_top: int = Field(default=100, ge=1, le=10_000)
    shutdown_s: float = Field(default=30.0, ge=0, le=3600)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise BadSettings("; ".join(_told(fault) for fault in error.errors(include_url=False))) from error
        except SettingsError as error:  # a variable whose text is not the JSON that its type needs
            example = f"{_PREFIX}TRUSTED_HOSTS='[\"faces.example.org\"]'"
            raise BadSettings(f"{error}: expected JSON, as in {example}") from error
        unknown = {name for name in os.environ if name.startswith(_PREFIX)} - _OTHER_VARIABLES
        unknown -= {f"{_PREFIX}{field.upper()}" for field in type(self).model_fields}
        if unknown:
            known = ", ".join(type(self).model_fields)
            raise BadSettings(f"unknown variables {', '.join(sorted(unknown))}; known: {_PREFIX} and one of {known}")
        self._check()

    @model_validator(mode="before")
    @classmethod
    def _gallery_in_data(cls, values: Any) -> Any:
        """Where no place was given, the galleries are beside the server's own database."""
        if isinstance(values, dict) and "gallery" not in values and "data" in values:
            return {**values, "gallery": f"sqlite:///{quote(str(values['data']))}/{_GALLERY_FILE}"}
        return values

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then variables."""
        return init_settings, env_settings

    @property
    def keys_needed(self) -> bool:
        """Whether a request must bring a key."""
        return not is_loopback(self.host) if self.require_keys is None else self.require_keys

    @property
    def tls(self) -> bool:
        """Whether the server speaks TLS."""
        return self.tls_certificate is not None

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names by which requests may call the server, in lower case; ``*`` stands for any."""
        if self.trusted_hosts:
            return tuple(_without_brackets(host.lower()) for host in self.trusted_hosts)
        if _is_every_address(self.host) and self.keys_needed:
            return ("*",)
        return tuple(dict.fromkeys((*LOOPBACK_NAMES, _without_brackets(self.host.lower()))))

    def _check(self) -> None:
        if not self.keys_needed and not is_loopback(self.host):
            raise BadSettings(
                f"require_keys: expected true where host is no loopback address, got false with host {self.host!r}"
            )
        if not self.keys_needed and "*" in self.trusted_hosts:
            raise BadSettings("trusted_hosts: expected names where no keys are needed, got '*'")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise BadSettings("tls_certificate and tls_key: expected both or neither, got one of them")
        for name in ("tls_certificate", "tls_key"):
            path: Path | None = getattr(self, name)
            if path is not None and not path.is_file():
                raise BadSettings(f"{name}: expected a PEM file, got {path}")
        if self.max_batch_bytes < self.max_body_bytes:
            raise BadSettings(
                f"max_batch_bytes: expected at least max_body_bytes ({self.max_body_bytes}), got {self.max_batch_bytes}"
            )
        if self.max_bytes_in_flight < 2 * self.max_batch_bytes:
            raise BadSettings(
                f"max_bytes_in_flight: expected at least twice max_batch_bytes ({self.max_batch_bytes}), "
                f"got {self.max_bytes_in_flight}"
            )
        try:
            url = parse_url(self.gallery)
        except BadGallery as error:
            raise BadSettings(f"gallery: {error}") from error
        if url.name != DEFAULT_NAME or "name=" in self.gallery.partition("?")[2]:
            raise BadSettings(f"gallery: expected a place without a gallery's name, got {url.shown!r}")
        if url.scheme == "memory" and self.workers > 1:
            raise BadSettings(f"workers: expected 1 with memory: galleries, got {self.workers}")


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's loopback."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(_without_brackets(host)).is_loopback
    except ValueError:
        return False


def _is_every_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(_without_brackets(host)).is_unspecified
    except ValueError:
        return False


def _without_brackets(host: str) -> str:
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _told(fault: Mapping[str, Any]) -> str:
    """One of pydantic's errors in a line; the gallery's URL may hold a password and is not repeated."""
    name = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{name}: no such setting; known: {', '.join(ServerSettings.model_fields)}"
    given = "" if name == "gallery" else f", got {fault['input']!r}"
    return f"{name}: {fault['msg']}{given}"
