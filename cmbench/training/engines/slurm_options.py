"""What `--slurm` asks of each job: `partition=gpu,time=4:00:00,gpus=1,array=16`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cmbench.errors import UserError, unknown

SIGNAL_DELAY = 90
"""Seconds before the time limit at which a run saves its checkpoint, or half of that limit where it is short."""
_TIME = re.compile(r"(?:(?P<days>\d+)-(?P<hours>\d+)(?::(?P<rest>\d+(?::\d+)?))?|(?P<clock>\d+(?::\d+){0,2}))")


@dataclass(frozen=True)
class SlurmOptions:
    """What every job of the array asks for; what is not asked for is the cluster's default.

    cpus: of each run. gpus: 0, or one, which may have a type (`a100:1`). array: so many jobs at once, by default all.
    signal_delay: seconds before the time limit at which a run saves its checkpoint. setup: a line for the shell before.
    sbatch: options that `sbatch` takes by the same names.
    """

    cpus: int | None = None
    gpus: str = "0"
    array: int | None = None
    signal_delay: int = SIGNAL_DELAY
    setup: str | None = None
    sbatch: Mapping[str, str] = field(default_factory=dict)

    @property
    def device(self) -> str:
        """What a run trains on."""
        return "cpu" if self.gpus == "0" else "cuda"


def parse_slurm(given: Sequence[str]) -> SlurmOptions:
    """The options of one or several `--slurm KEY=VALUE,…`; a part without `=` belongs to the value before it.

    Raises `UserError` that names the key, the value and what is accepted.
    """
    values: dict[str, str] = {}
    for text in given:
        key = ""
        for part in text.split(","):
            name, equals, value = part.partition("=")
            if equals and key != "setup":
                key = name.strip()
                values[key] = value
            elif key:
                values[key] += f",{part}"
            else:
                raise UserError(f"--slurm {text}: accepted: KEY=VALUE,…")
    for key, value in values.items():
        if key not in _CHECKS:
            raise unknown("key", key, _CHECKS, "--slurm")
        accepted, fits = _CHECKS[key]
        if not fits(value):
            raise UserError(f"--slurm {key}={value}: accepted: {accepted}")
    own = {key: values.pop(key) for key in list(values) if key not in _SBATCH}
    half = seconds_of(values["time"]) // 2 if "time" in values else SIGNAL_DELAY
    return SlurmOptions(
        cpus=int(own["cpus"]) if "cpus" in own else None,
        gpus=own.get("gpus", "0"),
        array=int(own["array"]) if "array" in own else None,
        signal_delay=int(own.get("signal_delay", min(SIGNAL_DELAY, half))),
        setup=own.get("setup"),
        sbatch=values,
    )


def seconds_of(time: str) -> int:
    """Of Slurm's `MIN`, `MIN:SEC`, `H:MIN:SEC`, `D-H`, `D-H:MIN`, `D-H:MIN:SEC`."""
    match = _TIME.fullmatch(time)
    if match is None:
        raise ValueError(time)
    if match["days"] is not None:
        parts = [int(match["days"]), int(match["hours"]), *map(int, (match["rest"] or "0").split(":"))]
    else:
        clock = [int(number) for number in match["clock"].split(":")]
        parts = [0, *clock] if len(clock) == 3 else [0, 0, *clock]
    days, hours, minutes, seconds = [*parts, 0][:4]
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _is_count(value: str) -> bool:
    return value.isdecimal() and int(value) > 0


def _is_text(value: str) -> bool:
    return bool(value.strip())


_SBATCH = ("partition", "time", "mem", "account", "qos", "constraint", "nodelist", "exclude", "reservation")
_CHECKS: dict[str, tuple[str, Callable[[str], bool]]] = {
    **dict.fromkeys(_SBATCH, ("a name", _is_text)),
    "time": (
        "MIN, MIN:SEC, H:MIN:SEC, D-H, D-H:MIN or D-H:MIN:SEC, more than 0",
        lambda value: _TIME.fullmatch(value) is not None and seconds_of(value) > 0,
    ),
    "mem": ("a size, as 16G", lambda value: re.fullmatch(r"\d+[KMGT]?B?", value) is not None),
    "cpus": ("a number >= 1", _is_count),
    "gpus": ("0, 1 or TYPE:1: a run trains on one", lambda value: re.fullmatch(r"0|(\w+:)?1", value) is not None),
    "array": ("a number >= 1", _is_count),
    "signal_delay": ("a number >= 1, in seconds", _is_count),
    "setup": ("a line for the shell, as 'module load cuda'", _is_text),
}
