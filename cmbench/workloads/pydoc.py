"""The English text of CPython's own reference, as `pydoc` ships it: real prose that needs no download."""

from __future__ import annotations

import torch

from cmbench.workloads.base import Card, digest
from cmbench.workloads.text import LanguageModelling
from cmbench.workloads.words import RAREST, numbered, words_of

HELD_OUT = 10
"""One topic in so many is validation text."""


def _topics() -> dict[str, str]:
    from pydoc_data.topics import topics

    return topics


def fingerprint() -> str:
    """A hash of the topics and of how they become words."""
    parts = [part.encode() for item in sorted(_topics().items()) for part in item]
    return digest(*parts, f"words, 1 topic in {HELD_OUT} held out, rarest {RAREST}".encode())


def words() -> tuple[list[str], list[str]]:
    """Those of the topics in alphabetical order, to train and to validate on, with `<eos>` behind each topic."""
    topics = [words_of(text) for _, text in sorted(_topics().items())]
    train = [word for i, topic in enumerate(topics) if i % HELD_OUT != HELD_OUT - 1 for word in topic]
    valid = [word for i, topic in enumerate(topics) if i % HELD_OUT == HELD_OUT - 1 for word in topic]
    return train, valid


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
        return fingerprint()

    def load(self, device: torch.device) -> None:
        self.vocabulary_size, self.train_tokens, self.valid_tokens = numbered(*words(), device)
