"""A model that is being trained: how one step of it is made, and the state that must outlive the process."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from cmbench.errors import UserError
from cmbench.experiments.outside import build, is_probed
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.seeding import derived_seed
from cmbench.experiments.settings import TrainSettings
from cmbench.optim.critical import CriticalOptimizer
from cmbench.optim.factory import implementation_of, implementation_options
from cmbench.optim.hyperparameters import ImplementationName
from cmbench.optim.memory_over import MemoryOver
from cmbench.optim.registry import REGISTRY
from cmbench.optim.sharded import local, norms_over_shards
from cmbench.optim.stats import BufferStats
from cmbench.optim.stepper import Stepper
from cmbench.optim.wrapper import layers
from cmbench.training.average import Average
from cmbench.training.groups import FACTOR, parameter_groups
from cmbench.training.processes import Processes
from cmbench.workloads.base import Batch, Task, Workload
from cmbench.workloads.metrics import Evaluation

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def check_settings(spec: RunSpec[TrainSettings], processes: int) -> None:
    """Raises `UserError` for settings that do not go together in a run of so many processes."""
    settings, sharded, optimizer = spec.settings, _is_sharded(spec, processes), spec.chosen_optimizer
    probed = is_probed(optimizer.name, optimizer.hyperparameters)
    if settings.precision == "fp16" and (sharded or (probed and settings.clip_norm)):
        what = "parallel fsdp" if sharded else "clip_norm and a probe (sam, meg)"
        raise UserError(f"precision fp16 does not go with {what}: accepted: bf16, fp32")
    if sharded and any(key in optimizer.hyperparameters for key in ("probe", "memory", "rest")):
        raise UserError(
            f"parallel fsdp does not go with what is put to '{optimizer.name}': accepted: ddp, or one process"
        )
    if sharded and settings.average:
        raise UserError("average does not go with parallel fsdp: accepted: ddp, or one process")
    if sharded and spec.telemetry and spec.telemetry.sharpness_every:
        raise UserError("telemetry.sharpness_every does not go with parallel fsdp: accepted: ddp, or one process")


def _is_sharded(spec: RunSpec[TrainSettings], processes: int) -> bool:
    return processes > 1 and spec.settings.parallel == "fsdp"


class Learner:
    """Model and optimizer of a run on `device`, with its precision, layout, compilation and distribution.

    Raises `UserError` for settings that do not go together.
    """

    def __init__(
        self, spec: RunSpec[TrainSettings], workload: Workload, device: torch.device, processes: Processes
    ) -> None:
        self.settings, self.device, self.processes = spec.settings, device, processes
        self._sharded = _is_sharded(spec, processes.size)
        check_settings(spec, processes.size)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(derived_seed(spec.seed, "weights"))
            model = workload.model().to(device)
        if self.settings.channels_last:
            model = model.to(memory_format=torch.channels_last)
        torch.manual_seed(derived_seed(spec.seed, "noise", *([processes.rank] if processes.rank else [])))
        if processes.size > 1 and device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]  # torch has no types
        if self.settings.compile:
            model.compile()
        self.model = self.network = model
        self.average = Average(self.settings.average, model) if self.settings.average else None
        if self._sharded:
            from torch.distributed.fsdp import fully_shard

            for child in model.children():
                if any(True for _ in child.parameters()):
                    fully_shard(child)
            fully_shard(model)
        elif processes.size > 1:
            self.network = DistributedDataParallel(model)
        self.parameters = list(model.parameters())
        self.start = [local(p.detach()).clone() for p in self.parameters]
        optimizer = spec.chosen_optimizer
        groups = parameter_groups(model, self.settings, optimizer.hyperparameters)
        options = self._implementation(optimizer.name, spec.implementation)
        self.optimizer = build(optimizer.name, optimizer.hyperparameters, groups, spec.title, options)
        self._rates = [
            rate if (rate := group.get("lr")) is None else rate * group.get(FACTOR, 1.0)
            for group in self.optimizer.param_groups
        ]
        self.set_lr(1.0)
        # It clips by itself, and knows the norm. In a probe it would not see every gradient; those in fp16 are scaled.
        self._critical: CriticalOptimizer | None = None
        if isinstance(self.optimizer, CriticalOptimizer) and self.settings.precision != "fp16":
            self._critical = self.optimizer
            self._critical.clip_norm = self.settings.clip_norm
        self._create_graph = bool(optimizer.hyperparameters.get("create_graph"))
        self.scaler = torch.amp.GradScaler(device.type) if self.settings.precision == "fp16" else None
        self._outside = optimizer.source is not None
        self.stepper = Stepper(
            self.optimizer, self.parameters, self.scaler, self.settings.clip_norm, outside=self._outside
        )

    def _implementation(self, name: str, wanted: ImplementationName) -> dict[str, bool]:
        if name not in REGISTRY:
            return {}
        if wanted == "auto" and (self._sharded or self.settings.precision == "fp16"):
            return {}
        return implementation_options(name, wanted, self.device)

    @property
    def implementation(self) -> str | None:
        """How the optimizer's steps are carried out; a checkpoint's, after it was loaded."""
        return implementation_of(list(layers(self.optimizer))[-1])

    def check_batches(self, task: Task) -> None:
        """Raises `UserError` where a batch of the task is too small for every process to have its parts."""
        size, parts = self.settings.batch_size, self.processes.size * self.settings.accumulate
        if self.processes.size > 1 and task.smallest_batch(size) < parts:
            raise UserError(
                f"batch_size {size}: an epoch's last batch is too small to be cut into {parts} "
                f"({self.processes.size} processes, accumulate {self.settings.accumulate})"
            )

    def set_lr(self, factor: float) -> None:
        """Sets the learning rate to `factor` times the run's, in every group by its own factor."""
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            if rate is not None:
                group["lr"] = rate * factor

    @property
    def lr(self) -> float | None:
        """The learning rate as it is now, of a group whose own factor is 1; None where the optimizer has none."""
        group = self.optimizer.param_groups[0]
        return group["lr"] / group.get(FACTOR, 1.0) if "lr" in group else None

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = _DTYPES.get(self.settings.precision)
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype)

    def _laid_out(self, batch: Batch) -> Batch:
        if self.settings.channels_last and batch.inputs.dim() == 4:
            return batch._replace(inputs=batch.inputs.contiguous(memory_format=torch.channels_last))
        return batch

    def _parts(self, batch: Batch, dim: int) -> list[Batch]:
        """What gradients are accumulated over: at most so many parts as there are examples."""
        parts = self._laid_out(batch).split(self.settings.accumulate, dim)
        return [part for part in parts if part.targets.numel()]

    def step(self, task: Task, batch: Batch, carries: list[Any] | None) -> tuple[Tensor, list[Any]]:
        """One step of the optimizer; returns the loss before it, on the device, and what the batch leaves.

        The loss is this process's part: its mean over the processes is the mean over the batch.
        """
        parts = self._parts(batch, task.dim)
        # An epoch's last batch may have fewer parts than the others; only text, whose batches are alike, carries.
        carries = carries[: len(parts)] if carries else [None] * len(parts)
        left: list[Any] = []

        def closure() -> Any:
            self.optimizer.zero_grad()
            total: Any = 0
            for i, (part, carry) in enumerate(zip(parts, carries, strict=True)):
                with self._without_communication(unless=i == len(parts) - 1):
                    with self._autocast():
                        loss, after = task.loss(self.network, part, carry)
                    # Processes are averaged, parts are added: together they give the mean over the whole batch.
                    weight = part.targets.numel() * self.processes.size / part.whole
                    loss = loss if weight == 1 else loss * weight
                    scaled = loss if self.scaler is None else self.scaler.scale(loss)
                    torch.autograd.backward(scaled, create_graph=self._create_graph)
                total = total + loss.detach()
                left.append(after)
            if self.scaler is None and self.settings.clip_norm and not self._critical:
                nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm)
            return total

        loss = self.stepper.step(closure)
        # Some evaluate more than once; the text goes on from where it was read at θ.
        return loss, left[: len(parts)]

    def _without_communication(self, unless: bool) -> AbstractContextManager[Any]:
        """Gradients stay in their process until the last part of a batch."""
        if unless or not isinstance(self.network, DistributedDataParallel):
            return nullcontext()
        return self.network.no_sync()

    def gradient_norm(self) -> Tensor:
        """‖g‖₂ of the gradient that the last step was made with (clipped, at the probe point), on the device."""
        if self._critical and (known := self._critical.gradient_norm()) is not None:
            return known
        norm: Any = nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        whole: Tensor = norm.full_tensor() if self._sharded else norm
        return whole

    def buffer_stats(self) -> BufferStats | None:
        """What the buffer holds; None for an optimizer without one. Every process must call it."""
        for layer in layers(self.optimizer):
            if isinstance(layer, (CriticalOptimizer, MemoryOver)):
                return layer.buffer_stats()
        return None

    def distance(self) -> float:
        """‖θ − θ₀‖₂ over all parameters."""
        gaps = [
            torch.linalg.vector_norm(local(p.detach()) - s) for p, s in zip(self.parameters, self.start, strict=True)
        ]
        return norms_over_shards(gaps, self.parameters, "global")[0].item()

    def evaluate(self, task: Task) -> Evaluation:
        """Loss and metric on the task's validation set, by all processes together."""
        with self._autocast():
            return task.evaluate(self.network, self.processes.shard, self.processes.all_reduce)

    def evaluate_average(self, task: Task) -> Evaluation | None:
        """As `evaluate`, with the average of the weights; None where there is none yet."""
        if self.average is None or not self.average.has_begun:
            return None
        with self._autocast():
            return task.evaluate(self.average.model, self.processes.shard, self.processes.all_reduce)

    def weights(self) -> dict[str, Any]:
        """The whole model's state, for the first process; every process must call it."""
        if not self._sharded:
            return self.model.state_dict()
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        weights: dict[str, Any] = get_model_state_dict(self.model, options=options)
        return weights

    def state(self) -> dict[str, Any]:
        """What `load` needs to go on from here; every process must call it."""
        if self._sharded:
            from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

            options = StateDictOptions(full_state_dict=True, cpu_offload=True)
            optimizer = get_optimizer_state_dict(self.model, self._base(), options=options)
        else:
            optimizer = self.optimizer.state_dict()
        scaler = self.scaler.state_dict() if self.scaler else None
        average = self.average.state() if self.average else None
        return {"model": self.weights(), "optimizer": optimizer, "scaler": scaler, "average": average}

    def load(self, saved: dict[str, Any]) -> None:
        """Takes up what `state` has returned."""
        if self._sharded:
            from torch.distributed.checkpoint.state_dict import StateDictOptions, set_state_dict

            set_state_dict(
                self.model,
                self._base(),
                model_state_dict=saved["model"],
                optim_state_dict=saved["optimizer"],
                options=StateDictOptions(full_state_dict=True),
            )
        else:
            self.model.load_state_dict(saved["model"])
            self.optimizer.load_state_dict(saved["optimizer"])
            if not self._outside:  # what others keep may have any shape
                _check_state(self.optimizer)
        if self.scaler:
            self.scaler.load_state_dict(saved["scaler"])
        if self.average:
            self.average.load(saved["average"])

    def _base(self) -> Any:
        return getattr(self.optimizer, "base", self.optimizer)


def _check_state(optimizer: Optimizer) -> None:
    """Raises `ValueError` where a moment has another shape than its parameter: torch takes it, and stumbles later."""
    for layer in layers(optimizer):
        for parameter, state in layer.state.items():
            for name in ("exp_avg", "exp_avg_sq", "square_avg", "momentum_buffer"):
                moment = state.get(name)
                if isinstance(moment, Tensor) and moment.shape != parameter.shape:
                    raise ValueError(f"{name} of shape {[*moment.shape]} for a parameter of {[*parameter.shape]}")
