from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from exchange_cases import FORMATS, contents, exported, filled, imported, whole
from gallery_cases import BACK_ENDS, SPACE, faces, with_options

from mien.galleries import Migratable, Portable, Portraits, open_gallery
from mien.types import FloatArray, Templates

MIGRATABLE = ["sqlite", "sqlite-int8", "sqlite-encrypted", "postgresql", "pgvector"]


@pytest.mark.parametrize("end", FORMATS)
@pytest.mark.parametrize("name", BACK_ENDS)
def test_out_of_a_back_end_and_into_it(name: str, end: str, tmp_path: Path) -> None:
    file, back = tmp_path / f"a{end}", tmp_path / f"b{end}"
    with filled(f"sqlite:///{tmp_path}/source.db") as source:
        exported(source, file)
        with open_gallery(BACK_ENDS[name](tmp_path)) as gallery:
            assert imported(gallery, file) == (15, 0)
            assert contents(gallery) == contents(source)
            assert imported(gallery, file) == (0, 15)
            assert exported(gallery, back) == 15
            kept = whole(gallery)
            if isinstance(gallery, Portable):
                times = np.concatenate([block.created for block in whole(source)])
                np.testing.assert_allclose(np.concatenate([block.created for block in kept]), times, atol=1e-5)
        with open_gallery(f"sqlite:///{tmp_path}/copy.db") as copy:
            assert imported(copy, back) == (15, 0)
            assert contents(copy) == contents(source)


def turned(vectors: FloatArray) -> FloatArray:
    return np.ascontiguousarray(-vectors[:, ::-1])


@pytest.mark.parametrize("codec", ["float32", "int8-only"])
@pytest.mark.parametrize("name", MIGRATABLE)
def test_vectors_are_replaced_at_once(name: str, codec: str, tmp_path: Path) -> None:
    """The steps of a migration, on every back end that has them; who reads elsewhere sees the old or the new."""
    url = BACK_ENDS[name](tmp_path)
    if codec == "int8-only":
        if name in ("sqlite-int8", "pgvector"):
            pytest.skip(f"{name} has a codec of its own")
        url = with_options(url, "codec=int8-only")
    other = "other@11111111"
    landmarks = np.arange(30, dtype=np.float32).reshape(3, 5, 2)
    with open_gallery(with_options(url, "portraits=yes")) as gallery, open_gallery(url) as elsewhere:
        assert isinstance(gallery, Migratable)
        gallery.add("Ada", faces(3), portraits=Portraits([b"one", b"two", b"three"], landmarks))
        gallery.add("Bo", faces(2, seed=1))
        state = gallery.begin_migration(other, 16)
        assert (state.target, state.done, state.left, state.left_without_portrait) == (other, 0, 5, 2)
        rows = gallery.unmigrated(2)
        assert [(row.template_id, row.picture) for row in rows] == [(1, b"one"), (2, b"two")]
        np.testing.assert_array_equal(
            np.stack([row.landmarks for row in rows if row.landmarks is not None]), landmarks[:2]
        )
        after = 0
        while rows := gallery.unmigrated(2, after=after):
            after = rows[-1].template_id
            assert gallery.finish_migration(other) > 0
            new = turned(np.stack([row.vector for row in rows]))
            pairs = [(row.template_id, vector) for row, vector in zip(rows, new, strict=True)]
            assert gallery.put_pending(pairs, target=other, mapped=rows[0].picture is None) == len(rows)
            for each in (gallery, elsewhere):
                assert each.space == SPACE
                assert each.search(faces(1))[0][0].identity == "Ada"
        assert gallery.finish_migration(other) == 0
        assert gallery.migration() is None
        assert gallery.mapped() == 1
        for each in (gallery, elsewhere):
            assert each.space == other
            (matches,) = each.search(Templates(turned(faces(1).vectors), other), top=5)
            assert [m.identity for m in matches] == ["Ada", "Bo"]
            assert matches[0].score == pytest.approx(1, abs=0.001)
        np.testing.assert_allclose(gallery.templates("Bo")[1].vectors, turned(faces(2, seed=1).vectors), atol=0.02)
        if isinstance(gallery, Portable):
            assert [b.pictures for b in gallery.blocks(portraits=True)] == [[b"one", b"two", b"three", None, None]]
