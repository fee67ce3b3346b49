"""The optimizers inside the programs that people train with."""

import pytest
import torch
from torch import nn

from cmbench.optim import SAM, AdamCM

pytestmark = pytest.mark.long


class Examples(torch.utils.data.Dataset):
    def __init__(self):
        torch.manual_seed(0)
        self.x, self.y = torch.randn(64, 6), torch.randint(0, 3, (64,))

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return {"x": self.x[i], "labels": self.y[i]}


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, x, labels=None):
        logits = self.layers(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def test_the_trainer_of_hugging_face(tmp_path):
    transformers = pytest.importorskip("transformers")

    def arguments(steps):
        return transformers.TrainingArguments(
            output_dir=str(tmp_path), max_steps=steps, per_device_train_batch_size=16, save_steps=4, report_to=[],
            learning_rate=1e-2, use_cpu=True, disable_tqdm=True, remove_unused_columns=False, logging_steps=1,
        )  # fmt: skip

    def trainer(steps):
        model = Classifier()
        optimizer = AdamCM(model.parameters(), lr=1e-2)
        return transformers.Trainer(
            model=model, args=arguments(steps), train_dataset=Examples(), optimizers=(optimizer, None)
        )

    whole = trainer(8)
    whole.train()
    losses = [entry["loss"] for entry in whole.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0]
    resumed = trainer(8)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_accelerate(tmp_path):
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    model = Classifier()
    model, optimizer, loader = accelerator.prepare(
        model, AdamCM(model.parameters(), lr=1e-2), torch.utils.data.DataLoader(Examples(), 16)
    )
    losses = []
    for _ in range(5):
        for batch in loader:
            optimizer.zero_grad()
            loss = model(**batch)["loss"]
            accelerator.backward(loss)
            optimizer.step()
            losses.append(loss.item())
    assert losses[-1] < losses[0]
    accelerator.save_state(str(tmp_path / "state"))
    before = [p.detach().clone() for p in model.parameters()]
    slots = optimizer.state_dict()["state"][0]["slot_0"].clone()
    for batch in loader:
        accelerator.backward(model(**batch)["loss"])
        optimizer.step()
    accelerator.load_state(str(tmp_path / "state"))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert torch.equal(optimizer.state_dict()["state"][0]["slot_0"], slots)


@pytest.mark.parametrize(
    "make", [AdamCM, lambda params, lr: SAM(AdamCM(params, lr=lr))], ids=["adam_cm", "adam_sam_cm"]
)
def test_lightning(make, tmp_path):
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model, self.losses = Classifier(), []

        def training_step(self, batch, _):
            loss = self.model(**batch)["loss"]
            self.losses.append(loss.item())
            return loss

        def configure_optimizers(self):
            return make(self.parameters(), lr=1e-2)

    module = Module()
    trainer = lightning.Trainer(
        max_epochs=4, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(module, torch.utils.data.DataLoader(Examples(), 16))
    assert module.losses[-1] < module.losses[0]
