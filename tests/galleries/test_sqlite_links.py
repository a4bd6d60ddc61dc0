"""A gallery that is reached by a symbolic link, and a file that is moved over an open gallery."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from gallery_cases import faces, sqlite_url

from mien.errors import BadGallery, GalleryError
from mien.galleries import SqlGallery, open_gallery, parse_url
from mien.galleries.opening import require_free

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs symbolic links, and files that move while open")


@pytest.fixture
def link(tmp_path: Path) -> Path:
    """A folder with a link to the database in another folder."""
    (tmp_path / "data").mkdir()
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "people.db").symlink_to(tmp_path / "data" / "people.db")
    return tmp_path / "links"


def opened(folder: Path) -> SqlGallery:
    gallery = open_gallery(sqlite_url(folder))
    assert isinstance(gallery, SqlGallery)
    return gallery


def test_the_snapshot_is_beside_the_file_and_not_beside_the_link(link: Path, tmp_path: Path) -> None:
    with opened(link) as gallery:
        gallery.add_many([(f"person {i}", faces(1, seed=i)) for i in range(5)])
        gallery.compact()
    assert sorted(os.listdir(link)) == ["people.db"]
    assert sorted(os.listdir(tmp_path / "data")) == ["people.db", "people.db.1.index"]
    with opened(tmp_path / "data") as gallery:
        gallery.remove_identity("person 3")
    for folder in (link, tmp_path / "data"):
        for file in folder.iterdir():
            assert faces(1, seed=3).vectors.tobytes() not in file.read_bytes()


def test_what_is_still_in_the_log_is_not_passed_over(link: Path, tmp_path: Path) -> None:
    """A copy of a gallery in use, in a folder where nobody may write: its log has what the file lacks."""
    with tempfile.TemporaryDirectory() as name:
        copied, links = Path(name) / "copied", Path(name) / "links"
        copied.mkdir()
        links.mkdir()
        with opened(link) as gallery:
            gallery.add("Ada", faces(1))
            for end in ("", "-wal"):
                shutil.copy(tmp_path / "data" / f"people.db{end}", copied / f"people.db{end}")
                (copied / f"people.db{end}").chmod(0o444)
        (links / "people.db").symlink_to(copied / "people.db")
        Path(name).chmod(0o755)
        copied.chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            for folder in (copied, links):
                with pytest.raises(GalleryError, match="read-only, and not closed cleanly where it was written"):
                    opened(folder)
        finally:
            if root:
                os.seteuid(0)
            copied.chmod(0o755)


def test_a_link_to_nothing_is_a_place_for_a_gallery(link: Path, tmp_path: Path) -> None:
    require_free(parse_url(sqlite_url(link)))
    with opened(link) as gallery:
        gallery.add("Ada", faces(1))
    assert (tmp_path / "data" / "people.db").stat().st_size
    (link / "nowhere.db").symlink_to(tmp_path / "missing" / "people.db")
    with pytest.raises(BadGallery, match=r"the folder .*missing does not exist"):
        require_free(parse_url(f"sqlite:///{link / 'nowhere.db'}"))


def test_two_names_of_one_milvus_are_one(tmp_path: Path) -> None:
    pytest.importorskip("pymilvus", reason="needs pymilvus: pip install 'mien[milvus]'")
    pytest.importorskip(
        "milvus_lite.adapter.grpc.server", reason="needs milvus-lite 3.2: pip install 'milvus-lite>=3.2'"
    )
    (tmp_path / "link").symlink_to(tmp_path / "people.milvus")
    with open_gallery(f"milvus:///{tmp_path / 'people.milvus'}") as gallery:
        gallery.add("Ada", faces(1))
        with open_gallery(f"milvus:///{tmp_path / 'link'}?timeout_s=0") as again:
            assert again.identities() == [("Ada", 1)]


@pytest.mark.parametrize("searched", [False, True])
def test_a_file_that_is_moved_over_an_open_gallery_is_noticed(tmp_path: Path, searched: bool) -> None:
    (tmp_path / "other").mkdir()
    with opened(tmp_path / "other") as other:
        other.add("Bob", faces(1, seed=1))
    with opened(tmp_path) as gallery:
        gallery.add("Ada", faces(1))
        if searched:
            assert gallery.search(faces(1))[0][0].identity == "Ada"
        os.replace(tmp_path / "other" / "people.db", tmp_path / "people.db")
        for call in (
            lambda: gallery.add("Cleo", faces(1)),
            lambda: gallery.remove_identity("Ada"),
            lambda: gallery.search(faces(1)),
            lambda: gallery.identities(),
        ):
            with pytest.raises(GalleryError, match="another file was put in its place: close the gallery and open it"):
                call()
    # What SQLite left of the former file must not be taken for the log of this one.
    for end in ("-wal", "-shm"):
        (tmp_path / f"people.db{end}").unlink(missing_ok=True)
    with opened(tmp_path) as gallery:
        assert gallery.identities() == [("Bob", 1)]


def test_a_file_that_is_deleted_under_an_open_gallery_is_noticed(tmp_path: Path) -> None:
    with opened(tmp_path) as gallery:
        gallery.add("Ada", faces(1))
        (tmp_path / "people.db").unlink()
        with pytest.raises(GalleryError, match=r"people\.db: No such file"):
            gallery.add("Bob", faces(1, seed=1))
