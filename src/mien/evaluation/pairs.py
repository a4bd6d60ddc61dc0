"""1:1 evaluations: a protocol's images through the recognizer, its pairs compared, the numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from mien.errors import BadInput
from mien.evaluation.acquisition import Acquired, FaceRule, acquire
from mien.evaluation.comparisons import Comparisons
from mien.evaluation.differential import Differentials, differentials
from mien.evaluation.discard import error_versus_discard
from mien.evaluation.equity import Equity
from mien.evaluation.figures import AcquisitionFacts, RunFacts
from mien.evaluation.folds import FoldAccuracy, k_fold_accuracy
from mien.evaluation.pair_figures import operating_threshold, pair_figures
from mien.evaluation.printed_thresholds import rounded_threshold
from mien.evaluation.protocols import PairProtocol, TemplateProtocol
from mien.evaluation.results import PairResults
from mien.evaluation.slices import discard_figures, quality_cut_of, quality_slices
from mien.evaluation.templates import pool_templates
from mien.evaluation.uncertainty import Uncertainty
from mien.recognizer import Recognizer

__all__ = ["compared_pairs", "evaluate_pairs", "evaluate_templates", "pair_results"]

OPERATING_FMR = 1e-3
"""The false match rate of the operating threshold, unless the caller says otherwise."""


def evaluate_pairs(
    recognizer: Recognizer,
    protocol: PairProtocol,
    *,
    face: FaceRule = "central",
    quality: bool = False,
    keep: Path | None = None,
    progress: Callable[[int], None] | None = None,
    uncertainty: Uncertainty | None = None,
    operating_fmr: float = OPERATING_FMR,
    quality_cut: float | None = None,
) -> PairResults:
    """Evaluate a recognizer on pairs of images.

    Args:
        recognizer: what is measured.
        protocol: which images are compared; see ``read_pairs``.
        face: which face of an image is the sample's; see ``acquire``.
        quality: measure quality too, for parts by quality; see ``acquire``.
        keep: a file to keep what is done in; see ``acquire``.
        progress: called with the number of images done since the last call.
        uncertainty: how intervals are made; None for 1000 replicates, seed 0, level 0.95.
        operating_fmr: the false match rate of the threshold at which parts and groups are compared.
        quality_cut: unified quality below which a sample is low; None for the lower quartile.

    Raises:
        BadInput: so few images gave a template that the comparisons made are all of one kind.
        MienError: as ``acquire``.
    """
    acquired = acquire(recognizer, protocol.samples, face=face, quality=quality, keep=keep, progress=progress)
    how = Uncertainty() if uncertainty is None else uncertainty
    run = RunFacts.of(recognizer, face, seed=how.seed, replicates=how.replicates, level=how.level)
    facts = AcquisitionFacts.of(acquired)
    return pair_results(protocol, acquired, facts, run, how, operating_fmr=operating_fmr, quality_cut=quality_cut)


def evaluate_templates(
    recognizer: Recognizer,
    protocol: TemplateProtocol,
    *,
    face: FaceRule = "central",
    quality: bool = False,
    keep: Path | None = None,
    progress: Callable[[int], None] | None = None,
    uncertainty: Uncertainty | None = None,
    operating_fmr: float = OPERATING_FMR,
    quality_cut: float | None = None,
    weighted: bool = True,
) -> PairResults:
    """Evaluate a recognizer on pairs of templates of several images each.

    Args:
        recognizer: what is measured.
        protocol: which images make which templates; see ``read_templates_csv``.
        face: which face of an image is the template's.
        quality: measure quality too, for parts by quality; see ``acquire``.
        keep: a file to keep what is done in.
        progress: called with the number of images done since the last call.
        uncertainty: how intervals are made.
        operating_fmr: the false match rate of the operating threshold.
        quality_cut: unified quality below which a template is low; None for the lower quartile.
        weighted: pool by quality, where the recognizer gives one; see ``pool_templates``.

    Returns:
        The results; its samples are templates, its acquisition facts tell of the images.

    Raises:
        BadInput: so few templates were made that the comparisons are all of one kind.
        MienError: as ``acquire``.
    """
    images = acquire(recognizer, protocol.images, face=face, quality=quality, keep=keep, progress=progress)
    how = Uncertainty() if uncertainty is None else uncertainty
    run = RunFacts.of(recognizer, face, seed=how.seed, replicates=how.replicates, level=how.level)
    pooled = pool_templates(protocol, images, weighted=weighted)
    facts = AcquisitionFacts.of(images)
    return pair_results(protocol.pairs, pooled, facts, run, how, operating_fmr=operating_fmr, quality_cut=quality_cut)


def pair_results(
    protocol: PairProtocol,
    acquired: Acquired,
    acquisition: AcquisitionFacts,
    run: RunFacts,
    uncertainty: Uncertainty,
    *,
    operating_fmr: float = OPERATING_FMR,
    quality_cut: float | None = None,
) -> PairResults:
    """The numbers of a protocol whose templates are there already.

    Args:
        protocol: which samples are compared.
        acquired: their templates.
        acquisition: what became of the images.
        run: with what they were made.
        uncertainty: how intervals are made.
        operating_fmr: the false match rate of the operating threshold.
        quality_cut: unified quality below which a sample is low; None for the lower quartile.

    Raises:
        BadInput: the comparisons made are all of one kind, or ``acquired`` is of other samples.
    """
    comparisons = compared_pairs(protocol, acquired)
    mated, other = len(comparisons.mated_scores), len(comparisons.non_mated_scores)
    if not mated or not other:
        raise BadInput(
            f"expected mated and non-mated comparisons that were made, got {mated} and {other}: "
            f"{int((~acquired.acquired).sum())} of {len(acquired)} samples gave no template"
        )
    folds, fold_note = _folds(comparisons)
    figures = pair_figures(
        comparisons,
        acquired.acquired,
        folds,
        uncertainty,
        operating_fmr=operating_fmr,
        default_threshold=run.default_threshold,
        fold_note=fold_note,
    )
    threshold = operating_threshold(comparisons, operating_fmr)
    results = PairResults(
        protocol=protocol,
        run=run,
        acquisition=acquisition,
        acquired=acquired,
        comparisons=comparisons,
        threshold=threshold,
        figures=figures,
        folds=folds,
    )
    if acquired.has_quality:
        cut = quality_cut_of(acquired.quality) if quality_cut is None else quality_cut
        slices = quality_slices(comparisons, acquired.quality, cut, threshold, uncertainty)
        curve = error_versus_discard(comparisons, acquired.quality, threshold=threshold)
        figures = (*figures, *discard_figures(curve))
        results = replace(results, figures=figures, slices=slices, quality_cut=cut, discard=curve)
    return _by_group(results, uncertainty)


def _by_group(results: PairResults, uncertainty: Uncertainty) -> PairResults:
    """The results with the errors of groups, where the protocol has any; a note where none was compared."""
    protocol = results.protocol
    if protocol.groups is None:
        return results
    try:
        found = differentials(
            results.comparisons,
            results.threshold,
            names=protocol.group_names,
            level=uncertainty.level,
        )
    except BadInput as error:
        return replace(results, protocol=replace(protocol, notes=(*protocol.notes, f"no errors by group: {error}")))
    return replace(results, differentials=found if uncertainty.replicates else _without_intervals(found))


def _without_intervals(found: Differentials) -> Differentials:
    sums = {
        field.name: replace(getattr(found, field.name), interval=None)
        for field in fields(found)
        if isinstance(getattr(found, field.name), Equity)
    }
    fmr, fnmr = (tuple(replace(rate, interval=None) for rate in rates) for rates in (found.fmr, found.fnmr))
    return replace(found, fmr=fmr, fnmr=fnmr, **sums)


def compared_pairs(protocol: PairProtocol, acquired: Acquired) -> Comparisons:
    """A protocol's comparisons with their scores, NaN where a sample was not acquired.

    Raises:
        BadInput: ``acquired`` is of other samples.
    """
    names = tuple(sample.name for sample in protocol.samples)
    if acquired.names != names:
        raise BadInput(f"expected templates of the protocol's {len(names)} samples, got {len(acquired)} of others")
    groups = protocol.groups
    return Comparisons(
        acquired.compared(protocol.left, protocol.right),
        protocol.mated,
        protocol.left,
        protocol.right,
        protocol.identities[protocol.left],
        protocol.identities[protocol.right],
        protocol.folds,
        None if groups is None else groups[protocol.left],
        None if groups is None else groups[protocol.right],
    )


def _folds(comparisons: Comparisons) -> tuple[FoldAccuracy | None, str]:
    """The accuracy over folds, and what is to be said of it: why there is none, or which folds teach little."""
    if comparisons.folds is None:
        return None, ""
    try:
        found = k_fold_accuracy(comparisons)
    except BadInput as error:
        return None, f"no accuracy: {error}"
    kinds = np.zeros((2, len(found.folds)), np.int64)
    np.add.at(kinds, (comparisons.mated.astype(np.int64), np.searchsorted(found.folds, comparisons.folds)), 1)
    lone = int((kinds == 0).any(axis=0).sum())
    note = f"folds of one kind of pairs alone: {lone} of {len(found.folds)}" if lone else ""
    thresholds = np.array([rounded_threshold(t, comparisons.scores) for t in found.thresholds])
    return replace(found, thresholds=thresholds), note
