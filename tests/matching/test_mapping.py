from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.errors import BadInput, OutputError, SpaceMismatch
from mien.matching.mapping import SpaceMap, fit_map
from mien.matching.mapping_loss import match_rate
from mien.types import FloatArray, Templates

OLD, NEW = "old@00000000", "new@11111111"


def two_models(
    people: int = 60, images: int = 6, dimensions: tuple[int, int] = (24, 16), noise: float = 0.3, seed: int = 0
) -> tuple[Templates, Templates, list[str]]:
    """Templates of the same faces in two spaces that see the same 12 traits, each with noise of its own."""
    random = np.random.default_rng(seed)
    traits = np.repeat(random.standard_normal((people, 12)), images, axis=0)
    faces = traits + noise * random.standard_normal(traits.shape)
    spaces = []
    for space, dimension in zip((OLD, NEW), dimensions, strict=True):
        seen = faces @ random.standard_normal((12, dimension)) + 2.0
        spaces.append(Templates.normalized(seen + noise * random.standard_normal(seen.shape), space))
    return spaces[0], spaces[1], [f"person {k}" for k in range(people) for _ in range(images)]


def slow_rate(a: FloatArray, b: FloatArray, people: list[int], fmr: float, *, once: bool) -> tuple[float, int, int]:
    mated: list[float] = []
    non_mated: list[float] = []
    for i in range(len(a)):
        for j in range(i + 1 if once else 0, len(b)):
            if i != j:
                (mated if people[i] == people[j] else non_mated).append(float(a[i] @ b[j]))
    limits = sorted({*mated, *non_mated, 2.0})
    threshold = next(t for t in limits if sum(s >= t for s in non_mated) <= fmr * len(non_mated))
    return sum(s >= threshold for s in mated) / len(mated), len(mated), len(non_mated)


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("fmr", [0.001, 0.02, 0.3])
def test_match_rate_is_that_of_the_slow_way(monkeypatch: pytest.MonkeyPatch, once: bool, fmr: float) -> None:
    monkeypatch.setattr("mien.matching.mapping_loss._BLOCK_SCORES", 700)
    old, new, people = two_models(people=11, images=5, dimensions=(16, 16))
    codes = [int(p.split()[1]) for p in people]
    a, b = old.vectors, old.vectors if once else new.vectors
    rate = match_rate(a, b, np.array(codes), fmr)
    assert (rate.tmr, rate.mated, rate.non_mated) == pytest.approx(slow_rate(a, b, codes, fmr, once=once))


def test_equal_scores_all_match_or_none() -> None:
    vectors = np.tile(np.eye(2, dtype=np.float32)[0], (40, 1))
    rate = match_rate(vectors, vectors, np.repeat(np.arange(20), 2), 0.01)
    assert rate.tmr == 0
    assert rate.threshold > 1


