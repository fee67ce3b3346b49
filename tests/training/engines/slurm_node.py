"""A Slurm of one node on this machine, with its own configuration, keys and ports, for as long as a test needs it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")

CONFIGURATION = """
ClusterName=cmbench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# The second delays a job that is queued again: twice that number of seconds.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 GraceTime=20
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF
"""


class SlurmNode:
    """Its commands, and the variable that leads others to it."""

    def __init__(self, folder: Path) -> None:
        self.configuration = folder / "slurm.conf"
        self.environment = {"SLURM_CONF": str(self.configuration)}

    def __call__(self, *command: str) -> str:
        """What the command prints."""
        done = subprocess.run(
            command, env=os.environ | self.environment, capture_output=True, text=True, timeout=120, check=True
        )
        return done.stdout

    def jobs(self) -> dict[str, str]:
        """The state of every job that has not ended, by its number."""
        lines = self("squeue", "--noheader", "--array", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)


def why_not() -> str | None:
    """Why there can be no Slurm here."""
    missing = [name for name in PROGRAMS if not _program(name)]
    if missing:
        return f"no {missing[0]} here (Debian: slurm-wlm, munge)"
    return None if os.geteuid() == 0 else "Slurm's daemons need root here"


@contextmanager
def slurm_node() -> Iterator[SlurmNode]:
    """Skips the test where it cannot be."""
    if reason := why_not():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # a socket's path must be short
    node = SlurmNode(folder)
    try:
        _start(folder, node)
        yield node
    finally:
        with suppress(subprocess.SubprocessError):
            node("scancel", "--signal=KILL", "--full", "--user=root")
            node("scancel", "--user=root")
            _until(lambda: not node.jobs())
        for name in ("slurmd", "slurmctld", "munged"):
            _end(folder / f"{name}.pid")
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path, node: SlurmNode) -> None:
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    for name in ("state", "spool"):
        (folder / name).mkdir()
    host = socket.gethostname().partition(".")[0]
    node.configuration.write_text(CONFIGURATION.format(host=host, folder=folder, ports=_free_ports(2)))
    files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munged.pid"}
    files |= {"log-file": "munged.log", "seed-file": "munged.seed"}
    node(_program("munged"), "--force", *(f"--{option}={folder}/{name}" for option, name in files.items()))
    for name in ("slurmctld", "slurmd"):
        node(_program(name))
    _until(lambda: "idle" in node("sinfo", "--noheader", "--format=%T"))


def _program(name: str) -> str:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or ""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _until(true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _end(pid_file: Path) -> None:
    with suppress(OSError, ValueError):
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
        for _ in range(100):
            os.kill(pid, 0)
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
