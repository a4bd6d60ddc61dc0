from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mien.cli.whole_files import replacing, require_place
from mien.errors import OutputError


def test_the_file_appears_whole(tmp_path: Path) -> None:
    out = tmp_path / "made" / "a.txt"
    with replacing(out) as temporary:
        temporary.write_text("hello")
        assert not out.exists()
    assert out.read_text() == "hello"
    assert [path.name for path in out.parent.iterdir()] == ["a.txt"]


def test_what_was_there_stays_after_an_error(tmp_path: Path) -> None:
    out = tmp_path / "a.txt"
    out.write_text("before")
    assert told_by(out, lambda temporary: OutputError(f"{temporary.write_text('half')} characters")) == "4 characters"
    assert out.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def told_by(out: Path, failure: Callable[[Path], Exception]) -> str:
    """The message of what comes out of the block when ``failure`` is raised in it."""
    with pytest.raises(OutputError) as told, replacing(out) as temporary:
        raise failure(temporary)
    return str(told.value)


def test_errors_name_the_file_that_was_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "a.npz"

    def written(temporary: Path) -> OutputError:
        error = OutputError(f"{temporary}: cannot be written: [Errno 28] cannot write to {temporary}")
        error.__cause__ = OSError(28, f"cannot write to {temporary}")
        return error

    full = f"{out}: cannot be written: No space left on device"
    assert told_by(out, written) == full
    assert told_by(out, lambda temporary: OutputError(f"{temporary}: is bad")) == f"{out}: is bad"
    assert told_by(out, lambda _temporary: OutputError("another thing")) == "another thing"
    assert told_by(out, lambda _temporary: OSError(28, "[Errno 28] oh")) == full


def test_a_place_that_cannot_be_written_is_found_out_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("no folder")
    with pytest.raises(OutputError, match="cannot be written"), replacing(tmp_path / "a" / "b.npz"):
        pytest.fail("the work began")


def test_require_place(tmp_path: Path) -> None:
    out = tmp_path / "a.npz"
    require_place(out, overwrite=False)
    out.touch()
    with pytest.raises(OutputError, match="--overwrite"):
        require_place(out, overwrite=False)
    require_place(out, overwrite=True)
    with pytest.raises(OutputError, match="there is no folder"):
        require_place(tmp_path / "b" / "a.npz", overwrite=True)
