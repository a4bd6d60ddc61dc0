"""What an import does to what a gallery has already: equal templates are counted, tags and portraits are added."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exchange_cases import FORMATS, exported, portraits, told, whole
from gallery_cases import BACK_ENDS, SPACE, faces, with_options

from mien.errors import BadInput
from mien.galleries import Block, Gallery, Imported, NewEnrollment, SqlGallery, open_gallery
from mien.galleries.exchange import blocks_of, checked_templates, export_templates, import_templates
from mien.types import Templates

PORTRAYING = ["sqlite", "sqlite-int8", "sqlite-encrypted", "postgresql"]


def thrice() -> Templates:
    """The same template twice, and another one."""
    return faces(2)[np.array([0, 0, 1])]


@pytest.mark.parametrize("end", FORMATS)
@pytest.mark.parametrize("name", BACK_ENDS)
def test_equal_templates_are_as_many_as_in_the_file(name: str, end: str, tmp_path: Path) -> None:
    file = tmp_path / f"a{end}"
    with open_gallery("memory:?fusion=mean") as source:
        source.add_many([("Ada", thrice()), ("Bo", faces(1, seed=9))])
        exported(source, file)
        score = source.search(faces(1))[0][0].score
    with open_gallery(with_options(BACK_ENDS[name](tmp_path), "fusion=mean")) as gallery:
        gallery.add("Ada", faces(1))
        assert told(gallery, file) == Imported(taken=3, repeated=1, known=1)
        assert gallery.search(faces(1))[0][0].score == pytest.approx(score, abs=1e-6)
        assert told(gallery, file) == Imported(known=4)
        assert gallery.identities() == [("Ada", 3), ("Bo", 1)]
        # Those that the gallery has in addition are no reason to leave others out.
        gallery.add("Ada", faces(1))
        assert told(gallery, file) == Imported(known=4)
        gallery.remove_identity("Bo")
        assert told(gallery, file) == Imported(taken=1, known=3)
        assert gallery.identities() == [("Ada", 4), ("Bo", 1)]


def test_equal_templates_in_blocks_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.galleries.exchange._ROWS", 2)
    with open_gallery("memory:") as source, open_gallery(f"sqlite:///{tmp_path}/b.db") as gallery:
        source.add("Ada", faces(1)[np.zeros(5, np.int64)])
        exported(source, tmp_path / "a.npz")
        steps = import_templates(gallery, checked_templates(str(tmp_path / "a.npz")))
        assert next(steps) == Imported(taken=2, repeated=1)
        del steps
        assert told(gallery, tmp_path / "a.npz") == Imported(taken=3, repeated=3, known=2)
        assert len(gallery) == 5


@pytest.mark.parametrize("end", FORMATS)
def test_what_is_too_old_counts_for_nothing(tmp_path: Path, end: str) -> None:
    file, now = tmp_path / f"a{end}", time.time()
    with open_gallery(f"sqlite:///{tmp_path}/a.db") as source:
        assert isinstance(source, SqlGallery)
        created = np.array([now - 40 * 86_400, now - 60])
        vectors = faces(1)[np.zeros(2, np.int64)].vectors
        source.restore(Block(np.arange(2), ["Ada"] * 2, [("staff",)] * 2, vectors, created, np.zeros(2, bool)), SPACE)
        exported(source, file)
    with open_gallery(f"sqlite:///{tmp_path}/b.db?retention_days=30") as gallery:
        gallery.add("Ada", faces(1))
        assert told(gallery, file) == Imported(known=1, too_old=1)
        assert gallery.tags("Ada") == ["staff"]


@pytest.mark.parametrize("name", BACK_ENDS)
def test_tags_come_to_templates_that_are_there(name: str, tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    with open_gallery("memory:") as source:
        source.add("Ada", faces(1), tags=["staff", "day"])
        source.add("Bo", faces(1, seed=1), tags=["staff"])
        source.add("Cy", faces(1, seed=2))
        exported(source, file)
    with open_gallery(BACK_ENDS[name](tmp_path)) as gallery:
        gallery.add_many(
            [
                NewEnrollment("Ada", faces(1), tags=["day", "night"]),
                ("Ada", faces(1, seed=7)),
                ("Bo", faces(1, seed=1)),
                ("Cy", faces(1, seed=2)),
            ]
        )
        for _ in range(2):
            assert told(gallery, file) == Imported(known=3)
            assert [gallery.tags(who) for who in ("Ada", "Bo", "Cy")] == [["day", "night", "staff"], ["staff"], []]
        found = gallery.search(faces(1), top=9, tags=["staff"])[0]
        assert sorted(match.identity for match in found) == ["Ada", "Bo"]
        if isinstance(gallery, SqlGallery):
            logged = [(entry.identity, entry.detail) for entry in gallery.audit_log() if entry.action == "tag"]
            assert logged == [("Ada", "tags=3"), ("Bo", "tags=1")]
            assert gallery.check() == []


def pictures(gallery: Gallery) -> list[bytes | None]:
    return [picture for block in whole(gallery, portraits=True) for picture in block.pictures or ()]


@pytest.mark.parametrize("codec", ["float32", "int8-only"])
@pytest.mark.parametrize("name", PORTRAYING)
def test_portraits_come_to_templates_that_have_none(name: str, codec: str, tmp_path: Path) -> None:
    if codec == "int8-only" and name == "sqlite-int8":
        pytest.skip(f"{name} has a codec of its own")
    file = tmp_path / "a.parquet"
    with open_gallery(f"sqlite:///{tmp_path}/source.db?portraits=yes") as source:
        source.add("Ada", thrice(), portraits=portraits(3))
        source.add("Bo", faces(1, seed=5), portraits=portraits(1))
        exported(source, file, portraits=True)
    options = "portraits=yes" if name == "sqlite-int8" else f"portraits=yes&codec={codec}"
    with open_gallery(with_options(BACK_ENDS[name](tmp_path), options)) as gallery:
        assert isinstance(gallery, SqlGallery)
        gallery.add("Zed", faces(1))
        gallery.add("Ada", faces(2)[np.array([1, 0])])
        gallery.add("Bo", faces(1, seed=5))
        assert told(gallery, file) == Imported(taken=1, repeated=1, known=3)
        assert pictures(gallery) == [None, b"picture 2", b"picture 0", b"picture 0", b"picture 1"]
        (block,) = whole(gallery, portraits=True)
        assert block.landmarks is not None
        np.testing.assert_array_equal(block.landmarks[1], portraits(3).landmarks[2])
        last = [(entry.identity, entry.detail) for entry in gallery.audit_log() if "portraits" in entry.detail]
        assert last == [("Ada", "portraits=2"), ("Bo", "portraits=1")]
        assert gallery.check() == []
        assert told(gallery, file) == Imported(known=4)
        assert pictures(gallery) == [None, b"picture 2", b"picture 0", b"picture 0", b"picture 1"]
        # One that is there is not replaced.
        other = tmp_path / "other.parquet"
        table = pq.read_table(file)
        place = table.column_names.index("portrait")
        pq.write_table(table.set_column(place, "portrait", pa.array([b"another"] * 4, pa.binary())), other)
        assert told(gallery, other) == Imported(known=4)
        assert b"another" not in pictures(gallery)
    with open_gallery(f"sqlite:///{tmp_path}/plain.db") as gallery:
        gallery.add("Ada", faces(2))
        assert told(gallery, file) == Imported(taken=2, repeated=1, known=2, portraits_dropped=2)


def ahead(path: Path, seconds: float, rows: int = 3) -> Path:
    """A file whose last template was enrolled so long after now."""
    block = pa.table(
        {
            "identity": [f"p{k}" for k in range(rows)],
            "vector": list(faces(rows).vectors),
            "space": [SPACE] * rows,
            "created": pa.array(
                [1_700_000_000_000_000] * (rows - 1) + [int((time.time() + seconds) * 1e6)],
                pa.timestamp("us", tz="UTC"),
            ),
        }
    )
    pq.write_table(block, path)
    return path


@pytest.mark.parametrize("name", ["memory", "sqlite", "postgresql", "milvus"])
def test_a_clock_that_was_ahead_does_no_harm(name: str, tmp_path: Path) -> None:
    file = ahead(tmp_path / "a.parquet", 3600)
    with open_gallery(BACK_ENDS[name](tmp_path)) as gallery:
        before = time.time()
        assert told(gallery, file) == Imported(taken=3)
        created = np.concatenate([block.created for block in blocks_of(gallery)])
        if name != "memory":
            assert created[0] == 1_700_000_000
            assert before - 0.001 <= created[2] <= time.time()
        assert told(gallery, file) == Imported(known=3)


def test_a_clock_that_is_a_day_ahead_is_refused_before_anything_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mien.galleries.exchange._ROWS", 2)
    file = ahead(tmp_path / "a.parquet", 2 * 86_400)
    with open_gallery("memory:") as gallery:
        with pytest.raises(BadInput, match="row 3: created: expected a time in the past"):
            told(gallery, file)
        assert len(gallery) == 0


@pytest.mark.parametrize("end", FORMATS)
def test_who_is_removed_while_a_gallery_is_exported_is_passed_over(
    tmp_path: Path, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mien.galleries.exchange._ROWS", 2)
    with open_gallery("memory:") as gallery:
        for k in range(9):
            gallery.add(f"p{k}", faces(1, seed=k), tags=["staff"])
        steps = export_templates(gallery, str(tmp_path / f"a{end}"))
        assert next(steps) == 2
        for k in (1, 3, 4, 5, 8):
            gallery.remove_identity(f"p{k}")
        assert sum(steps) == 3
        with open_gallery("memory:") as copy:
            assert told(copy, tmp_path / f"a{end}") == Imported(taken=5)
            assert [name for name, _ in copy.identities()] == ["p0", "p1", "p2", "p6", "p7"]
