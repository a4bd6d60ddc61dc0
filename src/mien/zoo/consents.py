"""The user's yes to models that are not free for commercial use: asked once, kept in the cache folder."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from mien.errors import CacheError, LicenseRefused
from mien.zoo.cache import cache_dir, locked, write_text
from mien.zoo.schema import Card

__all__ = ["accept_license", "license_accepted", "require_license"]


def license_accepted(card: Card) -> bool:
    """Whether ``card`` may be used: its license allows commercial use, or the user has agreed to it.

    A yes holds for one file under one license: a card that states others has to be agreed to anew.

    Raises:
        CacheError: the record cannot be read.
    """
    if card.license.commercial:
        return True
    consent = _read().get(card.file.sha256)
    return isinstance(consent, dict) and consent.get("license") == card.license.id


def accept_license(card: Card) -> None:
    """Put the user's yes to the license of ``card`` on record; there is nothing to record for free ones.

    Raises:
        CacheError: the record cannot be read or written.
    """
    if license_accepted(card):
        return
    with locked("consents"):
        consents = _read()
        consents[card.file.sha256] = {
            "name": card.name,
            "license": card.license.id,
            "url": card.license.url,
            "accepted_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        write_text(cache_dir() / "consents.json", json.dumps(consents, indent=2) + "\n")


def require_license(card: Card, *, command: str) -> None:
    """Check that ``card`` may be used; ``command`` is what the user can type to agree.

    Raises:
        LicenseRefused: its license is non-commercial or unknown and no consent is on record.
        CacheError: the record cannot be read.
    """
    if not license_accepted(card):
        terms = card.license.id if card.license.url is None else f"{card.license.id}, {card.license.url}"
        raise LicenseRefused(
            f"{card.name} is not known to be free for commercial use (license: {terms}); "
            f"if your use is within its terms, agree once with: {command}"
        )


def _read() -> dict[str, Any]:
    path = cache_dir() / "consents.json"
    try:
        consents = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CacheError(f"cannot read {path}: {error}; remove it and agree again") from error
    if not isinstance(consents, dict):
        raise CacheError(f"cannot read {path}: expected a JSON object; remove it and agree again")
    return consents
