"""`cmbench sharpness`: what it may be pointed at, what it measures, and what becomes of that."""

import json
import shutil

import pytest
import torch

SHORT = ("--set", "epochs=2", "--set", "schedule=constant")
FEW = ("--examples", "100")


@pytest.fixture(scope="module")
def trained(shared_cmbench):
    """Two seeds of two optimizers."""
    shared_cmbench("train", "--suite", "digits", "--opt", "adam", "--opt", "adam_cm", "--seeds", "2", *SHORT)
    return shared_cmbench


def measured(cmbench, *arguments, code=0):
    """What the command gives as JSON."""
    return json.loads(cmbench("sharpness", *arguments, "--json", code=code).stdout)


def runs(cmbench, where="digits/*"):
    """The paths of the training runs."""
    return [path for path in cmbench.files(f"results/{where}/*.pt") if not path.name.endswith(".best.pt")]


def test_a_measurement_joins_the_table_of_its_run(trained):
    path = runs(trained, "digits/adam")[0].with_suffix(".json")
    done = trained("sharpness", path, *FEW)
    assert "λmax" in done.stdout
    assert "digits adam seed" in done.stderr
    (result,) = measured(trained, path, *FEW)
    assert result["settings"]["of"] == path.stem
    assert result["metrics"]["low"] < result["metrics"]["top_eigenvalue"] < result["metrics"]["high"]
    assert result["metrics"]["residual"] <= 1e-4 * result["metrics"]["top_eigenvalue"]
    assert "finished before" in trained("sharpness", path, *FEW).stderr
    assert "λmax" in trained("report", "--suite", "digits").stdout


def test_the_same_glob_works_the_second_time(trained):
    files = lambda: trained.files("results/digits/adam_cm/*")  # noqa: E731
    first = measured(trained, *files(), *FEW, "--tolerance", "0.01")
    assert len(first) == 4  # the weights of two runs, last and best; the results mean the last ones, too
    again = trained("sharpness", *files(), *FEW, "--tolerance", "0.01")
    assert "4 runs were finished before; nothing to do" in again.stderr


@pytest.mark.parametrize(
    ("target", "count"),
    [
        ("digits", 4),
        ("digits/adam", 2),
        ("digits/Adam", None),
        ("results/digits/adam_cm", 2),
        ("results", 4),
        ("ID", 1),
        ("BEST", 1),
    ],
)
def test_targets(target, count, trained):
    run = runs(trained, "digits/adam")[0]
    names = {"ID": run.stem, "BEST": str(run.with_suffix(".best.pt"))}
    if count is None:
        assert "no completed run of 'digits'" in trained("sharpness", target, code=4).stderr
        return
    found = measured(trained, names.get(target, target), *FEW, "--tolerance", "0.1")
    assert len({result["id"] for result in found}) == len(found) == count
    assert {result["settings"].get("at") for result in found} == {"best" if target == "BEST" else None}


def test_targets_are_looked_for_in_out(trained, tmp_path):
    elsewhere = tmp_path / "digits" / "adam"  # folders that are called like a suite's mean nothing
    shutil.copytree(trained.folder / "results", elsewhere / "mine")
    (result,) = measured(
        trained, f"digits/adam/{runs(trained, 'digits/adam')[0].stem}.json", "--out", elsewhere / "mine"
    )
    assert list(elsewhere.rglob(f"{result['id']}.json")) == [
        elsewhere / "mine" / "digits" / "adam" / f"{result['id']}.json"
    ]


def test_a_file_that_lies_alone_is_measured_into_out(trained, tmp_path):
    run = runs(trained, "digits/adam")[0]
    for suffix in (".json", ".pt"):
        shutil.copy(run.with_suffix(suffix), tmp_path / f"copy{suffix}")
    (result,) = measured(trained, tmp_path / "copy.json", *FEW, "--out", tmp_path / "out")
    assert (tmp_path / "out" / "digits" / "adam" / f"{result['id']}.json").exists()


