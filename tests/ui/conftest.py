"""Asking the inspector without a browser."""

import pytest
from starlette.testclient import TestClient

from mneme.ui import inspector

HOME = "http://127.0.0.1:8642"


@pytest.fixture
def asking():
    """A client of the inspector of a cache; what it posts says that it comes from one of the pages."""

    def client(cache, **options) -> TestClient:
        app = inspector(cache, **options)
        return TestClient(app, base_url=HOME, headers={"origin": HOME}, follow_redirects=False)

    return client
