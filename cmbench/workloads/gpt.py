"""A small transformer that continues a text: pydoc's by default, or any UTF-8 text of the user's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cmbench.errors import UserError
from cmbench.workloads import data_locations, pydoc
from cmbench.workloads.base import Batch, Card, Reduction, SingleTask, digest
from cmbench.workloads.metrics import PERPLEXITY, WHOLE, Shard
from cmbench.workloads.options import NAME, Option, Value, at_least
from cmbench.workloads.transformer import Transformer
from cmbench.workloads.words import RAREST, numbered, words_of

EMBEDDED = "pydoc"
FILES = ("train.txt", "valid.txt")
TRAIN_SHARE = 0.9
VALID_BATCH = 32
MOST_BYTES = 1 << 30
"""Of a text, which is held in memory as words."""
UNSCORED = -100
"""A target that stands for none: `F.cross_entropy` leaves it out."""


class GPT(SingleTask):
    """Trained on windows of `context` tokens in random order; words, punctuation and vocabulary as those of `pydoc`.

    An epoch reads every token once, from a first one that is drawn anew among the first `context`; what fills no window
    is left out. Validation predicts every token but the first, once each, in windows that overlap by half: of each only
    the second half counts, so that a prediction has at least half a window before it.
    """

    version = 1
    metric = PERPLEXITY
    options: ClassVar = {
        "text": Option((EMBEDDED,), "pydoc's, or of --data-dir a folder with train.txt and valid.txt, or a file", NAME),
        "layers": Option((6,), "of the transformer", at_least(1)),
        "width": Option((64,), "of the embedding and of every layer", at_least(2)),
        "heads": Option((4,), "of the attention, among which an even part of the width falls to each", at_least(1)),
        "context": Option((64,), "tokens of a window: as far as the model looks back", at_least(2)),
    }
    card = Card(
        data="the topics of pydoc, in the words of this version of Python, or any UTF-8 text",
        source="comes with CPython; text: a folder with train.txt and valid.txt, or a file",
        model="transformer: RoPE, RMSNorm, SwiGLU, tied embedding",
        parameters=None,
    )
    vocabulary_size: int
    train_tokens: Tensor
    valid_tokens: Tensor

    def __init__(self, data_dir: Path | None = None, chosen: Mapping[str, Value] = MappingProxyType({})) -> None:
        super().__init__(data_dir, chosen)
        width, heads = self._number("width"), self._number("heads")
        if width % (2 * heads):
            raise UserError(f"workload.width: {width}: accepted: a multiple of 2·heads, {2 * heads}")

    def _number(self, option: str) -> int:
        return int(self.chosen[option])

    def _files(self) -> list[Path]:
        """The training and the validation text, or the one that is both; none where there is no such text."""
        place = data_locations.home(self.data_dir) / str(self.chosen["text"])
        candidates = ([place / name for name in FILES], [place], [place.with_name(f"{place.name}.txt")])
        return next((files for files in candidates if all(file.is_file() for file in files)), [])

    def data_files(self) -> list[Path]:
        return [] if self.chosen["text"] == EMBEDDED else self._files()

    def is_here(self) -> bool:
        return self.chosen["text"] == EMBEDDED or bool(self._files())

    def _texts(self) -> list[str]:
        """A training and a validation text of the user's; of a single file the last tenth is the latter."""
        files = self._files()
        if not files:
            place = data_locations.home(self.data_dir) / str(self.chosen["text"])
            raise UserError(
                f"workload gpt: {place}: no such text: accepted: a folder with {' and '.join(FILES)}, or a text file "
                f"(--data-dir, {data_locations.VARIABLE})"
            )
        texts = [data_locations.read_text(file, MOST_BYTES) for file in files]
        if len(texts) == 1:
            cut = int(TRAIN_SHARE * len(texts[0]))
            texts = [texts[0][:cut], texts[0][cut:]]
        return texts

    def fingerprint(self) -> str:
        if self.chosen["text"] == EMBEDDED:
            return pydoc.fingerprint()
        return digest(*(text.encode() for text in self._texts()), f"words, rarest {RAREST}".encode())

    def load(self, device: torch.device) -> None:
        if self.chosen["text"] == EMBEDDED:
            train, valid = pydoc.words()
        else:
            train, valid = (words_of(text) for text in self._texts())
        self.vocabulary_size, self.train_tokens, self.valid_tokens = numbered(train, valid, device)
        context = self._number("context")
        if len(train) < 2 * context or len(valid) < 2:
            raise UserError(
                f"workload.context: {context}: a text of {len(train):,} tokens, {len(valid):,} to validate on: "
                f"accepted: one with {2 * context:,} and 2"
            )

    def model(self) -> nn.Module:
        sizes = {name: self._number(name) for name in ("layers", "width", "heads")}
        return Transformer(self.vocabulary_size, **sizes)

    @property
    def _windows(self) -> int:
        """How many windows an epoch has, wherever it begins."""
        return len(self.train_tokens) // self._number("context") - 1

    def steps_per_epoch(self, batch_size: int) -> int:
        return -(-self._windows // batch_size)

    def smallest_batch(self, batch_size: int) -> int:
        return self._windows % batch_size or batch_size

    def batches(
        self, batch_size: int, order: torch.Generator, start: int = 0, shard: Shard = WHOLE, augment: bool = True
    ) -> Iterator[Batch]:
        context, device = self._number("context"), self.train_tokens.device
        first = int(torch.randint(context, (), generator=order))
        starts = (first + context * torch.randperm(self._windows, generator=order)).to(device)
        places = torch.arange(context, device=device)
        for chosen in torch.split(starts, batch_size)[start:]:
            windows = shard.of(chosen)[:, None] + places
            yield Batch(self.train_tokens[windows], self.train_tokens[windows + 1], len(chosen) * context)

    def valid_batches(self, shard: Shard = WHOLE) -> Iterator[Batch]:
        inputs, targets = scored_windows(self.valid_tokens, self._number("context"))
        for some, true in zip(torch.split(inputs, VALID_BATCH), torch.split(targets, VALID_BATCH), strict=True):
            yield Batch(shard.of(some), shard.of(true), int((true != UNSCORED).sum()))

    def predict(self, model: nn.Module, batch: Batch, carry: None) -> tuple[Tensor, None]:
        logits: Tensor = model(batch.inputs)
        return logits, None

    def criterion(self, outputs: Tensor, targets: Tensor, reduction: Reduction) -> Tensor:
        return F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction=reduction, ignore_index=UNSCORED)


def scored_windows(tokens: Tensor, context: int) -> tuple[Tensor, Tensor]:
    """Windows (W, context) of a text (N,), and the tokens that they predict, each of tokens 1 to N − 1 in one window.

    Windows begin half a window after each other, and what the one before has predicted is `UNSCORED`.
    """
    stride, count = context // 2, len(tokens) - 1
    rows = max(1, 1 + -(-(count - context) // stride))
    ends = torch.arange(rows, device=tokens.device)[:, None] * stride + torch.arange(context, device=tokens.device)
    inputs, targets = tokens[ends.clamp(max=count - 1)], tokens[(ends + 1).clamp(max=count)]
    again = torch.arange(context, device=tokens.device) < context - stride
    seen = again & (torch.arange(rows, device=tokens.device) > 0)[:, None]
    return inputs, targets.masked_fill(seen | (ends >= count), UNSCORED)
