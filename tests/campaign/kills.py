"""Signals at random moments: what is killed, stopped or interrupted ends with the bits of what is not."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.campaign._process import (
    CHECKPOINT,
    LEASE,
    PHASES,
    RESULT,
    TRAINING,
    Process,
    at_work,
    leftovers,
    outcomes,
    preload,
    start,
)
from tests.campaign.attack import Attack, Outcome

RUNS = ("train", "--suite", "wine", "--opt", "adam_cm", "--opt", "adam_sam", "--seeds", "2", "--threads", "1")
RUNS = (*RUNS, "--set", "epochs=8", "--set", "checkpoint.every_steps=5")
PATIENCE = 120.0


def _undisturbed(folder: Path, arguments: Sequence[object] = RUNS) -> dict[str, Any]:
    preload()
    process = start(arguments, folder)
    assert process.wait(PATIENCE) == 0, process.stderr
    return outcomes(folder / "results")


def _judged(folder: Path, truth: dict[str, Any], said: str, arguments: Sequence[object] = RUNS) -> str | None:
    """What the same command, run once more, finds lost; None where it ends as if nothing had happened."""
    process = start(arguments, folder)
    code = process.wait(PATIENCE)
    if code != 0:
        return f"{said}: the same command then ends with {code}: {process.stderr[-800:]}"
    if (found := outcomes(folder / "results")) != truth:
        other = [run for run in truth if found.get(run) != truth[run]]
        return f"{said}: other bits: {other}"
    if left := leftovers(folder / "results"):
        return f"{said}: left behind: {left}"
    return None


def _until(rng: random.Random, process: Process) -> None:
    """Waits for a moment: of a kind that is drawn, so that short ones are hit as often as long ones."""
    wanted = rng.choice([None, TRAINING, CHECKPOINT, CHECKPOINT, RESULT, LEASE])
    which, end = rng.randint(1, 12 if wanted == CHECKPOINT else 3), time.monotonic() + rng.uniform(0, 2.5)
    before = None
    while not process.is_over() and time.monotonic() < end:
        if (now := process.phase) != before:
            which -= now == wanted
            before = now
            if which == 0:
                time.sleep(rng.choice([0, 0, rng.uniform(0, 0.002)]))
                return


def one_process(numbers: Sequence[int]) -> Callable[[random.Random, Path], Iterator[Outcome]]:
    """A command alone, which gets one of the signals."""

    def run(rng: random.Random, folder: Path) -> Iterator[Outcome]:
        truth = _undisturbed(folder / "truth")
        while True:
            place, number = folder / "attacked", rng.choice(list(numbers))
            process = start(RUNS, place)
            _until(rng, process)
            where, said = PHASES[process.phase], f"{signal.Signals(number).name} {PHASES[process.phase]}"
            process.send(number)
            if number == signal.SIGSTOP:
                time.sleep(rng.uniform(0, 0.3))
                process.send(signal.SIGCONT)
            code = process.wait(PATIENCE)
            allowed = {signal.SIGKILL: (-9, 0), signal.SIGSTOP: (0,)}.get(number, (130, 0))
            lost = None if code in allowed else f"{said}: exit code {code}: {process.stderr[-800:]}"
            yield Outcome(lost or _judged(place, truth, said), where)
            shutil.rmtree(place, ignore_errors=True)

    return run


def on_one_folder(rng: random.Random, folder: Path) -> Iterator[Outcome]:
    """Four commands that share their runs; one or more of them get a signal."""
    truth = _undisturbed(folder / "truth")
    while True:
        place = folder / "attacked"
        processes = [start(RUNS, place) for _ in range(4)]
        victims = rng.sample(processes, rng.randint(1, 3))
        said, where = [], ""
        for victim in victims:
            _until(rng, victim)
            number = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSTOP])
            where = PHASES[victim.phase]
            said.append(f"{signal.Signals(number).name} {where}")
            victim.send(number)
            if number == signal.SIGSTOP:
                time.sleep(rng.uniform(0, 0.3))
                victim.send(signal.SIGCONT)
        codes = [process.wait(PATIENCE) for process in processes]
        lost = None
        for process, code in zip(processes, codes, strict=True):
            if code not in ((-9, 130, 0) if process in victims else (0,)):
                lost = f"{said}: exit code {code}: {process.stderr[-800:]}"
        yield Outcome(lost or _judged(place, truth, ", ".join(said)), where)
        shutil.rmtree(place, ignore_errors=True)


def _group(line: Sequence[object]) -> Callable[[random.Random, Path], Iterator[Outcome]]:
    """A command that starts others; it, one of them or all get a signal."""

    def run(rng: random.Random, folder: Path) -> Iterator[Outcome]:
        preload()
        begin = [sys.executable, "-m", *map(str, line)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}

        def started(place: Path) -> subprocess.Popen[bytes]:
            place.mkdir(exist_ok=True)
            with open(place / "err.txt", "ab") as err:
                return subprocess.Popen(
                    begin, cwd=place, stdout=subprocess.DEVNULL, stderr=err, env=environment, start_new_session=True,
                    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
                )  # fmt: skip

        began = time.monotonic()
        undisturbed = started(folder / "truth")
        assert undisturbed.wait(PATIENCE) == 0, (folder / "truth/err.txt").read_text()
        takes, truth = time.monotonic() - began, outcomes(folder / "truth/results")
        while True:
            place = folder / "attacked"
            process = started(place)
            moment = rng.uniform(0.1, takes)
            number = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
            until = time.monotonic() + moment
            while time.monotonic() < until and process.poll() is None:
                time.sleep(0.01)
            where = "while they train" if list(place.rglob("*.pt")) else "while they start"
            members = [pid for pid in at_work(place) if pid != process.pid]
            whom = rng.choice(["the first", "one of the others", "all"])
            victims = [process.pid] if whom == "the first" or not members else members
            victims = [rng.choice(members)] if whom == "one of the others" and members else victims
            for pid in [*members, process.pid] if whom == "all" else victims:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue
            said = f"{signal.Signals(number).name} to {whom} after {moment:.1f} s, {where}"
            lost = None
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                lost = f"{said}: it has not ended after {PATIENCE:g} s"
            end = time.monotonic() + 30
            while (left := at_work(place)) and time.monotonic() < end:
                time.sleep(0.1)
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            if left:
                lost = lost or f"{said}: {len(left)} processes go on"
            again = started(place)
            code = again.wait(PATIENCE)
            if code or outcomes(place / "results") != truth:
                bits = [run for run, one in outcomes(place / "results").items() if truth.get(run) != one]
                lost = lost or f"{said}: then code {code}, other bits {bits}: {(place / 'err.txt').read_text()[-800:]}"
            elif rest := leftovers(place / "results"):
                lost = lost or f"{said}: left behind: {rest}"
            yield Outcome(lost, where)
            shutil.rmtree(place, ignore_errors=True)

    return run


TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "cmbench")
BITS = "the same command ends every run with the bits of an undisturbed one; no file and no process is left"
ATTACKS = (
    Attack("SIGKILL, one process", BITS, 300, one_process([signal.SIGKILL])),
    Attack("SIGINT, SIGTERM, SIGSTOP, one process", BITS, 120,
           one_process([signal.SIGINT, signal.SIGTERM, signal.SIGSTOP])),
    Attack("Signals, four processes on one folder", BITS, 80, on_one_folder),
    Attack("Signals, `--jobs 4`", BITS, 25, _group(["cmbench", *RUNS, "--jobs", "4"])),
    Attack("Signals, `torchrun` of two", BITS, 10, _group([*TORCHRUN, *RUNS])),
)  # fmt: skip
