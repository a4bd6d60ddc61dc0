from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from made_faces import face_image, fake_recognizer, people_folder, write
from mien.errors import BadInput
from mien.evaluation import acquire, find_overlap, overlap, read_people


def noisy_folders(root: Path) -> None:
    """Person 0 stands in both, in A among three photos of person 1, who is nowhere else."""
    write(root / "a" / "mixed" / "0.png", face_image(0))
    for variant in range(3):
        write(root / "a" / "mixed" / f"other{variant}.png", face_image(1, variant))
    people_folder(root / "a" / "rest", [1])
    write(root / "a" / "plain" / "0.png", face_image(4))
    write(root / "b" / "lone" / "1.png", face_image(0, 1))
    write(root / "b" / "else" / "0.png", face_image(5))


def test_who_stands_in_a_folder_with_others_is_found(tmp_path: Path) -> None:
    noisy_folders(tmp_path)
    a, b = read_people(tmp_path / "a"), read_people(tmp_path / "b")
    found = find_overlap(fake_recognizer(), a, b)
    (row,) = [one for one in found.found if one.b == "lone" and one.a == "mixed"]
    assert row.score < found.threshold <= row.image_score
    assert row.mutual_images
    assert (row.image_a, row.image_b) == ("mixed/0.png", "lone/1.png")
    assert found.to_json()["mutual"] >= 1


@pytest.mark.parametrize("size", [1, 2, 5, 4096])
def test_blocks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    a = read_people(people_folder(tmp_path / "a", [3, 1, 2, 4, 1]))
    write(tmp_path / "b" / "none" / "0.png", face_image(0, faces=0))
    b = read_people(people_folder(tmp_path / "b", [1, 2, 1, 3]))
    monkeypatch.setattr(overlap, "_IMAGES_A_BLOCK", size)
    recognizer = fake_recognizer()
    found = find_overlap(recognizer, a, b, threshold=-1)
    assert (len(found.found), found.people) == (5 * 4, (5, 4))
    sides = []
    for folder in (a, b):
        acquired = acquire(recognizer, folder.samples)
        of = [acquired.vectors[(folder.identities == k) & acquired.acquired] for k in range(len(folder.names))]
        sides.append({folder.names[k]: vectors for k, vectors in enumerate(of) if len(vectors)})
    means = [{name: v.sum(0) / np.linalg.norm(v.sum(0)) for name, v in side.items()} for side in sides]
    best = {(x, y): float((v @ w.T).max()) for x, v in sides[0].items() for y, w in sides[1].items()}
    for one in found.found:
        assert one.score == pytest.approx(float(means[0][one.a] @ means[1][one.b]), abs=1e-5)
        assert one.image_score == pytest.approx(best[one.a, one.b], abs=1e-5)
        nearest = max(best[one.a, y] for y in sides[1]), max(best[x, one.b] for x in sides[0])
        if one.mutual_images:
            assert nearest == pytest.approx((one.image_score, one.image_score), abs=1e-5)
    scores = [one.image_score for one in found.found]
    assert scores == sorted(scores, reverse=True)
    assert {(one.a, one.b) for one in found.found if one.mutual} == {(f"person{k}", f"person{k}") for k in range(4)}


def test_a_folder_without_a_face_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a" / "x" / "0.png", face_image(0, faces=0))
    people_folder(tmp_path / "b", [1])
    with pytest.raises(BadInput, match="found none in 1 images"):
        find_overlap(fake_recognizer(), read_people(tmp_path / "a"), read_people(tmp_path / "b"))
