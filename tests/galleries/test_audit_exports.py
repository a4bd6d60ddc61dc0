"""The audit log and what leaves a gallery; and entries past their days."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest
from gallery_cases import BACK_ENDS, faces, sqlite_url, with_options

from mien.errors import GalleryError
from mien.galleries import SqlGallery, open_gallery
from mien.galleries.exchange import checked_templates, export_templates, import_templates


def opened(url: str, options: str = "") -> SqlGallery:
    gallery = open_gallery(with_options(url, options))
    assert isinstance(gallery, SqlGallery)
    return gallery


def told(gallery: SqlGallery) -> list[tuple[str, int | None, str]]:
    return [(entry.action, entry.identity_id, entry.detail) for entry in gallery.audit_log()]


@pytest.mark.parametrize("name", ["sqlite", "postgresql"])
@pytest.mark.parametrize("level", ["off", "changes", "all"])
def test_an_export_of_everything_is_logged_and_an_import_is_none(name: str, level: str, tmp_path: Path) -> None:
    with opened(BACK_ENDS[name](tmp_path), f"audit={level}") as gallery:
        gallery.add("Ada", faces(2))
        file = str(tmp_path / "people.npz")
        assert sum(export_templates(gallery, file)) == 2
        list(import_templates(gallery, checked_templates(file)))
        expected = [("enroll", 1, "templates=2"), ("export", None, "templates=2")]
        assert told(gallery) == ([] if level == "off" else expected)


@pytest.mark.parametrize("level", ["changes", "all"])
def test_an_export_from_where_nothing_can_be_written(level: str, tmp_path: Path) -> None:
    """It is refused only where the log has to take in everything, as a search is then."""
    with opened(sqlite_url(tmp_path), f"audit={level}") as gallery:
        gallery.add("Ada", faces(2))
    file = tmp_path / "people.npz"
    with opened(sqlite_url(tmp_path), "mode=ro") as gallery:
        if level == "all":
            with pytest.raises(GalleryError, match="read-only"):
                list(export_templates(gallery, str(file)))
            with pytest.raises(GalleryError, match="read-only"):
                gallery.export_identity("Ada")
            assert not file.exists()
        else:
            assert sum(export_templates(gallery, str(file))) == 2
            assert gallery.export_identity("Ada")["identity"] == "Ada"
        assert [action for action, _, _ in told(gallery)] == ["enroll"]


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs file permissions")
def test_a_folder_where_nobody_may_write_counts_as_read_only(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with opened(sqlite_url(folder)) as gallery:
            gallery.add("Ada", faces(2))
        (folder / "people.db").chmod(0o444)
        folder.chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            with opened(sqlite_url(folder)) as gallery:
                assert gallery.export_identity("Ada")["identity"] == "Ada"
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o755)


@pytest.mark.parametrize("name", ["sqlite", "postgresql"])
def test_entries_past_their_days_are_not_shown_where_they_cannot_be_erased(name: str, tmp_path: Path) -> None:
    url = BACK_ENDS[name](tmp_path)
    with opened(url, f"audit_days={1.5 / 86_400}") as gallery:
        gallery.add("Ada", faces(1))
        assert len(told(gallery)) == 1
    with opened(url, "mode=ro") as gallery:
        time.sleep(1.6)
        assert told(gallery) == []
        assert list(gallery.audit_log(identity="Ada")) == []
        assert list(gallery.audit_log(since=0.0)) == []
