"""A part of a published data set can be trained on: the check and the result say so."""

import pytest

from cmbench.workloads.cifar import CIFAR10

from .miniatures import cifar, photographs

COUNTS = {"train": [6, 1_281_167], "validation": [4, 50_000], "classes": [2, 1_000]}


def test_a_part_of_imagenet_is_incomplete(cmbench):
    photographs(cmbench.folder)
    done = cmbench("data", "check", "imagenet", "--data-dir", ".", code=2)
    assert done.stdout == ""
    assert "imagenet: train 6 of 1,281,167, validation 4 of 50,000, classes 2 of 1,000: incomplete" in done.stderr


def test_a_part_of_imagenet_is_trained_on_and_the_table_says_so(cmbench):
    photographs(cmbench.folder)
    done = cmbench(
        "train", "--suite", "imagenet", "--data-dir", ".", "--seeds", 1, "--opt", "adam",
        "--set", "epochs=1", "--set", "schedule=constant",
    )  # fmt: skip
    (result,) = cmbench.results()
    assert result["environment"]["data_subset"] == COUNTS
    text = "trained on 6 of 1,281,167 images, validated on 4 of 50,000, 2 of 1,000 classes"
    assert f"not the published data: imagenet: {text}; no number of the paper" in " ".join(done.stdout.split())
    assert "paper: Table 2" not in done.stdout


@pytest.mark.parametrize("published", [True, False])
def test_files_with_other_sums_are_not_called_complete(published, cmbench, monkeypatch):
    cifar(cmbench.folder, "cifar10")
    if published:
        monkeypatch.setattr("cmbench.workloads.data_locations.is_published", lambda *_: True)
    done = cmbench("data", "check", "cifar10", "--data-dir", ".")
    whole = "complete" if published else "not the published files, but of their size"
    assert done.stdout.startswith(f"cifar10: {whole} ({CIFAR10.card.data}); fingerprint ")
