"""Cells of a suite: checks a toy or escape-ratio suite, runs its specs as lanes, and makes measurements of them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from cmbench.errors import UserError
from cmbench.experiments.execute import Listener, Measurement, Outcome, execute, in_turn
from cmbench.experiments.plan import RunSpec, plan_landscapes
from cmbench.experiments.result import Cost
from cmbench.experiments.settings import EscapeSettings, Interval, LandscapeSettings, LandscapeSuite, ToySettings
from cmbench.experiments.store import ResultStore
from cmbench.experiments.suite import ResolvedSuite
from cmbench.landscapes.escape import escaped_all, escaped_nearer, escaped_reached
from cmbench.landscapes.lanes import Lanes, few_threads, run_lanes, start_points
from cmbench.landscapes.stationary import largest_eigenvalue
from cmbench.landscapes.surfaces import PARAMETERS, Surface, get_surface
from cmbench.landscapes.trace import Trace
from cmbench.optim import get_info

REACH = 0.5
"""How close to a global minimum, when no other known minimum is closer, counts as having reached it."""

_NUMBERS = 12_000
"""How many numbers the trajectories of one result may hold; its traces as many again."""


def run_suite(
    suite: ResolvedSuite[LandscapeSuite],
    store: ResultStore,
    *,
    force: bool = False,
    device: str = "cpu",
    listener: Listener | None = None,
) -> Outcome:
    """Runs the cells of a toy or escape-ratio suite that `store` has no finished result of, and stores them.

    Everything a user can get wrong raises `UserError` before anything runs or is written.
    """
    specs = prepare(suite).specs
    run = partial(run_cells, device=device)
    return execute(specs, store, in_turn(run), force=force, device=device, listener=listener, batch=_batch)


@dataclass(frozen=True)
class Prepared:
    """A suite whose surfaces are known: their domains, filled in, and their identities."""

    suite: ResolvedSuite[LandscapeSuite]
    domains: dict[str, Interval]
    identities: dict[str, str]

    @property
    def specs(self) -> list[RunSpec[LandscapeSettings]]:
        """Its cells, in the order of `plan_landscapes`."""
        return plan_landscapes(self.suite, self.identities)


def prepare(suite: ResolvedSuite[LandscapeSuite]) -> Prepared:
    """The suite with every surface checked.

    Raises `UserError` naming the suite and the key: for an unknown surface, a number of coordinates that a surface
    does not have, a parameter that is missing or belongs to no surface, a user's function that is no surface.
    """
    settings = suite.settings
    domains: dict[str, Interval] = {}
    identities: dict[str, str] = {}
    for name, domain in settings.domains.items():
        key = "surface" if settings.surface else f"surfaces.{name}"
        where = f"suite {suite.name}: {key}"
        surface = get_surface(name, where)
        if surface.dim not in (None, settings.dim):
            raise UserError(f"suite {suite.name}: dim: {settings.dim}: accepted for '{name}': {surface.dim}")
        for parameter in PARAMETERS:
            wanted, given = parameter in surface.parameters, bool(getattr(settings, parameter, None))
            if wanted and not given:
                raise UserError(f"suite {suite.name}: {parameter}: missing: surface '{name}' needs it")
            if given and not wanted:
                raise UserError(f"suite {suite.name}: {parameter}: surface '{name}' has none")
        spectrum = getattr(settings, "spectrum", None)
        if spectrum and len(spectrum) != settings.dim:
            raise UserError(
                f"suite {suite.name}: spectrum: {len(spectrum)} eigenvalues: accepted: dim = {settings.dim}"
            )
        filled = domain or surface.domain
        if filled is None:
            raise UserError(
                f"{where}: '{name}' has no customary domain: give the range of the start points, "
                "e.g. --set domain=[-5,5]"
            )
        domains[name] = filled
        identities[name] = surface.identity
        if surface.source:
            _check_function(surface, settings.dim, filled, where)
    settings = settings.model_copy(update={"surface": None, "surfaces": domains})
    return Prepared(replace(suite, settings=settings), domains, identities)


def _check_function(surface: Surface, dim: int, domain: Interval, where: str) -> None:
    """A user's function maps (L, D) to (L,), differentiably, and one row does not depend on the others."""
    x = start_points(0, 3, dim, domain).requires_grad_()
    wrong = f"{where}: '{surface.name}': accepted: a function of x (..., {dim}) float64 that returns (...)"
    try:
        value = surface.function(x)
        alone = surface.function(x[:1])
    except Exception as error:
        raise UserError(f"{wrong}; it raises {type(error).__name__}: {error}") from None
    if not isinstance(value, Tensor) or value.shape != x.shape[:-1]:
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise UserError(f"{wrong}; for x {tuple(x.shape)} it returns {shape}")
    if not value.requires_grad:
        raise UserError(f"{wrong}; its value does not depend on x by torch's autograd")
    if not torch.allclose(value[:1], alone, equal_nan=True):
        raise UserError(f"{wrong}; the value of one point depends on the points beside it")


def _batch(spec: RunSpec[LandscapeSettings]) -> Hashable:
    """Cells that differ in nothing but the sharpness coefficient share one tensor."""
    settings = spec.settings.model_dump(exclude={"sharpness"})
    return json.dumps([settings, spec.chosen_optimizer.model_dump(), spec.seed, spec.data], sort_keys=True)


