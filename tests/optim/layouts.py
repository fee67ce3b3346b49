"""Tensors that lie in memory in all the ways that a parameter may."""

import torch


def laid_out(kind, shape, dtype):
    """A tensor of this shape that lies in memory in that way, with numbers that depend on its shape alone."""
    shape = torch.Size(shape)
    numbers = torch.linspace(-1, 1, max(1, shape.numel()), dtype=torch.float64)[: shape.numel()].view(shape).to(dtype)
    if kind == "channels_last":
        return numbers.clone(memory_format=torch.channels_last)
    if kind == "transposed":
        return numbers.t().contiguous().t()
    if kind == "with gaps":
        rows, columns = shape
        return numbers.new_zeros(rows, 2 * columns)[:, :columns].copy_(numbers)
    if kind == "unaligned":
        return numbers.new_zeros(len(numbers) + 7)[1 : len(numbers) + 1].copy_(numbers)
    return numbers.clone()
