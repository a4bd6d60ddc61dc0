"""What leaves a gallery: all templates in blocks, and all that is held about one identity."""

from __future__ import annotations

import base64
import json
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from gallery_cases import BACK_ENDS, SPACE, faces, with_options

from mien.errors import BadInput, IdentityNotFound, SpaceMismatch
from mien.galleries import Block, NewEnrollment, Portable, Portraits, SqlGallery, open_gallery


@pytest.fixture(params=["sqlite", "sqlite-encrypted", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return with_options(BACK_ENDS[request.param](tmp_path), "portraits=yes&actor=warden")


def opened(url: str) -> SqlGallery:
    gallery = open_gallery(url)
    assert isinstance(gallery, SqlGallery)
    assert isinstance(gallery, Portable)
    return gallery


LANDMARKS = np.arange(20, dtype=np.float32).reshape(2, 5, 2)


def fill(gallery: SqlGallery) -> None:
    portraits = Portraits([b"\xff\xd8 one", b"\xff\xd8 two"], LANDMARKS)
    gallery.add_many(
        [NewEnrollment("Ada", faces(2), ["staff", "math"], portraits), ("Bob", faces(3, seed=1))],
    )


def test_all_templates_in_blocks(url: str) -> None:
    with opened(url) as gallery:
        assert list(gallery.blocks()) == []
        fill(gallery)
        first, second, third = gallery.blocks(rows=2)
        assert [len(block) for block in (first, second, third)] == [2, 2, 1]
        assert first.template_ids.tolist() == [1, 2]
        assert (first.identities, second.identities) == (["Ada", "Ada"], ["Bob", "Bob"])
        assert (first.tags[1], second.tags[0]) == (("math", "staff"), ())
        assert np.array_equal(first.vectors, faces(2).vectors)
        assert first.pictures is None
        assert not first.mapped.any()
        assert np.abs(first.created - time.time()).max() < 60
        (whole,) = gallery.blocks(portraits=True)
        assert whole.pictures == [b"\xff\xd8 one", b"\xff\xd8 two", None, None, None]
        assert whole.landmarks is not None
        assert np.array_equal(whole.landmarks[:2], LANDMARKS)
        assert np.isnan(whole.landmarks[2:]).all()


def test_blocks_are_of_one_moment(url: str) -> None:
    with opened(url) as gallery:
        fill(gallery)
        seen: list[int] = []
        for block in gallery.blocks(rows=1):
            seen.extend(block.template_ids.tolist())
            if len(seen) == 1:
                gallery.remove_identity("Bob")
                gallery.add("Cleo", faces(1, seed=3))
                assert gallery.search(faces(1, seed=3))[0][0].identity == "Cleo"
        assert seen == [1, 2, 3, 4, 5]
        assert gallery.identities() == [("Ada", 2), ("Cleo", 1)]


def test_blocks_that_are_not_read_to_the_end(url: str) -> None:
    with opened(url) as gallery:
        fill(gallery)
        for _ in range(12):
            next(gallery.blocks(rows=1))
        gallery.remove_identity("Ada")
        assert len(gallery) == 3


def test_what_left_comes_back(url: str, tmp_path: Path) -> None:
    with opened(url) as gallery:
        fill(gallery)
        (block,) = gallery.blocks(portraits=True)
    with opened(with_options(url, "name=restored")) as copy:
        assert copy.restore(block, SPACE) == [1, 2, 3, 4, 5]
        assert copy.restore(block, SPACE) == [6, 7, 8, 9, 10]
        assert copy.identities() == [("Ada", 4), ("Bob", 6)]
        assert copy.tags("Ada") == ["math", "staff"]
        (again,) = copy.blocks(portraits=True)
        assert np.array_equal(again.created, np.tile(block.created, 2))
        assert again.pictures is not None
        assert block.pictures is not None
        assert list(again.pictures) == [*block.pictures, *block.pictures]
        mapped = Block(block.template_ids, block.identities, block.tags, block.vectors, block.created, ~block.mapped)
        copy.restore(mapped, SPACE)
        assert copy.mapped() == 5
        with pytest.raises(SpaceMismatch):
            copy.restore(block, "other@1")
        for created in (time.time() + 1000, np.nan, np.inf):
            wrong = Block(
                block.template_ids, block.identities, block.tags, block.vectors, np.full(5, created), block.mapped
            )
            with pytest.raises(BadInput, match="created"):
                copy.restore(wrong, SPACE)
        assert len(copy) == 15


def test_everything_about_one(url: str) -> None:
    with opened(url) as gallery:
        fill(gallery)
        gallery.begin_migration("other@1", 8)
        gallery.put_pending([(2, faces(1, dimension=8).vectors[0])], target="other@1", mapped=False)
        told = gallery.export_identity("  Ada")
        assert json.loads(json.dumps(told)) == told
        assert (told["identity"], told["identity_id"], told["space"]) == ("Ada", 1, SPACE)
        assert told["tags"] == ["math", "staff"]
        first, second = told["templates"]
        assert (first["template_id"], second["template_id"]) == (1, 2)
        assert np.array_equal(np.array(second["vector"], np.float32), faces(2).vectors[1])
        assert base64.b64decode(first["portrait"]["jpeg_base64"]) == b"\xff\xd8 one"
        assert np.array_equal(first["portrait"]["landmarks"], LANDMARKS[0])
        assert abs(datetime.fromisoformat(first["enrolled"]).timestamp() - time.time()) < 60
        assert first["mapped"] is False
        assert [(p["template_id"], p["space"], len(p["vector"])) for p in told["pending"]] == [(2, "other@1", 8)]
        assert [(e["actor"], e["action"]) for e in told["audit"]] == [("warden", "enroll"), ("warden", "export")]
        bob = gallery.export_identity("Bob")
        assert [template["portrait"] for template in bob["templates"]] == [None] * 3
        assert "Ada" not in str(bob)
        with pytest.raises(IdentityNotFound):
            gallery.export_identity("nobody")


@pytest.mark.parametrize(
    ("level", "logged"), [("off", []), ("changes", ["enroll", "export"]), ("all", ["enroll", "export"])]
)
def test_an_export_is_logged_where_a_log_is_kept(tmp_path: Path, level: str, logged: list[str]) -> None:
    with opened(with_options(BACK_ENDS["sqlite"](tmp_path), f"audit={level}")) as gallery:
        gallery.add("Ada", faces(1))
        told = gallery.export_identity("Ada")
        assert [entry["action"] for entry in told["audit"]] == logged
