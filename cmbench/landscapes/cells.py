"""Cells of a suite: checks a toy or escape-ratio suite, and runs its specs as lanes."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from cmbench.errors import UserError
from cmbench.experiments.execute import Outcome, execute, in_turn
from cmbench.experiments.listener import Listener
from cmbench.experiments.outside import completed
from cmbench.experiments.plan import RunSpec, plan_landscapes
from cmbench.experiments.record import Measurement
from cmbench.experiments.result import ONE_BY_ONE, OptimizerReference
from cmbench.experiments.seeding import derived_seed
from cmbench.experiments.settings import Interval, LandscapeSettings, LandscapeSuite
from cmbench.experiments.store import ResultStore
from cmbench.experiments.suite import ResolvedSuite
from cmbench.landscapes.lanes import Lanes, is_as_alone, joined, run_lanes, start_points
from cmbench.landscapes.measure import at_global_minimum, bound, is_watched, measure
from cmbench.landscapes.surfaces import PARAMETERS, Surface, get_surface
from cmbench.optim.registry import REGISTRY
from cmbench.optim.threads import few_threads
from cmbench.plugins.resolve import guarded


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
    suite = completed(suite)
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
    with guarded(f"{wrong}; it raises"):
        value = surface.function(x)
        alone = surface.function(x[:1])
    if not isinstance(value, Tensor) or value.shape != x.shape[:-1]:
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise UserError(f"{wrong}; for x {tuple(x.shape)} it returns {shape}")
    if not value.requires_grad:
        raise UserError(f"{wrong}; its value does not depend on x by torch's autograd")
    if not torch.allclose(value[:1], alone, equal_nan=True):
        raise UserError(f"{wrong}; the value of one point depends on the points beside it")
    _check_minima(surface, x.detach(), f"{where}: '{surface.name}'")


def _check_minima(surface: Surface, x: Tensor, where: str) -> None:
    """What is said of a surface's minima has the shapes that it should have for `x` (L, D)."""
    points, dim = x.shape
    for name, argument, shape in (
        ("nearest_minimum", (x,), (points, dim)),
        ("global_minimum", (dim,), (dim,)),
        ("minima", (), (None, dim)),
    ):
        if (function := getattr(surface, name)) is None:
            continue
        try:
            found = torch.as_tensor(function(*argument)).shape
        except Exception as error:
            raise UserError(f"{where}: {name} raises {type(error).__name__}: {error}") from None
        if len(found) != len(shape) or any(size not in (None, got) for size, got in zip(shape, found, strict=True)):
            wanted = ", ".join("M" if size is None else str(size) for size in shape)
            raise UserError(f"{where}: {name} returns {tuple(found)}: accepted: ({wanted})")


def _batch(spec: RunSpec[LandscapeSettings]) -> Hashable:
    """Cells that differ in nothing but the sharpness coefficient share one tensor.

    Not where entries are ranked by chance: it is numbered by lanes, and a cell is a function of its own settings.
    """
    is_alone = spec.chosen_optimizer.hyperparameters.get("priority") == "random"
    settings = spec.settings.model_dump(exclude=set() if is_alone else {"sharpness"})
    return json.dumps([settings, spec.chosen_optimizer.model_dump(), spec.seed, spec.data], sort_keys=True)


def run_cells(specs: Sequence[RunSpec[LandscapeSettings]], device: str = "cpu") -> list[Measurement]:
    """The measurements of cells that differ in nothing but the sharpness coefficient, run as lanes of one tensor."""
    first = specs[0]
    settings, optimizer = first.settings, first.chosen_optimizer
    surface = get_surface(settings.surface)
    starts = cell_starts(settings, first.seed)
    coefficients = [spec.settings.sharpness for spec in specs]
    run = partial(_run, surface, settings, optimizer, device)
    if optimizer.name in REGISTRY:
        together: Lanes | None = run(starts, coefficients, first.seed)
    else:
        together = _independent(run, starts, coefficients, first.seed)
    if together:
        parts = _split(together, len(specs))
    else:
        noise = [derived_seed(first.seed, "noise", start) for start in range(len(starts))]
        rows = list(zip(torch.split(starts, 1), noise, strict=True))
        parts = [joined([run(row, [sharpness], seed) for row, seed in rows]) for sharpness in coefficients]
    with few_threads(sum(part.position.numel() for part in parts)):
        measured = [measure(spec, surface, part) for spec, part in zip(specs, parts, strict=True)]
    return measured if together else [replace(m, environment={"starts": ONE_BY_ONE}) for m in measured]


_WITNESSES = 3


def _independent(
    run: Callable[[Tensor, Sequence[float | None], int], Lanes],
    starts: Tensor,
    coefficients: Sequence[float | None],
    seed: int,
) -> Lanes | None:
    """The lanes from all `starts` and `coefficients` together, or None where they are not what each is alone.

    A few of them, the first and the last among them, are run alone as well, to the end: an optimizer may look at the
    whole of a tensor now and then only.
    """
    try:
        together = run(starts, coefficients, seed)
        count = len(together.position)
        for lane in dict.fromkeys(torch.linspace(0, count - 1, min(count, _WITNESSES)).long().tolist()):
            which, start = divmod(lane, len(starts))
            alone = run(starts[[start]], [coefficients[which]], seed) if count > 1 else together
            if not is_as_alone(together, lane, alone):
                return None
    except Exception:  # whatever somebody's optimizer raises; a start of its own will tell
        return None
    return together


def _run(
    surface: Surface,
    settings: LandscapeSettings,
    optimizer: OptimizerReference,
    device: str,
    starts: Tensor,
    coefficients: Sequence[float | None],
    seed: int,
) -> Lanes:
    """The lanes from `starts` once for each of the coefficients; `seed` is for an optimizer that draws numbers."""
    parameters = bound(surface, settings, coefficients, len(starts), device)
    every = partial(surface.function, **parameters)
    torch.manual_seed(seed)
    return run_lanes(
        every,
        starts.repeat(len(coefficients), 1),
        optimizer.name,
        optimizer.hyperparameters,
        settings.steps,
        settings.schedule,
        trace=getattr(settings, "trace", ()),
        is_there=partial(at_global_minimum, surface, every) if is_watched(surface, settings) else None,
        slope=partial(surface.slope, **parameters) if surface.slope else None,
        device=device,
    )


def cell_starts(settings: LandscapeSettings, seed: int) -> Tensor:
    """The start points (L, D) of a cell: those given, then `starts` uniform in the domain, from the seed.

    Raises `ValueError` for settings without a domain, which `prepare` does not leave.
    """
    if settings.domain is None:
        raise ValueError(f"{settings.surface}: start points cannot be drawn without a domain")
    given = torch.tensor(settings.start_points or (), dtype=torch.float64).reshape(-1, settings.dim)
    return torch.cat([given, start_points(seed, settings.starts, settings.dim, settings.domain)])


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
                evaluations=lanes.evaluations,
                state_bytes=lanes.state_bytes // parts,
            )
        )
    return cells
