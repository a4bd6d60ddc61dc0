"""The exact search against a slow, obvious one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.matching import CODECS, Codec, SearchIndex, dequantize, erase_rows, kernel_names, paired_scores, quantize
from mien.matching.native import native_search
from mien.types import Match

Vectors = NDArray[np.float32]


def unit(count: int, dimension: int, seed: int = 0) -> Vectors:
    raw = np.random.default_rng(seed).standard_normal((count, dimension))
    scaled: NDArray[np.float64] = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    return scaled.astype(np.float32)


def index_of(ids: Sequence[int], codes: Sequence[int], vectors: Vectors, codec: Codec = "float32") -> SearchIndex:
    index = SearchIndex(vectors.shape[1], codec)
    index.add(ids, codes, vectors)
    return index


@pytest.fixture(params=[*kernel_names(), "numpy"], autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test runs with each way of searching that this machine has."""
    name = str(request.param)
    through = partial(native_search, kernel=name) if name != "numpy" else lambda *_, **__: None
    monkeypatch.setattr("mien.matching.search.native_search", through)
    return name


def oracle(
    probe: Vectors,
    rows: dict[int, tuple[int, Vectors]],
    names: dict[int, str],
    top: int,
    threshold: float | None,
) -> list[Match]:
    """All scores, one by one; the best template of each identity; sorted by score, then template id."""
    best: dict[int, tuple[float, int]] = {}
    for id_ in sorted(rows):
        code, vector = rows[id_]
        score = float(paired_scores(probe[None], vector[None])[0])
        if (threshold is None or score >= threshold) and (code not in best or score > best[code][0]):
            best[code] = (score, id_)
    ranking = sorted((-score, id_, names[code]) for code, (score, id_) in best.items())[:top]
    return [Match(name, -score, rank, id_) for rank, (score, id_, name) in enumerate(ranking, 1)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    codec=st.sampled_from(CODECS),
    seed=st.integers(0, 10_000),
    count=st.integers(0, 60),
    people=st.integers(1, 20),
    distinct=st.integers(1, 30),
    dimension=st.sampled_from([1, 2, 5, 16]),
    top=st.integers(1, 25),
    threshold=st.one_of(st.none(), st.floats(-1.1, 1.1)),
    removed=st.integers(0, 30),
)
def test_search_equals_the_oracle(
    codec: Codec,
    seed: int,
    count: int,
    people: int,
    distinct: int,
    dimension: int,
    top: int,
    threshold: float | None,
    removed: int,
) -> None:
    rng = np.random.default_rng(seed)
    pool = unit(distinct, dimension, seed)
    vectors = pool[rng.integers(0, distinct, count)]
    codes = rng.integers(0, people, count).tolist()
    ids = rng.permutation(np.arange(100, 100 + count)).tolist()
    names = {code: f"person {(code * 7) % people}" for code in range(people)}
    names = {code: f"{name} {code}" for code, name in names.items()}
    index = index_of(ids, codes, vectors, codec)
    if codec == "int8-only":
        # Vectors whose int8 codes are exact: those that a gallery of this codec gives back.
        pool, vectors = dequantize(quantize(pool)), dequantize(quantize(vectors))
    rows = {id_: (code, vector) for id_, code, vector in zip(ids, codes, vectors, strict=True)}
    for id_ in ids[:removed]:
        del rows[id_]
    index.remove(ids[:removed])
    probes = np.concatenate([unit(2, dimension, seed + 1), pool[:3]])
    expected = [oracle(probe, rows, names, top, threshold) for probe in probes]
    if codec == "int8-only":
        # A score is rounded once here and twice there: equal to the last bit but one, and ties may part.
        found = index.search(probes, names, top=top, threshold=threshold)
        for ours, theirs in zip(found, expected, strict=True):
            for a, b in zip(ours, theirs, strict=False):
                assert a.score == pytest.approx(b.score, abs=3e-7)
        return
    assert index.search(probes, names, top=top, threshold=threshold) == expected
    assert [index.search(probe[None], names, top=top, threshold=threshold)[0] for probe in probes] == expected
    assert len(index) == len(rows)


