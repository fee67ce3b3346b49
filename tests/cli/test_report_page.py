"""`cmbench report --html` as a user runs it."""

import re

import pytest

RUN = ("train", "--suite", "wine", "--opt", "adam", "--seeds", 2, "--set", "epochs=1", "--quiet")


@pytest.fixture(scope="module")
def wine(shared_cmbench):
    shared_cmbench(*RUN)
    shared_cmbench("toy", "--starts", 2, "--steps", 5, "--opt", "adam", "--quiet")
    return shared_cmbench


def page(cmbench, name):
    return (cmbench.folder / name).read_text()


def test_writes_a_page_beside_the_table_and_says_where(wine):
    table = wine("report")
    done = wine("report", "--html", "new/page.html")
    assert done.stdout == table.stdout
    assert done.stderr == "page: new/page.html\n"
    text = page(wine, "new/page.html")
    assert re.findall(r"<h2>([^<]*)</h2>", text) == ["Claims", "ackley", "wine"]
    assert text.count("plotly.js v") == 1
    assert str(wine.folder) not in text


def test_the_same_results_give_the_same_page(wine):
    for name in ("one.html", "two.html"):
        wine("report", "--html", name)
    assert page(wine, "one.html") == page(wine, "two.html")


def test_a_suite_and_the_folder_are_respected(wine):
    wine("report", "--suite", "wine", "--html", "wine.html", "--json")
    text = page(wine, "wine.html")
    assert "<h2>wine</h2>" in text
    assert "<h2>ackley</h2>" not in text
    done = wine("report", "--out", "nowhere", "--html", "nowhere.html", code=4)
    assert "no results" in done.stderr
    assert not (wine.folder / "nowhere.html").exists()


def test_claims_are_printed_beside_it_and_a_table_of_the_paper_stands_first(wine):
    done = wine("report", "--claims", "--html", "claims.html")
    assert "not run" in done.stdout
    assert "page: claims.html" in done.stderr
    wine("report", "--table", 8, "--html", "table.html")
    assert "<h2>Table 8</h2>" in page(wine, "table.html")


@pytest.mark.parametrize("name", ["folder", "file/page.html"])
def test_where_no_file_can_be_is_said_before_anything_is_printed(wine, name):
    (wine.folder / "folder").mkdir(exist_ok=True)
    (wine.folder / "file").touch()
    done = wine("report", "--html", name, code=2)
    assert done.stdout == ""
    assert name in done.stderr
    assert "Traceback" not in done.stderr
