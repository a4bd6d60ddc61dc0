"""``--server``: the same commands, the same lines, answered by a real server."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from cli_running import Ran, flat, run, small

import mien
from mien.images.samples import Samples
from served import server_fixtures

_FIXTURES = server_fixtures()
_CASES = sys.modules["server_cases"]
keyed_server = _FIXTURES.keyed_server
make_server = _FIXTURES.make_server
server = _FIXTURES.server

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def photos(samples: Samples, tmp_path: Path) -> Path:
    """A folder of photos: faces, none, and what is no image."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in (samples.group, samples.obama[0], samples.biden):
        shutil.copy(path, folder)
    flat(folder / "empty.png")
    (folder / "text.jpg").write_text("no image")
    return folder


@pytest.fixture
def people(samples: Samples, tmp_path: Path) -> Path:
    """A folder for each of three people; two cannot be enrolled from all of their photos."""
    folder = tmp_path / "people"
    for name, path in (
        ("Barack Obama", samples.obama[0]),
        ("Crew", samples.group),
        ("Eileen Collins", samples.astronaut),
        ("Joe Biden", samples.biden),
    ):
        (folder / name).mkdir(parents=True)
        shutil.copy(path, folder / name)
    flat(folder / "Crew" / "empty.png")
    return folder


def both(server: Any, *arguments: object) -> tuple[Ran, Ran]:
    """The same command here and there."""
    return run(*arguments, "--json"), run(*arguments, "--server", server.url, "--json")


def with_images(ran: Ran, enrolled: dict[int, str]) -> list[dict[str, Any]]:
    """The lines, with the enrolled image in the place of each template's id."""

    def named(value: Any) -> Any:
        if isinstance(value, list):
            return [named(item) for item in value]
        if isinstance(value, dict):
            return {k: enrolled[v] if k == "template_id" else named(v) for k, v in value.items()}
        return value

    return [named(row) for row in ran.rows]


@pytest.mark.parametrize(
    "arguments",
    [
        ("detect",),
        ("detect", "--largest"),
        ("quality",),
        ("quality", "--largest"),
    ],
)
def test_lines_about_images_are_the_same(server: Any, photos: Path, arguments: tuple[str, ...]) -> None:
    here, there = both(server, arguments[0], photos, *arguments[1:])
    assert len(here.rows) == 5
    assert here.errors == ["bad_image"]
    assert there.rows == here.rows
    assert there.code == here.code == 1


def test_a_servers_own_limits_hold(photos: Path, tmp_path: Path) -> None:
    strict = mien.Recognizer(mien.Settings(quality="strict"))
    here = run("quality", photos, "--quality", "strict", "--json")
    refused = {reason["name"] for row in here.rows for face in row.get("faces", ()) for reason in face["reasons"]}
    assert "poor" in refused
    with _CASES.running(_CASES.settings_in(tmp_path), strict) as server:
        assert run("quality", photos, "--server", server.url, "--json").rows == here.rows


@pytest.mark.parametrize("command", ["detect", "quality"])
def test_tables_are_the_same(server: Any, photos: Path, command: str) -> None:
    assert run(command, photos, "--server", server.url).out == run(command, photos).out


@pytest.mark.parametrize("options", [(), ("--fmr", "1e-4"), ("--fmr", "1e-9"), ("--threshold", "0.9"), ("--largest",)])
def test_verdicts_are_the_same(server: Any, samples: Samples, options: tuple[str, ...]) -> None:
    pairs = [
        (samples.obama[0], samples.obama[1]),
        (samples.obama[0], samples.biden),
        (samples.obama[0], samples.group),
        (samples.obama[0], "gone.jpg"),
    ]
    for a, b in pairs:
        here, there = both(server, "verify", a, b, *options)
        assert there.rows == here.rows
        assert (there.code, there.err) == (here.code, here.err)


