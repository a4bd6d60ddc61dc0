from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_running import run

import mien
from mien.cli.demo import _is_right
from mien.cli.portraits import OBAMA, Probe, second_portrait
from mien.images.samples import Samples
from mien.types import Match


def test_demo(samples: Samples, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    out.mkdir()
    (out / "demo.db").write_text("what an earlier demo left")
    shown = run("demo", "--json", "--out", out)
    assert shown.code == 0
    rows = {Path(row["image"]).stem: row for row in shown.rows}
    named = {name: [c["identity"] for f in row["faces"] for c in f["candidates"]] for name, row in rows.items()}
    assert named == {
        "obama": ["Barack Obama"],
        "obama3": ["Barack Obama"],
        "obama_partial_face": ["Barack Obama"],
        "obama_partial_face2": ["Barack Obama"],
        "biden-again": ["Joe Biden"],
        "astronaut": [],
        "group": [],
    }
    assert {p.stem for p in out.glob("*.png")} == set(named)
    with mien.open_gallery(f"sqlite:///{out}/demo.db", create=False) as gallery:
        assert gallery.identities() == [("Barack Obama", 1), ("Joe Biden", 1)]


def test_demo_fails_when_someone_is_not_named(
    samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_THRESHOLD", "0.99")
    shown = run("demo", "--out", tmp_path)
    assert shown.code == 1
    assert "not as it should be" in shown.out


def test_what_counts_as_right() -> None:
    obama, other = [Match(OBAMA, 0.8, 1, 1)], [Match("Other", 0.8, 1, 2)]
    assert _is_right(Probe(Path("a"), OBAMA), [obama])
    assert _is_right(Probe(Path("a"), None, 2), [[], []])
    wrong: list[tuple[Probe, list[list[Match]]]] = [
        (Probe(Path("a"), OBAMA), [[]]),
        (Probe(Path("a"), OBAMA), [other]),
        (Probe(Path("a"), None), [obama]),
        (Probe(Path("a"), None, 6), [[]] * 5),
    ]
    for probe, matches in wrong:
        assert not _is_right(probe, matches)


def test_the_second_portrait_is_another_image(samples: Samples, tmp_path: Path) -> None:
    made = mien.load(second_portrait(samples.biden, tmp_path / "again.jpg"))
    original = mien.load(samples.biden)
    assert made.shape[0] == round(original.shape[0] / 2)
    assert np.mean(made) < 0.85 * np.mean(original)
    assert mien.Recognizer().verify(samples.biden, tmp_path / "again.jpg").match