def test_too_few_pairs_are_no_measurement() -> None:
    vectors = np.eye(8, dtype=np.float32)
    with pytest.raises(BadInput, match="at least 1000 non-mated pairs"):
        match_rate(vectors, vectors, np.arange(8) // 2, 0.001)
    with pytest.raises(BadInput, match="got 0 and 28"):
        match_rate(vectors, vectors, np.arange(8), 0.1)


@pytest.mark.parametrize("dimensions", [(24, 16), (16, 24), (16, 16)])
def test_a_map_brings_templates_near(dimensions: tuple[int, int]) -> None:
    old, new, people = two_models(dimensions=dimensions)
    found = fit_map(old, new, people)
    assert (found.source, found.target, found.matrix.shape) == (OLD, NEW, dimensions)
    assert (found.people, found.pairs) == (42, 252)
    fresh_old, fresh_new, _ = two_models(dimensions=dimensions)
    mapped = found.apply(fresh_old)
    assert mapped.space == NEW
    np.testing.assert_allclose(np.linalg.norm(mapped.vectors, axis=1), 1, atol=1e-6)
    near = (mapped.vectors * fresh_new.vectors).sum(axis=1).mean()
    assert near > 0.9
    loss = found.loss
    assert (loss.people, loss.templates, loss.fmr) == (18, 108, 0.001)
    assert 0.5 < loss.mapped_new.tmr <= 1
    assert loss.old.non_mated == 108 * 107 // 2 - 18 * 15
    assert loss.mapped_new.non_mated == 2 * loss.old.non_mated


def test_a_rotation_is_found_and_loses_nothing() -> None:
    old, _, people = two_models(dimensions=(16, 16))
    rotation = np.linalg.qr(np.random.default_rng(5).standard_normal((16, 16)))[0]
    new = Templates.normalized(old.vectors @ rotation, NEW)
    found = fit_map(old, new, people)
    assert found.kind == "procrustes"
    np.testing.assert_allclose(found.apply(old).vectors, new.vectors, atol=1e-5)
    np.testing.assert_allclose(found.matrix @ found.matrix.T, np.eye(16), atol=1e-4)
    assert found.loss.mapped_new.tmr == pytest.approx(found.loss.new.tmr, abs=1e-3)


def test_what_no_rotation_can_do_is_left_to_the_ridge() -> None:
    old, _, people = two_models(dimensions=(16, 16), images=10)
    stretched = Templates.normalized(old.vectors @ np.diag(np.geomspace(0.05, 5, 16)), NEW)
    assert fit_map(old, stretched, people).kind == "ridge"


def test_held_out_people_do_not_reach_the_map() -> None:
    old, new, people = two_models()
    found = fit_map(old, new, people)
    order = np.random.default_rng(0).permutation(60)
    names = np.unique(people)
    held_out = np.isin(people, names[order[:18]])
    vectors = np.where(held_out[:, None], np.roll(new.vectors, 1, axis=1), new.vectors)
    other = fit_map(old, Templates(vectors, NEW), people)
    np.testing.assert_array_equal(found.matrix, other.matrix)
    assert other.loss.mapped_new.tmr < found.loss.mapped_new.tmr


def test_the_seed_decides_the_split() -> None:
    old, new, people = two_models()
    assert fit_map(old, new, people, seed=1).digest == fit_map(old, new, people, seed=1).digest
    assert fit_map(old, new, people, seed=1).digest != fit_map(old, new, people, seed=2).digest


def test_bad_input() -> None:
    old, new, people = two_models(people=12)
    with pytest.raises(BadInput, match="lengths differ"):
        fit_map(old, new, people[1:])
    with pytest.raises(BadInput, match="two spaces"):
        fit_map(old, old, people)
    with pytest.raises(BadInput, match="at least 10 people"):
        fit_map(old, new, ["one"] * len(people))
    with pytest.raises(BadInput, match="non-mated"):
        fit_map(old[:12], new[:12], [str(k) for k in range(12)])
    for fmr in (0, 1, float("nan")):
        with pytest.raises(BadInput, match="fmr"):
            fit_map(old, new, people, fmr=fmr)
    found = fit_map(*two_models())
    with pytest.raises(SpaceMismatch):
        found.apply(new)
    with pytest.raises(BadInput, match="dimension 24"):
        found.apply(Templates.normalized(np.ones((1, 5)), OLD))


def test_files(tmp_path: Path) -> None:
    old, new, people = two_models()
    found = fit_map(old, new, people)
    path = tmp_path / "a map"
    found.save(path)
    again = SpaceMap.load(path)
    assert again.digest == found.digest
    assert again.loss == found.loss
    assert (again.kind, again.penalty, again.people, again.pairs) == (
        found.kind,
        found.penalty,
        found.people,
        found.pairs,
    )
    np.testing.assert_array_equal(again.apply(old).vectors, found.apply(old).vectors)
    with pytest.raises(OutputError):
        found.save(tmp_path)


def _changed(path: Path, **arrays: Any) -> None:
    with np.load(path) as file:
        there = dict(file)
    np.savez(path, **{name: array for name, array in {**there, **arrays}.items() if array is not None})


def test_files_that_are_no_maps(tmp_path: Path) -> None:
    path = tmp_path / "map.npz"
    found = fit_map(*two_models())

    def refused(match: str) -> None:
        with pytest.raises(BadInput, match=match):
            SpaceMap.load(path)

    refused("No such file")
    for content in (b"", b"hello", b"PK\x03\x04 no zip"):
        path.write_bytes(content)
        refused("expected a map")
    found.save(path)
    whole = path.read_bytes()
    for end in (10, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:end])
        refused("expected a map")
    damaged = bytearray(whole)
    damaged[whole.index(b"matrix.npy") + 300] ^= 0xFF
    path.write_bytes(damaged)
    refused("or a damaged one")
    np.save(path.with_suffix(".npy"), np.eye(3))
    path.write_bytes(path.with_suffix(".npy").read_bytes())
    refused("expected a map")
    for arrays in (
        {"matrix": np.eye(3)},
        {"matrix": np.full((24, 16), np.nan)},
        {"source_mean": np.array(["a"])},
        {"source_mean": None},
        {"metadata": np.frombuffer(b"[]", np.uint8)},
        {"metadata": np.frombuffer(b'{"format": "mien space map 2"}', np.uint8)},
        {"metadata": np.frombuffer(b'{"format": "mien space map 1"}', np.uint8)},
        {"metadata": np.array([{}], dtype=object)},
    ):
        found.save(path)
        _changed(path, **arrays)
        refused("map")
