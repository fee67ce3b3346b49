"""Prose as numbers: words and punctuation of a text, and the vocabulary of those that its training part knows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

RAREST = 2
"""Words that occur less often in the training text are `<unk>`."""


def words_of(text: str) -> list[str]:
    """Words and punctuation marks, lower-cased, with `<eos>` behind the last."""
    return [*re.findall(r"\w+|[^\w\s]", text.lower()), "<eos>"]


def numbered(train: Sequence[str], valid: Sequence[str], device: torch.device) -> tuple[int, Tensor, Tensor]:
    """How many words `train` knows, `<unk>` among them, and both texts as their numbers (N,)."""
    known = sorted(word for word, count in Counter(train).items() if count >= RAREST)
    numbers = {word: number for number, word in enumerate(["<unk>", *known])}
    tokens = [torch.tensor([numbers.get(word, 0) for word in part], device=device) for part in (train, valid)]
    return len(numbers), tokens[0], tokens[1]
