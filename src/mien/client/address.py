"""Where a server is, and with which key it is asked; checked before anything is sent."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass, field
from os import PathLike, fspath
from urllib.parse import urlsplit

from mien.errors import BadInput

__all__ = ["Address", "trust"]


@dataclass(frozen=True, slots=True)
class Address:
    """A server's address and the key to it.

    Attributes:
        url: without a slash at its end.
        key: an API key, or None; never shown.
    """

    url: str
    key: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, url: str, key: str | None = None) -> Address:
        """The address that a text says.

        Raises:
            BadInput: it is no address of a server, or holds a password, or the key can be none.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise BadInput(f"server: expected an address such as https://faces.example:8080: {error}") from error
        if parts.username is not None or parts.password is not None:
            raise BadInput("server: expected an address without a user and a password; the key is given by itself")
        if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
            raise BadInput(f"server: expected an address such as http://127.0.0.1:8080, got {url!r}")
        if parts.query or parts.fragment:
            raise BadInput(f"server: expected an address without ? and #, got {url!r}")
        if key is not None:
            key = key.strip()
            # Not shown: it may be a key with one character too many.
            if not key or not key.isascii() or not key.isprintable() or " " in key:
                raise BadInput("key: expected a key as mien keys prints it, got text that can be none")
        return cls(url.rstrip("/"), key)

    @property
    def local(self) -> bool:
        """Whether it is this machine's own, which is asked directly and never through a proxy."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    @property
    def headers(self) -> dict[str, str]:
        """What every request says of who asks."""
        from mien._version import __version__

        named = {"User-Agent": f"mien/{__version__}", "Accept": "application/json"}
        return named if self.key is None else {**named, "Authorization": f"Bearer {self.key}"}


def trust(verify: bool | str | PathLike[str]) -> ssl.SSLContext | bool:
    """What decides whether a server's certificate is good.

    Args:
        verify: True for the usual authorities, a file of PEM certificates for one's own, False to trust everybody.

    Raises:
        BadInput: the file is missing, or holds no certificate.
    """
    if isinstance(verify, bool):
        return verify
    path = fspath(verify)
    try:
        return ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror if isinstance(error, FileNotFoundError) else error
        raise BadInput(f"verify: expected a file of PEM certificates, got {path}: {reason}") from error
