"""SQLite galleries and the file system: what is made, what is refused, what is left alone."""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from gallery_cases import SPACE, faces

from mien.errors import BadGallery, GalleryError
from mien.galleries import open_gallery
from mien.galleries.sql.schema import SCHEMA_VERSIONS
from mien.galleries.sql.sqlite_file import APPLICATION_ID

SCHEMA_VERSION = SCHEMA_VERSIONS["sqlite"]


def url_of(path: Path, options: str = "") -> str:
    return f"sqlite:///{path}{options}"


def pragma(path: Path, name: str) -> object:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_gallery_outlives_its_closing(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    with open_gallery(url_of(path)) as gallery:
        enrolled = gallery.add("Ada", faces(2))
    with open_gallery(url_of(path), create=False) as gallery:
        assert gallery.space == SPACE
        assert gallery.identities() == [("Ada", 2)]
        assert gallery.templates("Ada")[0] == [e.template_id for e in enrolled]
        assert gallery.search(faces(1))[0][0].identity == "Ada"
        assert gallery.remove_identity("Ada") == 2
    with open_gallery(url_of(path)) as gallery:
        assert gallery.space == SPACE
        assert gallery.add("Ada", faces(1))[0].template_id > enrolled[-1].template_id
    assert os.listdir(tmp_path) == ["people.db"]


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    open_gallery(url_of(path)).close()
    assert path.read_bytes()[68:72] == b"mien"
    assert pragma(path, "application_id") == APPLICATION_ID
    assert pragma(path, "user_version") == SCHEMA_VERSION
    assert pragma(path, "journal_mode") == "wal"
    assert pragma(path, "integrity_check") == "ok"


def test_a_relative_path_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with open_gallery("sqlite:///a%20b.db") as gallery:
        os.chdir("elsewhere")
        gallery.add("Ada", faces(1))
        assert gallery.identities() == [("Ada", 1)]
    assert (tmp_path / "a b.db").stat().st_size > 0


def test_several_galleries_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    with open_gallery(url_of(path, "?name=staff")) as staff, open_gallery(url_of(path, "?name=guests")) as guests:
        staff.add("Ada", faces(2))
        guest = guests.add("Ada", faces(3, seed=1, dimension=8, space="other@1"))[-1]
        assert (staff.name, guests.name) == ("staff", "guests")
        assert (staff.space, guests.space) == (SPACE, "other@1")
        with pytest.raises(GalleryError, match=f"no template {guest.template_id}"):
            staff.remove_template(guest.template_id)
        assert staff.remove_identity("Ada") == 2
        assert guests.identities() == [("Ada", 3)]
        assert guests.search(faces(1, seed=1, dimension=8, space="other@1"))[0][0].identity == "Ada"
    with pytest.raises(BadGallery, match=r"no gallery named 'default' at .*people\.db; it has: guests, staff"):
        open_gallery(url_of(path), create=False)


@pytest.mark.parametrize("options", ["", "?mode=ro"])
def test_looking_for_a_missing_gallery_makes_none(tmp_path: Path, options: str) -> None:
    with pytest.raises(BadGallery, match=r"no gallery at .*people\.db"):
        open_gallery(url_of(tmp_path / "people.db", options), create=False)
    assert os.listdir(tmp_path) == []


def test_an_empty_file_becomes_a_gallery(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    path.touch()
    with pytest.raises(BadGallery, match="no gallery at"):
        open_gallery(url_of(path), create=False)
    with open_gallery(url_of(path)) as gallery:
        gallery.add("Ada", faces(1))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadGallery, match=r"the folder .*nowhere does not exist"):
        open_gallery(url_of(tmp_path / "nowhere" / "people.db"))
    with pytest.raises(BadGallery, match="expected a gallery file, got a folder"):
        open_gallery(url_of(tmp_path))
    (tmp_path / "file").write_text("x" * 5000)
    with pytest.raises(BadGallery, match=r"the folder .*file does not exist"):
        open_gallery(url_of(tmp_path / "file" / "people.db"))
    with pytest.raises(BadGallery, match="File name too long"):
        open_gallery(url_of(tmp_path / ("x" * 300)))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadGallery, match="expected a gallery file, got no regular file"):
        open_gallery(url_of(tmp_path / "pipe"))


@pytest.mark.parametrize("content", [b"x", b"hello " * 2000, b"\xff\xd8\xff\xe0" + bytes(9000)])
def test_a_file_of_another_kind_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "people.db"
    path.write_bytes(content)
    with pytest.raises(BadGallery, match="not a database"):
        open_gallery(url_of(path))
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["people.db"]


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_another_applications_database_is_left_alone(tmp_path: Path, journal: str) -> None:
    path = tmp_path / "people.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA journal_mode = {journal}")
        other.execute("CREATE TABLE templates (id)")
        other.commit()
    content = path.read_bytes()
    with pytest.raises(BadGallery, match="another application's database"):
        open_gallery(url_of(path))
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["people.db"]


def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    open_gallery(url_of(path)).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(BadGallery, match=r"expected gallery layout 2, got 3; a newer version of mien"):
        open_gallery(url_of(path))


