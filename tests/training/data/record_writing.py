"""Writing RecordIO files, by the published form, for the tests of its reader."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

MAGIC = struct.pack("<I", 0xCED7230A)


def header(label: float | Sequence[float], number: int = 0) -> bytes:
    """The header of an image's record: a label of its own, or as many as the flag says behind it."""
    if isinstance(label, (int, float)):
        return struct.pack("<IfQQ", 0, label, number, 0)
    return struct.pack("<IfQQ", len(label), 0.0, number, 0) + struct.pack(f"<{len(label)}f", *label)


def framed(payload: bytes) -> bytes:
    """A record: split, and the magic number left out, where it stands on a multiple of four."""
    cuts = [k for k in range(0, len(payload) // 4 * 4, 4) if payload[k : k + 4] == MAGIC]
    starts, ends = [0, *(k + 4 for k in cuts)], [*cuts, len(payload)]
    parts = [payload[start:end] for start, end in zip(starts, ends, strict=True)]
    kinds = [0] if len(parts) == 1 else [1, *[2] * (len(parts) - 2), 3]
    return b"".join(
        MAGIC + struct.pack("<I", kind << 29 | len(part)) + part + bytes(-len(part) % 4)
        for kind, part in zip(kinds, parts, strict=True)
    )


def write_records(file: Path, payloads: Sequence[tuple[int, bytes]], *, idx: bool = True) -> Path:
    """A RecordIO file of (key, payload), and the file of offsets beside it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines, content = [], b""
    for key, payload in payloads:
        lines.append(f"{key}\t{len(content)}\n")
        content += framed(payload)
    file.write_bytes(content)
    if idx:
        file.with_suffix(".idx").write_text("".join(lines))
    return file


def write_training_set(folder: Path, people: Sequence[Sequence[bytes]], *, size: int = 112) -> Path:
    """A set as insightface publishes them: the range record, the images, the people's ranges, ``property``."""
    images = [(label, image) for label, person in enumerate(people) for image in person]
    first = len(images) + 1
    payloads = [(0, header([first, first + len(people)]))]
    payloads += [(k, header(float(label), k) + image) for k, (label, image) in enumerate(images, 1)]
    start = 1
    for label, person in enumerate(people):
        payloads.append((first + label, header([start, start + len(person)], first + label)))
        start += len(person)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "property").write_text(f"{len(people)},{size},{size}")
    write_records(folder / "train.rec", payloads)
    return folder
