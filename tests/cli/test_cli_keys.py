"""``mien keys``: made, listed, revoked; the secret is shown once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mien.cli import app

pytest.importorskip("fastapi")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_SERVER_DATA", "data")


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["keys", *words], prog_name="mien")


def made(*words: str) -> dict[str, object]:
    result = run("create", *words, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def listed() -> list[dict[str, object]]:
    return [json.loads(line) for line in run("list", "--json").stdout.splitlines()]


def test_from_making_to_revoking() -> None:
    key = made("reception", "--scope", "read", "--scope", "identify", "--days", "90", "--gallery", "staff")
    assert (key["name"], key["scopes"], key["galleries"]) == ("reception", ["read", "identify"], ["staff"])
    assert str(key["secret"]).startswith(f"mien_{key['id']}_")
    (found,) = listed()
    assert found["state"] == "in use"
    assert "secret" not in found
    assert str(key["secret"])[-20:] not in run("list").output
    result = run("revoke", str(key["id"]), "--yes", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["state"] == "revoked"
    assert [found["state"] for found in listed()] == ["revoked"]


def test_for_people_the_secret_stands_on_a_line_of_its_own() -> None:
    result = run("create", "reception", "--scope", "read")
    lines = [line for line in result.stdout.splitlines() if line.startswith("mien_")]
    assert len(lines) == 1
    assert "shown this once" in result.stderr


def test_the_folder_is_the_servers(tmp_path: Path) -> None:
    made("a", "--scope", "read", "--data", "elsewhere")
    assert (tmp_path / "elsewhere" / "server.db").is_file()
    assert listed() == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["create", "a"], 2),
        (["create", "--scope", "read"], 2),
        (["create", "a", "--scope", "everything"], 1),
        (["create", "a", "--scope", "read", "--days", "0"], 1),
        (["create", "a", "--scope", "admin", "--gallery", "staff"], 1),
        (["create", "a", "--scope", "read", "--days", "nan"], 1),
        (["revoke", "nobody", "--yes"], 1),
    ],
)
def test_what_is_refused(words: list[str], code: int) -> None:
    assert run(*words).exit_code == code
    assert listed() == []


def test_who_only_looks_makes_no_folder(tmp_path: Path) -> None:
    result = run("list", "--data", "nowhere")
    assert result.exit_code == 0
    assert "nowhere: no server's database" in result.stderr
    result = run("revoke", "k3v9q0x2m1ab", "--yes", "--data", "nowhere")
    assert result.exit_code == 1
    assert "nowhere: expected the data folder" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_a_person_to_ask_nothing_is_revoked() -> None:
    key = made("reception", "--scope", "read")
    assert run("revoke", str(key["id"])).exit_code == 2
    assert [found["state"] for found in listed()] == ["in use"]


def test_wrong_days_are_told_in_days() -> None:
    assert (
        "days: expected more than 0 and at most 36500, got -1"
        in run("create", "a", "--scope", "read", "--days", "-1").stderr
    )


def test_a_name_that_is_taken() -> None:
    made("reception", "--scope", "read")
    result = run("create", "reception", "--scope", "read")
    assert result.exit_code == 1
    assert "no key in use has" in result.stderr
