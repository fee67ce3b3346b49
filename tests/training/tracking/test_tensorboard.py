"""What TensorBoard reads of a run is what its result holds."""

import signal

import pytest

from .conftest import LONG, SHORT, stopped

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def events_in(cmbench, where):
    (result,) = cmbench.results()
    (folder,) = (cmbench.folder / where).glob("digits/adam_cm/*")
    assert folder.name == result["id"]
    return result, accumulator.EventAccumulator(str(folder), {"tensors": 0, "scalars": 0}).Reload()


def text(events, name):
    return [event.tensor_proto.string_val[0].decode() for event in events.Tensors(f"{name}/text_summary")]


def test_curves_settings_and_the_end_are_there_by_step(cmbench):
    cmbench(*SHORT, "--track", "tensorboard:shown")
    result, events = events_in(cmbench, "shown")
    for name in ("val_accuracy", "train_loss", "gradient_norm", "distance"):
        scalars = events.Scalars(f"epoch/{name}")
        assert [scalar.step for scalar in scalars] == [23, 46]
        assert [scalar.value for scalar in scalars] == pytest.approx(result["curves"][name], rel=1e-5)
    assert events.Scalars("train/loss")[-1].step == 46
    (settings,), status = text(events, "settings"), text(events, "status")
    assert {"| optimizer.betas | [0.9, 0.99] |", "| seed | 0 |", "| suite | digits |"} <= set(settings.splitlines())
    assert status == ["completed"]
    (best,) = events.Scalars("result/val_accuracy_best")
    assert best.value == pytest.approx(result["metrics"]["val_accuracy_best"], rel=1e-5)
    assert "_hparams_/session_start_info" in events.PluginTagToContent("hparams")


@pytest.mark.long
def test_a_killed_run_that_goes_on_has_every_step_once(cmbench):
    stopped(cmbench, signal.SIGKILL, "--track", "tensorboard")
    cmbench.process(*LONG, "--track", "tensorboard")  # TensorBoard orders files by the second: not the same one
    result, events = events_in(cmbench, "boards")
    assert [scalar.value for scalar in events.Scalars("epoch/val_loss")] == pytest.approx(
        result["curves"]["val_loss"], rel=1e-5
    )
    steps = [scalar.step for scalar in events.Scalars("train/loss")]
    assert steps == sorted(set(steps))
    assert steps[-1] == 12 * 23
