"""`--on slurm`: a job array, one run per job, by submitit; where there is no Slurm, submitit's processes here.

A job whose time limit is near, or that is pre-empted, saves a checkpoint and is queued again; one that is killed
without a warning and queued again goes on from its last checkpoint.
"""

from __future__ import annotations

import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cmbench.errors import UserError
from cmbench.experiments.environment import pick_device
from cmbench.training.engines.elsewhere import Died, Ended, Fleet, Launch, Spec, work
from cmbench.training.engines.slurm_options import SlurmOptions
from cmbench.training.interrupt import Interrupt
from cmbench.training.runner import Runner

if TYPE_CHECKING:
    from submitit.core.core import Job as Submitted

FOLDER = ".slurm"
_STATES_EVERY_SECONDS = 3.0
_NETWORK_SECONDS = 20.0
"""What a network's file system may keep from us after a job has ended."""
_ENDED = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"),
    *("TIMEOUT", "GONE"),
}
_SIGNALS = (signal.SIGTERM, signal.SIGUSR2)
# A signal that comes while Python loads torch waits until the job handles it.
_LATER = (
    f"import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, {set(map(int, _SIGNALS))}); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


def on_slurm(options: SlurmOptions, threads: int) -> Launch:
    """A fleet of jobs with so many threads each; raises `UserError` without submitit, and for what Slurm refuses."""
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise UserError('--on slurm needs submitit: pip install "cmbench[slurm]"') from None

    @contextmanager
    def launch(runner: Runner, specs: Sequence[Spec]) -> Iterator[Fleet]:
        folder = _new_folder(runner.store.root)
        there = replace(runner, device=torch.device(options.device))
        jobs = [_Job(there, spec, threads) for spec in specs]
        fleet = _Array(jobs, folder, options, threads) if shutil.which("sbatch") else _Here(jobs, folder, options)
        yield fleet
        if not fleet.died:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):
                folder.parent.rmdir()  # unless there is more

    return launch


def _new_folder(root: Path) -> Path:
    above = root / FOLDER
    above.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=time.strftime("%Y-%m-%d-%H%M%S-"), dir=above))


class _Jobs:
    """Submitted jobs, each with its run, until its result file is read."""

    def __init__(self, folder: Path) -> None:
        self.died = False
        self._folder = folder
        self._running: dict[str, tuple[Spec, Submitted[Ended | None]]] = {}

    def _read(self, job: Submitted[Ended | None]) -> Ended | Died | None:
        """What the job has left; None where there is nothing yet."""
        from submitit.core.utils import UncompletedJobError

        os.listdir(self._folder)  # makes a network's file system look
        if not job.paths.result_pickle.exists():
            return None
        try:
            return job.result() or Ended()
        except UncompletedJobError as error:
            return self._death(job, f"the job {job.job_id} failed", str(error))

    def _death(self, job: Submitted[Ended | None], what: str, details: str = "") -> Died:
        self.died = True
        log = job.paths.stdout
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        last = next((line for line in reversed(lines) if line.strip() and not line.startswith("submitit INFO")), "")
        return Died(f"{what} ({FOLDER}/{self._folder.name}/{log.name}{': ' if last else ''}{last})", details)


class _Array(_Jobs):
    """Jobs of one array on Slurm, followed by `squeue` and the files that they leave."""

    def __init__(self, jobs: Sequence[_Job], folder: Path, options: SlurmOptions, threads: int) -> None:
        super().__init__(folder)
        import submitit

        later = f"{shlex.quote(sys.executable)} -c {shlex.quote(_LATER)}"
        executor = submitit.SlurmExecutor(folder, python=later)
        cpus = options.cpus or threads
        asked: dict[str, Any] = dict(options.sbatch)
        reservation = asked.pop("reservation", None)
        executor.update_parameters(
            **{"time": None, **asked},
            job_name="cmbench",
            cpus_per_task=cpus,
            gpus_per_node=None if options.gpus == "0" else options.gpus,
            array_parallelism=options.array or len(jobs),
            signal_delay_s=options.signal_delay,
            setup=[options.setup] if options.setup else None,
            stderr_to_stdout=True,
            srun_args=[f"--cpus-per-task={cpus}"],  # srun does not take it from the job
            additional_parameters={"requeue": True, **({"reservation": reservation} if reservation else {})},
        )
        try:
            with redirect_stderr(io.StringIO()):  # what sbatch says is in the error
                submitted = executor.submit_array(jobs)
        except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
            raise UserError(f"--slurm: {' '.join(str(error).split())}") from None
        self._running = {job.job_id: (mine.spec, job) for mine, job in zip(jobs, submitted, strict=True)}
        self._states: dict[str, str] = {}
        self._asked = float("-inf")
        self._silent_since: dict[str, float] = {}

    def ended(self) -> Iterator[tuple[Spec, Ended | Died]]:
        self._ask()
        for number, (spec, job) in list(self._running.items()):
            found = self._read(job)
            if found is None and (state := self._silently_ended(number)):
                found = self._death(job, f"Slurm's job {number} ended as {state} without a result")
            if found:
                del self._running[number]
                yield spec, found

    def _ask(self) -> None:
        if time.monotonic() - self._asked >= _STATES_EVERY_SECONDS:
            self._asked = time.monotonic()
            if (states := _states({number.partition("_")[0] for number in self._running})) is not None:
                self._states = {number: states.get(number, "GONE") for number in self._running}

    def _silently_ended(self, number: str) -> str | None:
        """The state of a job that has ended so long ago that its result would be seen."""
        state = self._states.get(number, "")
        if state not in _ENDED:
            self._silent_since.pop(number, None)
            return None
        since = self._silent_since.setdefault(number, time.monotonic())
        patience = _NETWORK_SECONDS if state in ("COMPLETED", "FAILED", "GONE") else _STATES_EVERY_SECONDS
        return state if time.monotonic() - since > patience else None

    def cancel(self, runs: Collection[str]) -> None:
        jobs = [
            number
            for number, (spec, _) in self._running.items()
            if spec.id in runs and self._states.get(number) not in {*_ENDED, "COMPLETING"}
        ]
        if jobs:
            subprocess.run(["scancel", *jobs], capture_output=True, check=False)