@pytest.mark.parametrize("codec", ["float32", "int8"])
@pytest.mark.parametrize("top", [1, 7, 150, 40_000])
def test_search_over_many_blocks_equals_the_oracle(top: int, codec: Codec) -> None:
    rng = np.random.default_rng(3)
    vectors = unit(30_000, 64)
    # The same few vectors in many places: their scores must tie wherever a block puts them.
    vectors[rng.integers(0, 30_000, 300)] = vectors[17]
    codes = rng.integers(0, 9000, 30_000)
    names = {code: f"{code * 31 % 9000:05d}" for code in range(9000)}
    index = index_of(range(1, 30_001), codes.tolist(), vectors, codec)
    probes = np.concatenate([vectors[17:18], unit(2, 64, seed=9), -vectors[17:18], vectors[40:50]])
    together = index.search(probes, names, top=top)
    for probe, found in zip(probes, together, strict=True):
        scores = paired_scores(probe[None], vectors)
        order = np.lexsort((np.arange(30_000), -scores))
        _, first = np.unique(codes[order], return_index=True)
        rows = order[first]
        best = sorted((-float(scores[row]), int(row) + 1, names[int(codes[row])]) for row in rows)[:top]
        assert [(m.identity, m.score, m.template_id) for m in found] == [(n, -s, i) for s, i, n in best]
        assert [m.rank for m in found] == list(range(1, len(best) + 1))
        assert index.search(probe[None], names, top=top) == [found]


def test_more_probes_than_a_block() -> None:
    vectors, probes = unit(500, 32), unit(300, 32, seed=1)
    index = index_of(range(500), range(500), vectors)
    names = {code: f"{code:03d}" for code in range(500)}
    found = index.search(probes, names, top=3, threshold=0.1)
    assert found == [index.search(probe[None], names, top=3, threshold=0.1)[0] for probe in probes]
    assert index.search(np.empty((0, 32)), names) == []


def test_scores_in_rising_order_are_no_trap() -> None:
    angles = np.linspace(np.pi, 0, 20_000)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    index = index_of(range(20_000), range(20_000), vectors)
    (found,) = index.search(np.array([[1, 0]]), {code: f"{code:05d}" for code in range(20_000)}, top=3)
    assert [match.score for match in found] == sorted((float(s) for s in vectors[:, 0]), reverse=True)[:3]


def test_threshold_is_inclusive() -> None:
    index = index_of([1, 2], [1, 2], unit(2, 16))
    names = {1: "a", 2: "b"}
    (everyone,) = index.search(unit(1, 16, seed=5), names, top=2)
    lowest = everyone[-1].score
    assert index.search(unit(1, 16, seed=5), names, top=2, threshold=lowest) == [everyone]
    above = float(np.nextafter(lowest, 2.0))
    assert index.search(unit(1, 16, seed=5), names, top=2, threshold=above) == [everyone[:1]]


def test_an_empty_index_finds_nobody() -> None:
    assert SearchIndex(8).search(unit(2, 8), {}, top=5) == [[], []]


def test_remove_names_the_identities_that_are_gone() -> None:
    index = index_of([1, 2, 3, 4], [7, 7, 8, 9], unit(4, 8))
    assert index.remove([1, 3, 99]) == [8]
    assert index.remove([3]) == []
    assert index.counts() == {7: 1, 9: 1}
    assert index.remove([2, 4]) == [7, 9]
    assert len(index) == 0
    index.add([5], [7], unit(1, 8))
    assert index.of_identity(7)[0].tolist() == [5]


def test_a_snapshot_does_not_change() -> None:
    vectors = unit(6000, 8)
    index = index_of(range(3000), range(3000), vectors[:3000])
    snapshot = index.snapshot()
    names = {code: f"{code:04d}" for code in range(6000)}
    before = snapshot.search(vectors[:20], names, top=2)
    index.add(range(3000, 6000), range(3000, 6000), vectors[3000:])
    index.remove(range(2500))
    index.add([10_000], [0], vectors[:1])
    assert snapshot.search(vectors[:20], names, top=2) == before