def run_cells(specs: Sequence[RunSpec[LandscapeSettings]], device: str = "cpu") -> list[Measurement]:
    """The measurements of cells that differ in nothing but the sharpness coefficient, run as lanes of one tensor."""
    first = specs[0]
    settings = first.settings
    surface = get_surface(settings.surface)
    starts = cell_starts(settings, first.seed)
    coefficients = [spec.settings.sharpness for spec in specs]
    every = objective(surface, settings, coefficients, len(starts), device)
    lanes = run_lanes(
        every,
        starts.repeat(len(specs), 1),
        first.chosen_optimizer.name,
        first.chosen_optimizer.hyperparameters,
        settings.steps,
        settings.schedule,
        trace=getattr(settings, "trace", ()),
        is_there=partial(_at_global_minimum, surface, every) if _may_reach(surface, settings) else None,
        device=device,
    )
    with few_threads(lanes.position.numel()):
        parts = _split(lanes, len(specs))
        return [_measure(spec, surface, part) for spec, part in zip(specs, parts, strict=True)]


def cell_starts(settings: LandscapeSettings, seed: int) -> Tensor:
    """The start points (L, D) of a cell: those given, then `starts` uniform in the domain, from the seed.

    Raises `ValueError` for settings without a domain, which `prepare` does not leave.
    """
    if settings.domain is None:
        raise ValueError(f"{settings.surface}: start points cannot be drawn without a domain")
    given = torch.tensor(settings.start_points or (), dtype=torch.float64).reshape(-1, settings.dim)
    return torch.cat([given, start_points(seed, settings.starts, settings.dim, settings.domain)])


def objective(
    surface: Surface, settings: LandscapeSettings, coefficients: Sequence[float | None], starts: int, device: str
) -> Callable[[Tensor], Tensor]:
    """The function of x (len(coefficients)·starts, D) with the surface's parameters bound, a coefficient per row."""
    bound: dict[str, Tensor] = {}
    if "sharpness" in surface.parameters:
        column = torch.tensor(coefficients, dtype=torch.float64, device=device)
        bound["sharpness"] = column.repeat_interleave(starts)
    if "spectrum" in surface.parameters and isinstance(settings, ToySettings):
        bound["spectrum"] = torch.tensor(settings.spectrum, dtype=torch.float64, device=device)
    return partial(surface.function, **bound)


def _split(lanes: Lanes, parts: int) -> list[Lanes]:
    """The lanes of each of `parts` equal cells, with its share of the time."""
    each = len(lanes.position) // parts
    cells = []
    for i in range(parts):
        own = slice(i * each, (i + 1) * each)
        cells.append(
            Lanes(
                position=lanes.position[own],
                loss=lanes.loss[own],
                loss_best=lanes.loss_best[own],
                path_length=lanes.path_length[own],
                was_there=lanes.was_there[own],
                diverged_step=lanes.diverged_step[own],
                steps=lanes.steps,
                positions=lanes.positions[:, own],
                losses=lanes.losses[:, own],
                traces=[t.of(own) for t in lanes.traces],
                seconds=lanes.seconds / parts,
                state_bytes=lanes.state_bytes // parts,
            )
        )
    return cells


def _nearest(surface: Surface, x: Tensor) -> Tensor:
    """The nearest known minimum to each of `x` (..., D)."""
    if surface.nearest_minimum is None:
        raise ValueError(f"{surface.name}: no known minima")
    return surface.nearest_minimum(x.nan_to_num(0, 0, 0).flatten(0, -2)).reshape(x.shape)


def _may_reach(surface: Surface, settings: LandscapeSettings) -> bool:
    """Whether lanes are watched for being at a global minimum: where there is a known one, and no escape to watch."""
    return surface.global_minimum is not None and isinstance(settings, ToySettings)


def _at_global_minimum(surface: Surface, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Whether `x` (..., L, D) is within `REACH` of a minimum of the lowest value, and nearer to it than to any other.

    `function` is the surface with its parameters bound, for L points.
    """
    if surface.global_minimum is None:
        raise ValueError(f"{surface.name}: no known global minimum")
    nearest = _nearest(surface, x)
    lowest = function(torch.tensor(surface.global_minimum(x.shape[-1])).to(x).expand_as(x))
    close: Tensor = (x - nearest).norm(dim=-1) < REACH
    return close & (function(nearest) <= lowest + 1e-9)


def _measure(spec: RunSpec[LandscapeSettings], surface: Surface, lanes: Lanes) -> Measurement:
    settings = spec.settings
    x = lanes.position
    function = objective(surface, settings, [settings.sharpness], len(x), "cpu")
    quantities: dict[str, Tensor] = {
        "loss_final": lanes.loss,
        "loss_best": lanes.loss_best,
        "sharpness": largest_eigenvalue(function, x),
    }
    if surface.nearest_minimum is not None:
        quantities["distance_to_minimum"] = (x - _nearest(surface, x)).norm(dim=-1)
        if surface.global_minimum is not None:
            quantities["reached_global"] = _at_global_minimum(surface, function, x)
            if _may_reach(surface, settings):
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
    evaluations = settings.steps * get_info(spec.chosen_optimizer.name).gradient_evaluations
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
            gradient_evaluations=evaluations,
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
    """`values` as nested lists of numbers with six significant digits."""

    def shorten(item: Any) -> Any:
        if isinstance(item, list):
            return [shorten(inner) for inner in item]
        return float(f"{item:.6g}") if math.isfinite(item) else None

    return shorten(values.tolist())
