"""The server's work without a server: identify photos for as many seconds as each line on standard input says.

python benchmarks/server_alone.py GALLERY PHOTO...     prints photos a second, a line for each line
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import mien


def main() -> int:
    """Answer until the input ends."""
    photos = cycle([Path(path).read_bytes() for path in sys.argv[2:]])
    recognizer = mien.Recognizer().warmup()
    with mien.open_gallery(sys.argv[1], create=False) as gallery:
        for line in sys.stdin:
            start = time.perf_counter()
            end = start + float(line)

            def until(end: float = end) -> Iterator[bytes]:
                while time.perf_counter() < end:
                    yield next(photos)

            found = recognizer.identify(gallery, until())
            print(len(found) / (time.perf_counter() - start), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
