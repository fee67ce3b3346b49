"""Numbers that no person means are refused in a sentence, before anything runs; equal numbers are one setting."""

import pytest

SUITE = """
kind: toy
description: two starts
surface: levy
starts: 2
steps: 5
optimizers:
  adam: {lr: 0.1}
"""


@pytest.fixture
def mine(cmbench):
    (cmbench.folder / "mine.yaml").write_text(SUITE)
    (cmbench.folder / "two.yaml").write_text(SUITE.replace("surface: levy", "surfaces: {levy: [3, -3]}"))
    return cmbench


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("toy --suite two.yaml", "two.yaml: surfaces.levy: [3, -3]: a domain is [low, high] with low < high"),
        ("toy --suite mine.yaml --trace 6", "mine.yaml: trace: 6: accepted: steps from 1 to 5"),
        ("toy --suite mine.yaml --trace 5-1", "--trace '5-1': accepted: first-last, at most 10,000 steps"),
        ("toy --suite mine.yaml --trace 1-99999999999", "at most 10,000 steps"),
        ("convergence --capacity 1-99999999999999999999", "at most 10,000 steps"),
        ("toy --suite mine.yaml --starts 99999999999", "starts: 99999999999"),
        ("toy --suite mine.yaml --steps 99999999999", "steps: 99999999999"),
        ("toy --suite mine.yaml --dim 5000001", "2 starts in 5,000,001-D: accepted: 10,000,000 numbers together"),
        ("toy --suite mine.yaml --seed 9223372036854775808", "seed: 9223372036854775808"),
        ("toy --suite mine.yaml --set lr=1" + "0" * 400, "invalid lr: 1"),
        ("convergence --set beta=[]", "beta: [] (from --set beta=[]): accepted: at least 1 item"),
        ("convergence --set capacity=[]", "capacity: []"),
        ("escape-ratio --set sharpness=[]", "sharpness: []"),
        ("train --suite wine --threads 100000", "--threads 100000: accepted: 1 to 1024"),
        ("train --suite wine --seeds 100000000", "seeds: 100000000"),
        ("sweep --suite wine --trials 100001", "100000"),
        ("plan --suite wine --device cuda:777", "--device cuda:777: not available here"),
        ("sweep --suite wine --seeds 1" + "0" * 30, "accepted: at most 10,000"),
        ("escape-ratio --capacity 18446744073709551616", "accepted: an integer from 0 to 1,000,000"),
        ("convergence --capacity 18446744073709551616", "capacity"),
        ("plan --suite wine --device 1,2", "--device 1,2: Invalid device string"),
        ("plan --suite wine --seeds 100000000", "seeds: 100000000"),
        ("train --suite wine --set epochs=99999999999", "epochs: 99999999999"),
    ],
)
def test_no_person_means_that(line, said, mine):
    done = mine(*line.split(), code=2)
    assert said in done.stderr
    assert done.stdout == ""
    assert max(map(len, done.stderr.splitlines())) < 1500
    assert not (mine.folder / "results").exists() or mine.results() == []


def test_a_whole_number_is_the_float_that_it_equals(mine):
    mine("toy", "--suite", "mine.yaml", "--set", "lr=1")
    assert "1 run was finished before" in mine("toy", "--suite", "mine.yaml", "--set", "lr=1.0").stderr
    mine("toy", "--suite", "mine.yaml", "--opt", "torch.optim:AdamW", "--set", "lr=1")
    again = mine("toy", "--suite", "mine.yaml", "--opt", "torch.optim:AdamW", "--set", "lr=1.0")
    assert "1 run was finished before" in again.stderr


def test_betas_of_nothing_are_two_floats_to_torch_as_well(mine):
    mine("toy", "--suite", "mine.yaml", "--set", "betas=[0,0]")
    assert mine.results()[0]["status"] == "completed"
