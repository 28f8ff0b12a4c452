"""What the pages' tests share."""

import pytest

from mneme.embedders import LocalEmbedder


@pytest.fixture(scope="session")
def local():
    """The real model; loaded once."""
    return LocalEmbedder()