def test_every_metric_has_its_column_and_its_numbers(trained):
    metrics = ("top-eigenvalue", "m-sharpness", "adaptive-sharpness", "trace", "spectrum")
    asked = [word for metric in metrics for word in ("--metric", metric)]
    spectrum = ("--set", "vectors=1", "--set", "steps=10", "--set", "products=9")
    run = runs(trained, "digits/adam")[0].stem
    done = trained("sharpness", run, *FEW, *asked, *spectrum, "--m", "50", "--plot", "spectrum.svg")
    for title in ("λmax", "m-sharpness", "adaptive", "trace of", "share of"):
        assert title in done.stdout
    assert "<svg" in (trained.folder / "spectrum.svg").read_text()
    found = {r["settings"]["metric"]: r for r in measured(trained, run, *FEW, *asked, *spectrum, "--m", "50")}
    assert found["m-sharpness"]["metrics"]["m_sharpness"] > 0
    assert found["m-sharpness"]["metrics"]["batches"] == 2
    assert found["m-sharpness"]["settings"]["maximiser"] == "projected"
    assert found["trace"]["metrics"]["low"] < found["trace"]["metrics"]["trace"] < found["trace"]["metrics"]["high"]
    assert sum(found["spectrum"]["curves"]["weights"]) == pytest.approx(1)
    assert len(found["spectrum"]["curves"]["nodes"]) == 10
    assert "tolerance" not in found["trace"]["settings"]  # what does not matter is no part of the identity
    one_step = measured(trained, run, *FEW, "--metric", "m-sharpness", "--m", "50", "--maximiser", "ascent")[0]
    assert 0 < one_step["metrics"]["m_sharpness"] <= found["m-sharpness"]["metrics"]["m_sharpness"]


def test_m_is_the_runs_batch_size_unless_it_is_given(trained):
    found = measured(trained, runs(trained)[0].stem, "--examples", "128", "--metric", "m-sharpness")[0]
    assert (found["metrics"]["m"], found["metrics"]["batches"]) == (64, 2)


def test_several_eigenvalues(trained):
    found = measured(trained, runs(trained)[0].stem, *FEW, "--top", "3")[0]
    values = found["curves"]["eigenvalues"]
    assert values == sorted(values, reverse=True)
    assert (len(values), values[0]) == (3, found["metrics"]["top_eigenvalue"])


def test_which_weights(trained):
    run = runs(trained)[0]
    epochs = {torch.load(run.with_suffix(s))["epoch"]: at for s, at in ((".best.pt", "best"), (".pt", "last"))}
    for epoch, at in epochs.items():
        by_name, by_number = (measured(trained, run.stem, *FEW, "--at", way)[0] for way in (at, f"epoch={epoch}"))
        assert by_name["metrics"] == by_number["metrics"]
        assert by_name["metrics"]["epoch"] == epoch
    assert "weights are kept of: epoch=" in trained("sharpness", run.stem, "--at", "epoch=99", code=2).stderr
    assert "accepted: last, best, epoch=N" in trained("sharpness", run.stem, "--at", "first", code=2).stderr


def test_what_did_not_converge_is_said_and_is_no_value(trained):
    run = runs(trained)[0].stem
    limits = ("--set", "iterations=2", "--tolerance", "1e-12")
    done = trained("sharpness", run, *FEW, *limits, code=3)
    assert "not converged to 1e-12 in 2 products: the best estimate is" in done.stderr
    (result,) = measured(trained, run, *FEW, *limits, code=3)
    assert (result["status"], result["metrics"]["top_eigenvalue"]) == ("failed", None)
    assert result["metrics"]["estimate"] > 0


