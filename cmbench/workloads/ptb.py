"""Penn Treebank as Mikolov prepared it: language modelling with a vocabulary of 10,000 words."""

from __future__ import annotations

from pathlib import Path

import torch

from cmbench.errors import UserError
from cmbench.workloads import data_locations
from cmbench.workloads.base import Card, digest
from cmbench.workloads.download import Report, silent
from cmbench.workloads.text import LanguageModelling

FILES = {"train": "ptb.train.txt", "validation": "ptb.valid.txt", "test": "ptb.test.txt"}
TOKENS = {"train": 929_589, "validation": 73_760, "test": 82_430}
"""Words and one `<eos>` per line."""
VOCABULARY = 10_000
MOST_BYTES = 1 << 25
"""Of a text: the longest has 5 million."""
HUB = "ptb-text-only/ptb_text_only"
_CONVERTED = "refs/convert/parquet"


class PTB(LanguageModelling):
    """929,589 tokens to train on and 73,760 to validate on; the test text is checked and left alone."""

    version = 1
    card = Card(
        data="Penn Treebank: 929,589 + 73,760 tokens, 10,000 words",
        source=f"ptb.train.txt, ptb.valid.txt, ptb.test.txt (hub: {HUB})",
        model="embedding, one LSTM layer, linear layer, width 50 (20,400 parameters in the LSTM)",
        parameters=1_030_400,
        examples=(929_589, 73_760),
    )

    def _folder(self) -> Path | None:
        return data_locations.find(tuple(FILES.values()), ("ptb", "simple-examples/data"), self.data_dir)

    def is_here(self) -> bool:
        return self._folder() is not None

    def data_files(self) -> list[Path]:
        return data_locations.present(self._folder(), FILES.values())

    def _read(self) -> dict[str, list[str]]:
        folder = self._folder()
        if folder is None:
            raise data_locations.missing("ptb", self.data_dir)
        texts = {split: _words(folder / name) for split, name in FILES.items()}
        for split, words in texts.items():
            if len(words) != TOKENS[split]:
                raise UserError(
                    f"{folder / FILES[split]}: {len(words):,} tokens: accepted: {TOKENS[split]:,} with <eos>"
                )
        found = len(set(texts["train"]))
        if found != VOCABULARY:
            raise UserError(f"{folder / FILES['train']}: a vocabulary of {found:,} words: accepted: {VOCABULARY:,}")
        return texts

    def fingerprint(self) -> str:
        return digest(*(" ".join(words).encode() for words in self._read().values()))

    def load(self, device: torch.device) -> None:
        texts = self._read()
        numbers = {word: number for number, word in enumerate(sorted(set(texts["train"])))}
        self.vocabulary_size = len(numbers)
        unknown = numbers.get("<unk>", 0)
        self.train_tokens, self.valid_tokens = (
            torch.tensor([numbers.get(word, unknown) for word in texts[split]], device=device)
            for split in ("train", "validation")
        )

    def prepare(self, report: Report = silent) -> None:
        """Downloads the hub's parquet files and writes them as the text files that they came from."""
        from datasets import load_dataset

        folder = data_locations.home(self.data_dir) / "ptb"
        folder.mkdir(parents=True, exist_ok=True)
        loaded = load_dataset(HUB, revision=_CONVERTED)
        for split, name in FILES.items():
            lines = "".join(f" {sentence} \n" for sentence in loaded[split]["sentence"])
            (folder / name).write_text(lines)


def _words(path: Path) -> list[str]:
    lines = data_locations.read_text(path, MOST_BYTES).splitlines()
    return [word for line in lines for word in (*line.split(), "<eos>")]
