"""The worker's side of a benchmark: one JSON object a line, orders on stdin, answers on stdout.

It runs in the environments of the peers, so it imports nothing but the standard library. A worker loads
its models, says who it is, and then waits for orders: ``{"photos": [paths]}`` runs those photos end to end,
from file to embeddings. Between two orders it blocks in a read, so that another worker has the cores.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

UNREADABLE = -1
"""What a pipeline reports in place of a number of faces for a photo it could not read."""

Pipeline = Callable[[Sequence[str]], list[int]]
"""Runs photos end to end; gives for each the number of faces that it found and embedded, or ``UNREADABLE``."""

Loader = Callable[[dict[str, Any]], tuple[Pipeline, dict[str, str]]]
"""Makes a pipeline from the options; gives it with the versions and settings worth printing."""


def serve(load: Loader) -> None:
    """Answer orders until stdin ends.

    Whatever libraries print goes to stderr. Each answer states the seconds of the run (wall clock) and the faces
    of each photo.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    pipeline, about = load(json.loads(sys.argv[1]))
    print(json.dumps({"about": about}), file=answers, flush=True)
    while True:
        line = sys.stdin.readline()
        if not line:
            return
        photos: list[str] = json.loads(line)["photos"]
        start = time.perf_counter()
        faces = pipeline(photos)
        seconds = time.perf_counter() - start
        if len(faces) != len(photos):
            raise ValueError(f"expected a number of faces for each of {len(photos)} photos, got {len(faces)}")
        print(json.dumps({"seconds": seconds, "faces": faces}), file=answers, flush=True)
