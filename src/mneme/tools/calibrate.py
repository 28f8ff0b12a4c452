"""Thresholds from labelled data: the import path of `mneme.calibration`, and with `python -m` its command."""

from __future__ import annotations

import sys

from mneme.calibration.certify import CERTIFICATE_GRID, certify
from mneme.calibration.pairs import CalibrationResult, CurvePoint, find_threshold, precision_recall_curve

__all__ = ["CERTIFICATE_GRID", "CalibrationResult", "CurvePoint", "certify", "find_threshold", "precision_recall_curve"]

if __name__ == "__main__":
    from mneme.cli import main

    main(["calibrate", *sys.argv[1:]])
