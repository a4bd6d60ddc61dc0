from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exchange_cases import FORMATS, NAMES, contents, exported, filled, imported, told, whole
from gallery_cases import SPACE, faces

from mien.errors import BadInput, GalleryError, SpaceMismatch
from mien.galleries import Imported, open_gallery
from mien.galleries.exchange import checked_templates, import_templates
from mien.galleries.exchange_npz import write_npz
from mien.galleries.exchange_parquet import ParquetTemplates
from mien.galleries.exchange_rows import Block, FileFacts, Portable


@pytest.mark.parametrize("end", FORMATS)
def test_a_copy_is_equal(tmp_path: Path, end: str) -> None:
    with filled(f"sqlite:///{tmp_path}/a.db") as gallery, open_gallery(f"sqlite:///{tmp_path}/b.db") as copy:
        assert exported(gallery, tmp_path / f"a{end}") == 15
        assert imported(copy, tmp_path / f"a{end}") == (15, 0)
        assert copy.space == SPACE
        assert contents(copy) == contents(gallery)
        (one,), (other,) = whole(gallery), whole(copy)
        np.testing.assert_allclose(other.created, one.created, atol=1e-6)
        assert copy.search(faces(1, seed=2), top=2)[0][0].identity == "Zoë 李"


@pytest.mark.parametrize("end", FORMATS)
def test_times_and_marks_are_kept(tmp_path: Path, end: str) -> None:
    when, mapped = np.array([1.5e9, 1.6e9 + 0.25, time.time() - 5]), np.array([True, False, True])
    block = Block(np.arange(3), ["Ada", "Bo", "Ada"], [("x",), (), ("x",)], faces(3).vectors, when, mapped)
    with open_gallery(f"sqlite:///{tmp_path}/a.db") as gallery, open_gallery(f"sqlite:///{tmp_path}/b.db") as copy:
        assert isinstance(gallery, Portable)
        gallery.restore(block, SPACE)
        exported(gallery, tmp_path / f"a{end}")
        imported(copy, tmp_path / f"a{end}")
        (found,) = whole(copy)
        np.testing.assert_allclose(found.created, when, atol=1e-6)
        assert found.mapped.tolist() == [True, False, True]
        assert list(found.tags) == [("x",), (), ("x",)]


