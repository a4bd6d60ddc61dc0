"""What a model was made from, under which terms, and what follows for the terms of the model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.errors import BadInput, LicenseRefused, MienError
from mien.training.data.index import read_index
from mien.training.settings import TrainingSettings
from mien.training.settings_files import read_settings
from mien.zoo import LicenseFacts, card

__all__ = ["UNKNOWN", "DataFacts", "Source", "choose_license", "data_facts", "lineage", "sources_of"]

UNKNOWN = "LicenseRef-unknown"
"""What stands for terms that nobody stated."""

# Of https://spdx.org/licenses, those under which data or weights may be used for money.
_FREE = frozenset(
    {
        *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-4.0"),
        *("CC-PDDC", "CC0-1.0", "CDLA-Permissive-1.0", "CDLA-Permissive-2.0", "ISC", "MIT", "MIT-0", "ODC-By-1.0"),
        *("PDDL-1.0", "Unlicense", "Zlib"),
    }
)
_NOT_FREE = re.compile(r"\bNC\b|non-?commercial|research", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Source:
    """Something that a model's weights were derived from.

    Attributes:
        what: for people.
        license: SPDX identifier or short name; ``UNKNOWN`` where nobody stated one.
        commercial: whether its terms allow commercial use; None where that is not known.
        url: where the terms are written, or None.
    """

    what: str
    license: str
    commercial: bool | None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class DataFacts:
    """A pack of training images, as it is now.

    Attributes:
        name: of its folder.
        images: how many.
        people: how many.
        licenses: images by license; an empty text where none is stated.
        note: the pack's own.
        problem: why it could not be read, or an empty text; then the numbers are 0.
    """

    name: str
    images: int = 0
    people: int = 0
    licenses: tuple[tuple[str, int], ...] = ()
    note: str = ""
    problem: str = ""


def lineage(settings: TrainingSettings) -> tuple[list[TrainingSettings], list[str]]:
    """The settings of a run, and of the runs whose weights it began with, one before the other.

    Returns:
        The settings, this run's first, and the folders of earlier runs that cannot be read any more.
    """
    found, lost = [settings], []
    seen: set[Path] = set()
    while (start := found[-1].backbone.start) is not None and start not in seen:
        seen.add(start)
        try:
            found.append(read_settings(start / "settings.toml"))
        except MienError:
            lost.append(start.name)
            break
    return found, lost


def data_facts(packs: Sequence[Path]) -> list[DataFacts]:
    """What is known of packs; one that cannot be read any more is there with the reason."""
    facts = []
    for pack in packs:
        name = pack.parent.name if pack.suffix == ".parquet" else pack.name
        try:
            index = read_index(pack)
        except MienError as error:
            facts.append(DataFacts(name, problem=error.message))
            continue
        licenses = Counter(text or "" for text in index.texts("license"))
        facts.append(DataFacts(name, len(index), index.classes, tuple(licenses.most_common()), index.note))
    return facts


def sources_of(runs: Sequence[TrainingSettings], lost: Sequence[str], facts: Sequence[DataFacts]) -> list[Source]:
    """All that a model's weights were derived from.

    Args:
        runs: as ``lineage`` gives them.
        lost: likewise.
        facts: of all packs of these runs.
    """
    sources = []
    for each in facts:
        for text, images in each.licenses or (("", 0),):
            what = f"{images} images of {each.name}" if images else f"the images of {each.name}"
            sources.append(Source(what, text or UNKNOWN, _allows_commerce(text)))
    for run in runs:
        if run.distillation is not None:
            sources.append(_teacher(run.distillation.teacher))
    sources += [Source(f"the weights of the run {name}", UNKNOWN, None) for name in lost]
    return list(dict.fromkeys(sources))


def choose_license(sources: Sequence[Source], license_id: str | None, *, commercial: bool) -> LicenseFacts:
    """The terms of a model.

    Args:
        sources: what it was made from.
        license_id: what its maker says; None for the one license that all sources have, or else ``UNKNOWN``.
        commercial: its maker says that commercial use is allowed; else it is only where all terms are known to.

    Raises:
        BadInput: an empty license.
        LicenseRefused: ``commercial`` against the terms of a source, or of ``license_id`` itself.
    """
    if license_id is not None and not license_id.strip():
        raise BadInput("license: expected an SPDX identifier or a short name, got none")
    stated = {source.license for source in sources}
    chosen = license_id or (stated.pop() if len(stated) == 1 else UNKNOWN)
    if commercial:
        against = [f"{source.what} ({source.license})" for source in sources if source.commercial is False]
        against += [f"the license {chosen}"] if _allows_commerce(chosen) is False else []
        if against:
            raise LicenseRefused(f"commercial use was to be allowed, against the terms of {', '.join(against)}")
        return LicenseFacts(id=chosen, commercial=True)
    allowed = _allows_commerce(chosen) is True and all(source.commercial is True for source in sources)
    return LicenseFacts(id=chosen, commercial=allowed)


def _teacher(name: str) -> Source:
    try:
        terms = card(name).license
    except MienError:
        return Source(f"the teacher {name}", UNKNOWN, None)
    return Source(f"the teacher {name}", terms.id, terms.commercial, terms.url)


def _allows_commerce(license_id: str) -> bool | None:
    if license_id in _FREE:
        return True
    return False if _NOT_FREE.search(license_id) else None