def test_people_are_enrolled_and_identified_alike(
    server: Any, people: Path, photos: Path, samples: Samples, tmp_path: Path
) -> None:
    gallery = f"sqlite:///{tmp_path}/people.db"
    here = run("enroll", people, "--gallery", gallery, "--tag", "known", "--json")
    there = run("enroll", people, "--gallery", "default", "--server", server.url, "--tag", "known", "--json")
    assert sorted(here.errors) == ["no_face", "several_faces"]
    # Several requests are under way at once, so the ids may be given out in another order.
    ours, theirs = (
        {row["template_id"]: row["image"] for row in ran.rows if "error" not in row} for ran in (here, there)
    )
    assert set(theirs) == set(ours) == {1, 2, 3}
    assert with_images(there, theirs) == with_images(here, ours)
    assert there.code == here.code == 1
    for options in (
        (),
        ("--top", "3", "--threshold", "-1"),
        ("--fpir", "0.01"),
        ("--fmr", "1e-4", "--tag", "known"),
        ("--tag", "unknown"),
    ):
        found = run("identify", photos, samples.obama[1], "--gallery", gallery, *options, "--json")
        asked = run(
            "identify", photos, samples.obama[1], "--gallery", "default", "--server", server.url, *options, "--json"
        )
        assert len(found.rows) == 6
        assert with_images(asked, theirs) == with_images(found, ours)
        assert asked.err == found.err


def test_several_galleries_are_searched_alike(server: Any, samples: Samples, tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path}/people.db?name={name}" for name in ("staff", "guests")]
    remote = ("--server", server.url)
    run("gallery", "create", "--gallery", "staff", *remote)
    run("gallery", "create", "--gallery", "guests", *remote)
    for url, name, path in zip(urls, ("staff", "guests"), (samples.obama[0], samples.biden), strict=True):
        run("enroll", path, "--identity", "X", "--gallery", url)
        run("enroll", path, "--identity", "X", "--gallery", name, *remote)
    options = ("--top", "2", "--threshold", "-1", "--json")
    here = run("identify", samples.obama[1], "--gallery", urls[0], "--gallery", urls[1], *options)
    there = run("identify", samples.obama[1], "--gallery", "staff", "--gallery", "guests", *remote, *options)
    ours, theirs = (ran.rows[0]["faces"][0]["candidates"] for ran in (here, there))
    assert [c["gallery"] for c in theirs] == ["staff", "guests"]
    for mine, other in zip(ours, theirs, strict=True):
        # The probability rests on a score that the server rounded.
        assert other.pop("probability") == pytest.approx(mine.pop("probability"), rel=1e-3)
    assert theirs == ours


def test_templates_are_written_alike(server: Any, photos: Path, tmp_path: Path) -> None:
    tables = []
    for name, options in (("here", ()), ("there", ("--server", server.url))):
        out = tmp_path / f"{name}.parquet"
        ran = run("embed", photos, "--out", out, "--json", *options)
        assert ran.errors == ["bad_image"]
        assert ran.rows[-1]["faces"] == 8
        tables.append(pq.read_table(out).to_pydict())
    here, there = tables
    assert there["image"] == here["image"]
    for column in ("vector", "xyxy", "landmarks", "score"):
        np.testing.assert_allclose(np.array(there[column]), np.array(here[column]), atol=1e-3)
    np.testing.assert_allclose(np.array(there["vector"]), np.array(here["vector"]), atol=1e-5)
    # What was begun here goes on there: it is the same model with the same settings.
    again = run("embed", photos, "--out", tmp_path / "here.parquet", "--json", "--server", server.url)
    assert again.rows[-1]["held"] == 4


def test_galleries_are_looked_after(server: Any, samples: Samples, tmp_path: Path) -> None:
    remote = ("--server", server.url)
    made = run("gallery", "create", "--gallery", "staff", "--codec", "int8", "--retention-days", "9", *remote, "--json")
    own = f"sqlite:///{tmp_path}/own.db?name=staff"
    here = run("gallery", "create", "--gallery", own, "--codec", "int8", "--retention-days", "9", "--json")
    assert {**made.rows[0], "gallery": ""} == {**here.rows[0], "gallery": ""}
    again = run("gallery", "create", "--gallery", "staff", *remote, "--json")
    assert again.errors == ["gallery_exists"]
    for place in (("--gallery", own), ("--gallery", "staff", *remote)):
        run("enroll", samples.obama[0], samples.obama[1], "--identity", "B. O.", "--tag", "politics", *place)
        run("enroll", samples.biden, "--identity", "Joe Biden", *place)

    def same(*arguments: str) -> Ran:
        here = run("gallery", *arguments, "--gallery", own, "--json")
        there = run("gallery", *arguments, "--gallery", "staff", *remote, "--json")
        ours, theirs = ([{k: v for k, v in row.items() if k != "gallery"} for row in r.rows] for r in (here, there))
        assert [{**r, "error": None} if "error" in r else r for r in theirs] == [
            {**r, "error": None} if "error" in r else r for r in ours
        ]
        assert there.errors == here.errors
        assert there.code == here.code
        return there

    assert len(same("show").rows) == 3
    assert len(same("show", "--identity", "B. O.").rows) == 2
    assert same("show", "--identity", "Nobody").errors == ["identity_not_found"]
    assert same("rename", "B. O.", "Joe Biden").errors == ["identity_exists"]
    same("rename", "B. O.", "Barack Obama")
    same("rename", "Barack Obama", "Joe Biden", "--merge")
    same("remove", "--template", "1", "--yes")
    assert same("remove", "--template", "1", "--yes").errors == ["template_not_found"]
    same("remove", "--identity", "Joe Biden", "--yes")
    listed = run("gallery", "list", *remote, "--json")
    local = run("gallery", "list", "--gallery", f"sqlite:///{tmp_path}/own.db", "--json")
    assert [row["name"] for row in listed.rows] == ["default", "staff"]
    assert listed.rows[1] == local.rows[0]
    assert same("delete", "--yes").rows[0]["removed"] == 0
    assert run("gallery", "show", "--gallery", "staff", *remote, "--json").errors == ["gallery_not_found"]


