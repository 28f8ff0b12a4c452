"""Choosing and certifying a threshold from labelled data. The import path for users is `mneme.tools.calibrate`."""
