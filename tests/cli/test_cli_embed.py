from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from cli_running import Ran, flat, run, small

import mien
from mien.cli.entries import Entry
from mien.cli.parquet import TemplatesFile
from mien.errors import OutputError, SpaceMismatch
from mien.images.samples import Samples
from mien.types import Faces, Templates


@pytest.fixture
def photos(samples: Samples, tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    small(samples.obama[0], folder / "a.jpg")
    small(samples.group, folder / "b.jpg", 900)
    flat(folder / "c.png")
    (folder / "d.jpg").write_text("hello")
    return folder


def _embed(photos: Path, out: Path, *options: str) -> Ran:
    return run("embed", "--json", photos, "--out", out, *options)


def _images(out: Path) -> list[str]:
    return sorted({Path(image).name for image in pq.read_table(out)["image"].to_pylist()})


def test_rows_are_what_the_library_finds(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.parquet"
    shown = _embed(photos, out)
    assert shown.code == 1
    *lines, summary = shown.rows
    assert {"image": str(photos / "b.jpg"), "faces": 6} in lines
    assert {"image": str(photos / "c.png"), "faces": 0} in lines
    assert [row["image"] for row in lines if "error" in row] == [str(photos / "d.jpg")]
    recognizer = mien.Recognizer()
    assert summary == {
        "out": str(out),
        "images": 3,
        "faces": 7,
        "embedded": 3,
        "held": 0,
        "failed": 1,
        "space": recognizer.space,
    }
    table = pq.read_table(out)
    assert table.column_names == ["image", "face", "xyxy", "score", "landmarks", "vector", "space"]
    assert str(table.schema.field("vector").type) == "fixed_size_list<element: float>[128]"
    assert set(table["space"].to_pylist()) == {recognizer.space}
    assert table["face"].to_pylist() == [0, 0, 1, 2, 3, 4, 5]
    wanted = recognizer.analyze(photos / "b.jpg")
    group = table.slice(1)
    np.testing.assert_allclose(np.stack(group["vector"].to_numpy()), wanted.templates.vectors, atol=1e-5)
    np.testing.assert_allclose(np.array(group["landmarks"].to_pylist()), wanted.faces.landmarks, atol=0.01)
    np.testing.assert_allclose(np.array(group["xyxy"].to_pylist()), wanted.faces.xyxy, atol=0.01)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photos", "t.parquet"]


def test_a_second_run_does_only_what_is_new(photos: Path, samples: Samples, tmp_path: Path) -> None:
    out = tmp_path / "t.parquet"
    _embed(photos, out)
    (photos / "d.jpg").unlink()
    before = out.stat()
    idle = _embed(photos, out)
    assert idle.code == 0
    assert (idle.rows[-1]["embedded"], idle.rows[-1]["held"]) == (0, 3)
    assert out.stat().st_mtime_ns == before.st_mtime_ns
    small(samples.biden, photos / "e.jpg")
    small(samples.obama[1], photos / "a.jpg")
    (photos / "b.jpg").unlink()
    again = _embed(photos, out)
    assert [Path(row["image"]).name for row in again.rows[:-1]] == ["a.jpg", "e.jpg"]
    assert (again.rows[-1]["images"], again.rows[-1]["faces"]) == (3, 2)
    assert _images(out) == ["a.jpg", "e.jpg"]


def test_images_that_failed_are_tried_again(photos: Path, samples: Samples, tmp_path: Path) -> None:
    out = tmp_path / "t.parquet"
    _embed(photos, out)
    small(samples.biden, photos / "d.jpg")
    again = _embed(photos, out)
    assert again.code == 0
    assert again.rows[0] == {"image": str(photos / "d.jpg"), "faces": 1}


def test_other_settings_and_foreign_files_are_refused(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.parquet"
    _embed(photos, out)
    kept = out.read_bytes()
    assert _embed(photos, out, "--flip").errors == ["space_mismatch"]
    other = _embed(photos, out, "--min-face", "50")
    assert other.errors == ["output_error"]
    assert "min_face 40 there, 50 here" in other.rows[0]["error"]["message"]
    assert out.read_bytes() == kept
    foreign = tmp_path / "f.parquet"
    foreign.write_text("hello")
    assert _embed(photos, foreign).errors == ["output_error"]
    pq.write_table(pq.read_table(out).replace_schema_metadata(), foreign)
    assert _embed(photos, foreign).errors == ["output_error"]


def test_outputs_that_cannot_be(photos: Path, tmp_path: Path) -> None:
    assert _embed(photos, tmp_path / "t.npz").code == 2
    assert _embed(photos, tmp_path / "absent" / "t.parquet").errors == ["output_error"]
    (tmp_path / "e").mkdir()
    assert _embed(tmp_path / "e", tmp_path / "t.parquet").errors == ["bad_input"]
    assert not (tmp_path / "t.parquet").exists()


def test_for_people_failures_come_last(photos: Path, tmp_path: Path) -> None:
    shown = run("embed", photos, "--out", tmp_path / "t.parquet")
    assert "7 faces of 3 images (3 embedded now, 1 failed)" in shown.out
    assert [line.split(":")[1].strip() for line in shown.err.splitlines()] == ["bad_image"]


FACTS: dict[str, Any] = {"space": "test@00000000", "min_face": 40}


def _add(file: TemplatesFile, path: Path, faces: int) -> Entry:
    entry = Entry.of(str(path))
    assert entry is not None
    found = Faces(*(np.zeros((faces, *shape), np.float32) for shape in ((4,), (), (5, 2))))
    vectors = np.eye(3, dtype=np.float32)[np.arange(faces) % 3]
    file.add(entry, path.name, found, Templates(vectors.reshape(faces, 3), "test@00000000"))
    return entry


def test_parts_survive_and_are_merged(tmp_path: Path) -> None:
    out = tmp_path / "t.parquet"
    paths = [tmp_path / f"{n}.jpg" for n in "abcd"]
    for path in paths:
        path.touch()
    first = TemplatesFile(out, FACTS, 3)
    _add(first, paths[0], 2)
    gone = _add(first, paths[1], 3)
    first.flush()
    _add(first, paths[2], 0)
    first.flush()
    _add(first, paths[3], 1)
    assert not out.exists()
    del first  # what was not flushed is lost, as by a power failure
    second = TemplatesFile(out, FACTS, 3)
    held = [second.holds(e) for e in map(Entry.of, map(str, paths)) if e is not None]
    assert held == [True, True, True, False]
    paths[1].unlink()
    assert second.holds(gone)
    assert second.finish() == (2, 2)
    assert pq.read_table(out)["image"].to_pylist() == ["a.jpg", "a.jpg"]
    assert not second.parts.exists()
    third = TemplatesFile(out, FACTS, 3)
    _add(third, paths[3], 2)
    assert third.finish() == (3, 4)
    assert pq.read_table(out)["face"].to_pylist() == [0, 1, 0, 1]


def test_a_run_that_died_before_it_removed_its_parts(tmp_path: Path) -> None:
    out, path = tmp_path / "t.parquet", tmp_path / "a.jpg"
    path.touch()
    file = TemplatesFile(out, FACTS, 3)
    _add(file, path, 2)
    file.flush()
    shutil.copytree(file.parts, tmp_path / "copy")
    file.finish()
    os.rename(tmp_path / "copy", file.parts)
    assert TemplatesFile(out, FACTS, 3).finish() == (1, 2)
    assert pq.read_table(out).num_rows == 2


def test_nothing_at_all_is_an_empty_table(tmp_path: Path) -> None:
    assert TemplatesFile(tmp_path / "t.parquet", FACTS, 3).finish() == (0, 0)
    assert pq.read_table(tmp_path / "t.parquet").num_rows == 0


def test_facts_must_agree(tmp_path: Path) -> None:
    TemplatesFile(tmp_path / "t.parquet", FACTS, 3).finish()
    with pytest.raises(SpaceMismatch):
        TemplatesFile(tmp_path / "t.parquet", {**FACTS, "space": "other@00000000"}, 3)
    with pytest.raises(OutputError, match="min_face 40 there, 41 here"):
        TemplatesFile(tmp_path / "t.parquet", {**FACTS, "min_face": 41}, 3)