def test_damage_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    with open_gallery(url_of(path)) as gallery:
        gallery.add_many([(f"person {i}", faces(1, seed=i, dimension=128)) for i in range(300)])
    content = bytearray(path.read_bytes())
    content[3 * 8192 :] = b"\xa5" * (len(content) - 3 * 8192)
    path.write_bytes(content)
    with pytest.raises(BadGallery, match="damaged"), open_gallery(url_of(path)) as gallery:
        gallery.search(faces(1, dimension=128))
    path.write_bytes(content[:10_000])
    with pytest.raises(BadGallery, match="damaged"), open_gallery(url_of(path)) as gallery:
        gallery.identities()


@pytest.mark.parametrize("vector", [b"", b"\0" * 64, b"\xff" * 64, b"\0" * 60, "text"])
def test_a_damaged_vector_is_reported(tmp_path: Path, vector: bytes | str) -> None:
    path = tmp_path / "people.db"
    with open_gallery(url_of(path)) as gallery:
        gallery.add("Ada", faces(2))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE templates SET vector = ? WHERE id = 2", (vector,))
    with open_gallery(url_of(path)) as gallery:
        with pytest.raises(BadGallery, match="vector"):
            gallery.search(faces(1))
        with pytest.raises(BadGallery, match="vector"):
            gallery.templates("Ada")
        gallery.remove_template(2)
        assert gallery.search(faces(1))[0][0].identity == "Ada"


def test_what_is_removed_leaves_no_bytes(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    templates = faces(200, dimension=128)
    with open_gallery(url_of(path)) as gallery:
        gallery.add_many([(f"secret-person-{i}-", templates[i]) for i in range(0, 200, 2)])
        for i in range(1, 200, 2):
            gallery.add(f"secret-person-{i}-", templates[i])
        gone = [i for i in range(200) if i % 3]
        for i in gone:
            gallery.remove_identity(f"secret-person-{i}-")
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for i in range(200):
        vector = templates.vectors[i]
        traces = [vector[:8].tobytes(), vector[-8:].tobytes(), f"secret-person-{i}-".encode()]
        assert [trace in content for trace in traces] == [i not in gone] * 3


@contextmanager
def powerless() -> Iterator[None]:
    """File permissions count in this block even for the superuser, who steps down meanwhile."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


@pytest.mark.parametrize(("folder_mode", "file_mode"), [(0o777, 0o444), (0o555, 0o444), (0o555, 0o666)])
def test_a_read_only_gallery_can_be_searched(open_folder: Path, folder_mode: int, file_mode: int) -> None:
    path = open_folder / "people.db"
    with open_gallery(url_of(path)) as gallery:
        gallery.add("Ada", faces(1))
    path.chmod(file_mode)
    open_folder.chmod(folder_mode)
    with powerless(), open_gallery(url_of(path)) as gallery:
        assert gallery.search(faces(1))[0][0].identity == "Ada"
        assert gallery.identities() == [("Ada", 1)]
        with pytest.raises(GalleryError, match=r"read-only|unable to open"):
            gallery.add("Grace", faces(1))
        with pytest.raises(GalleryError, match=r"read-only|unable to open"):
            gallery.remove_identity("Ada")
        assert gallery.identities() == [("Ada", 1)]


def test_a_read_only_folder_still_shows_what_others_change(open_folder: Path) -> None:
    path = open_folder / "people.db"
    with open_gallery(url_of(path)) as gallery:
        gallery.add("Ada", faces(1))
    path.chmod(0o444)
    open_folder.chmod(0o555)
    with powerless():
        reader = open_gallery(url_of(path))
    with powerless():
        assert [m.identity for m in reader.search(faces(1), top=9)[0]] == ["Ada"]
    if os.geteuid():
        path.chmod(0o644)
        open_folder.chmod(0o755)
    with open_gallery(url_of(path)) as gallery:
        gallery.add("Bob", faces(1))
        gallery.remove_identity("Ada")
    with powerless():
        assert reader.identities() == [("Bob", 1)]
        assert [m.identity for m in reader.search(faces(1), top=9)[0]] == ["Bob"]
        reader.close()


def test_a_folder_that_may_not_be_written_is_named(open_folder: Path) -> None:
    path = open_folder / "people.db"
    open_folder.chmod(0o555)
    with powerless(), pytest.raises(GalleryError, match=r"people\.db: cannot be made: Permission denied$"):
        open_gallery(url_of(path))
    assert os.listdir(open_folder) == []


def test_others_may_not_read_a_new_file(tmp_path: Path) -> None:
    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    path = tmp_path / "people.db"
    with open_gallery(url_of(path)) as gallery:
        gallery.add("Ada", faces(1))
        assert {file.name: mode(file) for file in tmp_path.iterdir()} == {
            "people.db": 0o600,
            "people.db-wal": 0o600,
            "people.db-shm": 0o600,
        }
    other = tmp_path / "shared.db"
    other.touch()
    other.chmod(0o664)
    with open_gallery(url_of(other)) as gallery:
        gallery.add("Ada", faces(1))
        assert mode(other) == mode(tmp_path / "shared.db-wal") == 0o664


def test_mode_ro_forbids_changes(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    with open_gallery(url_of(path)) as gallery:
        gallery.add("Ada", faces(1))
    with open_gallery(url_of(path, "?mode=ro")) as gallery:
        assert gallery.search(faces(1))[0][0].identity == "Ada"
        with pytest.raises(GalleryError, match="read-only"):
            gallery.add("Grace", faces(1))
    with pytest.raises(BadGallery, match="no gallery named 'staff'"):
        open_gallery(url_of(path, "?mode=ro&name=staff"))
