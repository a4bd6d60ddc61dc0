"""Work under a key: done once, whoever asks again, and whatever happened to who did it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mien
from mien.errors import BadInput, ConnectionLost, IdempotencyMismatch, NoFace, Overloaded
from mien.server.idempotency import SCHEMA, Answer, Idempotency, digest_of
from mien.server.presence import Presence
from mien.server.recovering import already_stored, ids_before
from mien.server.state import State
from mien.types import Templates

Work = Callable[[], Awaitable[Answer]]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = State(tmp_path / "data" / "server.db", [SCHEMA])
    yield opened
    opened.close()


@pytest.fixture
def once(state: State) -> Iterator[Idempotency]:
    made = Idempotency(state, wait_s=0.5)
    yield made
    made.close()


def counted(calls: list[int], *, wait_s: float = 0.0, error: Exception | None = None) -> Work:
    async def work() -> Answer:
        calls.append(len(calls))
        await asyncio.sleep(wait_s)
        if error is not None:
            raise error
        return 200, {"call": calls[-1]}

    return work


def test_a_repeat_gets_the_first_answer_and_other_keys_do_not(once: Idempotency) -> None:
    calls: list[int] = []

    async def run() -> list[Answer]:
        work = counted(calls)
        return [
            await once.run("a", "enroll x", "key", "digest", work),
            await once.run("a", "enroll x", "key", "digest", work),
            await once.run("a", "enroll y", "key", "digest", work),
            await once.run("b", "enroll x", "key", "digest", work),
            await once.run("a", "enroll x", "other", "digest", work),
        ]

    assert [body["call"] for _, body in asyncio.run(run())] == [0, 0, 1, 2, 3]


def test_another_request_with_the_key_is_refused(once: Idempotency) -> None:
    async def run() -> None:
        await once.run("a", "r", "key", digest_of("one"), counted([]))
        with pytest.raises(IdempotencyMismatch):
            await once.run("a", "r", "key", digest_of("two"), counted([]))

    asyncio.run(run())


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "ключ", "line\nbreak"])
def test_keys_are_visible_ascii(once: Idempotency, key: str) -> None:
    with pytest.raises(BadInput, match="Idempotency-Key"):
        asyncio.run(once.run("a", "r", key, "digest", counted([])))


def test_digests_tell_parts_apart() -> None:
    assert len({digest_of("ab", "c"), digest_of("a", "bc"), digest_of("abc"), digest_of(b"abc", "")}) == 4
    assert digest_of("abc") == digest_of(b"abc")


def test_repeats_at_once_wait_and_then_give_up(once: Idempotency) -> None:
    calls: list[int] = []

    async def run() -> list[Any]:
        soon = [once.run("a", "r", "soon", "digest", counted(calls, wait_s=0.1)) for _ in range(5)]
        answers: list[Any] = list(await asyncio.gather(*soon))
        late = [once.run("a", "r", "late", "digest", counted(calls, wait_s=1.5)) for _ in range(2)]
        return answers + list(await asyncio.gather(*late, return_exceptions=True))

    *soon, first, second = asyncio.run(run())
    assert soon == [(200, {"call": 0})] * 5
    assert first == (200, {"call": 1})
    assert isinstance(second, Overloaded)
    assert second.retry_after_s is not None
    assert len(calls) == 2


def test_work_that_failed_is_done_anew_and_asks_first_where_something_may_be_stored(once: Idempotency) -> None:
    asked: list[Any] = []

    async def recover(note: Any) -> Answer | None:
        asked.append(note)
        return (200, "recovered") if len(asked) > 1 else None

    async def run() -> list[Answer]:
        with pytest.raises(NoFace):
            await once.run("a", "r", "1", "digest", counted([], error=NoFace("none")), note=[1], recover=recover)
        answers = [await once.run("a", "r", "1", "digest", counted([]), note=[2], recover=recover)]
        assert asked == []
        for _ in range(2):
            work = counted([], error=ConnectionLost("gone"))
            with pytest.raises(ConnectionLost):
                await once.run("a", "r", "2", "digest", work, note=[3], recover=recover)
        answers.append(await once.run("a", "r", "2", "digest", counted([]), note=[4], recover=recover))
        return answers

    assert asyncio.run(run()) == [(200, {"call": 0}), (200, "recovered")]
    # The note is that of the first try: before it, nothing was stored.
    assert asked == [[3], [3]]


def test_work_goes_on_when_nobody_waits_for_it_any_more(once: Idempotency) -> None:
    calls: list[int] = []

    async def run() -> Answer:
        task = asyncio.create_task(once.run("a", "r", "key", "digest", counted(calls, wait_s=0.2)))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await once.finish()
        return await once.run("a", "r", "key", "digest", counted(calls))

    assert asyncio.run(run()) == (200, {"call": 0})


DIES = """
import asyncio, os, signal, sys
from pathlib import Path
import numpy as np
import mien
from mien.server.idempotency import SCHEMA, Idempotency
from mien.server.recovering import ids_before
from mien.server.state import State
from mien.types import Templates

