"""The lane runner: many independent runs advance as the rows of one parameter, by the optimizers of deep networks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from cmbench.experiments.outside import build
from cmbench.experiments.schedule import Schedule
from cmbench.landscapes.functions import over_coordinates
from cmbench.landscapes.trace import Trace, observe
from cmbench.optim.factory import implementation_options
from cmbench.optim.registry import REGISTRY, get_info
from cmbench.optim.stepper import Stepper
from cmbench.optim.threads import few_threads
from cmbench.optim.wrapper import state_tensors

RECORDS = 250
_CHUNK_BYTES = 1 << 24


def start_points(seed: int, starts: int, dim: int, domain: tuple[float, float]) -> Tensor:
    """`starts` points (starts, dim), uniform in `domain`, float64; the same for every optimizer and coefficient."""
    low, high = domain
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(starts, dim, dtype=torch.float64, generator=generator)


@dataclass(frozen=True)
class Lanes:
    """What L lanes did in T steps; tensors on the CPU.

    `position` (L, D) and `loss` (L,) after the last step; `loss_best` (L,) the lowest on the path, `path_length` (L,)
    the sum of the steps' lengths, both NaN for a lane that diverged; `was_there` (L,) whether any of its positions was
    one that was looked for; `diverged_step` (L,) the number of steps after
    which a position or loss was first not finite, −1 for never. `steps` (R,) are the recorded numbers of steps, with
    `positions` (R, L, D) and `losses` (R, L). `traces` holds one record per traced step. `seconds` is the
    optimization alone; `evaluations` counts the gradients of a lane; `state_bytes` is what the optimizer keeps.
    """

    position: Tensor
    loss: Tensor
    loss_best: Tensor
    path_length: Tensor
    was_there: Tensor
    diverged_step: Tensor
    steps: Tensor
    positions: Tensor
    losses: Tensor
    traces: list[Trace]
    seconds: float
    evaluations: int
    state_bytes: int


def run_lanes(
    function: Callable[[Tensor], Tensor],
    starts: Tensor,
    optimizer: str,
    hyperparameters: dict[str, Any],
    steps: int,
    schedule: Schedule | None = None,
    *,
    records: int = RECORDS,
    trace: Sequence[int] = (),
    is_there: Callable[[Tensor], Tensor] | None = None,
    slope: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None,
    device: str = "cpu",
) -> Lanes:
    """Minimises `function` from every row of `starts` (L, D) by `steps` steps of the optimizer of that name.

    All rows are one parameter, so a step costs about the same for one lane as for thousands; norms and the buffer's
    decisions are taken per lane (`scope="lane"`), so each does what it would do alone. The learning rate follows
    `schedule`, in steps. About `records` equally spaced steps are kept, the first and the last among them, and the
    steps of `trace` (counted from 1) are looked into. `is_there` maps positions (T, L, D) to whether they are looked
    for, (T, L): of every lane it is told whether it ever was there, from its start on.
    `slope` gives the values and the gradients of `function` without autograd: a registered optimizer gets them.
    """
    schedule = schedule or Schedule()
    slope = slope if optimizer in REGISTRY else None
    run = _Run(function, slope, starts.to(device), steps, records, is_there, bool(hyperparameters.get("create_graph")))
    method = _over_lanes(optimizer, hyperparameters, run.x)
    stepper = Stepper(method, [run.x], outside=optimizer not in REGISTRY)
    rates = [group.get("lr") for group in method.param_groups]
    traces, factor = [], 1.0
    began = time.perf_counter()
    with few_threads(starts.numel()):
        for step in range(steps):
            if (now := schedule.factor(step, steps)) != factor:
                factor = now
                for group, rate in zip(method.param_groups, rates, strict=True):
                    if rate is not None:
                        group["lr"] = rate * factor
            before = observe(method, run.x) if step + 1 in trace else None
            run.begin_step(step)
            stepper.step(run.closure)
            if before is not None:
                traces.append(before.after(step + 1, method, run.x))
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - began
    with stepper.evaluating():
        state = sum(value.numel() * value.element_size() for value in state_tensors(method))
        return run.finish(traces, seconds, stepper.evaluations, state)


def _over_lanes(optimizer: str, hyperparameters: Mapping[str, Any], x: Tensor) -> Optimizer:
    """The optimizer of that name over lanes (L, D), every norm and decision taken per lane."""
    values, is_ours = dict(hyperparameters), optimizer in REGISTRY
    if "scope" in (get_info(optimizer).defaults if is_ours else values):
        values["scope"] = "lane"
    # torch's own fused step rounds what is left over of its vectors otherwise: a lane would not be what it is alone.
    has_memory = is_ours and get_info(optimizer).memory is not None
    options = implementation_options(optimizer, "auto", x.device, lanewise=True) if has_memory else {}
    return build(optimizer, values, [{"params": [x], "names": ["x"]}], optimizer, options)


def is_as_alone(together: Lanes, lane: int, alone: Lanes) -> bool:
    """Whether a lane went the way, at every recorded step, that it went as the only one."""
    return torch.allclose(together.positions[:, [lane]], alone.positions, rtol=1e-6, atol=1e-9, equal_nan=True)


def joined(lanes: Sequence[Lanes]) -> Lanes:
    """Lanes that have been run one after the other, as if together; their gradients in the mean."""
    return Lanes(
        **{name: torch.cat([getattr(each, name) for each in lanes]) for name in _PER_LANE},
        steps=lanes[0].steps,
        positions=torch.cat([each.positions for each in lanes], 1),
        losses=torch.cat([each.losses for each in lanes], 1),
        traces=[],
        seconds=sum(each.seconds for each in lanes),
        evaluations=round(sum(each.evaluations for each in lanes) / len(lanes)),
        state_bytes=sum(each.state_bytes for each in lanes),
    )


_PER_LANE = ("position", "loss", "loss_best", "path_length", "was_there", "diverged_step")


class _Run:
    """The parameter, and the bookkeeping of its path: positions and losses are gathered a chunk of steps at a time."""

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        slope: Callable[[Tensor], tuple[Tensor, Tensor]] | None,
        starts: Tensor,
        steps: int,
        records: int,
        is_there: Callable[[Tensor], Tensor] | None,
        create_graph: bool,
    ) -> None:
        lanes, dim = starts.shape
        self.function, self.slope = function, slope
        self.create_graph = create_graph
        self.is_there = is_there
        self.x = starts.to(torch.float64, copy=True).requires_grad_()
        self.chunk = max(1, min(steps, 128, _CHUNK_BYTES // (8 * lanes * (dim + 1))))
        self.path = starts.new_empty((self.chunk + 1, lanes, dim))
        self.loss = starts.new_empty((self.chunk + 1, lanes))
        self.rows = self.path.unbind()
        self.filled = 0
        self.offset = 0  # the number of steps before the first row of the chunk
        self.first_call = True
        self.best = starts.new_full((lanes,), torch.inf)
        self.length = starts.new_zeros(lanes)
        self.was_there = torch.zeros(lanes, dtype=torch.bool, device=starts.device)
        self.diverged = torch.full((lanes,), -1, dtype=torch.int64, device=starts.device)
        self.wanted: Tensor = torch.unique(
            torch.linspace(0, steps, min(steps, records) + 1, dtype=torch.float64).round().long()
        )
        self.kept: list[tuple[Tensor, Tensor]] = []

    def begin_step(self, step: int) -> None:
        if self.filled == self.chunk:
            self._digest(self.chunk)
            self.offset, self.filled = step, 0
        self.rows[self.filled].copy_(self.x.detach())
        self.first_call = True

    def closure(self) -> Tensor:
        """torch's convention: the loss, (). A probe calls it twice per step: first at the position of the lane."""
        self.x.grad = None
        if self.slope is not None:
            losses, self.x.grad = self.slope(self.x.detach())
            total = losses.sum()
        else:
            losses = self.function(self.x)
            total = losses.sum()
            torch.autograd.backward(total, create_graph=self.create_graph)
        if self.first_call:
            self.loss[self.filled] = losses.detach()
            self.filled += 1
            self.first_call = False
        return total

    @torch.no_grad()
    def _digest(self, rows: int) -> None:
        """Takes what is to be kept of the first `rows` rows of the chunk; row `rows` is the position after them."""
        self.path[rows] = self.x
        path, loss = self.path[: rows + 1], self.loss[:rows]
        self.length += over_coordinates(path.diff(dim=0).square_()).sqrt().sum(0)
        self.best = torch.minimum(self.best, loss.amin(0))
        if self.is_there is not None:
            # Of a lane that was there already nothing needs to be found out.
            self.was_there |= self.is_there(torch.where(self.was_there[:, None], torch.nan, path[:rows])).any(0)
        bad = (loss * 0 + over_coordinates(path[:rows] * 0)).isnan()  # 0 times what is not finite
        first = torch.where(bad.any(0), bad.int().argmax(0) + self.offset, -1)
        self.diverged = torch.where(self.diverged < 0, first, self.diverged)
        inside = self.wanted[(self.wanted >= self.offset) & (self.wanted < self.offset + rows)] - self.offset
        self.kept.append((path[inside].cpu(), loss[inside].cpu()))

    @torch.no_grad()
    def finish(self, traces: list[Trace], seconds: float, evaluations: int, state_bytes: int) -> Lanes:
        self._digest(self.filled)
        self.offset, self.filled = self.offset + self.filled, 1
        self.path[0], self.loss[0] = self.x, self.function(self.x)
        self._digest(1)
        nan = torch.where(self.diverged < 0, 0.0, torch.nan)
        return Lanes(
            # A copy: a schedule-free optimizer goes on to weights of its own, in the same memory.
            position=self.x.detach().cpu().clone(),
            loss=self.loss[0].cpu(),
            loss_best=(self.best + nan).cpu(),
            path_length=(self.length + nan).cpu(),
            was_there=self.was_there.cpu(),
            diverged_step=self.diverged.cpu(),
            steps=self.wanted,
            positions=torch.cat([path for path, _ in self.kept]),
            losses=torch.cat([loss for _, loss in self.kept]),
            traces=traces,
            seconds=seconds,
            evaluations=evaluations,
            state_bytes=state_bytes,
        )