def test_weights_that_are_no_numbers_end_in_a_failure_not_a_traceback(trained, tmp_path):
    shutil.copytree(trained.folder / "results", tmp_path / "results")
    path = next(p for p in (tmp_path / "results/digits/adam").glob("*.pt") if not p.name.endswith(".best.pt"))
    content = torch.load(path)
    for tensor in content["model"].values():
        tensor.mul_(float("nan"))
    torch.save(content, path)
    asked = ("--metric", "top-eigenvalue", "--metric", "m-sharpness", "--metric", "trace", "--metric", "spectrum")
    done = trained("sharpness", path, *FEW, *asked, "--set", "iterations=150", code=3)
    assert "not finite numbers" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_refused(trained):
    assert "no such result" in trained("sharpness", "nowhere.json", code=2).stderr
    assert "cmbench train --suite digits" in trained("sharpness", "--out", "empty", code=4).stderr
    assert "accepted: top-eigenvalue, m-sharpness" in trained("sharpness", "--metric", "flatness", code=2).stderr
    meaningless = trained("sharpness", "--radius", "1", code=2).stderr
    assert "radius: nothing that is measured depends on it; accepted with: --metric m-sharpness" in meaningless
    done = measured(trained, runs(trained)[0].stem, *FEW)
    where = trained.files(f"results/**/{done[0]['id']}.json")
    refused = trained("sharpness", *where, code=2)
    assert "measurements alone are given; accepted: results of completed training runs" in refused.stderr


def test_a_suite_may_measure_several_suites_by_several_metrics_at_several_weights(cmbench):
    cmbench("train", "--suite", "digits", "--opt", "adam", "--seeds", "1", *SHORT)
    text = "kind: sharpness\ndescription: x\nof: [digits, wine]\nmetric: [m-sharpness, trace]\nat: [last, best]\n"
    (cmbench.folder / "mine.yaml").write_text(f"{text}examples: 64\nm: 64\nmaximiser: ascent\nproducts: 6\n")
    assert "no completed run of 'wine'" in cmbench("sharpness", "--suite", "mine.yaml", code=4).stderr
    cmbench("train", "--suite", "wine", "--opt", "adam", "--seeds", "1", *SHORT)
    found = measured(cmbench, "--suite", "mine.yaml")
    assert sorted((r["suite"]["name"], r["settings"]["metric"], r["settings"].get("at", "last")) for r in found) == [
        (suite, metric, at)
        for suite in ("digits", "wine")
        for metric in ("m-sharpness", "trace")
        for at in ("best", "last")
    ]
    assert "accepted with TARGET: one suite" in cmbench("sharpness", "wine", "--suite", "flatness", code=2).stderr


def test_best_weights_that_are_the_last_ones_are_measured_once(cmbench, monkeypatch):
    import cmbench.curvature.measure as module

    cmbench("train", "--suite", "wine", "--opt", "adam", "--seeds", "2", *SHORT)
    for path in runs(cmbench, "wine/adam")[:1]:  # of the first run alone, the best epoch is made the last one
        shutil.copy(path, path.with_suffix(".best.pt"))
    for path in runs(cmbench, "wine/adam")[1:]:
        content = torch.load(path, weights_only=True)
        content["model"] = {name: value + 0.01 for name, value in content["model"].items()}
        torch.save(content, path.with_suffix(".best.pt"))
    original, measured_paths = module.measure, []
    monkeypatch.setattr(
        module, "measure", lambda spec, path, *rest: measured_paths.append(path) or original(spec, path, *rest)
    )
    suite = "kind: sharpness\ndescription: x\nof: wine\nmetric: trace\nproducts: 6\nat: [last, best]\n"
    (cmbench.folder / "mine.yaml").write_text(suite)
    found = measured(cmbench, "--suite", "mine.yaml")
    assert (len(found), len(measured_paths)) == (4, 3)
    values = {
        (result["settings"]["of"], result["settings"].get("at", "last")): result["metrics"]["trace"] for result in found
    }
    one, two = (path.stem for path in runs(cmbench, "wine/adam"))
    assert values[one, "last"] == values[one, "best"]
    assert values[two, "last"] != values[two, "best"]
