"""From a card to a file that is ready to run: found, checked, converted once, kept.

The cache folder holds ``models/SHA256.onnx`` (fetched or added files), ``converted/SHA256.CONVERTER-VERSION.onnx``
with its own sha256 beside it, the user's ``cards/``, ``consents.json`` and ``locks/``. Every file is hashed each
time it is handed out, which takes about 1 ms a megabyte; one that is damaged is made anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mien.errors import BadCard, CacheError, HashMismatch, ModelNotFound
from mien.zoo.cache import cache_dir, locked, replacing, require_sha256, sha256_of, write_text
from mien.zoo.consents import require_license
from mien.zoo.inspection import misfit, read_signature
from mien.zoo.registry import part_cards
from mien.zoo.schema import Card
from mien.zoo.sources import Progress, is_remote, local_file, suffix_of

if TYPE_CHECKING:
    from mien.zoo.converters import Converter

__all__ = ["check", "converter_of", "is_present", "kept_path", "resolve"]


def resolve(card: Card, *, progress: Progress | None = None) -> Path:
    """A file that is ready to run: the converted model, or the original where the card names no converter.

    The sources are tried in order, the network only where the card names an ``https://`` source and nothing
    before it had the file. Threads and processes that ask for one model at once do the work once.

    Args:
        card: which model.
        progress: called with the bytes fetched and their final number (None while unknown).

    Raises:
        LicenseRefused: the license is non-commercial and the user has not agreed to it.
        ModelNotFound: no source has the file; the message says why for each, and what to do.
        HashMismatch: files were found, but none with the card's sha256.
        CacheError: the cache folder cannot be read or written.
        BadCard: the card names an unknown converter, the converter refuses the file, or the card is a fused one,
            which has no file: its parts have.
    """
    if card.parts:
        raise BadCard(f"{card.name}: a fused card has no file; its parts have: {', '.join(p.card for p in card.parts)}")
    require_license(card, command=f"mien models pull {card.name} --accept-license")
    converter = converter_of(card)
    if converter is None:
        return _original(card, progress)
    ready = _ready_path(card, converter)
    if _is_intact(ready):
        return ready
    with locked(ready.name):
        if not _is_intact(ready):
            source = _original(card, progress)
            with replacing(ready) as temporary:
                converter.convert(source, temporary)
                digest = sha256_of(temporary)
            write_text(_note_path(ready), digest + "\n")
    return ready


def is_present(card: Card) -> bool:
    """Whether ``resolve`` has an intact file to work from on this machine, without the network.

    Raises:
        BadCard: the card names an unknown converter.
        CacheError: a file in the cache cannot be read.
    """
    if card.parts:
        return all(is_present(part) for part in part_cards(card))
    converter = converter_of(card)
    if converter is not None and _is_intact(_ready_path(card, converter)):
        return True
    return _local(card, []) is not None


def check(card: Card) -> Path:
    """Verify the files of a model that are on this machine; nothing is fetched, converted or repaired.

    Returns:
        The file that was checked: the converted one if it is there, else the original; of a fused card the files of
        all parts are checked, and the first one's is given.

    Raises:
        ModelNotFound: there is no file on this machine.
        HashMismatch: the original or the converted file is damaged.
        BadCard: the file is no sound ONNX model, or has not the inputs and outputs that the card needs.
        CacheError: a file in the cache cannot be read.
    """
    if card.parts:
        first, *_ = [check(part) for part in part_cards(card)]
        return first
    converter = converter_of(card)
    ready = _ready_path(card, converter) if converter is not None else None
    failures: list[tuple[str, Exception]] = []
    original = _local(card, failures)
    for source, failure in failures:
        if isinstance(failure, HashMismatch):
            raise HashMismatch(f"{card.name}: {source}: {failure}")
    if ready is not None and ready.exists():
        if not _is_intact(ready):
            raise HashMismatch(f"{card.name}: {ready} is damaged; it will be made anew at the next use")
        _require_model(card, ready)
        return ready
    if original is None:
        raise ModelNotFound(f"{card.name}: no file on this machine; fetch it with: mien models pull {card.name}")
    # A file that still has to be converted may be in a format that is not ONNX.
    if original.suffix == ".onnx":
        _require_model(card, original)
    return original


def converter_of(card: Card) -> Converter | None:
    """The converter that the card names, or None if it names none.

    Raises:
        BadCard: there is no such converter.
    """
    if card.file.converter is None:
        return None
    from mien.zoo.converters import CONVERTERS

    if card.file.converter not in CONVERTERS:
        raise BadCard(f"{card.name}: file.converter: expected one of {sorted(CONVERTERS)}, got {card.file.converter!r}")
    return CONVERTERS[card.file.converter]


def kept_path(card: Card) -> Path:
    """Where the cache keeps the original of a model that was fetched or added; it need not exist."""
    suffix = suffix_of(card.file.sources[0]) if card.file.sources else ".onnx"
    return cache_dir() / "models" / f"{card.file.sha256}{suffix}"


def _original(card: Card, progress: Progress | None) -> Path:
    """The file with the card's sha256, fetched if need be."""
    failures: list[tuple[str, Exception]] = []
    found = _local(card, failures)
    remote = [source for source in card.file.sources if is_remote(source)]
    if found is None and remote:
        # Imported here because urllib.request takes 0.1 s, which most starts can do without.
        from mien.zoo.download import download

        kept = kept_path(card)
        with locked(kept.name):
            # Another process may have fetched it while this one waited.
            found = _checked(card, kept, [])
            for source in remote if found is None else []:
                try:
                    download(source, kept, sha256=card.file.sha256, size_bytes=card.file.size_bytes, progress=progress)
                except (ModelNotFound, HashMismatch) as error:
                    failures.append((source, error))
                else:
                    found = kept
                    break
    if found is not None:
        return found
    tried = "; ".join(f"{source}: {error}" for source, error in failures) if failures else "the card names no source"
    other = any(isinstance(error, HashMismatch) for _, error in failures)
    reason = " The files differ from the one the card was written for." if other else ""
    raise (HashMismatch if other else ModelNotFound)(
        f"{card.name}: no source has its file: {tried}.{reason} {_cures(card, failures)}"
    )


