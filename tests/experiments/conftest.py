"""What tests of suites share."""

import pytest


@pytest.fixture
def file(request, tmp_path):
    """Writes a suite, by default the test module's own `SUITE`, and gives its path."""

    def write(text=None):
        path = tmp_path / "mine.yaml"
        path.write_text(request.module.SUITE if text is None else text)
        return str(path)

    return write
