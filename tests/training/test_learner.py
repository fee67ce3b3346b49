"""One step: precision, parts, clipping and layout against the same written out; and no look at the device in it."""

import pytest
import torch

from cmbench.errors import UserError
from cmbench.experiments.plan import plan_training
from cmbench.experiments.seeding import derived_seed, generator
from cmbench.experiments.suite import load_suite
from cmbench.optim import create_optimizer, list_optimizers
from cmbench.training.learner import Learner
from cmbench.training.processes import ALONE, Processes
from cmbench.workloads.base import Batch
from cmbench.workloads.registry import get_workload

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def workloads():
    loaded = {name: get_workload(name) for name in ("digits", "pydoc")}
    for workload in loaded.values():
        workload.load(CPU)
    return loaded


def spec_for(name, opt, *sets):
    return plan_training(load_suite(name, opts=[opt], sets=sets), "data", [0])[0]


def steps(workload, spec, count=5, batch_size=50):
    """The learner after a few steps, and its losses."""
    learner, carries, losses = Learner(spec, workload, CPU, ALONE), None, []
    for _, batch in zip(range(count), workload.batches(batch_size, generator(0, "order", 0)), strict=False):
        loss, carries = learner.step(workload, batch, carries)
        losses.append(loss.item())
    return learner, losses


def by_hand(workload, spec, loss_of, count=5, batch_size=50):
    """The parameters after steps whose gradients `loss_of(model, batch)` leaves behind."""
    torch.manual_seed(derived_seed(0, "weights"))
    model = workload.model()
    optimizer = create_optimizer(spec.optimizer.name, model.parameters(), **spec.optimizer.hyperparameters)
    for _, batch in zip(range(count), workload.batches(batch_size, generator(0, "order", 0)), strict=False):

        def closure(batch=batch):
            optimizer.zero_grad()
            return loss_of(model, batch)

        optimizer.step(closure)
    return list(model.parameters())


@pytest.mark.parametrize("opt", ["adam_cm", "adam_sam_cm"])
@pytest.mark.parametrize("name", ["digits", "pydoc"])
def test_parts_of_a_batch_add_up_to_it(name, opt, workloads):
    whole, losses = steps(workloads[name], spec_for(name, opt))
    parts, losses_of_parts = steps(workloads[name], spec_for(name, opt, "accumulate=3"))
    assert losses_of_parts == pytest.approx(losses, rel=1e-5)
    for one, other in zip(whole.parameters, parts.parameters, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-5)


def test_a_last_batch_with_fewer_examples_than_parts_is_cut_into_what_there_is(workloads):
    digits = workloads["digits"]
    learner = Learner(spec_for("digits", "adam", "accumulate=5"), digits, CPU, ALONE)
    batch = Batch(digits.train_inputs[:3], digits.train_targets[:3], 3)
    assert len(learner.step(digits, batch, [None] * 5)[1]) == 3
    learner = Learner(spec_for("digits", "adam", "accumulate=5"), digits, CPU, ALONE)
    whole = Learner(spec_for("digits", "adam"), digits, CPU, ALONE)
    assert learner.step(digits, batch, None)[0].item() == pytest.approx(whole.step(digits, batch, None)[0].item())


@pytest.mark.parametrize("opt", ["adam_cm", "adam_sam"])
def test_gradients_are_clipped_before_every_use(opt, workloads):
    digits = workloads["digits"]
    spec = spec_for("digits", opt, "clip_norm=0.3")

    def loss_of(model, batch):
        loss = digits.loss(model, batch, None)[0]
        loss.backward()
        norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
        if norm > 0.3:
            for p in model.parameters():
                p.grad *= 0.3 / (norm + 1e-6)
        return loss

    for one, other in zip(steps(digits, spec)[0].parameters, by_hand(digits, spec, loss_of), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("opt", ["adam_cm", "adam_sam_cm"])
def test_bf16_is_the_forward_pass_under_autocast(opt, workloads):
    digits = workloads["digits"]
    spec = spec_for("digits", opt, "precision=bf16", "implementation=foreach")

    def loss_of(model, batch):
        with torch.autocast("cpu", torch.bfloat16):
            loss = digits.loss(model, batch, None)[0]
        loss.backward()
        return loss

    learner, _ = steps(digits, spec)
    assert all(p.dtype == torch.float32 for p in learner.parameters)
    for one, other in zip(learner.parameters, by_hand(digits, spec, loss_of), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("opt", ["adam_cm", "adam_sam_cm"])
def test_fp16_scales_the_loss_and_follows_fp32(opt, workloads):
    exact, _ = steps(workloads["digits"], spec_for("digits", opt))
    half, _ = steps(workloads["digits"], spec_for("digits", opt, "precision=fp16"))
    gaps = [
        (a - b).norm() / (a - s).norm() for a, b, s in zip(exact.parameters, half.parameters, exact.start, strict=True)
    ]
    assert max(gaps) < 0.2
    assert half.scaler.get_scale() > 1
    clipped, _ = steps(workloads["digits"], spec_for("digits", "adam_cm", "precision=fp16", "clip_norm=0.01"))
    unclipped, _ = steps(workloads["digits"], spec_for("digits", "adam_cm", "clip_norm=0.01"))
    assert clipped.gradient_norm().item() == pytest.approx(0.01, rel=0.05)
    assert clipped.distance() == pytest.approx(unclipped.distance(), rel=0.1)


@pytest.mark.parametrize("setting", ["channels_last=true", "compile=true"])
def test_layout_and_compilation_change_the_last_digits_only(setting, workloads):
    plain, losses = steps(workloads["digits"], spec_for("digits", "adam_sam_cm"))
    other, others = steps(workloads["digits"], spec_for("digits", "adam_sam_cm", setting))
    assert others == pytest.approx(losses, rel=1e-4)
    assert other.distance() == pytest.approx(plain.distance(), rel=1e-3)
    weights = [p for p in other.parameters if p.dim() == 4]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights) or setting != "channels_last=true"


def test_settings_that_do_not_go_together_are_refused(workloads):
    with pytest.raises(UserError, match="precision fp16 does not go with clip_norm and a probe"):
        Learner(spec_for("digits", "adam_sam", "precision=fp16", "clip_norm=1"), workloads["digits"], CPU, ALONE)
    spec = spec_for("digits", "adam", "precision=fp16", "parallel=fsdp")
    with pytest.raises(UserError, match="fp16 does not go with parallel fsdp: accepted: bf16, fp32"):
        Learner(spec, workloads["digits"], CPU, Processes(0, 2))


@pytest.mark.parametrize("opt", list_optimizers())
@pytest.mark.parametrize("name", ["digits", "pydoc"])
def test_no_step_waits_for_the_device(name, opt):
    # Tensors of the meta device have no values: a step that read one back would raise.
    device = torch.device("meta")
    workload = get_workload(name)
    workload.load(device)
    spec = spec_for(name, opt, "accumulate=2", "clip_norm=1", "channels_last=true")
    learner, carries = Learner(spec, workload, device, ALONE), None
    for _, batch in zip(range(3), workload.batches(50, generator(0, "order", 0)), strict=False):
        loss, carries = learner.step(workload, batch, carries)
        numbers = torch.stack([loss, learner.gradient_norm()])
    assert numbers.device == batch.inputs.device == device
    with pytest.raises(RuntimeError):
        loss.item()