def test_searching_while_another_thread_changes_the_index() -> None:
    vectors = unit(3000, 32)
    names = {code: f"{code:04d}" for code in range(3000)}
    index = index_of(range(1000), range(1000), vectors[:1000])
    stop = threading.Event()
    wrong: list[list[list[Match]]] = []

    def search() -> None:
        while not stop.is_set():
            found = index.search(vectors[:3], names)
            if [[match.template_id for match in matches] for matches in found] != [[0], [1], [2]]:
                wrong.append(found)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for start in range(1000, 3000, 50):
        index.add(range(start, start + 50), range(start, start + 50), vectors[start : start + 50])
        index.remove(range(start - 900, start - 850))
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("top", [0, -1, 1.5, "2", None])
def test_a_bad_top_is_refused(top: int) -> None:
    with pytest.raises(BadInput, match="top: expected"):
        SearchIndex(8).search(unit(1, 8), {}, top=top)


@pytest.mark.parametrize("threshold", [float("nan"), "high", [1]])
def test_a_bad_threshold_is_refused(threshold: float) -> None:
    with pytest.raises(BadInput, match="threshold: expected a number or None"):
        SearchIndex(8).search(unit(1, 8), {}, threshold=threshold)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(BadInput, match=r"probes: expected shape \(m, 8\), got \(1, 9\)"):
        SearchIndex(8).search(unit(1, 9), {})
    with pytest.raises(BadInput, match=r"vectors: expected shape \(n, 8\), got \(1, 9\)"):
        SearchIndex(8).add([1], [1], unit(1, 9))
    with pytest.raises(BadInput, match="lengths differ"):
        SearchIndex(8).add([1, 2], [1], unit(1, 8))
    with pytest.raises(BadInput, match="identities: expected 0 to 2147483647, got -1"):
        SearchIndex(8).add([1], [-1], unit(1, 8))
    with pytest.raises(BadInput, match="dimension: expected at least 1, got 0"):
        SearchIndex(0)
    with pytest.raises(BadInput, match="codec: expected one of float32, int8, int8-only, got 'int4'"):
        SearchIndex(8, "int4")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="NaN"):
        SearchIndex(8).add([1], [1], np.full((1, 8), np.nan))
    with pytest.raises(BadInput, match="NaN"):
        SearchIndex(8).search(np.full((1, 8), np.nan), {})


@pytest.mark.parametrize("codec", CODECS)
def test_rows_come_and_go_in_turns(codec: Codec) -> None:
    vectors, names = unit(4000, 24), {code: str(code) for code in range(4000)}
    index, rng, held = SearchIndex(24, codec), np.random.default_rng(0), set[int]()
    for start in range(0, 4000, 100):
        index.add(range(start, start + 100), range(start, start + 100), vectors[start : start + 100])
        held |= set(range(start, start + 100))
        for id_ in rng.choice(sorted(held), 60, replace=False).tolist():
            assert index.remove([id_]) == [id_]
            held.remove(id_)
    assert len(index) == len(held)
    assert sorted(index.counts()) == sorted(held)
    found = index.search(vectors, names, threshold=0.999)
    assert {code for code, matches in enumerate(found) if matches} == held
    assert all(matches[0].template_id == code for code, matches in enumerate(found) if matches)
    assert index.of_identity(min(held))[0].tolist() == [min(held)]


@pytest.mark.parametrize("few", [3, 400])
def test_only_allowed_identities_are_found(few: int) -> None:
    vectors, names = unit(500, 16), {code: str(code) for code in range(100)}
    codes = np.arange(500) % 100
    index = index_of(range(500), codes.tolist(), vectors)
    allowed = np.arange(few) % 100 if few < 100 else np.arange(5, 100)
    rows = {i: (int(codes[i]), vectors[i]) for i in range(500) if codes[i] in set(allowed.tolist())}
    probes = unit(6, 16, seed=2)
    found = index.search(probes, names, top=5, allowed=np.append(allowed, [77_777, -1]))
    assert found == [oracle(probe, rows, names, 5, None) for probe in probes]
    assert index.search(probes, names, allowed=np.empty(0, np.int64)) == [[] for _ in probes]


