"""The English text of CPython's own reference, as `pydoc` ships it: real prose that needs no download."""

from __future__ import annotations

import re
from collections import Counter

import torch

from cmbench.workloads.base import Card, digest
from cmbench.workloads.text import LanguageModelling

HELD_OUT = 10
"""One topic in so many is validation text."""
RAREST = 2
"""Words that occur less often in the training text are `<unk>`."""


def _topics() -> dict[str, str]:
    from pydoc_data.topics import topics

    return topics


class PyDoc(LanguageModelling):
    """Words and punctuation, lower-cased, of the topics in alphabetical order; every tenth topic is held out.

    The text differs between versions of Python, so runs under different ones have different identities.
    """

    version = 1
    card = Card(
        data="the topics of pydoc, in the words of this version of Python",
        source="comes with CPython",
        model="embedding, one LSTM layer, linear layer, width 50 (20,400 parameters in the LSTM)",
        parameters=None,
    )

    def fingerprint(self) -> str:
        parts = [part.encode() for item in sorted(_topics().items()) for part in item]
        return digest(*parts, f"words, 1 topic in {HELD_OUT} held out, rarest {RAREST}".encode())

    def load(self, device: torch.device) -> None:
        texts = [text for _, text in sorted(_topics().items())]
        words = [[*re.findall(r"\w+|[^\w\s]", text.lower()), "<eos>"] for text in texts]
        train = [word for i, topic in enumerate(words) if i % HELD_OUT != HELD_OUT - 1 for word in topic]
        valid = [word for i, topic in enumerate(words) if i % HELD_OUT == HELD_OUT - 1 for word in topic]
        known = sorted(word for word, count in Counter(train).items() if count >= RAREST)
        numbers = {word: number for number, word in enumerate(["<unk>", *known])}
        self.vocabulary_size = len(numbers)
        self.train_tokens, self.valid_tokens = (
            torch.tensor([numbers.get(word, 0) for word in part], device=device) for part in (train, valid)
        )
