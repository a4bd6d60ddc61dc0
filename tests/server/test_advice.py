"""Every reason that the quality gate may give has its advice."""

from __future__ import annotations

from mien.errors import NoFace, QualityRefused
from mien.quality import limits
from mien.server.advice import ADVICE
from mien.server.problems import fault_record
from mien.types import QualityReason


def test_every_reason_has_advice() -> None:
    # Rotation is checked by itself, the rest by the table.
    names = {check.reason for check in limits._CHECKS} | {"rotated"}
    assert ADVICE.keys() == names
    assert all(text.endswith(".") and ": " in text and len(text) < 120 for text in ADVICE.values())


def test_faults_name_their_reasons() -> None:
    reason = QualityReason("blurred", "sharpness", -30.0, -27.0, "dB", True)
    record = fault_record(QualityRefused("no", (reason,)))
    assert record["code"] == "quality_refused"
    assert record["reasons"][0]["message"] == ADVICE["blurred"]
    assert fault_record(NoFace("none")) == {"code": "no_face", "message": "none"}
