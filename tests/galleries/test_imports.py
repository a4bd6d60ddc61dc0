"""What an import tells of, and what it refuses; and what others may read of an export."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exchange_cases import FORMATS, exported, filled, imported, portraits, told
from gallery_cases import SPACE, faces, sqlite_url

from mien.errors import BadGallery, BadInput, OutputError
from mien.galleries import Imported, NewEnrollment, open_gallery
from mien.galleries.codec_loss import measure_codec_loss
from mien.galleries.exchange import checked_templates, export_templates
from mien.galleries.exchange_npz import write_npz
from mien.galleries.exchange_parquet import write_parquet
from mien.galleries.exchange_rows import Block, FileFacts
from mien.zoo import cards

DAY_S = 86_400.0


def written(path: Path, block: Block, space: str = SPACE) -> Path:
    """A file of these templates."""
    facts = FileFacts(space, block.vectors.shape[1], "float32", len(block))
    if path.suffix == ".npz":
        assert list(write_npz(str(path), facts, iter([block]))) == [len(block)]
    else:
        with_pictures = block.pictures is not None
        assert list(write_parquet(str(path), facts, iter([block]), portraits=with_pictures)) == [len(block)]
    return path


def block_of(count: int = 4, dimension: int = 16, *, ages_days: list[float] | None = None) -> Block:
    names = ["Ada", "Bo", "Cy", "Di"][:count]
    created = time.time() - DAY_S * np.array([1.0] * count if ages_days is None else ages_days)
    vectors = faces(count, dimension=dimension).vectors
    return Block(np.arange(count), names, [()] * count, vectors, created, np.zeros(count, np.bool_))


@pytest.mark.parametrize("end", FORMATS)
def test_each_reason_is_told_by_itself(tmp_path: Path, end: str) -> None:
    places = np.array([0, 1, 1, 2, 3, 3])
    file = written(tmp_path / f"a{end}", block_of(ages_days=[1, 1, 1, 40])[places])
    with open_gallery(f"{sqlite_url(tmp_path)}?retention_days=30") as gallery:
        gallery.add("Cy", faces(4)[2])
        found = told(gallery, file)
        assert found == Imported(taken=3, repeated=1, known=1, too_old=2)
        assert found.templates == 6
        assert told(gallery, file) == Imported(known=4, too_old=2)
        assert gallery.identities() == [("Ada", 1), ("Bo", 2), ("Cy", 1)]


@pytest.mark.parametrize("end", FORMATS)
def test_what_is_too_old_is_never_stored(tmp_path: Path, end: str) -> None:
    file = written(tmp_path / f"a{end}", block_of(ages_days=[31, 29, 400, 30.0001]))
    with open_gallery(f"{sqlite_url(tmp_path)}?retention_days=30") as gallery:
        assert told(gallery, file) == Imported(taken=1, too_old=3)
        with closing(sqlite3.connect(tmp_path / "people.db")) as connection:
            assert connection.execute("SELECT count(*) FROM templates").fetchone() == (1,)
            assert connection.execute("SELECT count(*) FROM identities").fetchone() == (1,)
        content = b"".join(path.read_bytes() for path in tmp_path.glob("people.db*"))
        assert [vector.tobytes() in content for vector in faces(4).vectors] == [False, True, False, False]
    with open_gallery("memory:?retention_days=30") as gallery:
        assert told(gallery, file) == Imported(taken=1, too_old=3)


def test_portraits_that_go_nowhere_are_told(tmp_path: Path) -> None:
    with filled(f"sqlite:///{tmp_path}/a.db?portraits=yes", with_portraits=True) as source:
        source.add_many([("Ada", faces(2, seed=70)), NewEnrollment("Bo", faces(1, seed=71), portraits=portraits(1))])
        exported(source, tmp_path / "a.parquet", portraits=True)
        exported(source, tmp_path / "b.parquet")
    for url, dropped in ((sqlite_url(tmp_path), 16), ("memory:", 16), ("memory:?portraits=yes", 0)):
        with open_gallery(url) as gallery:
            assert told(gallery, tmp_path / "a.parquet") == Imported(taken=18, portraits_dropped=dropped)
            assert told(gallery, tmp_path / "a.parquet") == Imported(known=18)
    with open_gallery("memory:") as gallery:
        assert told(gallery, tmp_path / "b.parquet") == Imported(taken=18)


@pytest.mark.parametrize("end", FORMATS)
@pytest.mark.parametrize("suffix", ["", "+flip"])
def test_a_model_makes_templates_of_one_dimension(tmp_path: Path, end: str, suffix: str) -> None:
    card = next(card for card in cards() if card.name == "sface")
    assert card.embedding is not None
    assert card.embedding.dimension == 128
    with open_gallery("memory:") as gallery:
        file = written(tmp_path / f"a{end}", block_of(dimension=64), card.space + suffix)
        with pytest.raises(BadInput, match=rf"a\{end}: templates of sface@\w+.* dimension 128, .* have 64"):
            imported(gallery, file)
        assert gallery.space is None
        file = written(tmp_path / f"a{end}", block_of(dimension=128), card.space + suffix)
        assert imported(gallery, file) == (4, 0)


@pytest.mark.parametrize("end", FORMATS)
@pytest.mark.parametrize(
    "space", ["sface", "sf ace@fb143eea", "sface@", "@fb143eea", "sface@fb\n143eea", "sface@fb143eea\x07", "a@b@c"]
)
def test_a_space_that_is_none_is_refused(tmp_path: Path, end: str, space: str) -> None:
    file = written(tmp_path / f"a{end}", block_of(), space)
    with pytest.raises(BadInput, match=rf"a\{end}: expected an embedding space such as sface@fb143eea"):
        checked_templates(str(file))


@pytest.mark.parametrize("end", FORMATS)
def test_the_row_is_named_in_any_block(tmp_path: Path, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.galleries.exchange._ROWS", 7)
    count = 35
    vectors = faces(count).vectors.copy()
    vectors[22] *= 3
    names = [f"person {k}" for k in range(count)]
    columns = (np.full(count, np.nan), np.zeros(count, np.bool_))
    file = written(tmp_path / f"a{end}", Block(np.arange(count), names, [()] * count, vectors, *columns))
    with pytest.raises(BadInput, match=rf"a\{end}: row 23: vector: expected unit norm"):
        checked_templates(str(file))
    vectors[22] /= 3
    names[30] = " "
    file = written(tmp_path / f"a{end}", Block(np.arange(count), names, [()] * count, vectors, *columns))
    with pytest.raises(BadInput, match=rf"a\{end}: row 31: identity"):
        checked_templates(str(file))


def test_a_file_without_rows_says_so(tmp_path: Path) -> None:
    empty = pa.table(
        {
            "identity": pa.array([], pa.string()),
            "vector": pa.array([], pa.list_(pa.float32())),
            "space": pa.array([], pa.string()),
        }
    )
    pq.write_table(empty, tmp_path / "a.parquet")
    with pytest.raises(BadInput, match=r"a\.parquet: holds no templates"):
        checked_templates(str(tmp_path / "a.parquet"))


@pytest.mark.parametrize("end", FORMATS)
def test_a_missing_file_and_a_folder_are_told_in_the_systems_words(tmp_path: Path, end: str) -> None:
    file = tmp_path / f"a{end}"
    with pytest.raises(BadInput) as caught:
        checked_templates(str(file))
    assert str(caught.value) == f"{file}: cannot be read: No such file or directory"
    file.mkdir()
    with pytest.raises(BadInput, match=r"cannot be read: (is no file|Is a directory)"):
        checked_templates(str(file))


@pytest.mark.parametrize("end", FORMATS)
def test_an_export_names_the_file_that_was_asked_for(tmp_path: Path, end: str) -> None:
    with filled("memory:") as gallery:
        for file, reason in (
            (tmp_path / "absent" / f"a{end}", "No such file or directory"),
            (tmp_path / "folder" / f"a{end}", "Is a directory"),
            (tmp_path / f"{'x' * 254}{end}", "File name too long"),
        ):
            if reason.startswith("Is"):
                file.mkdir(parents=True)
            with pytest.raises(OutputError) as caught:
                exported(gallery, file)
            assert str(caught.value) == f"{file}: cannot be written: {reason}"
    assert os.listdir(tmp_path / "folder") == [f"a{end}"]


@pytest.mark.parametrize("end", FORMATS)
def test_an_export_is_its_owners_alone(tmp_path: Path, end: str) -> None:
    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    new, shared = tmp_path / f"new{end}", tmp_path / f"shared{end}"
    shared.write_text("former")
    shared.chmod(0o640)
    with filled("memory:") as gallery:
        for file in (new, shared):
            steps = export_templates(gallery, str(file))
            next(steps)
            assert [mode(path) for path in tmp_path.iterdir() if path not in (new, shared)] == [0o600]
            assert not new.exists() or file is shared
            assert shared.read_bytes() == b"former"
            assert sum(steps) + 15 >= 15
    assert (mode(new), mode(shared)) == (0o600, 0o640)
    assert sorted(path.name for path in tmp_path.iterdir()) == [new.name, shared.name]


@pytest.mark.parametrize("end", FORMATS)
def test_an_export_that_is_given_up_leaves_nothing(tmp_path: Path, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.galleries.exchange._ROWS", 4)
    with filled("memory:") as gallery:
        steps = export_templates(gallery, str(tmp_path / f"a{end}"))
        next(steps)
        assert len(list(tmp_path.iterdir())) == 1
        del steps
        assert list(tmp_path.iterdir()) == []


def test_templates_without_an_identity_are_named_with_the_cure(tmp_path: Path) -> None:
    with filled(sqlite_url(tmp_path)):
        pass
    with closing(sqlite3.connect(tmp_path / "people.db", isolation_level=None)) as connection:
        connection.execute("DELETE FROM identities WHERE name = 'Bo'")
    cure = r"2 templates whose identity is missing: 2, 3; mien gallery remove --template N"
    with open_gallery(sqlite_url(tmp_path)) as gallery:
        for call in (
            lambda: exported(gallery, tmp_path / "a.npz"),
            lambda: measure_codec_loss(gallery),
            lambda: gallery.search(faces(1, seed=1), top=9),
        ):
            with pytest.raises(BadGallery, match=cure):
                call()
        assert not (tmp_path / "a.npz").exists()
        gallery.remove_template(2)
        with pytest.raises(BadGallery, match="1 template whose identity is missing: 3;"):
            exported(gallery, tmp_path / "a.npz")
        gallery.remove_template(3)
        assert exported(gallery, tmp_path / "a.npz") == 13
        assert len(gallery.search(faces(1, seed=1), top=9)[0]) == 4