@pytest.mark.parametrize("codec", CODECS)
def test_the_mean_of_an_identitys_scores(codec: Codec) -> None:
    vectors, rng = unit(900, 16), np.random.default_rng(1)
    codes = rng.integers(0, 200, 900)
    names = {code: str(code) for code in range(300)}
    index = index_of(range(900), codes.tolist(), vectors, codec)
    stored = vectors if codec != "int8-only" else dequantize(quantize(vectors))
    probes = unit(5, 16, seed=3)

    def expected(probe: Vectors) -> list[tuple[str, int]]:
        means = {c: (stored[codes == c].astype(float) @ probe).mean() for c in set(codes[codes >= 0].tolist())}
        best = sorted(means, key=lambda c: -means[c])[:10]
        return [(str(c), int(np.flatnonzero(codes == c)[0])) for c in best]

    def found() -> list[list[tuple[str, int]]]:
        answer = index.search(probes, names, top=10, fusion="mean")
        return [[(match.identity, match.template_id) for match in matches] for matches in answer]

    assert found() == [expected(probe) for probe in probes]
    index.remove(range(0, 100))
    codes[:100] = -1
    assert found() == [expected(probe) for probe in probes]
    more = unit(50, 16, seed=8)
    index.add(range(900, 950), [250] * 25 + [3] * 25, more)
    codes = np.append(codes, [250] * 25 + [3] * 25)
    stored = np.concatenate([stored, more if codec != "int8-only" else dequantize(quantize(more))])
    assert found() == [expected(probe) for probe in probes]


def test_means_keep_up_with_another_thread() -> None:
    vectors, names = unit(600, 16), {code: str(code) for code in range(600)}
    index = index_of([0], [0], vectors[:1])
    done = threading.Event()

    def add() -> None:
        for code in range(1, 600):
            index.add([code], [code], vectors[code : code + 1])
        done.set()

    thread = threading.Thread(target=add)
    thread.start()
    while not done.is_set():
        index.search(vectors[:1], names, fusion="mean")
    thread.join()
    found = index.search(vectors, names, fusion="mean")
    assert [matches[0].identity for matches in found] == [str(code) for code in range(600)]


@pytest.mark.parametrize("codec", CODECS)
def test_an_index_in_a_file(codec: Codec, tmp_path: Path) -> None:
    vectors, names = unit(70_000, 8), {code: str(code) for code in range(70_010)}
    index = index_of(range(70_000), range(70_000), vectors, codec)
    index.remove(range(500, 600))
    path = tmp_path / "people.idx"
    index.save(path, {"epoch": 3})
    loaded, facts = SearchIndex.load(path)
    assert facts == {"epoch": 3}
    assert (loaded.codec, loaded.dimension, len(loaded)) == (codec, 8, 69_900)
    probes = np.concatenate([vectors[:5], vectors[69_990:], vectors[500:510]])
    assert loaded.search(probes, names, top=3) == index.search(probes, names, top=3)
    loaded.add([70_000], [70_000], unit(1, 8, seed=5))
    assert loaded.remove([7, 70_000]) == [7, 70_000]
    index.remove([7])
    assert loaded.search(probes, names, top=3) == index.search(probes, names, top=3)
    assert SearchIndex.load(path)[0].search(vectors[7:8], names)[0][0].identity == "7"

    before = path.read_bytes()
    secret = vectors[7].tobytes() if codec == "float32" else quantize(vectors[7:8]).tobytes()
    assert secret in before
    assert erase_rows(path, [7, 99_999]) == 1
    after = path.read_bytes()
    assert len(after) == len(before)
    assert secret not in after
    again, _ = SearchIndex.load(path)
    assert len(again) == 69_899
    assert again.search(probes, names, top=3) == index.search(probes, names, top=3)


def test_an_empty_index_in_a_file(tmp_path: Path) -> None:
    SearchIndex(8).save(tmp_path / "none.idx", {})
    loaded, _ = SearchIndex.load(tmp_path / "none.idx")
    assert loaded.search(unit(1, 8), {}) == [[]]
    loaded.add([1], [1], unit(1, 8))
    assert len(loaded) == 1


def test_files_that_are_no_index_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "people.idx"
    index_of([1, 2], [1, 2], unit(2, 8)).save(path, {})
    whole = path.read_bytes()
    for broken in (b"", b"mienidx", b"nonsense" * 10, whole[:-1], whole + b"x", whole[:16] + b"[" + whole[17:]):
        path.write_bytes(broken)
        with pytest.raises(BadInput, match=r"people\.idx"):
            SearchIndex.load(path)
    path.write_bytes(whole[:7] + b"\x03" + whole[8:])
    with pytest.raises(BadInput, match="newer"):
        SearchIndex.load(path)
