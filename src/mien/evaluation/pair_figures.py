"""The numbers of a 1:1 evaluation, each with its definition and its interval."""

from __future__ import annotations

from functools import partial

import numpy as np

from mien.evaluation.comparisons import Comparisons
from mien.evaluation.curve_intervals import auc_interval, eer_interval
from mien.evaluation.figures import Figure
from mien.evaluation.folds import FoldAccuracy
from mien.evaluation.printed_thresholds import rounded_figure, rounded_threshold
from mien.evaluation.rate_intervals import threshold_interval, tmr_at_fmr_interval
from mien.evaluation.rates import ErrorRates, transaction_rates
from mien.evaluation.uncertainty import Draft, Uncertainty, rate_name, support_note

__all__ = ["FALSE_MATCH_RATES", "operating_threshold", "pair_figures"]

FALSE_MATCH_RATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""The false match rates at which true match rates are told, as far as the trials support them."""

_ACCURACY = (
    "Mean over folds of the share decided rightly, by the threshold that is best on the other folds; a comparison not "
    "made counts as no match."
)


def pair_figures(
    comparisons: Comparisons,
    acquired: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    folds: FoldAccuracy | None,
    uncertainty: Uncertainty,
    *,
    operating_fmr: float,
    default_threshold: float,
    fold_note: str = "",
) -> tuple[Figure, ...]:
    """All numbers of a protocol's comparisons.

    Args:
        comparisons: the trials, NaN where one was not made.
        acquired: ``(m,)`` which samples gave a template.
        folds: accuracy by fold, if there are folds.
        uncertainty: how intervals are made.
        operating_fmr: the false match rate of the operating threshold.
        default_threshold: the recognizer's own.
        fold_note: what a reader has to know about the folds; without ``folds``, why there is no accuracy.

    Raises:
        BadInput: the comparisons that were made are all of one kind.
    """
    made = comparisons.compared
    rates = ErrorRates.of(made)
    threshold = operating_threshold(made, operating_fmr)
    drafts = [
        Draft(
            Figure("eer", rates.eer(), "Equal error rate: where FMR and FNMR meet."),
            eer_interval,
        ),
        Draft(
            Figure("auc", rates.auc(), "Area under the ROC: how often a mated score is above a non-mated one."),
            auc_interval,
        ),
        *_at_rates(rates),
    ]
    figures = _counts(comparisons, acquired, uncertainty)
    if folds is not None:
        figures += _accuracies(folds, fold_note)
    elif fold_note:
        figures.append(Figure("accuracy", None, _ACCURACY, note=fold_note))
    figures += [rounded_figure(figure, made.scores) for figure in uncertainty.figures(made, drafts)]
    _, note = support_note(operating_fmr, rates.non_mated, "non-mated comparisons")
    where = f"the threshold of FMR {rate_name(operating_fmr)} on these trials"
    figures += _errors_at(comparisons, threshold, "operating", where, note, uncertainty)
    figures += _errors_at(comparisons, default_threshold, "default", "the recognizer's own threshold", "", uncertainty)
    return tuple(figures)


def operating_threshold(comparisons: Comparisons, fmr: float) -> float:
    """The lowest threshold that keeps a false match rate, in as few decimals as decide these comparisons alike.

    Raises:
        BadInput: the comparisons that were made are all of one kind, or the rate is not within 0..1.
    """
    return rounded_threshold(ErrorRates.of(comparisons).threshold_at_fmr(fmr), comparisons.scores)


def _counts(
    comparisons: Comparisons, acquired: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], uncertainty: Uncertainty
) -> list[Figure]:
    mated, missed = int(comparisons.mated.sum()), int((~acquired).sum())
    of_mated, of_non_mated = comparisons.failure_shares()
    why = "as a sample was not acquired"
    return [
        Figure("mated", mated, "Comparisons of two samples of one person.", "count"),
        Figure("non_mated", len(comparisons) - mated, "Comparisons of samples of two people.", "count"),
        Figure(
            "fta",
            missed / len(acquired),
            "Failure to acquire: share of samples that gave no template.",
            interval=uncertainty.of_share(missed, len(acquired)),
        ),
        Figure("fta_mated", of_mated, f"Share of mated comparisons not made, {why}."),
        Figure("fta_non_mated", of_non_mated, f"Share of non-mated comparisons not made, {why}."),
    ]


def _accuracies(folds: FoldAccuracy, note: str) -> list[Figure]:
    least, most = int(folds.trials.min()), int(folds.trials.max())
    if least != most:
        note = f"folds of unequal size, {least} to {most} pairs; each counts once; {note}".removesuffix("; ")
    return [
        Figure(
            "accuracy",
            folds.mean,
            _ACCURACY,
            note=note,
        ),
        Figure(
            "accuracy_standard_error",
            folds.standard_error,
            "Standard error of that mean: standard deviation over folds by the root of their number.",
        ),
    ]


def _at_rates(rates: ErrorRates) -> list[Draft]:
    drafts = []
    # Below one allowed false match the threshold would only say where the highest score happened to be.
    for rate in FALSE_MATCH_RATES:
        label = rate_name(rate)
        found, note = support_note(rate, rates.non_mated, "non-mated comparisons")
        definition = f"True match rate, 1 - FNMR, at the lowest threshold with FMR at most {label}."
        if found == "unsupported" and rate * rates.non_mated < 1:
            drafts.append(Draft(Figure(f"tmr_at_fmr_{label}", None, definition, note=note)))
            continue
        figure = Figure(f"tmr_at_fmr_{label}", rates.tmr_at_fmr(rate), definition, note=note)
        drafts.append(Draft(figure, partial(tmr_at_fmr_interval, fmr=rate)))
        limit = rates.threshold_at_fmr(rate)
        words = f"Lowest threshold with FMR at most {label} on these comparisons, rounded where that decides alike."
        figure = Figure(f"threshold_at_fmr_{label}", limit, words, "score", note=note)
        drafts.append(Draft(figure, partial(threshold_interval, fmr=rate)))
    return drafts


def _errors_at(
    comparisons: Comparisons, threshold: float, name: str, words: str, note: str, uncertainty: Uncertainty
) -> list[Figure]:
    """FMR and FNMR at a fixed threshold; and FAR and FRR, for which what was not acquired counts as rejected."""
    made = comparisons.compared
    rates = ErrorRates.of(made)
    of_mated, of_non_mated = comparisons.failure_shares()
    far, frr = transaction_rates(rates.fmr(threshold), rates.fnmr(threshold), of_mated, of_non_mated)
    # A score below any threshold: rejected.
    whole = comparisons.with_scores(
        np.where(
            np.isnan(comparisons.scores), np.nextafter(min(made.scores.min(), threshold), -np.inf), comparisons.scores
        )
    )
    false_match, false_non_match = uncertainty.at_threshold(made, threshold)
    false_accept, false_reject = uncertainty.at_threshold(whole, threshold)
    match = f"False match rate at {words}: share of non-mated comparisons that match."
    non_match = f"False non-match rate at {words}: share of mated comparisons that do not match."
    return [
        Figure(f"threshold_{name}", threshold, f"Score from which two match: {words}.", "score", note=note),
        Figure(f"fmr_{name}", rates.fmr(threshold), match, interval=false_match),
        Figure(f"fnmr_{name}", rates.fnmr(threshold), non_match, interval=false_non_match),
        Figure(f"far_{name}", far, f"False accept rate at {words}: FMR × (1 - FTA).", interval=false_accept),
        Figure(f"frr_{name}", frr, f"False reject rate at {words}: FTA + FNMR × (1 - FTA).", interval=false_reject),
    ]
