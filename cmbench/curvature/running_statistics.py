"""The running statistics of batch normalisation, measured anew for weights that no training has met."""

from __future__ import annotations

import torch
from torch import nn

from cmbench.curvature.products import Batches, Loss

_LAYERS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def measure_statistics(model: nn.Module, loss: Loss, batches: Batches) -> None:
    """Sets mean and variance of every batch normalisation to the means of those of the batches, at the model's weights.

    Nothing else changes: modes, momenta and counters are left as they were, and other layers compute in the mode that
    they are in. A model without such layers is not computed at all. Statistics of other weights, or a mean of those of
    two solutions, would not do: between these, activations vary less (Jordan et al. 2023).

    Source: Izmailov et al. 2018; Garipov et al. 2018.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, _LAYERS) and layer.track_running_stats]
    if not layers:
        return
    counters = [layer.num_batches_tracked for layer in layers if layer.num_batches_tracked is not None]
    before = [counter.clone() for counter in counters]
    states = [(layer.momentum, layer.training) for layer in layers]
    try:
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # every batch counts the same
            layer.train()
        with torch.no_grad():
            for batch, _ in batches:
                loss(model, batch)
    finally:
        for layer, (momentum, mode) in zip(layers, states, strict=True):
            layer.momentum = momentum
            layer.train(mode)
        for counter, count in zip(counters, before, strict=True):
            counter.copy_(count)
