"""A page of small real runs, and the browser that opens it."""

import shutil
from dataclasses import dataclass, field

import pytest

from tests.conftest import Command

HOSTILE = "<img src=x onerror=alert(1)>"
ENDING = "adam</script><script>alert(2)</script>"
SUITE = f"""
kind: train
description: labels that are markup & <b>more</b>
workload: wine
epochs: 3
batch_size: 32
seeds: 2
optimizers:
  "{HOSTILE}": {{name: adam, lr: 0.01}}
  "{ENDING}": {{name: adam_cm, lr: 0.01}}
"""


@pytest.fixture(scope="package")
def results(tmp_path_factory):
    """A folder in which small suites were run, as a user runs them."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "mine.yaml").write_text(SUITE)
    cmbench = Command(folder)
    schedule = ("--set", "schedule.milestones=[1]")
    cmbench("train", "--suite", "digits", "--opt", "adam", "--opt", "adam_sam", "--set", "epochs=2", *schedule,
            "--seeds", 2, "--quiet")  # fmt: skip
    cmbench("train", "--suite", "mine.yaml", "--quiet")
    cmbench("toy", "--surface", "ackley", "--starts", 3, "--steps", 40, "--quiet")
    cmbench("escape-ratio", "--dim", 1, "--starts", 3, "--steps", 5, "--opt", "adam", "--quiet")
    return cmbench


@pytest.fixture(scope="package")
def file(results):
    """The page about all of it."""
    results("report", "--html", "page.html")
    return results.folder / "page.html"


@dataclass
class Seen:
    """What a page asked for and complained about."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here to drive a browser")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium here to open the page in")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium):
    """Opens a file in a window so wide; what it asks for and complains of is in `page.seen`."""
    pages = []

    def open_file(path, width=1280, **options):
        page = chromium.new_page(viewport={"width": width, "height": 900}, **options)
        page.seen = Seen()
        page.on("request", lambda request: page.seen.requests.append(request.url))
        page.on("console", lambda message: page.seen.complaints.append(message.text))
        page.on("pageerror", lambda error: page.seen.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (page.seen.complaints.append(dialog.message), dialog.dismiss()))
        page.goto(path.as_uri())
        pages.append(page)
        return page

    yield open_file
    for page in pages:
        page.close()
