"""One random split of a folder of people into gallery and probes, and the searches that it asks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.evaluation.acquisition import Acquired
from mien.evaluation.protocols import PeopleFolder
from mien.galleries import open_gallery
from mien.matching import cosine_scores
from mien.recognizer import Recognizer
from mien.types import Match, Templates

__all__ = ["Searches", "Split", "draw_split", "search_split"]

MOST_CANDIDATES = 100
"""Candidates that a search is asked for; a mate beyond them counts as the one after the last."""

_PROBES_A_SEARCH = 512


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Who is enrolled with which images, and which images are searched for.

    Attributes:
        enrolled: sample numbers of the gallery's images.
        mated: sample numbers of probes whose person is to be in the gallery.
        non_mated: sample numbers of probes whose person is kept out of it.
    """

    enrolled: NDArray[np.int64]
    mated: NDArray[np.int64]
    non_mated: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Searches:
    """What the searches of a split gave; the arrays of m mated and of k non-mated probes.

    Attributes:
        mated: ``(m,) int64`` sample numbers of the probes.
        mated_scores: ``(m,) float64`` score of the probe's own person, NaN where probe or person was not acquired.
        mated_ranks: ``(m,) int64``, 1 for the best, 0 where there is no score.
        mates: ``(m,) int64`` sample number of the best enrolled image of the probe's person, -1 for none.
        tops: ``(m,) int64`` sample number behind the best candidate, whoever it is, -1 for none.
        non_mated: ``(k,) int64`` sample numbers of the probes.
        non_mated_scores: ``(k,) float64`` score of the best candidate, NaN where the probe was not acquired.
        candidates: ``(k,) int64`` sample number behind the best candidate, -1 for none.
        people: how many were to be enrolled.
        enrolled: how many were.
        images: how many images were to be enrolled.
        images_enrolled: how many were.
    """

    mated: NDArray[np.int64]
    mated_scores: NDArray[np.float64]
    mated_ranks: NDArray[np.int64]
    mates: NDArray[np.int64]
    tops: NDArray[np.int64]
    non_mated: NDArray[np.int64]
    non_mated_scores: NDArray[np.float64]
    candidates: NDArray[np.int64]
    people: int
    enrolled: int
    images: int
    images_enrolled: int


def draw_split(people: PeopleFolder, *, enrolled: int, non_mated_share: float, seed: int, number: int) -> Split:
    """Draw who is in the gallery, by seed and number of the split alone.

    People with no more images than are to be enrolled cannot have a mated probe: they are kept out of the gallery. The
    others are drawn at random until ``non_mated_share`` of all people are kept out.

    Raises:
        BadInput: nobody is left on one of the two sides, or an argument is out of range.
    """
    if enrolled < 1:
        raise BadInput(f"enrolled: expected at least 1 image, got {enrolled}")
    if not 0 < non_mated_share < 1:
        raise BadInput(f"non_mated_share: expected a share between 0 and 1, got {non_mated_share}")
    random = np.random.default_rng([seed, number])
    counts = np.bincount(people.identities, minlength=len(people.names))
    able = random.permutation(np.flatnonzero(counts > enrolled))
    wanted = max(1, round(non_mated_share * len(people.names)))
    kept_out = max(0, wanted - int((counts <= enrolled).sum()))
    inside = np.zeros(len(people.names), np.bool_)
    inside[able[kept_out:]] = True
    if not inside.any() or inside.all():
        raise BadInput(
            f"{people.path}: expected people of more than {enrolled} images each for the gallery and others to be kept "
            f"out of it, got {len(able)} and {len(people.names) - len(able)}"
        )
    gallery, mated = [], []
    for person in np.flatnonzero(inside):
        images = random.permutation(np.flatnonzero(people.identities == person))
        gallery.append(np.sort(images[:enrolled]))
        mated.append(np.sort(images[enrolled:]))
    non_mated = np.flatnonzero(~inside[people.identities])
    return Split(np.concatenate(gallery), np.concatenate(mated), non_mated.astype(np.int64))


def search_split(recognizer: Recognizer, people: PeopleFolder, acquired: Acquired, split: Split) -> Searches:
    """Enroll a split's gallery and search for its probes, by ``Recognizer.search`` in a gallery in memory.

    Raises:
        BadInput: no image of the gallery was acquired.
    """
    there = split.enrolled[acquired.acquired[split.enrolled]]
    if not len(there):
        raise BadInput(f"{people.path}: none of the {len(split.enrolled)} images to be enrolled was acquired")
    with open_gallery("memory:") as gallery:
        items = [(_name(people.identities[k]), Templates(acquired.vectors[[k]], acquired.space)) for k in there]
        ids = [enrollment.template_id for enrollment in gallery.add_many(items)]
        sample_of = dict(zip(ids, there.tolist(), strict=True))
        inside = np.unique(people.identities[there])
        top = min(len(inside), MOST_CANDIDATES)

        def found(probes: NDArray[np.int64]) -> list[list[Match]]:
            results: list[list[Match]] = []
            for start in range(0, len(probes), _PROBES_A_SEARCH):
                vectors = acquired.vectors[probes[start : start + _PROBES_A_SEARCH]]
                results += recognizer.search(gallery, Templates(vectors, acquired.space), top=top, threshold=-1)
            return results

        able = acquired.acquired[split.mated]
        scores, ranks = np.full(len(split.mated), np.nan), np.zeros(len(split.mated), np.int64)
        mates, tops = np.full(len(split.mated), -1, np.int64), np.full(len(split.mated), -1, np.int64)
        for row, matches in zip(np.flatnonzero(able), found(split.mated[able]), strict=True):
            person = people.identities[split.mated[row]]
            tops[row] = sample_of[matches[0].template_id]
            if person not in inside:
                continue
            own = next((match for match in matches if match.identity == _name(person)), None)
            if own is not None:
                scores[row], ranks[row], mates[row] = own.score, own.rank, sample_of[own.template_id]
            else:
                images = there[people.identities[there] == person]
                alike = cosine_scores(acquired.vectors[split.mated[[row]]], acquired.vectors[images])[0]
                scores[row], ranks[row], mates[row] = alike.max(), top + 1, images[alike.argmax()]
        able = acquired.acquired[split.non_mated]
        best, candidates = np.full(len(split.non_mated), np.nan), np.full(len(split.non_mated), -1, np.int64)
        for row, matches in zip(np.flatnonzero(able), found(split.non_mated[able]), strict=True):
            best[row], candidates[row] = matches[0].score, sample_of[matches[0].template_id]
    return Searches(
        mated=split.mated,
        mated_scores=scores,
        mated_ranks=ranks,
        mates=mates,
        tops=tops,
        non_mated=split.non_mated,
        non_mated_scores=best,
        candidates=candidates,
        people=len(np.unique(people.identities[split.enrolled])),
        enrolled=len(inside),
        images=len(split.enrolled),
        images_enrolled=len(there),
    )


def _name(person: int | np.integer) -> str:
    """A name whose order is that of the number: equal scores are ranked by name."""
    return f"{int(person):09d}"