def test_models_are_listed_alike(server: Any) -> None:
    here, there = both(server, "models", "list")
    assert there.rows == here.rows


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("detect", "x.jpg", "--detector", "yunet"), "--detector"),
        (("detect", "x.jpg", "--min-face", "20"), "--min-face"),
        (("verify", "a.jpg", "b.jpg", "--embedder", "sface", "--flip"), "--embedder --flip"),
        (("enroll", ".", "--identity", "A", "--gallery", "default", "--quality", "off"), "--quality"),
        (("quality", "x.jpg", "--no-upright"), "--upright"),
        (("quality", "x.jpg", "--quality", "strict"), "--quality"),
        (("identify", "x.jpg", "--gallery", "sqlite:///people.db"), "--gallery"),
        (("gallery", "show", "--gallery", "postgresql://me:secret@host/db"), "--gallery"),
        (("gallery", "create", "--gallery", "x", "--encrypted"), "--encrypted"),
        (("gallery", "list", "--gallery", "x"), "--gallery"),
    ],
)
def test_what_is_the_servers_affair_is_refused(server: Any, arguments: tuple[str, ...], named: str) -> None:
    refused = run(*arguments, "--server", server.url)
    assert refused.code == 2
    assert named in refused.err
    assert "server" in refused.err
    assert "secret" not in refused.err


def test_server_options_need_a_server(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("mien_x")
    for command in (("detect", "x.jpg"), ("gallery", "show", "--gallery", f"sqlite:///{tmp_path}/no.db")):
        refused = run(*command, "--server-key-file", key)
        assert refused.code == 2
        assert "--server" in refused.err
    assert run("gallery", "list").code == 2


def test_keys_come_from_a_file_or_a_variable(
    keyed_server: Any, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = keyed_server.key("read")
    photo = small(samples.biden, tmp_path / "biden.png")
    monkeypatch.setenv("MIEN_SERVER", keyed_server.url)
    assert run("detect", photo, "--json").errors == ["unauthorized"]
    key = tmp_path / "key"
    key.write_text(f"{secret}\n")
    found = run("detect", photo, "--server-key-file", key, "--json")
    assert (found.code, len(found.rows[0]["faces"])) == (0, 1)
    monkeypatch.setenv("MIEN_SERVER_KEY", secret)
    assert run("detect", photo, "--json").rows == found.rows
    denied = run("enroll", photo, "--identity", "Joe Biden", "--gallery", "default", "--debug")
    assert denied.code == 1
    assert "forbidden" in denied.err
    assert secret not in denied.err
    # The variables of the client do not stand in the way of what is done here.
    monkeypatch.setenv("MIEN_SERVER", "")
    assert run("detect", photo, "--json").rows == found.rows
    monkeypatch.setenv("MIEN_SERVER_KEY", "not a key: ünfit")
    refused = run("models", "list", "--server", keyed_server.url)
    assert refused.code == 2
    assert "ünfit" not in refused.err


def test_nobody_there_is_told_once(photos: Path) -> None:
    lost = run("detect", photos, "--server", NOBODY, "--json")
    assert lost.code == 1
    assert lost.errors == ["connection_lost"]
    assert NOBODY in lost.rows[0]["error"]["message"]
