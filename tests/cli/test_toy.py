"""`cmbench toy` as a user runs it."""

import json
from itertools import combinations

import pytest

from tests.conftest import Command


def run(*arguments, cwd):
    return Command(cwd).run(*arguments)


def test_runs_without_options_and_finds_its_results_the_second_time(tmp_path):
    first = run("toy", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "Adam+SAM+CM" in first.stdout
    files = sorted((tmp_path / "results" / "ackley").rglob("*.json"))
    assert [file.parent.name for file in files] == ["adam", "adam_cg", "adam_cm", "adam_sam", "adam_sam_cm"]
    again = run("toy", cwd=tmp_path)
    assert again.stdout == first.stdout
    assert "5 runs were finished before; nothing to do" in again.stderr
    assert sorted((tmp_path / "results" / "ackley").rglob("*.json")) == files


def test_a_result_holds_what_the_contract_says(tmp_path):
    arguments = ("--surface", "levy", "--opt", "adam_cm", "--starts", 4, "--steps", 30, "--dim", 3, "--seed", 5)
    done = run("toy", *arguments, "--set", "lr=0.2", "--quiet", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (result,) = json.loads(done.stdout)
    (file,) = (tmp_path / "results" / "levy" / "adam_cm").glob("*.json")
    assert json.loads(file.read_text()) == result
    assert result["schema"] == "cmbench.result/1"
    assert (result["kind"], result["status"], result["seed"]) == ("toy", "completed", 5)
    assert result["optimizer"]["hyperparameters"]["lr"] == 0.2
    assert result["optimizer"]["hyperparameters"]["scope"] == "lane"
    assert (result["settings"]["dim"], result["settings"]["starts"], result["settings"]["steps"]) == (3, 4, 30)
    names = {"loss_final", "loss_best", "sharpness", "distance_to_minimum", "reached_global", "path_length"}
    names |= {"ever_reached"}
    assert set(result["lanes"]) == set(result["metrics"]) == names
    assert all(len(lanes) == 4 for lanes in result["lanes"].values())
    for name, lanes in result["lanes"].items():
        assert result["metrics"][name] == pytest.approx(sum(lanes) / 4)
    assert result["cost"]["gradient_evaluations"] == 30


def test_a_surface_of_ones_own_runs_from_its_file(tmp_path):
    (tmp_path / "himmelblau.py").write_text(
        "def f(x):\n    x, y = x.unbind(-1)\n    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2\n"
    )
    arguments = ("--surface", "himmelblau:f", "--set", "domain=[-5,5]", "--opt", "adam", "--steps", 300)
    done = run("toy", *arguments, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)
    assert max(result["lanes"]["loss_final"]) < 1  # every minimum of Himmelblau's function is a zero


def test_what_suites_names_begin_with_stands_for_those_of_the_commands_kind(tmp_path):
    done = run("toy", "--suite", "priorities", "--starts", 3, "--steps", 5, "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [folder.name for folder in (tmp_path / "results").iterdir()] == ["priorities_levy"]
    assert run("toy", "--suite", "prioritees", cwd=tmp_path).returncode == 2


KNOWN = {
    "nearest_minimum": "nearest_minimum=torch.zeros_like",
    "global_minimum": "global_minimum=lambda dim: (0.0,) * dim",
    "minima": "minima=lambda: torch.zeros(1, 2, dtype=torch.float64)",
}


@pytest.mark.parametrize("known", [c for n in range(4) for c in combinations(KNOWN, n)], ids="+".join)
def test_a_surface_runs_whatever_is_known_of_its_minima(known, tmp_path):
    (tmp_path / "bowls.py").write_text(
        "import torch\nfrom cmbench.landscapes import Surface\n"
        f"bowl = Surface('bowl', lambda x: x.square().sum(-1), (1, 2), {', '.join(KNOWN[name] for name in known)})\n"
    )
    arguments = ("--surface", "bowls:bowl", "--opt", "sgd", "--set", "lr=0.4", "--steps", 20, "--starts", 2)
    done = run("toy", *arguments, "--json", "--plot", "bowl.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)
    assert ("distance_to_minimum" in result["lanes"]) == ("nearest_minimum" in known)
    assert result["lanes"].get("reached_global") == ([True, True] if "global_minimum" in known else None)
    assert ("minima" in result["curves"]) == ("minima" in known)
    assert run("report", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--surface", "akley"), "unknown surface 'akley': did you mean 'ackley'"),
        (("--suite", "escape_1d"), "this command runs 'toy' suites, this one is 'escape-ratio'"),
        (("--device", "tpu"), "--device tpu"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(tmp_path, arguments, message):
    done = run("toy", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_diverges_is_kept_and_counted_and_the_others_go_on(tmp_path):
    arguments = ("--surface", "quadratic", "--set", "spectrum=[1, 9]", "--opt", "sgd", "--opt", "adam")
    done = run("toy", *arguments, "--set", "optimizers.sgd.lr=1", "--steps", 200, "--starts", 20, cwd=tmp_path)
    assert done.returncode == 3
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert any("0/20 starts," in line for line in lines)
    assert "20 diverged" in lines
    assert "step 171)" in lines  # 8 ** 171 squared is beyond 1e308
    statuses = {file.parent.name: json.loads(file.read_text())["status"] for file in tmp_path.rglob("*.json")}
    assert statuses == {"sgd": "diverged", "adam": "completed"}


def test_traced_steps_are_recorded_and_drawn(tmp_path):
    arguments = ("--suite", "figure2", "--trace", "2-4,8", "--steps", 10, "--starts", 3, "--plot", "cancel.pdf")
    done = run("toy", *arguments, "--json", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for result in json.loads(done.stdout):
        assert [record["step"] for record in result["curves"]["trace"] if record["lane"] == 0] == [2, 3, 4, 8]
        assert all(0 <= value <= 1 for value in result["lanes"]["cancellation"])
    assert (tmp_path / "cancel.pdf").read_bytes().startswith(b"%PDF")


def test_several_suites_by_their_place_in_the_paper_run_in_one_command(tmp_path):
    arguments = ("--suite", "figure4", "--suite", "table5", "--steps", 5, "--starts", 3, "--opt", "adam", "--set")
    done = run("toy", *arguments, "schedule=constant", "--plot", "figures", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["ackley.png", "table5.png"]
    refused = run("toy", *arguments, "schedule=constant", "--plot", "one.png", cwd=tmp_path)
    assert refused.returncode == 2
    assert "a folder" in refused.stderr


def test_any_surface_is_drawn_without_running_anything(tmp_path):
    (tmp_path / "mine.py").write_text("def bowl(x):\n    return x.square().sum(-1)\n")
    arguments = ("--surface", "mine:bowl", "--set", "domain=[-5,5]", "--show-surface", ".")
    done = run("toy", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (tmp_path / "mine.bowl.png").exists()
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        (("--surface", "ackley", "--show-surface", "ackley.png"), ["ackley.png"]),
        (("--suite", "figure1", "--show-surface", "maps.svg"), ["maps.svg"]),
        (("--suite", "table1", "--show-surface", "maps.png"), ["maps/goldstein_price.png", "maps/levy.png"]),
    ],
)
def test_surfaces_are_drawn_to_the_file_or_folder_that_is_named(cmbench, arguments, files):
    cmbench("toy", *arguments)
    assert [path.relative_to(cmbench.folder).as_posix() for path in cmbench.files()] == files


def test_a_surface_that_cannot_be_drawn_there_is_refused(cmbench):
    refused = cmbench("toy", "--surface", "ackley", "--show-surface", "ackley.gif", code=2)
    assert "--show-surface ackley.gif: accepted: a folder, or a file that ends in .png" in refused.stderr
    assert "accepted: one of them" in cmbench("toy", "--show-surface", "a.png", "--plot", "b.png", code=2).stderr


def test_a_figure_that_cannot_be_written_is_refused_before_anything_runs(tmp_path):
    done = run("toy", "--plot", "figure.gif", cwd=tmp_path)
    assert done.returncode == 2
    assert ".png, .svg, .pdf" in done.stderr
    assert list(tmp_path.iterdir()) == []
