"""`cmbench train --on slurm` on a real Slurm: what it gives, and what pre-emption, time limits and ends come to."""

import subprocess
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from tests.training.engines.slurm_node import SlurmNode, slurm_node
from tests.training.engines.watched import LONG, SHORT, Watched, outcomes

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(find_spec("submitit") is None, reason="no submitit here: pip install 'cmbench[slurm]'"),
]
ON = ("--on", "slurm", "--slurm", "partition=low")
LONGER = (*LONG, "--set", "epochs=90", "--seed", "0")


@pytest.fixture(scope="module")
def node() -> Iterator[SlurmNode]:
    with slurm_node() as node:
        yield node


@pytest.fixture
def slurm(node, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", node.environment["SLURM_CONF"])
    yield node
    node("scancel", "--user=root")


@pytest.fixture(scope="module")
def undisturbed(shared_cmbench):
    """What the long run gives on this machine, where nothing stops it."""
    shared_cmbench(*LONGER)
    return outcomes(shared_cmbench.folder)


def went_on_where_it_was(leases):
    """The run has had two owners, and the second began at the step that the first had saved."""
    first, second = leases[1], leases[2]
    return first.owner != second.owner and second.began_at_step == first.step > 0


def test_jobs_give_bit_for_bit_what_this_machine_gives(slurm, cmbench):
    cmbench(*SHORT, *ON, "--slurm", "time=10,mem=500M,array=2", "--out", "there")
    cmbench(*SHORT, "--out", "here")
    there, here = (outcomes(cmbench.folder / out) for out in ("there", "here"))
    assert there == here
    assert len(there) == 2
    assert not (cmbench.folder / "there" / ".slurm").exists()
    assert "2 runs were finished before" in cmbench(*SHORT, *ON, "--out", "there").stderr


def test_a_preempted_job_is_queued_again_and_goes_on_where_it_was(slurm, cmbench, undisturbed):
    command = Watched(cmbench.line(*LONGER, *ON), cmbench.folder)
    command.until(command.checkpoints)
    urgent = subprocess.Popen(["srun", "--partition=high", "--ntasks=2", "sleep", "1"], stderr=subprocess.PIPE)
    command.until(lambda: "PENDING" in slurm.jobs().values() and urgent.poll() is not None)
    assert urgent.returncode == 0
    command.ended()
    (leases,) = command.leases.values()
    assert went_on_where_it_was(leases)
    assert outcomes(cmbench.folder) == undisturbed


def test_before_its_time_limit_a_job_saves_and_is_queued_again(slurm, cmbench):
    line = cmbench.line(*LONG, "--set", "epochs=600", "--seed", "0", *ON, "--slurm", "time=1")
    command = Watched(line, cmbench.folder)
    command.until(lambda: any(2 in leases for leases in command.leases.values()))
    command.until(command.checkpoints)
    assert "PENDING" not in slurm.jobs().values()
    command.interrupt()
    command.ended(130)
    (leases,) = command.leases.values()
    assert went_on_where_it_was(leases)


def test_ctrl_c_saves_what_runs_and_cancels_what_waits(slurm, cmbench):
    command = Watched(cmbench.line(*LONG, "--seeds", "2", *ON, "--slurm", "array=1"), cmbench.folder)
    command.until(command.checkpoints)
    assert sorted(slurm.jobs().values()) == ["PENDING", "RUNNING"]
    command.interrupt()
    assert "interrupted; what was done is kept" in command.ended(130)
    assert set(slurm.jobs().values()) <= {"COMPLETING"}
    ((status, *_),) = outcomes(cmbench.folder).values()
    assert status == "interrupted"
    assert len(command.checkpoints()) == 1


def test_a_cancelled_job_is_a_failed_run(slurm, cmbench):
    command = Watched(cmbench.line(*LONG, "--seed", "0", *ON), cmbench.folder)
    command.until(command.checkpoints)
    (number,) = slurm.jobs()
    slurm("scancel", number)
    err = command.ended(3)
    assert f"Slurm's job {number} ended as CANCELLED without a result (.slurm/" in err
    assert not slurm.jobs()
    ((status, *_),) = outcomes(cmbench.folder).values()
    assert status == "failed"
    assert command.checkpoints()


def test_what_slurm_refuses_is_said_before_anything_runs(slurm, cmbench):
    done = cmbench(*SHORT, "--on", "slurm", "--slurm", "partition=nowhere", code=2)
    assert "cmbench: --slurm: sbatch: error: invalid partition specified: nowhere" in done.stderr
    assert "Traceback" not in done.stderr
