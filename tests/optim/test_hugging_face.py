"""SAM and MEG under the Trainer of Hugging Face's transformers end where a loop written by hand ends, bit for bit."""

import copy

import pytest
import torch

from cmbench.optim import MEG, SAM, AdamCM
from cmbench.optim.hugging_face import ProbedTraining

pytestmark = pytest.mark.long


class Texts(torch.utils.data.Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, i):
        ids = torch.randint(0, 50, (9,), generator=torch.Generator().manual_seed(i))
        return {"input_ids": ids, "labels": ids}


def model_of(kind):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    if kind == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=50, n_positions=16, n_embd=16, n_layer=2, n_head=2, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
            bos_token_id=0, eos_token_id=0,
        )  # fmt: skip
        return transformers.GPT2LMHeadModel(config)
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16, hidden_dropout_prob=0, attention_probs_dropout_prob=0,
    )  # fmt: skip
    return transformers.BertForMaskedLM(config)


def trainer_of(model, optimizer, folder, **settings):
    """A trainer that keeps every batch that it evaluates."""
    transformers = pytest.importorskip("transformers")

    class Recorder(transformers.Trainer):
        def training_step(self, model, inputs, num_items_in_batch=None):
            self.batches.append((copy.copy(inputs), num_items_in_batch))
            return super().training_step(model, inputs, num_items_in_batch)

    class ProbedTrainer(ProbedTraining, Recorder):
        batches = []  # noqa: RUF012

    settings = {"max_steps": 5, "gradient_accumulation_steps": 1} | settings
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=4, save_steps=3, report_to=[], use_cpu=True,
        disable_tqdm=True, lr_scheduler_type="constant", max_grad_norm=0.5, logging_steps=1, **settings,
    )  # fmt: skip
    return ProbedTrainer(model=model, args=arguments, train_dataset=Texts(), optimizers=(optimizer, None))


def by_hand(model, optimizer, batches, sizes):
    """Every step of so many batches stands there twice: as evaluated at θ, and at the probe point."""
    model.train()
    for size in sizes:
        step, batches, evaluations = batches[:size], batches[2 * size :], []

        def closure(step=step, evaluations=evaluations):
            optimizer.zero_grad()
            total = 0.0
            for inputs, items in step:
                loss = model(**inputs, num_items_in_batch=items).loss
                loss.backward()
                total += loss.detach()
            evaluations.append(total)
            if len(evaluations) == 2:
                torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            return total

        optimizer.step(closure)


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1), (3, 3, 3, 1, 3)], ids=str)  # the last of an epoch is smaller
@pytest.mark.parametrize("probe", [SAM, MEG])
@pytest.mark.parametrize("kind", ["gpt2", "bert"])
def test_it_trains_as_a_loop_by_hand(kind, probe, sizes, tmp_path):
    model, twin = model_of(kind), model_of(kind)
    trainer = trainer_of(
        model, probe(model.parameters(), AdamCM, lr=1e-2), tmp_path, gradient_accumulation_steps=sizes[0]
    )
    trainer.train()
    assert len(trainer.batches) == 2 * sum(sizes)
    by_hand(twin, probe(AdamCM(twin.parameters(), lr=1e-2)), trainer.batches, sizes)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


def test_it_resumes_from_a_checkpoint(tmp_path):
    model = model_of("gpt2")
    trainer_of(model, SAM(model.parameters(), AdamCM, lr=1e-2), tmp_path).train()
    resumed = model_of("gpt2")
    trainer = trainer_of(resumed, SAM(resumed.parameters(), AdamCM, lr=1e-2), tmp_path)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), resumed.parameters(), strict=True))


def test_without_a_probe_it_changes_nothing(tmp_path):
    model = model_of("gpt2")
    trainer = trainer_of(model, AdamCM(model.parameters(), lr=1e-2), tmp_path)
    trainer.train()
    assert len(trainer.batches) == 5


def test_an_error_at_the_probe_point_leaves_the_parameters_where_they_were(tmp_path):
    model = model_of("gpt2")
    before = [param.detach().clone() for param in model.parameters()]
    trainer = trainer_of(model, SAM(model.parameters(), AdamCM, lr=1e-2), tmp_path)
    evaluate, calls = trainer.compute_loss, []

    def failing(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return evaluate(*args, **kwargs)

    trainer.compute_loss = failing
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_step_that_is_begun_anew_has_nothing_of_the_one_that_failed(tmp_path):
    model = model_of("gpt2")
    trainer = trainer_of(
        model, SAM(model.parameters(), AdamCM, lr=1e-2), tmp_path, gradient_accumulation_steps=2,
        auto_find_batch_size=True, max_steps=1,
    )  # fmt: skip
    evaluate, calls = trainer.compute_loss, []

    def failing(model, inputs, *args, **kwargs):
        calls.append(len(inputs["input_ids"]))
        if len(calls) == 2:
            raise RuntimeError("CUDA out of memory.")
        return evaluate(model, inputs, *args, **kwargs)

    trainer.compute_loss = failing
    trainer.train()
    assert len(calls) == 2 + 4
    assert len(set(calls[2:])) == 1


def test_a_scaled_loss_is_refused(tmp_path):
    model = model_of("gpt2")
    trainer = trainer_of(model, SAM(model.parameters(), AdamCM), tmp_path)
    trainer.accelerator.scaler = torch.amp.GradScaler("cpu")
    with pytest.raises(ValueError, match="fp16 under SAM: accepted: bf16"):
        trainer.train()
