"""What a memory-augmented optimizer keeps of every parameter: how it is made, saved, copied and loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from cmbench.optim.buffer import Ranking
from cmbench.optim.foreach import Foreach
from cmbench.optim.fused import Fused
from cmbench.optim.implementations import Implementation
from cmbench.optim.lanewise import Lanewise
from cmbench.optim.loading import RANKING, SHARED, Loading, check_shared
from cmbench.optim.memories import MEMORIES
from cmbench.optim.registry import HYPERPARAMETERS
from cmbench.optim.rules import RULES
from cmbench.optim.sharded import is_sharded, local, refuse_a_part
from cmbench.optim.stacks import Stacks, zeros


class BufferedOptimizer(Optimizer):
    """The state and the parameter groups of any rule (`rule`, by its key) with a memory (`memory`, likewise).

    The state of a parameter holds, besides what memory and rule keep, the buffer's entries as `slot_0` … `slot_{C−1}`,
    their sum as `buffer_sum`, and the ranking as `priorities`, `ages` and `accepted`. Where one decision serves many
    parameters (`scope` global or lane) they share one ranking.

    A parameter that had no gradient when an entry was stored is zero in that entry.
    """

    rule: str
    memory: str

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self._accepted_before = 0.0
        self._stacks = Stacks()
        self._fresh: set[Tensor] = set()
        if defaults["fused"] and defaults["foreach"]:
            raise ValueError("fused and foreach: accepted: one of them")
        if defaults["foreach"] is None:  # lanes are few tensors, one after the other is quicker
            defaults["foreach"] = not defaults["fused"] and defaults["scope"] != "lane"
        defaults |= {name: bool(defaults[name]) for name in ("maximize", "foreach", "fused")} | {"sum_age": 0}
        self._implementation = _implementation(defaults)
        super().__init__(params, defaults)

    def _chosen_implementation(self) -> Implementation:
        """The one that the parameter groups ask for."""
        if type(self._implementation) is not type(wanted := _implementation(self.param_groups[0])):
            self._implementation.settle()
            self._implementation = wanted
            self._forget()
        return self._implementation

    def _forget(self) -> None:
        """Drops what is derived from `state`, which has been replaced, and is made again when it is missing."""
        self._stacks = Stacks()
        counts = {}
        if self.param_groups and self.param_groups[0]["fused"]:
            counts = {param: float(record["step"]) for param, record in self._records() if "step" in record}
        self._implementation.forget(counts)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """torch's, with every hyperparameter checked; the buffer's own are the same in all groups."""
        if self.param_groups and isinstance(param_group, dict):
            for name in SHARED:  # a state that was loaded may have brought others than the defaults
                param_group.setdefault(name, self.param_groups[0][name])
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            for name in self.defaults:
                if name in HYPERPARAMETERS:
                    group[name] = HYPERPARAMETERS[name].validated(group[name])
            check_shared(group, self.param_groups[0])
            if group["capacity"] > 0:
                refuse_a_part(group["scope"])
        except ValueError:
            self.param_groups.pop()
            raise

    def __getstate__(self) -> dict[str, Any]:
        self._settle()
        return super().__getstate__()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._accepted_before = 0.0
        self._fresh = set()
        self._implementation = _implementation(self.param_groups[0])
        self._forget()

    def state_dict(self) -> dict[str, Any]:
        """torch's, with every accepted entry in its slot, and under `optimizer` whose it is."""
        self._settle()
        return super().state_dict() | {"optimizer": self._name}

    @property
    def _name(self) -> str:
        return f"{self.rule}_{self.memory}"

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Loads what `state_dict` returned, hyperparameters included: the capacity is the saved one's from then on.

        The state of another optimizer, as of `torch.optim.AdamW` for `AdamCM`, is taken where it has all that is kept
        here but for the buffer, which starts empty; a `UserWarning` says so. The second moments are then of gradients,
        and go over into those of aggregates. The `momentum_buffer` of `torch.optim.SGD` is that of `SGDCG`, but not the
        momentum of `SGDCM`: it is a sum of gradients, 1/(1−β) times as large as their mean. `foreach` and `fused` stay.

        Raises `ValueError` for what does not fit, before anything is changed.
        """
        loading = Loading(self._name, RULES[self.rule], MEMORIES[self.memory], self.param_groups, self.defaults)
        fitted: list[dict[str, Any]] = []

        def fit(_: Optimizer, given: dict[str, Any]) -> dict[str, Any]:
            fitted.append(loading.fitted(given))
            return fitted[0]

        # After the hooks of others, which may have put it right, and before those that look at what was loaded.
        before = self.register_load_state_dict_pre_hook(fit)
        after = self.register_load_state_dict_post_hook(lambda _: self._restore(fitted[0]), prepend=True)
        try:
            super().load_state_dict(state_dict)
        finally:
            before.remove()
            after.remove()

    def _restore(self, loaded: dict[str, Any]) -> None:
        """Gives back its type to what torch has cast to the parameter's. Rankings are shared."""
        saved_ids = [i for group in loaded["param_groups"] for i in group["params"]]
        params = [p for group in self.param_groups for p in group["params"]]
        shared: dict[str, Tensor] = {}
        for saved_id, param in zip(saved_ids, params, strict=True):
            for key, value in loaded["state"].get(saved_id, {}).items():
                dtype = self._own_dtype(key, param)
                if dtype is None:
                    continue
                if key == "step":
                    value = torch.as_tensor(value).reshape(())  # some save a number
                own = value.detach().to(param.device, value.dtype if key in RANKING else dtype, copy=True)
                if key in RANKING and self.param_groups[0]["scope"] != "per_tensor":
                    own = shared.setdefault(key, own)
                self.state[param][key] = own
        self._forget()

    def _own_dtype(self, key: str, param: Tensor) -> torch.dtype | None:
        """The type of an entry of the state, where it is not simply the parameter's."""
        if key in ("step", "buffer_sum", *RANKING):
            return torch.promote_types(param.dtype, torch.float32)
        buffer_dtype = self.param_groups[0]["buffer_dtype"]
        return getattr(torch, buffer_dtype) if key.startswith("slot_") and buffer_dtype else None

    def _kept(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """The names of what memory and rule keep of a parameter."""
        return MEMORIES[self.memory].state(RULES[self.rule], group)

    def _init_group(self, group: dict[str, Any], found: list[Tensor]) -> tuple[int, int, bool, bool]:
        """Fills `found`: for each parameter with a gradient its tensors in a row, then the idle buffers'.

        Returns how many parameters have a gradient, how many buffers are idle, whether a parameter is spread over
        several processes, and whether one only stores its gradient in this step. torch's compiler runs a method of this
        name as it is, instead of tracing how state is made, if its arguments are a group and empty lists to be filled
        with tensors.
        """
        sharded, active, idle = False, 0, []
        kept, has_buffer, states, stacks = self._kept(group), group["capacity"] > 0, self.state, self._stacks
        of_param = ("step", *kept, *(("buffer_sum", *RANKING) if has_buffer else ()))
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                if "buffer_sum" in states.get(param, {}):
                    idle += [local(states[param]["buffer_sum"]), stacks.of(param, states[param])]
                continue
            if param.is_complex() or grad.is_sparse:
                kind = "complex parameters" if param.is_complex() else "sparse gradients"
                raise RuntimeError(f"{type(self).__name__} does not support {kind}")
            active += 1
            record = states[param]
            if not record:
                if group.get("first_step") == "authors" and has_buffer:
                    self._fresh.add(param)
                self._initialise(param, group)
            if has_buffer and "buffer_sum" not in record:  # the state of an optimizer without one
                self._add_buffer(param, group)
            for name in kept:
                if name not in record:  # a momentum that was 0 until now
                    record[name] = torch.zeros_like(param, memory_format=torch.preserve_format)
            row = [param, grad, *(record[name] for name in of_param)]
            if is_sharded(param):
                sharded, row = True, [local(tensor) for tensor in row]
            found.append(param)
            found += row
            if has_buffer:
                found.append(stacks.of(param, record))
        found += idle
        return active, len(idle) // 2, sharded, bool(self._fresh)

    def _initialise(self, param: Tensor, group: Mapping[str, Any]) -> None:
        record = self.state[param]
        wide = torch.promote_types(param.dtype, torch.float32)
        record["step"] = torch.zeros((), dtype=wide, device=param.device)
        for name in self._kept(group):
            record[name] = torch.zeros_like(param, memory_format=torch.preserve_format)
        if group["capacity"] > 0:
            self._add_buffer(param, group)

    def _add_buffer(self, param: Tensor, group: Mapping[str, Any]) -> None:
        """An empty one, with the ranking of the other parameters where one decision serves all."""
        record, capacity = self.state[param], group["capacity"]
        wide = torch.promote_types(param.dtype, torch.float32)
        record["buffer_sum"] = torch.zeros_like(param, dtype=wide, memory_format=torch.preserve_format)
        dtype = self._own_dtype("slot_0", param) or param.dtype
        self._stacks.show(param, record, zeros(local(record["buffer_sum"]), capacity, dtype))
        ranking = self._ranking_of_others(param) if group["scope"] != "per_tensor" else None
        if ranking is None:
            lanes = param.shape[0] if group["scope"] == "lane" else None
            ranking = Ranking.empty(capacity, lanes, wide, param.device)
        record |= {name: getattr(ranking, name) for name in RANKING}

    def _ranking_of_others(self, param: Tensor) -> Ranking | None:
        for other, record in self._records():
            if other is not param and "priorities" in record:
                return self._ranking(other)
        return None

    def _records(self) -> Iterator[tuple[Tensor, dict[str, Any]]]:
        """What is kept of each parameter that has had a step; whatever else others put into `state` is theirs."""
        for group in self.param_groups:
            for param in group["params"]:
                if param in self.state:
                    yield param, self.state[param]

    def _ranking(self, param: Tensor) -> Ranking:
        return Ranking(*(self.state[param][name] for name in RANKING))

    @torch.no_grad()
    def _settle(self) -> None:
        self._implementation.settle()


def _implementation(group: Mapping[str, Any]) -> Implementation:
    if group["fused"]:
        return Lanewise() if group["scope"] == "lane" else Fused()
    return Foreach() if group["foreach"] else Implementation()
