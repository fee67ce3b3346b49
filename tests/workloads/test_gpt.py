"""The transformer on text: what it sees, what it predicts, and that it reads as `pydoc` does."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from cmbench.errors import UserError
from cmbench.experiments.plan import plan_training
from cmbench.experiments.seeding import generator
from cmbench.experiments.suite import load_suite
from cmbench.training.trainer import train
from cmbench.workloads.gpt import UNSCORED, scored_windows
from cmbench.workloads.metrics import Shard
from cmbench.workloads.registry import get_workload
from cmbench.workloads.transformer import Attention, Transformer, rotated

CPU = torch.device("cpu")
SMALL = {"layers": 2, "width": 16, "heads": 2, "context": 12}


def loaded(name="gpt", folder=None, **options):
    workload = get_workload(name, data_dir=folder, options=options)
    workload.load(CPU)
    return workload


@pytest.fixture(scope="module")
def gpt():
    return loaded(**SMALL)


def test_its_tokens_are_those_of_pydoc(gpt):
    pydoc = loaded("pydoc")
    assert gpt.vocabulary_size == pydoc.vocabulary_size
    assert torch.equal(gpt.train_tokens, pydoc.train_tokens)
    assert torch.equal(gpt.valid_tokens, pydoc.valid_tokens)
    assert gpt.fingerprint() == pydoc.fingerprint()


def test_it_validates_on_the_tokens_that_the_lstm_predicts_and_a_few_more(gpt):
    """Which leaves out the first of each of its ten columns and what fills no row of them."""
    counts = [sum(batch.whole for batch in workload.valid_batches()) for workload in (loaded("pydoc"), gpt)]
    assert counts[1] == len(gpt.valid_tokens) - 1
    assert 0 <= counts[1] - counts[0] < 20


def test_an_epoch_reads_every_token_once_in_windows_in_the_generators_order(gpt):
    def epoch(seed, start=0):
        return list(gpt.batches(7, generator(seed, "order", 0), start))

    batches, text = epoch(0), gpt.train_tokens.tolist()
    assert len(batches) == gpt.steps_per_epoch(7)
    assert len(batches[-1].inputs) == gpt.smallest_batch(7)
    inputs = [row for batch in batches for row in batch.inputs.tolist()]
    windows = [[first + 12 * i for i in range(len(text) // 12 - 1)] for first in range(12)]
    starts = next(each for each in windows if sorted(inputs) == sorted(text[i : i + 12] for i in each))
    following = sorted(text[i + 1 : i + 13] for i in starts)
    assert sorted(row for batch in batches for row in batch.targets.tolist()) == following
    assert len(inputs) * 12 > len(text) - 24
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(batches[5:], epoch(0, 5), strict=True))
    assert not torch.equal(batches[0].inputs, epoch(1)[0].inputs)


@given(length=st.integers(2, 90), context=st.integers(2, 20))
@settings(max_examples=60, deadline=None)
def test_every_token_but_the_first_is_predicted_once_from_half_a_window_at_least(length, context):
    inputs, targets = scored_windows(torch.arange(length), context)
    assert inputs.shape == targets.shape == (len(inputs), context)
    rows, places = (targets != UNSCORED).nonzero(as_tuple=True)
    assert sorted(targets[rows, places].tolist()) == list(range(1, length))
    assert torch.equal(inputs[rows, places] + 1, targets[rows, places])
    for row, place in zip(rows.tolist(), places.tolist(), strict=True):
        before = inputs[row, : place + 1].tolist()
        assert before == list(range(before[0], before[0] + place + 1))
        assert before[0] == 0 or place + 1 >= context / 2


def test_its_perplexity_is_that_of_one_prediction_after_the_other():
    workload = loaded(**SMALL)
    workload.valid_tokens = workload.valid_tokens[:40]
    model, losses = workload.model().eval(), []
    text = workload.valid_tokens
    for i in range(1, 40):
        first = 0 if i <= 12 else 6 * math.ceil((i - 12) / 6)
        with torch.no_grad():
            losses.append(F.cross_entropy(model(text[None, first:i])[0, -1], text[i]).item())
    evaluation = workload.evaluate(model)
    assert evaluation.loss == pytest.approx(sum(losses) / 39, rel=1e-4)
    assert evaluation.metric == pytest.approx(math.exp(sum(losses) / 39), rel=1e-4)


def test_no_token_sees_what_comes_after_it():
    torch.manual_seed(0)
    model, tokens = Transformer(50, 3, 16, 2), torch.randint(50, (2, 10))
    other = tokens.clone()
    other[:, 6] = (other[:, 6] + 1) % 50
    before, after = model(tokens), model(other)
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


def test_attention_depends_on_how_far_tokens_are_apart_and_not_on_where_they_are():
    torch.manual_seed(0)
    query, key = torch.randn(8), torch.randn(8)
    turned = [rotated(vector.expand(30, 8)) for vector in (query, key)]
    scores = turned[0] @ turned[1].T
    for distance in (0, 3, 11):
        torch.testing.assert_close(scores.diagonal(distance), scores.diagonal(distance)[:1].expand(30 - distance))
    assert scores[0, 0].item() == pytest.approx((query @ key).item(), rel=1e-4)
    assert scores[0, 0].item() != pytest.approx(scores[0, 5].item(), rel=1e-3)


def test_attention_is_softmax_of_the_scores_written_out():
    torch.manual_seed(0)
    attention, hidden = Attention(12, 3), torch.randn(1, 5, 12)
    queries, keys, values = (part.view(5, 3, 4).transpose(0, 1) for part in attention.project(hidden)[0].split(12, -1))
    scores = rotated(queries) @ rotated(keys).transpose(1, 2) / 2
    weights = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), -math.inf).softmax(-1)
    expected = attention.out((weights @ values).transpose(0, 1).reshape(5, 12))
    torch.testing.assert_close(attention(hidden)[0], expected)


def test_it_starts_out_knowing_nothing(gpt):
    """Small weights: every word is about as likely as any."""
    torch.manual_seed(0)
    assert gpt.evaluate(gpt.model()).metric == pytest.approx(gpt.vocabulary_size, rel=0.05)


@pytest.mark.parametrize("size", [2, 3])
def test_processes_share_batches_and_evaluate_together_what_one_does(gpt, size):
    whole = next(gpt.batches(7, generator(0, "order", 0)))
    shares = [next(gpt.batches(7, generator(0, "order", 0), 0, Shard(rank, size))) for rank in range(size)]
    assert torch.equal(torch.cat([share.inputs for share in shares]), whole.inputs)
    assert {share.whole for share in shares} == {whole.targets.numel()}
    model, found = gpt.model(), []
    for rank in range(size):
        gpt.evaluate(model, Shard(rank, size), lambda sums: found.append(sums) or sums)
    assert gpt.evaluate(model, all_reduce=lambda sums: sum(found)).loss == pytest.approx(
        gpt.evaluate(model).loss, rel=1e-5
    )


def test_a_text_of_ones_own_is_a_file_or_two(tmp_path):
    words = [f"word{i % 7}" for i in range(400)]
    (tmp_path / "mine.txt").write_text(" ".join(words))
    (tmp_path / "both").mkdir()
    (tmp_path / "both" / "train.txt").write_text(" ".join(words[:300]))
    (tmp_path / "both" / "valid.txt").write_text(" ".join(words[:50]))
    one, both = (loaded(folder=tmp_path, text=name, **SMALL) for name in ("mine", "both"))
    assert (len(both.train_tokens), len(both.valid_tokens)) == (301, 51)  # with <eos>
    assert one.vocabulary_size == 1 + 7  # the last word is cut in two, <eos> is there once
    assert abs(len(one.valid_tokens) - 40) <= 2
    assert len({one.fingerprint(), both.fingerprint(), loaded(**SMALL).fingerprint()}) == 3
    here = loaded(folder=tmp_path / "both", text=".", **SMALL)
    assert torch.equal(here.train_tokens, both.train_tokens)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"text": "none"},
            r"workload gpt: .*none: no such text: accepted: a folder with train\.txt and",
        ),
        ({"text": "latin.txt"}, r"not UTF-8 text"),
        (
            {"text": "short.txt"},
            r"workload\.context: 64: a text of 4 tokens, 2 to validate on: accepted: one with 128 and 2",
        ),
        ({"width": 20, "heads": 4}, r"workload\.width: 20: accepted: a multiple of 2·heads, 8"),
    ],
)
def test_what_cannot_be_read_or_built_is_refused(options, message, tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 " * 10)
    (tmp_path / "short.txt").write_text("one two three")
    with pytest.raises(UserError, match=message):
        loaded(folder=tmp_path, **options)


def test_a_run_learns_and_goes_on_from_one_epoch_to_the_next(tmp_path):
    suite = load_suite(
        "gpt", kind="train", opts=["adam_cm"], sets=["max_steps=40", "batch_size=16", "epochs=1", "lr=1e-3"]
    )
    workload = loaded(**SMALL)
    spec = plan_training(suite, workload.identity(), [0])[0]
    measured = train(spec, workload, CPU, lambda suffix: tmp_path / f"run{suffix}")
    assert (measured.status, measured.cost.steps) == ("completed", 40)
    assert measured.metrics["val_perplexity_best"] < 0.8 * workload.vocabulary_size


@pytest.mark.long
def test_it_is_less_perplexed_by_pydoc_than_the_lstm_after_as_many_tokens(tmp_path):
    found, tokens = {}, {}
    for name, opt in (("gpt", "adam"), ("pydoc", "adam_cm")):
        suite = load_suite(name, kind="train", opts=[opt])
        workload = loaded(name)
        tokens[name] = suite.settings.epochs * sum(
            batch.whole for batch in workload.batches(suite.settings.batch_size, generator(0, "order", 0))
        )
        spec = plan_training(suite, workload.identity(), [0])[0]
        measured = train(spec, workload, CPU, lambda suffix, name=name: tmp_path / f"{name}{suffix}")
        found[name] = measured.metrics["val_perplexity_best"]
    assert tokens["gpt"] <= tokens["pydoc"]
    assert found["gpt"] < 0.9 * found["pydoc"]