data, when = Path(sys.argv[1]), sys.argv[2]
once = Idempotency(State(data / "server.db", [SCHEMA]))
gallery = mien.open_gallery(f"sqlite:///{data}/people.db?codec={sys.argv[3]}")
vectors = np.random.default_rng(0).standard_normal((3, 128)).astype(np.float32)
templates = Templates.normalized(vectors, "space@00000000")
gallery.add("Ada", templates[:2])

async def work():
    if when == "after":
        gallery.add("Ada", templates)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(once.run("a", "r", "key", "digest", work, note=ids_before(gallery, "Ada")))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("codec", ["float32", "int8", "int8-only"])
def test_who_was_killed_around_the_gallerys_commit_has_stored_it_once(tmp_path: Path, when: str, codec: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    done = subprocess.run([sys.executable, "-c", DIES, str(data), when, codec], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    state = State(data / "server.db", [SCHEMA])
    once = Idempotency(state)
    vectors = np.random.default_rng(0).standard_normal((3, 128)).astype(np.float32)
    templates = Templates.normalized(vectors, "space@00000000")
    with mien.open_gallery(f"sqlite:///{data}/people.db") as gallery:
        worked: list[str] = []

        async def work() -> Answer:
            worked.append("work")
            return 200, [one.template_id for one in gallery.add("Ada", templates)]

        async def recover(note: Any) -> Answer | None:
            worked.append("recover")
            found = already_stored(gallery, "Ada", templates, note)
            return None if None in found else (200, found)

        answers = [asyncio.run(once.run("a", "r", "key", "digest", work, recover=recover)) for _ in range(2)]
        assert worked == (["recover"] if when == "after" else ["recover", "work"])
        assert answers == [(200, [3, 4, 5])] * 2
        assert gallery.templates("Ada")[0] == [1, 2, 3, 4, 5]
    once.close()
    state.close()


def test_templates_are_known_again_each_once(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    templates = Templates.normalized(random.standard_normal((4, 64)).astype(np.float32), "space@00000000")
    with mien.open_gallery(f"sqlite:///{tmp_path}/people.db") as gallery:
        assert ids_before(gallery, "Ada") == []
        assert already_stored(gallery, "Ada", templates, []) == [None] * 4
        gallery.add("Ada", templates[:2])
        before = ids_before(gallery, "Ada")
        assert before == [1, 2]
        assert already_stored(gallery, "Ada", templates, before) == [None] * 4
        gallery.add("Ada", templates[np.array([1, 2])])
        assert already_stored(gallery, "Ada", templates[np.array([1, 1, 2, 3])], before) == [3, None, 4, None]
        assert already_stored(gallery, "Grace", templates, []) == [None] * 4
        near = templates.vectors[2] + np.float32(0.01) * random.standard_normal(64).astype(np.float32)
        other = Templates.normalized(near[None], "space@00000000")
        assert already_stored(gallery, "Ada", other, before) == [None]


def test_a_process_is_there_until_it_ends_however_it_ends(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from mien.server.presence import Presence;"
        "p = Presence(Path(sys.argv[1])); print(p.name, flush=True); sys.stdin.read()"
    )
    mine = Presence(tmp_path)
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        name = other.stdout.readline().strip()
        assert mine.is_there(name)
        assert mine.is_there(mine.name)
        other.kill()
        other.wait(30)
    assert not mine.is_there(name)
    assert not mine.is_there("0" * 32)
    later = Presence(tmp_path)
    assert sorted(path.stem for path in tmp_path.glob("*.lock")) == sorted([mine.name, later.name])
    mine.close()
    mine.close()
    assert not later.is_there(mine.name)
    later.close()
    assert list(tmp_path.iterdir()) == []
