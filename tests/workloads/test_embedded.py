"""The two workloads whose data is on every machine."""

import math
import re
from pydoc_data.topics import topics

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from cmbench.errors import UserError
from cmbench.experiments.seeding import generator
from cmbench.workloads.metrics import Shard
from cmbench.workloads.registry import get_workload
from cmbench.workloads.text import UNROLL


@pytest.fixture(scope="module")
def digits():
    workload = get_workload("digits")
    workload.load(torch.device("cpu"))
    return workload


@pytest.fixture(scope="module")
def pydoc():
    workload = get_workload("pydoc")
    workload.load(torch.device("cpu"))
    return workload


def test_unknown_workloads_get_a_suggestion():
    with pytest.raises(UserError, match=r"mine\.yaml: workload: unknown workload 'digit': did you mean 'digits'"):
        get_workload("digit", "mine.yaml: workload")


def test_digits_are_all_there_once_split_in_the_proportion_of_the_classes(digits):
    images, labels = load_digits(return_X_y=True)
    together = torch.cat([digits.train_inputs, digits.valid_inputs]).view(-1, 64).numpy()
    together = np.rint((together + 1) * 8)
    assert sorted(map(tuple, together)) == sorted(map(tuple, images))
    assert (len(digits.train_targets), len(digits.valid_targets)) == (1437, 360)
    share = np.bincount(digits.valid_targets) / np.bincount(labels)
    assert np.all(abs(share - 0.2) < 0.01)


def test_an_epoch_is_every_example_once_in_the_generators_order(digits):
    def epoch(seed, start=0):
        return list(digits.batches(64, generator(seed, "order", 0), start))

    batches = epoch(0)
    assert len(batches) == digits.steps_per_epoch(64) == math.ceil(1437 / 64)
    seen = torch.cat([batch.inputs for batch in batches]).view(-1, 64)
    assert sorted(map(tuple, seen.tolist())) == sorted(map(tuple, digits.train_inputs.view(-1, 64).tolist()))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(batches[5:], epoch(0, 5), strict=True))
    assert not torch.equal(batches[0][0], epoch(1)[0][0])


def test_digits_evaluation_is_the_mean_over_the_validation_set(digits):
    model = digits.model()
    with torch.no_grad():
        probabilities = model(digits.valid_inputs).double().softmax(1)
    picked = probabilities[torch.arange(360), digits.valid_targets]
    evaluation = digits.evaluate(model)
    assert evaluation.loss == pytest.approx(-picked.log().mean().item(), rel=1e-5)
    assert evaluation.metric == pytest.approx(100 * (probabilities.argmax(1) == digits.valid_targets).double().mean())
    assert model.training


def test_pydoc_reads_the_reference_word_by_word(pydoc):
    text = [topics[key].lower() for i, key in enumerate(sorted(topics)) if i % 10 != 9]
    words = [word for topic in text for word in [*re.findall(r"\w+|[^\w\s]", topic), "<eos>"]]
    assert len(pydoc.train_tokens) == len(words)
    counts = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    assert pydoc.vocabulary_size == 1 + sum(count > 1 for count in counts.values())
    the = pydoc.train_tokens[words.index("the")]
    assert (pydoc.train_tokens == the).sum() == counts["the"]
    assert pydoc.valid_tokens.max() < pydoc.vocabulary_size


def test_text_batches_follow_each_other_and_predict_the_next_word(pydoc):
    batches = list(pydoc.batches(20, generator(0, "order", 0)))
    assert len(batches) == pydoc.steps_per_epoch(20)
    inputs = torch.cat([batch.inputs for batch in batches])
    targets = torch.cat([batch.targets for batch in batches])
    assert torch.equal(inputs[1:], targets[:-1])
    column = len(pydoc.train_tokens) // 20
    assert torch.equal(inputs[:, 3], pydoc.train_tokens[3 * column : 4 * column - 1])
    assert all(len(batch.inputs) == UNROLL for batch in batches[:-1])


def test_the_state_carried_between_batches_is_the_texts_own(pydoc):
    model = pydoc.model()
    before, batch = list(pydoc.batches(20, generator(0)))[:2]
    first, second, targets = before.inputs, batch.inputs, batch.targets
    _, carry = pydoc.loss(model, before, None)
    loss, _ = pydoc.loss(model, batch, carry)
    logits, _ = model(torch.cat([first, second]))
    whole = torch.nn.functional.cross_entropy(logits[len(first) :].flatten(0, 1), targets.flatten())
    torch.testing.assert_close(loss, whole)
    assert not any(state.requires_grad for state in carry)


def test_perplexity_of_a_uniform_guess_is_the_vocabulary(pydoc):
    model = pydoc.model()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.zero_()
    assert pydoc.evaluate(model).metric == pytest.approx(pydoc.vocabulary_size, rel=1e-4)


@pytest.mark.parametrize("name", ["digits", "pydoc"])
@given(size=st.integers(1, 5), batch_size=st.integers(5, 70), parts=st.integers(1, 4))
@settings(max_examples=10, deadline=None)
def test_the_shares_of_a_batch_and_their_parts_make_it_up(name, size, batch_size, parts, request):
    workload = request.getfixturevalue(name)
    batches = [
        next(workload.batches(batch_size, generator(0, "order", 0), 3, Shard(rank, size))) for rank in range(size)
    ]
    whole = next(workload.batches(batch_size, generator(0, "order", 0), 3))
    assert {batch.whole for batch in batches} == {whole.targets.numel()}
    pieces = [piece for batch in batches for piece in batch.split(parts, workload.dim)]
    assert torch.equal(torch.cat([piece.inputs for piece in pieces], workload.dim), whole.inputs)
    assert torch.equal(torch.cat([piece.targets for piece in pieces], workload.dim), whole.targets)


@pytest.mark.parametrize("name", ["digits", "pydoc"])
def test_processes_evaluate_together_what_one_evaluates(name, request):
    workload = request.getfixturevalue(name)
    model, found = workload.model(), []
    for rank in range(3):
        workload.evaluate(model, Shard(rank, 3), lambda sums: found.append(sums) or sums)
    together = workload.evaluate(model, all_reduce=lambda sums: sum(found))
    alone = workload.evaluate(model)
    assert (together.loss, together.metric) == pytest.approx((alone.loss, alone.metric), rel=1e-5)
