"""What tests of workloads share."""

import pytest


@pytest.fixture(autouse=True)
def _miniatures_are_read(monkeypatch):
    """They are not the published files."""
    monkeypatch.setenv("CMBENCH_UNVERIFIED_DATA", "1")


@pytest.fixture(autouse=True)
def _fingerprints_are_kept_apart(monkeypatch, tmp_path_factory):
    """From those of whoever runs the tests, and those of other tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