def _states(jobs: Collection[str]) -> dict[str, str] | None:
    """Slurm's state of every job and member of an array; None where Slurm does not answer."""
    command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T", f"--jobs={','.join(jobs)}"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    if asked.returncode and "Invalid job id" not in asked.stderr:
        return None
    return dict(line.strip().split("|") for line in asked.stdout.splitlines() if "|" in line)


class _Here(_Jobs):
    """Processes of submitit's local executor, so many at once as `array` says, or as there are processors."""

    def __init__(self, jobs: Sequence[_Job], folder: Path, options: SlurmOptions) -> None:
        super().__init__(folder)
        import submitit

        self._queue = deque(jobs)
        self._places = deque(range(options.array or max(1, (os.cpu_count() or 1) // (options.cpus or 1))))
        self._place_of: dict[str, int] = {}
        self._dropped: list[Spec] = []
        self._gpus = torch.cuda.device_count() if pick_device(options.device).type == "cuda" else 0
        self._executor = submitit.LocalExecutor(folder)
        self._executor.update_parameters(timeout_min=10**6, stderr_to_stdout=True)

    def ended(self) -> Iterator[tuple[Spec, Ended | Died]]:
        for number, (spec, job) in list(self._running.items()):
            done = job.done()
            found = self._read(job) if done else None
            if done:
                del self._running[number]
                self._places.append(self._place_of.pop(number))
                yield spec, found or self._death(job, "a process died (killed, or out of memory?)")
        while self._dropped:
            yield self._dropped.pop(), Ended()
        while self._queue and self._places:
            self._begin(self._queue.popleft(), self._places.popleft())

    def _begin(self, mine: _Job, place: int) -> None:
        if self._gpus:
            self._executor.update_parameters(gpus_per_node=1, visible_gpus=[place % self._gpus])
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a terminal's Ctrl-C is this process's
        try:
            job: Submitted[Ended | None] = self._executor.submit(mine)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._running[job.job_id] = mine.spec, job
        self._place_of[job.job_id] = place

    def cancel(self, runs: Collection[str]) -> None:
        self._dropped += [mine.spec for mine in self._queue]  # one that has a process is asked as soon as it has begun
        self._queue.clear()


# In a job


@dataclass
class _Job:
    """What a job calls: its run, in this process."""

    runner: Runner
    spec: Spec
    threads: int

    def __call__(self) -> Ended:
        signalled = _Signalled()
        ended = work(self.runner, self.spec, self.threads, signalled)
        unfinished = ended.attempt.how == "interrupted" if ended.attempt else not ended.error
        if signalled.requested and unfinished and os.environ.get("SUBMITIT_EXECUTOR") == "slurm":
            _queue_again()
        return ended


class _Signalled(Interrupt):
    """Requested by SIGUSR2, which Slurm sends before the time limit, or SIGTERM, which it sends before it kills."""

    def __init__(self) -> None:
        self._requested = False
        for number in _SIGNALS:
            signal.signal(number, self._handle)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _handle(self, *_: Any) -> None:
        self._requested = True

    @property
    def requested(self) -> bool:
        return self._requested


def _queue_again() -> None:
    """Ends this process, and has Slurm begin the job again, unless Slurm itself is ending it: to queue it, or for good.

    A member of an array is named by its number there: a name without one is that of the whole array.
    """
    from submitit import JobEnvironment

    job = JobEnvironment().job_id
    states = None
    for _ in range(5):
        if (states := _states([job])) is not None:
            break
        time.sleep(2)
    if states and states.get(job) == "RUNNING":
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
        if done.returncode > 0:  # below 0, it was ended as a part of the job
            raise RuntimeError(f"scontrol requeue {job}: {done.stderr.strip()}")
    raise SystemExit(1)
