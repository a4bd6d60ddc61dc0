"""Measuring recognition honestly: error rates by the standards' definitions, each with its interval.

Statistics (``docs/evaluation.md`` gives every formula and where it comes from):

- ``comparisons``: ``Comparisons``, the trials of a 1:1 protocol with their scores.
- ``rates``: ``ErrorRates``, FMR and FNMR at any threshold, DET, ROC, EER, AUC, precision and recall.

Running (the real ``Recognizer`` on a set of images):

- ``protocols``: reading LFW, CFP, ``.bin`` files, tables of pairs and of templates, folders of people.
- ``acquisition`` and ``kept``: one template an image, what failed and why; interrupted work goes on.
- ``pairs``, ``pair_figures``, ``slices``, ``templates``: 1:1. ``open_set``, ``searches``: 1:N. ``overlap``: leakage.
- ``report``: the results as an HTML page.
- ``figures``, ``uncertainty``, ``results``: numbers with meaning and interval; ``stored_runs`` and ``comparing``: runs.
- ``folds``: ``k_fold_accuracy``, each fold decided by the threshold that is best on the others; ``paired_folds``: two
  runs fold by fold; ``printed_thresholds``: thresholds in few digits that decide alike.
- ``intervals``: ``Interval`` and Wilson's. For comparisons that share people: ``rate_intervals`` (FMR, FNMR,
  thresholds, TMR at an FMR), ``curve_intervals`` (EER, AUC) and ``search_intervals`` (1:N), all by the variance over
  people that ``clustering`` measures.
- ``bootstrap``: intervals of any other statistic, identities resampled; two models on the same trials.
- ``identification``: ``OpenSetTrials``, the error rates of searches (1:N).
- ``differential``, ``equity``: error rates by group of people, and how far they are apart.
- ``discard``: ``error_versus_discard``, what a quality score is worth.
"""

from __future__ import annotations

from mien.evaluation.acquisition import Acquired, FaceRule, acquire, central_face
from mien.evaluation.bootstrap import PairedResult, bootstrap, bootstrap_many, paired_bootstrap
from mien.evaluation.comparing import ComparedFigure, RunComparison, compare_runs
from mien.evaluation.comparisons import Comparisons, link_identities
from mien.evaluation.curve_intervals import auc_interval, eer_interval
from mien.evaluation.differential import Differentials, GroupRate, differentials
from mien.evaluation.discard import PARTIAL_AREAS, DiscardCurve, error_versus_discard
from mien.evaluation.equity import Equity
from mien.evaluation.figures import AcquisitionFacts, Failure, Figure, RunFacts, Slice
from mien.evaluation.folds import FoldAccuracy, best_threshold, k_fold_accuracy
from mien.evaluation.group_figures import equity_figures, group_figures
from mien.evaluation.identification import OpenSetTrials, bootstrap_open_set
from mien.evaluation.intervals import Interval, wilson
from mien.evaluation.kept import resumable
from mien.evaluation.open_set import evaluate_open_set
from mien.evaluation.overlap import Likeness, Overlap, find_overlap
from mien.evaluation.paired_folds import PairedFolds, compare_folds
from mien.evaluation.pairs import compared_pairs, evaluate_pairs, evaluate_templates, pair_results
from mien.evaluation.printed_thresholds import rounded_threshold
from mien.evaluation.protocols import (
    PairKind,
    PairProtocol,
    PeopleFolder,
    Sample,
    TemplateProtocol,
    read_pairs,
    read_people,
    read_templates_csv,
    with_groups,
)
from mien.evaluation.rate_intervals import (
    clustered_interval,
    fmr_interval,
    fnmr_interval,
    threshold_interval,
    tmr_at_fmr_interval,
)
from mien.evaluation.rates import ErrorRates, Support, support, transaction_rates
from mien.evaluation.results import OpenSetResults, PairResults, SplitFigures
from mien.evaluation.search_intervals import (
    fnir_interval,
    fpir_interval,
    rank_interval,
    threshold_at_fpir_interval,
    tpir_at_fpir_interval,
)
from mien.evaluation.stored_runs import StoredRun, read_run
from mien.evaluation.templates import pool_templates
from mien.evaluation.uncertainty import Uncertainty

__all__ = [
    "PARTIAL_AREAS",
    "Acquired",
    "AcquisitionFacts",
    "ComparedFigure",
    "Comparisons",
    "Differentials",
    "DiscardCurve",
    "Equity",
    "ErrorRates",
    "FaceRule",
    "Failure",
    "Figure",
    "FoldAccuracy",
    "GroupRate",
    "Interval",
    "Likeness",
    "OpenSetResults",
    "OpenSetTrials",
    "Overlap",
    "PairKind",
    "PairProtocol",
    "PairResults",
    "PairedFolds",
    "PairedResult",
    "PeopleFolder",
    "RunComparison",
    "RunFacts",
    "Sample",
    "Slice",
    "SplitFigures",
    "StoredRun",
    "Support",
    "TemplateProtocol",
    "Uncertainty",
    "acquire",
    "auc_interval",
    "best_threshold",
    "bootstrap",
    "bootstrap_many",
    "bootstrap_open_set",
    "central_face",
    "clustered_interval",
    "compare_folds",
    "compare_runs",
    "compared_pairs",
    "differentials",
    "eer_interval",
    "equity_figures",
    "error_versus_discard",
    "evaluate_open_set",
    "evaluate_pairs",
    "evaluate_templates",
    "find_overlap",
    "fmr_interval",
    "fnir_interval",
    "fnmr_interval",
    "fpir_interval",
    "group_figures",
    "k_fold_accuracy",
    "link_identities",
    "pair_results",
    "paired_bootstrap",
    "pool_templates",
    "rank_interval",
    "read_pairs",
    "read_people",
    "read_run",
    "read_templates_csv",
    "resumable",
    "rounded_threshold",
    "support",
    "threshold_at_fpir_interval",
    "threshold_interval",
    "tmr_at_fmr_interval",
    "tpir_at_fpir_interval",
    "transaction_rates",
    "wilson",
    "with_groups",
]