def _cures(card: Card, failures: list[tuple[str, Exception]]) -> str:
    """What helps, besides an extra, which the failure of its package names."""
    # The cache is looked into first, whatever the sources are: this works for every card.
    place = f"put the file with sha256 {card.file.sha256} at {kept_path(card)}"
    if any(is_remote(source) and isinstance(error, ModelNotFound) for source, error in failures):
        return f"Connect and run: mien models pull {card.name}; or {place}"
    return f"To use a copy, {place}"


def _local(card: Card, failures: list[tuple[str, Exception]]) -> Path | None:
    """The file with the card's sha256 on this machine, kept ones first; what failed goes to ``failures``."""
    kept = _checked(card, kept_path(card), failures)
    if kept is not None:
        return kept
    for source in card.file.sources:
        if is_remote(source):
            continue
        try:
            path = local_file(source, extra=card.file.extra)
            require_sha256(path, card.file.sha256)
        except (ModelNotFound, HashMismatch) as error:
            failures.append((source, error))
        except OSError as error:
            failures.append((source, ModelNotFound(f"cannot be read: {error.strerror}")))
        else:
            return path
    return None


def _checked(card: Card, path: Path, failures: list[tuple[str, Exception]]) -> Path | None:
    try:
        require_sha256(path, card.file.sha256)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except HashMismatch as error:
        failures.append(("the cached copy", error))
        return None
    except OSError as error:
        raise CacheError(f"cannot read {path}: {error.strerror}") from error
    return path


def _ready_path(card: Card, converter: Converter) -> Path:
    return cache_dir() / "converted" / f"{card.file.sha256}.{card.file.converter}-{converter.version}.onnx"


def _note_path(ready: Path) -> Path:
    return ready.with_suffix(".sha256")


def _is_intact(ready: Path) -> bool:
    """Whether a converted file is there and is the one that was written."""
    try:
        return sha256_of(ready) == _note_path(ready).read_text(encoding="ascii").strip()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return False
    except OSError as error:
        raise CacheError(f"cannot read {ready}: {error.strerror}") from error


def _require_model(card: Card, path: Path) -> None:
    why = misfit(card, read_signature(path))
    if why is not None:
        raise BadCard(f"{card.name}: {path}: {why}")
