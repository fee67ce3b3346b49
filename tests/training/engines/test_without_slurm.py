"""`cmbench train --on slurm` on a machine without Slurm: submitit's processes, a few at once."""

import os
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.training.engines.watched import LONG, SHORT, Watched, outcomes

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(find_spec("submitit") is None, reason="no submitit here: pip install 'cmbench[slurm]'"),
]


@pytest.fixture(autouse=True)
def no_slurm(tmp_path_factory, monkeypatch):
    """A PATH with this machine's programs, but not Slurm's."""
    folder = tmp_path_factory.mktemp("bin")
    for place in reversed(os.environ["PATH"].split(os.pathsep)):
        for program in Path(place).glob("*"):
            if program.name not in ("sbatch", "srun"):
                (folder / program.name).unlink(missing_ok=True)
                (folder / program.name).symlink_to(program)
    monkeypatch.setenv("PATH", str(folder))


def test_processes_give_bit_for_bit_what_this_one_gives(cmbench):
    cmbench(*SHORT, "--on", "slurm", "--slurm", "partition=gpu,array=1", "--out", "there")
    cmbench(*SHORT, "--out", "here")
    there, here = (outcomes(cmbench.folder / out) for out in ("there", "here"))
    assert there == here
    assert len(there) == 2
    assert not (cmbench.folder / "there" / ".slurm").exists()


def test_a_process_that_is_killed_is_a_failed_run_and_ctrl_c_saves_the_others(cmbench):
    line = cmbench.line(*LONG, "--set", "epochs=300", "--seeds", "3", "--on", "slurm", "--slurm", "array=2")
    command = Watched(line, cmbench.folder)
    command.until(lambda: len(command.checkpoints()) == 2)
    killed, other = (leases[1].owner.pid for leases in command.leases.values())
    os.kill(killed, signal.SIGKILL)
    command.until(lambda: len(command.checkpoints()) == 3)  # the third has got the place
    command.interrupt()
    err = command.ended(130)
    assert "RuntimeError: a process died (killed, or out of memory?) (.slurm/" in err
    statuses = [status for status, *_ in outcomes(cmbench.folder).values()]
    assert sorted(statuses) == ["failed", "interrupted", "interrupted"]
    assert len(command.checkpoints()) == 3
    alive = subprocess.run(["ps", "-o", "pid=", "-p", f"{killed},{other}"], capture_output=True, text=True)
    assert not alive.stdout.strip()
