"""Trainings over several processes, started by `torchrun`; what each process ends with is saved in the given folder."""

import sys

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.fsdp import fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.nn.parallel import DistributedDataParallel

from cmbench.optim import create_optimizer
from cmbench.optim.classes import class_of

STEPS = 12


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 33), nn.Tanh(), nn.Linear(33, 5))


def batch(step, rank=0, processes=1):
    """This process's share of the whole batch of a step."""
    noise = torch.Generator().manual_seed(step)
    x, y = torch.randn(16, 6, generator=noise), torch.randn(16, 5, generator=noise)
    size = 0.2 + torch.rand((), generator=noise)
    return tuple(t.chunk(processes)[rank] for t in (x, y * size))


def train(model, optimizer, steps, rank=0, processes=1, **how):
    for step in steps:
        x, y = batch(step, rank, processes)

        def closure(x=x, y=y):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            return loss

        optimizer.step(closure, **how)


def base_of(optimizer):
    return getattr(optimizer, "base", getattr(optimizer, "optim", optimizer))


def ddp(name, options, folder):
    model = DistributedDataParallel(network())
    optimizer = create_optimizer(name, model.parameters(), lr=1e-2, decay=0.9, **options)
    train(model, optimizer, range(STEPS), dist.get_rank(), dist.get_world_size())
    if "sam" in name:  # also with every process probing along its own gradient
        train(model, optimizer, range(2), dist.get_rank(), dist.get_world_size(), first=model.no_sync)
    return model.module, optimizer


def zero(name, options, folder):
    model, kind = DistributedDataParallel(network()), class_of(*name.split("_"))

    def made(**how):
        return ZeroRedundancyOptimizer(model.parameters(), kind, lr=1e-2, decay=0.9, **how)

    for refused in ({}, {"scope": "global"}, {"scope": "lane"}):
        with pytest.raises(ValueError, match="accepted under ZeroRedundancyOptimizer"):
            made(**refused)
    optimizer = made(**options)
    train(model, optimizer, range(STEPS), dist.get_rank(), dist.get_world_size())
    return model.module, optimizer


def fsdp(name, options, folder):
    half = STEPS // 2
    # A checkpoint's reader makes the state by a step without closure: a probe is saved and loaded by its base.
    model, optimizer = sharded(name, options)
    train(model, optimizer, range(half), dist.get_rank(), dist.get_world_size())
    weights, state = get_state_dict(model, base_of(optimizer))
    dcp.save({"model": weights, "optimizer": state}, checkpoint_id=f"{folder}/checkpoint")

    model, optimizer = sharded(name, options)
    weights, state = get_state_dict(model, base_of(optimizer))
    both = {"model": weights, "optimizer": state}
    dcp.load(both, checkpoint_id=f"{folder}/checkpoint")
    set_state_dict(model, base_of(optimizer), model_state_dict=both["model"], optim_state_dict=both["optimizer"])
    train(model, optimizer, range(half, STEPS), dist.get_rank(), dist.get_world_size())
    return model, optimizer


def sharded(name, options):
    model = network()
    for layer in model:
        if list(layer.parameters()):
            fully_shard(layer)
    fully_shard(model)
    return model, create_optimizer(name, model.parameters(), lr=1e-2, decay=0.9, **options)


def parsed(options):
    """`fused` as True, `priority=random` as its value."""
    return {name: value or True for name, _, value in (option.partition("=") for option in options)}


def main(kind, name, folder, *options):
    dist.init_process_group("gloo")
    model, optimizer = {"ddp": ddp, "fsdp": fsdp, "zero": zero}[kind](name, parsed(options), folder)
    whole = [p.full_tensor() if hasattr(p, "full_tensor") else p.detach() for p in model.parameters()]
    stats = base_of(optimizer).buffer_stats()
    state = next(iter(base_of(optimizer).state.values()))
    kept = {"params": whole, "priorities": state["priorities"], "ages": state["ages"], "variance": stats.variance}
    torch.save(kept, f"{folder}/{dist.get_rank()}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
