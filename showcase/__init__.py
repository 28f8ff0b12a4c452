"""The showcase: a web application that lets one see what mneme does. `make showcase`, or `python -m showcase`."""

from showcase.app import app
from showcase.settings import Settings

__all__ = ["Settings", "app"]
