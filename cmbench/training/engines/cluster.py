"""Which cluster `--on` names, and whether the other options go with it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

from cmbench.errors import UserError
from cmbench.training.engines.elsewhere import Launch
from cmbench.training.engines.slurm_options import parse_slurm

ACCEPTED = "slurm, ray, ray:ADDRESS"


def cluster_of(
    on: str | None,
    slurm: Sequence[str],
    device: str | None,
    devices: Sequence[str],
    jobs: int | Literal["auto"] | None,
    threads: int | None,
) -> Launch | None:
    """What trains runs on the cluster; None for this machine.

    Raises `UserError` for options that contradict each other, and where the cluster's library is not installed.
    """
    if slurm and on != "slurm":
        raise UserError("--slurm: accepted: with --on slurm")
    if on is None:
        return None
    kind, _, address = on.partition(":")
    if kind not in ("slurm", "ray") or (kind == "slurm" and on != kind) or (kind == "ray" and on == "ray:"):
        raise UserError(f"--on {on}: accepted: {ACCEPTED}")
    if "RANK" in os.environ:
        raise UserError(f"--on {on}: not under torchrun, whose processes train each run together")
    if devices:
        raise UserError(f"--on {on}: the cluster chooses the device of each run, not --devices")
    if device not in (None, "cpu", "cuda"):
        raise UserError(f"--device {device}: accepted with --on {on}: cpu, cuda")
    if kind == "ray":
        if jobs is not None:
            raise UserError(f"--jobs: as many runs at once as there is room for on the cluster with --on {on}")
        from cmbench.training.engines.ray import on_ray

        return on_ray(address or None, device, threads or 1)
    if jobs is not None:
        raise UserError("--jobs: --slurm array=N says how many runs at once with --on slurm")
    options = parse_slurm(slurm)
    if device not in (None, options.device):
        raise UserError(f"--device {device}: --slurm gpus={options.gpus} gives a run none" if device == "cuda" else
                        f"--device {device}: --slurm gpus={options.gpus} gives a run a GPU")  # fmt: skip
    threads = threads or options.cpus or 1
    if options.cpus and threads > options.cpus:
        raise UserError(f"--threads {threads}: more than --slurm cpus={options.cpus}")
    from cmbench.training.engines.slurm import on_slurm

    return on_slurm(options, threads)