def test_portraits_go_with_them(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    with filled(f"sqlite:///{tmp_path}/a.db?portraits=yes", with_portraits=True) as gallery:
        exported(gallery, file, portraits=True)
        with open_gallery(f"sqlite:///{tmp_path}/b.db?portraits=yes") as copy:
            imported(copy, file)
            (one,), (other,) = whole(gallery, portraits=True), whole(copy, portraits=True)
            assert other.pictures == one.pictures
            assert one.landmarks is not None
            assert other.landmarks is not None
            np.testing.assert_array_equal(other.landmarks, one.landmarks)
        with open_gallery(f"sqlite:///{tmp_path}/c.db") as plain:
            imported(plain, file)
            (other,) = whole(plain, portraits=True)
            assert other.pictures == [None] * 15
        with pytest.raises(BadInput, match="parquet"):
            exported(gallery, tmp_path / "a.npz", portraits=True)


@pytest.mark.parametrize("end", FORMATS)
def test_what_is_there_already_is_skipped(tmp_path: Path, end: str) -> None:
    file = tmp_path / f"a{end}"
    with filled(f"sqlite:///{tmp_path}/a.db") as gallery, open_gallery(f"sqlite:///{tmp_path}/b.db") as copy:
        exported(gallery, file)
        copy.add("Bo", gallery.templates("Bo")[1][1])
        copy.add("Cy", gallery.templates("Bo")[1])
        assert imported(copy, file) == (14, 1)
        assert imported(copy, file) == (0, 15)
        assert imported(gallery, file) == (0, 15)
        assert len(copy) == 17
        copy.remove_identity("Ada")
        assert imported(copy, file) == (1, 14)


def test_an_interrupted_import_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.galleries.exchange._ROWS", 4)
    file = tmp_path / "a.npz"
    with filled(f"sqlite:///{tmp_path}/a.db") as gallery, open_gallery(f"sqlite:///{tmp_path}/b.db") as copy:
        exported(gallery, file)
        steps = import_templates(copy, checked_templates(str(file)))
        assert [next(steps), next(steps)] == [Imported(taken=4)] * 2
        del steps
        assert len(copy) == 8
        assert imported(copy, file) == (7, 8)
        assert contents(copy) == contents(gallery)


def test_spellings_of_one_name_are_one_identity(tmp_path: Path) -> None:
    vectors = np.repeat(faces(1).vectors, 3, axis=0)
    pq.write_table(
        pa.table({"identity": ["Ada", " Ada ", "Bo"], "vector": list(vectors), "space": [SPACE] * 3}),
        tmp_path / "a.parquet",
    )
    with open_gallery("memory:") as gallery:
        assert told(gallery, tmp_path / "a.parquet") == Imported(taken=3, repeated=1)
        assert told(gallery, tmp_path / "a.parquet") == Imported(known=3)
        assert gallery.identities() == [("Ada", 2), ("Bo", 1)]


@pytest.mark.parametrize("codec", ["int8", "int8-only"])
def test_codecs(tmp_path: Path, codec: str) -> None:
    file = tmp_path / "a.parquet"
    with filled(f"sqlite:///{tmp_path}/a.db?codec={codec}") as gallery:
        exported(gallery, file)
        assert ParquetTemplates(str(file)).facts.codec == codec
        assert imported(gallery, file) == (0, 15)
        with open_gallery(f"sqlite:///{tmp_path}/b.db?codec={codec}") as copy:
            assert imported(copy, file) == (15, 0)
            assert contents(copy) == contents(gallery)


def test_galleries_that_know_less(tmp_path: Path) -> None:
    with filled("memory:") as gallery, open_gallery("memory:") as copy:
        for end in FORMATS:
            assert exported(gallery, tmp_path / f"a{end}") == 15
        assert imported(copy, tmp_path / "a.npz") == (15, 0)
        assert imported(copy, tmp_path / "a.parquet") == (0, 15)
        assert contents(copy) == contents(gallery)
        table = pq.read_table(tmp_path / "a.parquet")
        assert table["space"].unique().to_pylist() == [SPACE]


def test_an_empty_gallery(tmp_path: Path) -> None:
    with open_gallery("memory:") as gallery, pytest.raises(GalleryError, match="nothing to export"):
        exported(gallery, tmp_path / "a.npz")
    with filled("memory:") as gallery, open_gallery("memory:") as copy:
        for name in NAMES:
            gallery.remove_identity(name)
        for end in FORMATS:
            assert exported(gallery, tmp_path / f"a{end}") == 0
            assert imported(copy, tmp_path / f"a{end}") == (0, 0)


def test_the_columns_are_those_that_the_documentation_names(tmp_path: Path) -> None:
    with filled(f"sqlite:///{tmp_path}/a.db") as gallery:
        exported(gallery, tmp_path / "a.parquet")
        exported(gallery, tmp_path / "a.npz")
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.column_names == ["template_id", "identity", "tags", "created", "mapped", "space", "vector"]
    assert str(table.schema.field("vector").type) == "fixed_size_list<element: float>[16]"
    assert str(table.schema.field("created").type) == "timestamp[us, tz=UTC]"
    with np.load(tmp_path / "a.npz") as file:
        identities = json.loads(file["identities"].tobytes())
        assert sorted(name for name, _ in identities) == sorted(NAMES)
        assert file["vectors"].shape == (15, 16)
        assert file["vectors"].dtype == np.float32
        assert [identities[k][0] for k in file["identity"]] == table["identity"].to_pylist()
        np.testing.assert_array_equal(file["template_ids"], table["template_id"].to_numpy())
        assert json.loads(file["metadata"].tobytes()) == {"layout": 1, "space": SPACE, "codec": "float32"}


@pytest.mark.parametrize("end", FORMATS)
def test_another_space_is_refused(tmp_path: Path, end: str) -> None:
    with filled("memory:") as gallery, open_gallery("memory:") as other:
        exported(gallery, tmp_path / f"a{end}")
        other.add("Ada", faces(1, space="other@11111111"))
        with pytest.raises(SpaceMismatch, match="other@11111111"):
            imported(other, tmp_path / f"a{end}")
    with open_gallery("memory:") as other:
        other.add("Ada", faces(1, dimension=8))
        with pytest.raises(BadInput, match="dimension 8"):
            imported(other, tmp_path / f"a{end}")


def test_mapped_templates_are_not_passed_off_as_others(tmp_path: Path) -> None:
    block = Block(np.arange(1), ["Ada"], [()], faces(1).vectors, np.array([np.nan]), np.array([True]))
    for written in write_npz(str(tmp_path / "a.npz"), FileFacts(SPACE, 16, "float32", 1), iter([block])):
        assert written == 1
    with open_gallery("memory:") as gallery:
        if isinstance(gallery, Portable):
            pytest.skip("memory galleries mark mapped templates")
        with pytest.raises(GalleryError, match="mapped"):
            imported(gallery, tmp_path / "a.npz")
