"""`cmbench escape-ratio` as a user runs it."""

import json

import pytest

from tests.conftest import Command


def cmbench(*arguments, cwd):
    return Command(cwd).run(*arguments)


def test_ten_dimensions_print_a_ratio_for_every_optimizer_and_coefficient(tmp_path):
    done = cmbench("escape-ratio", "--dim", 10, "--steps", 300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ("s=2", "s=100", "Adam+SAM", "Adam+CG C=20", "Adam+CM C=20", "nearer", "reached", "paper: 50"):
        assert part in done.stdout
    results = [json.loads(file.read_text()) for file in tmp_path.rglob("*.json")]
    assert len(results) == 6 * 6
    for result in results:
        assert result["settings"]["dim"] == 10
        assert result["metrics"]["escape_ratio_all"] == sum(result["lanes"]["escaped_all"]) / 200
        assert result["metrics"]["escape_ratio_nearer"] == sum(result["lanes"]["escaped_nearer"]) / 200
        assert result["metrics"]["escape_ratio_reached"] == sum(result["lanes"]["escaped_reached"]) / 200


@pytest.mark.long
def test_lists_of_coefficients_and_capacities_make_the_cells(tmp_path):
    arguments = ("--dim", 1, "--sharpness", 3, "--sharpness", 30, "--capacity", 2, "--capacity", 4, "--opt", "adam_cm")
    done = cmbench("escape-ratio", *arguments, "--starts", 6, "--steps", 20, "--json", "-q", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    cells = [(r["optimizer"]["label"], r["settings"]["sharpness"]) for r in json.loads(done.stdout)]
    assert cells == [("adam_cm C=2", 3), ("adam_cm C=2", 30), ("adam_cm C=4", 3), ("adam_cm C=4", 30)]
    folders = {path.name for path in (tmp_path / "results" / "escape_1d").iterdir()}
    assert folders == {"adam_cm_C=2", "adam_cm_C=4"}


def test_a_coefficient_of_one_has_no_sharp_minimum_and_is_refused(tmp_path):
    done = cmbench("escape-ratio", "--sharpness", 1, cwd=tmp_path)
    assert done.returncode == 2
    assert "sharpness" in done.stderr
    assert "greater than 1" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_comma_lists_make_the_cells_and_the_figure_is_drawn(tmp_path):
    arguments = ("--dim", 1, "--sharpness", "3,30", "--capacity", "2,4", "--opt", "adam_cm", "--starts", 6)
    done = cmbench("escape-ratio", *arguments, "--steps", 20, "--plot", "new/folder", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.rglob("*.json"))) == 4
    assert "Adam+CM C=2" in done.stdout
    assert "Adam+CM C=4" in done.stdout
    assert (tmp_path / "new" / "folder" / "escape_1d.png").read_bytes().startswith(b"\x89PNG")
    assert "figure: new/folder/escape_1d.png" in done.stderr
