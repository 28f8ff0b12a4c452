"""What the pages' tests share."""

import pytest

from mneme.embedders import LocalEmbedder
from showcase.work.remembered import Remembered


@pytest.fixture(scope="session")
def local():
    """The real model; loaded once."""
    return LocalEmbedder()


@pytest.fixture(scope="session")
def remembered(local):
    """The same, which embeds no text twice."""
    return Remembered(local)
