"""What tests of workloads share."""

import pytest


@pytest.fixture(autouse=True)
def _miniatures_are_read(monkeypatch):
    """They are not the published files."""
    monkeypatch.setenv("CMBENCH_UNVERIFIED_DATA", "1")
