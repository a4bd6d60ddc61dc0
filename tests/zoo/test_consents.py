from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
from card_making import make_card

from mien.errors import CacheError, LicenseRefused
from mien.zoo import accept_license, license_accepted
from mien.zoo.consents import require_license


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_free_models_need_no_yes(cache: Path) -> None:
    card = make_card()
    assert license_accepted(card)
    accept_license(card)
    require_license(card, command="x")
    assert not cache.exists()


def test_a_yes_is_kept(cache: Path) -> None:
    card = make_card(license__commercial=False, license__id="research", license__url="https://example.org/terms")
    assert not license_accepted(card)
    with pytest.raises(LicenseRefused, match=r"tiny .*research, https://example\.org/terms.*: say yes$"):
        require_license(card, command="say yes")
    accept_license(card)
    accept_license(card)
    assert license_accepted(card)
    require_license(card, command="say yes")
    record = json.loads((cache / "consents.json").read_text())[card.file.sha256]
    assert record["license"] == "research"
    assert datetime.fromisoformat(record["accepted_at"]).tzinfo is not None


def test_a_yes_is_for_one_file_under_one_license() -> None:
    accept_license(make_card(license__commercial=False, license__id="research"))
    assert not license_accepted(make_card(license__commercial=False, license__id="stricter"))
    assert not license_accepted(make_card(b"others", license__commercial=False, license__id="research"))
    accept_license(make_card(b"others", license__commercial=False, license__id="research"))
    assert license_accepted(make_card(license__commercial=False, license__id="research"))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_broken_record_is_no_yes(cache: Path, content: bytes) -> None:
    cache.mkdir()
    (cache / "consents.json").write_bytes(content)
    with pytest.raises(CacheError, match=r"consents\.json"):
        license_accepted(make_card(license__commercial=False))
    assert license_accepted(make_card())
