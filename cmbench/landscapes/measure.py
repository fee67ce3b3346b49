"""What a cell's lanes have come to: quantities per start, their means, and the curves that figures are drawn from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cmbench.experiments.plan import RunSpec
from cmbench.experiments.record import Measurement
from cmbench.experiments.result import Cost
from cmbench.experiments.settings import EscapeSettings, LandscapeSettings, ToySettings
from cmbench.landscapes.escape import escaped_all, escaped_nearer, escaped_reached
from cmbench.landscapes.functions import over_coordinates
from cmbench.landscapes.lanes import Lanes
from cmbench.landscapes.stationary import largest_eigenvalue
from cmbench.landscapes.surfaces import Surface
from cmbench.landscapes.trace import Trace

REACH = 0.5
"""How close to a global minimum, when no other known minimum is closer, counts as having reached it."""

_NUMBERS = 12_000
"""How many numbers the trajectories of one result may hold; its traces as many again."""


def bound(
    surface: Surface, settings: LandscapeSettings, coefficients: Sequence[float | None], starts: int, device: str
) -> dict[str, Tensor]:
    """The parameters of the surface for x (len(coefficients)·starts, D), a coefficient per row."""
    values: dict[str, Tensor] = {}
    if "sharpness" in surface.parameters:
        column = torch.tensor(coefficients, dtype=torch.float64, device=device)
        values["sharpness"] = column.repeat_interleave(starts)
    if "spectrum" in surface.parameters and isinstance(settings, ToySettings):
        values["spectrum"] = torch.tensor(settings.spectrum, dtype=torch.float64, device=device)
    return values


def _nearest(surface: Surface, x: Tensor) -> Tensor:
    """The nearest known minimum to each of `x` (..., D)."""
    if surface.nearest_minimum is None:
        raise ValueError(f"{surface.name}: no known minima")
    return surface.nearest_minimum(x.nan_to_num(0, 0, 0).flatten(0, -2)).reshape(x.shape)


def is_watched(surface: Surface, settings: LandscapeSettings) -> bool:
    """Whether lanes are watched for being at a global minimum: where there is a known one, and no escape to watch."""
    return surface.global_minimum is not None and isinstance(settings, ToySettings)


def at_global_minimum(surface: Surface, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Whether `x` (..., L, D) is within `REACH` of a minimum of the lowest value, and nearer to it than to any other.

    `function` is the surface with its parameters bound, for L points. Where no other minimum is known than one of the
    lowest value, being within `REACH` of that one is all there is to be.
    """
    if surface.global_minimum is None:
        raise ValueError(f"{surface.name}: no known global minimum")
    lowest = torch.tensor(surface.global_minimum(x.shape[-1])).to(x).expand_as(x)
    if surface.nearest_minimum is None:
        return _are_close(x, lowest)
    if not surface.has_one_lowest or surface.parameters:
        nearest = _nearest(surface, x)
        return _are_close(x, nearest) & (function(nearest) <= function(lowest) + 1e-9)
    reached = _are_close(x, lowest, 1.01 * REACH)  # a little more: the minimum is known to a few digits less than `x`
    x, lowest = x[reached], lowest[reached]
    nearest = _nearest(surface, x)
    reached[reached.clone()] = _are_close(x, nearest) & (function(nearest) <= function(lowest) + 1e-9)
    return reached


def _are_close(x: Tensor, y: Tensor, distance: float = REACH) -> Tensor:
    """Whether points (..., D) are less than `distance` apart, (...)."""
    return over_coordinates((x - y).square()) < distance**2


