from __future__ import annotations

from pathlib import Path

import pytest
from cli_running import Ran, run, small

from mien.images.samples import Samples


@pytest.fixture(scope="module")
def folder(samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two galleries: Obama among the staff, Biden among the guests."""
    folder = tmp_path_factory.mktemp("groups")
    small(samples.obama[0], folder / "obama.jpg", 500)
    small(samples.obama[1], folder / "probe.jpg", 500)
    small(samples.biden, folder / "biden.jpg", 500)
    staff, guests = urls(folder)
    enrolled = run(
        "enroll", folder / "obama.jpg", "--identity", "Barack", "--gallery", staff, "--tag", "day", "--tag", "a b"
    )
    assert enrolled.code == 0
    for gallery, tag in ((staff, "night"), (guests, "day")):
        assert run("enroll", folder / "biden.jpg", "--identity", "Joe", "--gallery", gallery, "--tag", tag).code == 0
    return folder


def urls(folder: Path) -> tuple[str, str]:
    return f"sqlite:///{folder}/people.db?name=staff", f"sqlite:///{folder}/people.db?name=guests"


def candidates(ran: Ran) -> list[tuple[str, str | None]]:
    assert ran.code == 0
    return [(c["identity"], c.get("gallery")) for c in ran.rows[0]["faces"][0]["candidates"]]


def test_several_galleries(folder: Path) -> None:
    staff, guests = urls(folder)
    both = ("--gallery", staff, "--gallery", guests)
    found = run("identify", "--json", folder / "probe.jpg", *both, "--top", 9, "--threshold", -1)
    assert candidates(found)[0] == ("Barack", "staff")
    # Biden has one score in both galleries, so they come in the order in which they were named.
    assert candidates(found)[1:] == [("Joe", "staff"), ("Joe", "guests")]
    turned = run(
        "identify",
        "--json",
        folder / "probe.jpg",
        "--gallery",
        guests,
        "--gallery",
        staff,
        "--top",
        9,
        "--threshold",
        -1,
    )
    assert candidates(turned)[1:] == [("Joe", "guests"), ("Joe", "staff")]
    shown = run("identify", folder / "probe.jpg", *both).out
    assert "gallery" in shown.splitlines()[0]
    assert "staff" in shown
    alone = run("identify", "--json", folder / "probe.jpg", "--gallery", staff)
    assert candidates(alone) == [("Barack", None)]


def test_a_gallery_that_is_not_there(folder: Path) -> None:
    staff, _ = urls(folder)
    other = f"sqlite:///{folder}/people.db?name=nobody"
    assert run("identify", "--json", folder / "probe.jpg", "--gallery", staff, "--gallery", other).errors == [
        "gallery_not_found"
    ]
    assert run("identify", "--json", folder / "probe.jpg", "--gallery", staff, "--gallery", staff).errors == [
        "bad_input"
    ]
    assert run("identify", folder / "probe.jpg").code == 2


def test_tags(folder: Path) -> None:
    staff, guests = urls(folder)
    search = ("identify", "--json", folder / "probe.jpg", "--top", 9, "--threshold", -1, "--gallery", staff)
    assert candidates(run(*search, "--tag", "day")) == [("Barack", None)]
    assert candidates(run(*search, "--tag", "a b", "--tag", "night")) == [("Barack", None), ("Joe", None)]
    assert candidates(run(*search, "--tag", "absent")) == []
    assert candidates(run(*search, "--gallery", guests, "--tag", "day")) == [("Barack", "staff"), ("Joe", "guests")]
    shown = run("gallery", "show", "--json", "--gallery", staff, "--identity", "Barack").rows
    assert shown[0]["tags"] == ["a b", "day"]


def test_bad_tags(folder: Path) -> None:
    staff, _ = urls(folder)
    obama, search = folder / "obama.jpg", ("identify", folder / "probe.jpg", "--gallery", staff)
    for arguments in (("enroll", obama, "--identity", "Barack", "--gallery", staff), search):
        ran = run(*arguments, "--tag", " ")
        assert ran.code == 2
        assert "--tag" in ran.err
