"""Thresholds from labelled data: the import path of `mneme.calibration`, and with `python -m` its command."""

from __future__ import annotations

import sys

from mneme.calibration.certify import CERTIFICATE_GRID, certify
from mneme.calibration.pairs import CalibrationResult, CurvePoint, find_threshold, precision_recall_curve
from mneme.calibration.proposals import Proposal, pairs_to_label

__all__ = [
    "CERTIFICATE_GRID",
    "CalibrationResult",
    "CurvePoint",
    "Proposal",
    "certify",
    "find_threshold",
    "pairs_to_label",
    "precision_recall_curve",
]

if __name__ == "__main__":
    from mneme.cli import main

    main(["calibrate", *sys.argv[1:]])
