"""What a memory-augmented optimizer keeps of every parameter: how it is made, saved, copied and loaded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from cmbench.optim import fused
from cmbench.optim.buffer import Ranking
from cmbench.optim.registry import HYPERPARAMETERS
from cmbench.optim.sharded import is_sharded, like, local

_SHARED = ("capacity", "decay", "priority", "scope", "buffer_dtype", "foreach", "fused")
_RANKING = ("priorities", "ages", "accepted")


class BufferedOptimizer(Optimizer):
    """The state and the parameter groups of AdamCM, AdamCG, SGDCM and SGDCG.

    The state of a parameter holds, besides what its rule keeps, the buffer's entries as `slot_0` … `slot_{C−1}`, their
    sum as `buffer_sum`, and the ranking as `priorities`, `ages` and `accepted`. Where one decision serves many
    parameters (`scope` global or lane) they share one ranking.

    A parameter that had no gradient when an entry was stored is zero in that entry.
    """

    rule: ClassVar[str]
    memory: ClassVar[str]

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self._forget()
        self._accepted_before = 0.0
        if defaults["fused"] and defaults["foreach"]:
            raise ValueError("fused and foreach: accepted: one of them")
        if defaults["fused"] and defaults["scope"] == "lane":
            raise ValueError("invalid fused: True (accepted with scope 'lane': False)")
        if defaults["foreach"] is None:  # lanes are few tensors, one after the other is quicker
            defaults["foreach"] = not defaults["fused"] and defaults["scope"] != "lane"
        defaults |= {name: bool(defaults[name]) for name in ("maximize", "foreach", "fused")} | {"sum_age": 0}
        super().__init__(params, defaults)

    def _forget(self) -> None:
        """Drops what is derived from `state` and made again when it is missing."""
        # All slots of a parameter in one tensor, of which those in `state` are views.
        self._stacks: dict[Tensor, tuple[Tensor, Tensor]] = {}
        # Of the fused implementation: how each group is updated, and at which of its steps a parameter had its first.
        self._plans: dict[int, fused.Plan] = {}
        self._started: dict[Tensor, Any] = {}
        self._steps_taken = 0

    def _forget_all_but_steps(self) -> None:
        self._forget()
        if self.param_groups and self.param_groups[0]["fused"] and self.state:
            known = {param: state["step"] for param, state in self.state.items() if "step" in state}
            counts = [float(step) for step in known.values()]
            self._started = {param: ("at", count) for param, count in zip(known, counts, strict=True)}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """torch's, with every hyperparameter checked; the buffer's own are the same in all groups."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            for name in self.defaults:
                if name in HYPERPARAMETERS:
                    group[name] = HYPERPARAMETERS[name].validated(group[name])
            for name in _SHARED:
                if group[name] != self.param_groups[0][name]:
                    raise ValueError(
                        f"invalid {name}: {group[name]!r} (accepted: {self.param_groups[0][name]!r}, as in the first "
                        "group: all groups share one buffer policy)"
                    )
        except ValueError:
            self.param_groups.pop()
            raise

    def __getstate__(self) -> dict[str, Any]:
        self._settle()
        return super().__getstate__()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._accepted_before = 0.0
        self._forget_all_but_steps()

    def state_dict(self) -> dict[str, Any]:
        """torch's; every entry that has been accepted is in its slot."""
        self._settle()
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """torch's, which casts all to the parameter's dtype; what has another one gets it back. Rankings are shared."""
        super().load_state_dict(state_dict)
        saved_ids = [i for group in state_dict["param_groups"] for i in group["params"]]
        params = [p for group in self.param_groups for p in group["params"]]
        shared: dict[str, Tensor] = {}
        for saved_id, param in zip(saved_ids, params, strict=True):
            for key, value in state_dict["state"].get(saved_id, {}).items():
                dtype = self._own_dtype(key, param)
                if dtype is None:
                    continue
                own = value.detach().to(param.device, value.dtype if key in _RANKING else dtype, copy=True)
                if key in _RANKING and self.param_groups[0]["scope"] != "per_tensor":
                    own = shared.setdefault(key, own)
                self.state[param][key] = own
        self._forget_all_but_steps()

    def _own_dtype(self, key: str, param: Tensor) -> torch.dtype | None:
        """The type of an entry of the state, where it is not simply the parameter's."""
        if key in ("step", "buffer_sum", *_RANKING):
            return torch.promote_types(param.dtype, torch.float32)
        buffer_dtype = self.param_groups[0]["buffer_dtype"]
        return getattr(torch, buffer_dtype) if key.startswith("slot_") and buffer_dtype else None

    def _init_group(
        self,
        group: dict[str, Any],
        owners: list[Tensor],
        params: list[Tensor],
        grads: list[Tensor],
        momenta: list[Tensor],
        squares: list[Tensor],
        totals: list[Tensor],
        slots: list[Tensor],
        steps: list[Tensor],
        priorities: list[Tensor],
        ages: list[Tensor],
        accepted: list[Tensor],
        idle_totals: list[Tensor],
        idle_slots: list[Tensor],
    ) -> bool:
        """Fills the lists; returns whether a parameter is spread over several processes.

        torch's compiler runs a method of this name and shape as it is, instead of tracing how state is made.
        """
        sharded = False
        for param in group["params"]:
            if param.grad is None:
                if "buffer_sum" in self.state.get(param, {}):
                    idle_totals.append(local(self.state[param]["buffer_sum"]))
                    idle_slots.append(self._stack(param))
                continue
            if param.is_complex() or param.grad.is_sparse:
                kind = "complex parameters" if param.is_complex() else "sparse gradients"
                raise RuntimeError(f"{type(self).__name__} does not support {kind}")
            sharded = sharded or is_sharded(param)
            if not self.state[param]:
                self._initialise(param, group)
                self._started[param] = self._steps_taken
            state = self.state[param]
            owners.append(param)
            params.append(local(param))
            grads.append(local(param.grad))
            steps.append(state["step"])
            if self.rule == "sgd" and group["momentum"] > 0 and "exp_avg" not in state:  # it was 0 until now
                state["exp_avg"] = torch.zeros_like(param, memory_format=torch.preserve_format)
            if "exp_avg" in state:
                momenta.append(local(state["exp_avg"]))
            if "exp_avg_sq" in state:
                squares.append(local(state["exp_avg_sq"]))
            if group["capacity"] > 0:
                totals.append(local(state["buffer_sum"]))
                slots.append(self._stack(param))
                priorities.append(state["priorities"])
                ages.append(state["ages"])
                accepted.append(state["accepted"])
        return sharded

    def _initialise(self, param: Tensor, group: dict[str, Any]) -> None:
        state = self.state[param]
        wide = self._own_dtype("buffer_sum", param)
        state["step"] = torch.zeros((), dtype=wide, device=param.device)
        if self.rule == "adam" or self.memory == "cm" or group["momentum"] > 0:
            state["exp_avg"] = torch.zeros_like(param, memory_format=torch.preserve_format)
        if self.rule == "adam":
            state["exp_avg_sq"] = torch.zeros_like(param, memory_format=torch.preserve_format)
        capacity = group["capacity"]
        if capacity > 0:
            state["buffer_sum"] = torch.zeros_like(param, dtype=wide, memory_format=torch.preserve_format)
            dtype = self._own_dtype("slot_0", param) or param.dtype
            self._show_slots(param, _stack_of_zeros(local(state["buffer_sum"]), capacity, dtype))
            ranking = self._ranking_of_others(param) if group["scope"] != "per_tensor" else None
            if ranking is None:
                lanes = param.shape[0] if group["scope"] == "lane" else None
                ranking = Ranking.empty(capacity, lanes, wide, param.device)
            state |= {name: getattr(ranking, name) for name in _RANKING}

    def _ranking_of_others(self, param: Tensor) -> Ranking | None:
        for other, state in self.state.items():
            if other is not param and "priorities" in state:
                return Ranking(*(state[name] for name in _RANKING))
        return None

    def _show_slots(self, param: Tensor, stack: Tensor) -> None:
        self.state[param] |= {f"slot_{k}": like(slot, param) for k, slot in enumerate(stack)}
        self._stacks[param] = stack, self.state[param]["slot_0"]

    def _stack(self, param: Tensor) -> Tensor:
        """All slots of a parameter in one tensor (C, *shape), of which those in its state are views."""
        state = self.state[param]
        known = self._stacks.get(param)
        if known is None or known[1] is not state["slot_0"]:  # somebody has put other tensors into the state
            slots = [local(state[f"slot_{k}"]) for k in range(self.param_groups[0]["capacity"])]
            stack = _stack_of_zeros(local(state["buffer_sum"]), len(slots), slots[0].dtype)
            self._show_slots(param, torch.stack(slots, out=stack))
        return self._stacks[param][0]

    def _ranking(self, param: Tensor) -> Ranking:
        return Ranking(*(self.state[param][name] for name in _RANKING))

    @torch.no_grad()
    def _settle(self) -> None:
        """Stores the momenta about which the fused implementation has decided and which it still holds back."""
        for plan in self._plans.values():
            plan.settle()


def _stack_of_zeros(like: Tensor, capacity: int, dtype: torch.dtype) -> Tensor:
    """Zeros (capacity, *shape), each laid out in memory as `like` is."""
    if like.is_contiguous():
        return like.new_zeros((capacity, *like.shape), dtype=dtype)
    strides = (like.numel(), *like.stride())
    return like.new_empty_strided((capacity, *like.shape), strides, dtype=dtype).zero_()
