"""Language modelling by truncated back-propagation through time, with the state carried from batch to batch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cmbench.workloads.base import Batch, Reduction, SingleTask
from cmbench.workloads.metrics import PERPLEXITY, WHOLE, Shard

UNROLL = 35
"""Tokens that the gradient goes back through."""
EVALUATION_COLUMNS = 10

Carry = tuple[Tensor, Tensor] | None


class LanguageModel(nn.Module):
    """Embedding, one LSTM layer, and a linear layer over the vocabulary: tokens (T, B) to logits (T, B, V)."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, width)
        self.decoder = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor, carry: Carry = None) -> tuple[Tensor, Carry]:
        hidden, carry = self.lstm(self.embedding(tokens), carry)
        return self.decoder(hidden), carry


def columns(tokens: Tensor, count: int) -> Tensor:
    """One long text (N,) as `count` parallel columns (N // count, count); the remainder is left out."""
    length = len(tokens) // count
    return tokens[: length * count].view(count, length).t().contiguous()


class LanguageModelling(SingleTask):
    """Two streams of token numbers; a subclass loads them and says how large the vocabulary is."""

    metric = PERPLEXITY
    dim = 1
    width = 50
    vocabulary_size: int
    train_tokens: Tensor
    valid_tokens: Tensor

    def model(self) -> nn.Module:
        return LanguageModel(self.vocabulary_size, self.width)

    def steps_per_epoch(self, batch_size: int) -> int:
        return -(-(len(self.train_tokens) // batch_size - 1) // UNROLL)

    def smallest_batch(self, batch_size: int) -> int:
        return batch_size

    def batches(
        self, batch_size: int, order: torch.Generator, start: int = 0, shard: Shard = WHOLE, augment: bool = True
    ) -> Iterator[Batch]:
        """Windows of the text in its own order: the state is carried, so there is nothing to shuffle."""
        yield from _windows(columns(self.train_tokens, batch_size), shard, start)

    def valid_batches(self, shard: Shard = WHOLE) -> Iterator[Batch]:
        yield from _windows(columns(self.valid_tokens, EVALUATION_COLUMNS), shard)

    def predict(self, model: nn.Module, batch: Batch, carry: Carry) -> tuple[Tensor, Carry]:
        logits, carry = model(batch.inputs, carry)
        return logits, None if carry is None else (carry[0].detach(), carry[1].detach())

    def criterion(self, outputs: Tensor, targets: Tensor, reduction: Reduction) -> Tensor:
        return F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction=reduction)


def _windows(text: Tensor, shard: Shard, start: int = 0) -> Iterator[Batch]:
    own = shard.of(text, 1)
    for first in range(start * UNROLL, len(text) - 1, UNROLL):
        last = min(first + UNROLL, len(text) - 1)
        yield Batch(own[first:last], own[first + 1 : last + 1], (last - first) * text.shape[1])
