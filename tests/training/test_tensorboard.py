"""What TensorBoard reads of a run is what its result holds."""

import pytest


def test_the_curves_are_written_by_step(cmbench):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    cmbench("train", "--suite", "digits", "--opt", "adam_cm", "--seeds", "1", "--set", "epochs=2", "--set",
            "schedule=constant", "--set", "telemetry.gradient_norm=true", "--tensorboard", "boards")  # fmt: skip
    (result,) = cmbench.results()
    (folder,) = (cmbench.folder / "boards").glob("digits/adam_cm/*")
    assert folder.name == result["id"]
    events = accumulator.EventAccumulator(str(folder)).Reload()
    for name in ("val_accuracy", "train_loss", "gradient_norm", "distance"):
        scalars = events.Scalars(f"epoch/{name}")
        assert [scalar.step for scalar in scalars] == [23, 46]
        assert [scalar.value for scalar in scalars] == pytest.approx(result["curves"][name], rel=1e-5)
    assert events.Scalars("train/loss")[-1].step == 46
