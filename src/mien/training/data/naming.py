"""File names for images that are written out: a folder for each person, no name twice."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import PurePosixPath

__all__ = ["FileNames"]

# What no file system refuses; control characters and separators become underscores.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
_NOBODY = "_nobody"
_LONGEST = 120


class FileNames:
    """Hands out ``person/image.jpg``, and ``person/image-2.jpg`` where that name was given out before."""

    def __init__(self) -> None:
        self._given: Counter[str] = Counter()

    def path(self, identity: str, name: str, suffix: str) -> PurePosixPath:
        """A relative path that was not handed out before; the same calls in the same order give the same paths.

        Args:
            identity: the person; empty for nobody.
            name: where the image came from; its last part without a suffix is used.
            suffix: such as ``.jpg``.
        """
        folder = _safe(identity) if identity else _NOBODY
        stem = _safe(PurePosixPath(name.replace("\\", "/")).name)
        stem = stem.rsplit(".", 1)[0] if "." in stem[1:] else stem
        tried = stem
        while True:
            # Some file systems take upper and lower case for the same.
            key = f"{folder}/{tried}".casefold()
            self._given[key] += 1
            if self._given[key] == 1:
                return PurePosixPath(folder, tried + suffix)
            tried = f"{stem}-{self._given[f'{folder}/{stem}'.casefold()]}"


def _safe(text: str) -> str:
    made = _UNSAFE.sub("_", text).strip(" .")[:_LONGEST]
    return made or "_"
