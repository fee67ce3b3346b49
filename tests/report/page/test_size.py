"""A page of two thousand results is made in seconds of a processor, and is no larger than a few photographs."""

import json
import resource

import pytest

from tests.conftest import Command

RESULTS, SECONDS, MEGABYTES = 2000, 20, 15


def _processor_seconds():
    """Of the commands that have ended: what else the machine does is not counted."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.long
def test_two_thousand_results(results, tmp_path):
    """Runs of fifty settings with ten seeds, and three hundred surfaces with five optimizers each."""
    stored = results.results()
    trained = [r for r in stored if r["suite"]["name"] == "digits" and r["seed"] == 0]
    walked = [r for r in stored if r["suite"]["name"] == "ackley"]
    assert (len(trained), len(walked)) == (2, 5)
    copies = [
        (run | {"suite": run["suite"] | {"name": f"digits{setting % 5}"}, "seed": seed},
         ("settings", "batch_size", 8 + setting))
        for setting in range(25) for seed in range(10) for run in trained
    ]  # fmt: skip
    copies += [(run, ("settings", "steps", 40 + cell)) for cell in range(300) for run in walked]
    assert len(copies) == RESULTS
    for number, (run, (part, key, value)) in enumerate(copies):
        run = run | {"id": f"{number:016x}", part: run[part] | {key: value}}
        folder = tmp_path / "results" / run["suite"]["name"] / run["optimizer"]["label"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:016x}.json").write_text(json.dumps(run))
    begin = _processor_seconds()
    Command(tmp_path).process("report", "--html", "page.html", "--format", "csv")
    seconds = _processor_seconds() - begin
    size = (tmp_path / "page.html").stat().st_size / 1e6
    print(f"{RESULTS} results: {seconds:.1f} s, {size:.1f} MB")
    assert (tmp_path / "page.html").read_text().count('data-row="r') == 50 + 1500
    assert seconds < SECONDS
    assert size < MEGABYTES
