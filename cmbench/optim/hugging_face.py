"""SAM and MEG under the `Trainer` of Hugging Face's transformers, whose loop gives no closure to `optimizer.step`."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any

from torch import Tensor

from cmbench.optim.probes import Probe


class ProbedTraining:
    """A base to be put before `transformers.Trainer`, which then trains with a probe; without one it changes nothing.

    `training_step` evaluates the gradient at θ, goes to the probe point by `first_step`, and evaluates it there; the
    step that the `Trainer` makes then is the `second_step`. Accumulated batches are all evaluated at θ, and then once
    more, all at the probe point: they are held until then. What is logged is the loss at θ, and the norm of the
    gradient at the probe point, which alone is clipped.

        class ProbedTrainer(ProbedTraining, transformers.Trainer): ...

        optimizer = SAM(model.parameters(), AdamCM, rho=0.05, lr=1e-3)
        ProbedTrainer(model=model, args=args, train_dataset=data, optimizers=(optimizer, None)).train()

    Raises `ValueError` with `fp16`, whose scaler would have to know of both evaluations (`bf16` needs none), and under
    DeepSpeed, which makes steps of its own.
    """

    accelerator: Any
    optimizer: Any
    _held: list[tuple[Any, tuple[Any, ...], dict[str, Any]]]

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As of `Trainer`."""
        self._held = []
        return super().train(*args, **kwargs)  # type: ignore[misc]

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        """As of `Trainer`: forward and backward pass of a batch; of the last one of a step, what is said above."""
        try:
            return self._training_step(model, inputs, *args, **kwargs)
        except BaseException:
            self._held = []  # of a step that is begun anew, maybe in smaller batches
            raise

    def _training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        probe = self._probe()
        # The batches as they come: what is done with them may change them.
        again = (copy.copy(inputs), args, kwargs)
        loss: Tensor = super().training_step(model, inputs, *args, **kwargs)  # type: ignore[misc]
        if probe is None:
            return loss
        self._held.append(again)
        if self.accelerator.sync_gradients:
            held, self._held = self._held, []
            probe.first_step(zero_grad=True)
            try:
                for number, (batch, more, named) in enumerate(held, 1):
                    is_last = number == len(held)
                    with nullcontext() if is_last else self.accelerator.no_sync(model):
                        super().training_step(model, batch, *more, **named)  # type: ignore[misc]
            except BaseException:
                probe.step_back()
                raise
        return loss

    def _probe(self) -> Probe | None:
        """The probe inside of what accelerate has wrapped it in."""
        optimizer = self.optimizer
        while not isinstance(optimizer, Probe) and hasattr(optimizer, "optimizer"):
            optimizer = optimizer.optimizer
        if not isinstance(optimizer, Probe):
            return None
        if getattr(self.accelerator, "scaler", None) is not None:
            raise ValueError(f"fp16 under {type(optimizer).__name__}: accepted: bf16, or full precision")
        if getattr(self, "is_deepspeed_enabled", False):
            raise ValueError(f"DeepSpeed under {type(optimizer).__name__}: accepted: without")
        return optimizer
