"""Two processes train what one trains on the whole batch, and decide alike."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cmbench.optim import create_optimizer

from . import spread

ROOT = Path(__file__).parents[2]


def run(kind, name, folder, *options):
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    line += ["-m", "tests.optim.spread", kind, name, str(folder), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


def alone(name, **options):
    model = spread.network()
    optimizer = create_optimizer(name, model.parameters(), lr=1e-2, decay=0.9, **options)
    spread.train(model, optimizer, range(spread.STEPS))
    return model, optimizer


def assert_alike(ranks):
    assert torch.equal(ranks[0]["priorities"], ranks[1]["priorities"])
    assert torch.equal(ranks[0]["ages"], ranks[1]["ages"])


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adam_cm", ()),
        *(pytest.param(*case, marks=pytest.mark.long) for case in (("adam_cg", ("fused",)), ("sgd_cm", ()))),
    ],
)
def test_ddp_is_one_process_with_the_whole_batch(name, options, tmp_path):
    ranks = run("ddp", name, tmp_path, *options)
    model, optimizer = alone(name)
    assert_alike(ranks)
    state = next(iter(optimizer.state.values()))
    assert torch.equal(ranks[0]["ages"], state["ages"])
    for rank in ranks:
        torch.testing.assert_close(rank["params"], [p.detach() for p in model.parameters()], rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_a_probe_under_ddp_keeps_the_processes_together_with_no_sync_too(tmp_path):
    ranks = run("ddp", "adam_sam_cm", tmp_path)
    assert_alike(ranks)
    assert all(torch.equal(a, b) for a, b in zip(ranks[0]["params"], ranks[1]["params"], strict=True))


@pytest.mark.long
@pytest.mark.parametrize(("name", "options"), [
    ("adam_cm", ()), ("adam_sam_cg", ()), ("adam_cm", ("fused",)),
    ("adam_cm", ("priority=random",)), ("adam_cm", ("priority=random", "scope=per_tensor")),
])  # fmt: skip
def test_fsdp2_trains_saves_and_resumes_as_one_process(name, options, tmp_path):
    ranks = run("fsdp", name, tmp_path, *options)
    model, optimizer = alone(name, **spread.parsed(option for option in options if option != "fused"))
    assert_alike(ranks)
    state = next(iter(optimizer.state.values()))
    torch.testing.assert_close(ranks[0]["priorities"], state["priorities"], rtol=1e-4, atol=1e-6)
    assert ranks[0]["variance"] == pytest.approx(spread.base_of(optimizer).buffer_stats().variance, rel=1e-3)
    torch.testing.assert_close(ranks[0]["params"], [p.detach() for p in model.parameters()], rtol=1e-4, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("name", ["adam_cm", "sgd_cg"])
def test_the_zero_redundancy_optimizer_decides_for_each_tensor_or_not_at_all(name, tmp_path):
    ranks = run("zero", name, tmp_path, "scope=per_tensor")
    model, _ = alone(name, scope="per_tensor")
    for rank in ranks:
        torch.testing.assert_close(rank["params"], [p.detach() for p in model.parameters()], rtol=1e-4, atol=1e-5)
