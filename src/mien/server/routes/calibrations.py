"""What a score means: the threshold, thresholds for false match rates, and the curve of probabilities."""

from __future__ import annotations

import json
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from mien.matching.calibration import Calibration, require_calibration
from mien.recognizer import Recognizer
from mien.recognizer.records import Record, rounded_probability, rounded_score
from mien.server.access import Caller, require
from mien.server.answers import answer_unless_known
from mien.server.histograms import histograms_of
from mien.server.schemas.comparisons import CalibrationReport
from mien.server.schemas.documents import answers
from mien.server.services import services_of
from mien.server.working import blocking

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["models"])

Reader = Annotated[Caller, Depends(require("read"))]
_RATES: tuple[float, ...] = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
_CURVE_POINTS = 101


@router.get("/calibration", summary="What a score means", responses=answers(CalibrationReport, 409))
async def calibration(
    request: Request,
    caller: Reader,
    fmr: Annotated[
        float | None, Query(gt=0, le=0.5, allow_inf_nan=False, description="Give the threshold for this rate.")
    ] = None,
) -> Response:
    """Without a calibration of the models in use, the lists are empty; a rate that is asked for is then refused."""
    services = services_of(request)
    return answer_unless_known(request, await blocking(services, caller, lambda: _record(services.recognizer, fmr)))


def _record(recognizer: Recognizer, fmr: float | None) -> Record:
    found = recognizer.calibration
    source = "settings" if recognizer.settings.threshold is not None else "model"
    threshold, rates = recognizer.threshold, _RATES
    if fmr is not None:
        found = require_calibration(found, recognizer.space)
        source, threshold, rates = "fmr", found.threshold_at(fmr), (fmr,)
    return {
        "space": recognizer.space,
        "threshold": rounded_score(threshold),
        "source": source,
        "data": None if found is None else found.facts.data,
        "fmr": [] if found is None else [_rate(found, rate) for rate in rates],
        "curve": [] if found is None else _curve(found),
        "histograms": histograms_of(found),
        "file": None if found is None else json.loads(found.to_json()),
    }


def _rate(found: Calibration, fmr: float) -> Record:
    threshold = rounded_score(found.threshold_at(fmr))
    return {"fmr": fmr, "threshold": threshold, "extrapolated": found.is_extrapolated(fmr)}


def _curve(found: Calibration) -> list[Record]:
    """The probability over the scores at which it changes."""
    scores = np.linspace(found.scores[0], found.scores[-1], _CURVE_POINTS)
    pairs = zip(scores.tolist(), found.probability(scores).tolist(), strict=True)
    return [{"score": rounded_score(s), "probability": rounded_probability(p)} for s, p in pairs]