def measure(spec: RunSpec[LandscapeSettings], surface: Surface, lanes: Lanes) -> Measurement:
    settings = spec.settings
    x = lanes.position
    function = partial(surface.function, **bound(surface, settings, [settings.sharpness], len(x), "cpu"))
    quantities: dict[str, Tensor] = {
        "loss_final": lanes.loss,
        "loss_best": lanes.loss_best,
        "sharpness": largest_eigenvalue(function, x),
    }
    if surface.nearest_minimum is not None:
        quantities["distance_to_minimum"] = (x - _nearest(surface, x)).norm(dim=-1)
    if surface.global_minimum is not None:
        quantities["reached_global"] = at_global_minimum(surface, function, x)
        if is_watched(surface, settings):
            quantities["ever_reached"] = lanes.was_there
    quantities["path_length"] = lanes.path_length
    if lanes.traces:
        quantities["cancellation"] = torch.stack([trace.cancellation for trace in lanes.traces]).mean(0)
    names = {name: name for name in quantities}
    if isinstance(settings, EscapeSettings):
        escaped = {
            "all": escaped_all(x, settings.sharpness),
            "nearer": escaped_nearer(x),
            "reached": escaped_reached(x),
        }
        quantities |= {f"escaped_{criterion}": lanes for criterion, lanes in escaped.items()}
        names |= {f"escaped_{criterion}": f"escape_ratio_{criterion}" for criterion in escaped}

    # A lane that was once not finite has no measurements, and has neither reached nor escaped anything.
    lost = lanes.diverged_step >= 0
    kept: dict[str, list[Any]] = {}
    for name, values in quantities.items():
        yes_or_no = values.dtype == torch.bool
        numbers = (values & ~lost if yes_or_no else torch.where(lost, torch.nan, values)).tolist()
        kept[name] = [number if math.isfinite(number) else None for number in numbers]
    count = int(lost.sum())
    first = int(lanes.diverged_step[lost].min()) if count else None
    return Measurement(
        status="diverged" if count else "completed",
        error=f"{count} of {len(x)} lanes diverged, the first @ step {first}" if count else None,
        diverged_step=first,
        metrics={names[name]: _mean(values) for name, values in kept.items()},
        lanes=kept,
        curves=_curves(lanes) | _minima(surface, function),
        cost=Cost(
            wall_seconds=lanes.seconds,
            steps=settings.steps,
            gradient_evaluations=lanes.evaluations,
            optimizer_state_bytes=lanes.state_bytes,
        ),
    )


def _minima(surface: Surface, function: Callable[[Tensor], Tensor]) -> dict[str, list[Any]]:
    """Where the surface has few minima: the loss and the sharpness of each, the deepest one first."""
    if surface.minima is None:
        return {}
    points = surface.minima()
    known = torch.stack([function(points), largest_eigenvalue(function, points)], -1)
    return {"minima": _rounded(known[known[:, 0].argsort()])}


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean over all lanes, or None where one of them has no value: survivors do not stand for the others."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if len(known) == len(values) else None


def _curves(lanes: Lanes) -> dict[str, list[Any]]:
    """What figures are drawn from, in six digits: mean and quartiles of the losses over the recorded steps, and as many
    paths as fit in.

    `trajectory` is indexed by lane, recorded step and coordinate; `trace` holds one record per traced step and lane.
    """
    records, _, dim = lanes.positions.shape
    paths = lanes.positions[:, : max(1, _NUMBERS // (records * dim))].transpose(0, 1)
    # A start that is lost counts as one of infinite loss.
    quartiles = lanes.losses.nan_to_num(torch.inf).quantile(lanes.losses.new_tensor([0.25, 0.5, 0.75]), 1)
    curves = {
        "step": lanes.steps.tolist(),
        "loss_mean": _rounded(lanes.losses.mean(1)),
        **dict(zip(("loss_q25", "loss_median", "loss_q75"), map(_rounded, quartiles), strict=True)),
        "trajectory": _rounded(paths),
    }
    if lanes.traces:
        curves["trace"] = _trace_records(lanes.traces)
    return curves


def _trace_records(traces: Sequence[Trace]) -> list[dict[str, Any]]:
    each = traces[-1].entries[:, 0].numel() + 4 * traces[-1].new.shape[1]
    room = max(1, _NUMBERS // each)
    lanes = max(1, min(len(traces[0].new), room // len(traces)))
    return [
        {
            "step": trace.step,
            "lane": lane,
            "position": _rounded(trace.position[lane]),
            "entries": _rounded(trace.entries[trace.filled[:, lane], lane]),
            "mean": _rounded(trace.mean[lane]),
            "new": _rounded(trace.new[lane]),
            "cancellation": _rounded(trace.cancellation[lane]),
        }
        for lane in range(lanes)
        for trace in traces[:room]
    ]


def _rounded(values: Tensor) -> Any:
    """`values` as nested lists of numbers with six significant digits, None for what is not finite."""
    flat = values.flatten().tolist()
    short = [
        number if math.isfinite(number) else None for number in map(float, ("%.6g " * len(flat) % tuple(flat)).split())
    ]
    return np.array(short, dtype=object).reshape(values.shape).tolist()
