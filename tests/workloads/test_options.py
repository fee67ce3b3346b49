"""What a workload leaves to choose: it is refused or done, and it makes another run where it is not the default."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import resnet18

from cmbench.curvature import measure as curvature
from cmbench.errors import UserError
from cmbench.experiments.measurements import SharpnessSettings
from cmbench.experiments.plan import RunSpec, plan_training
from cmbench.experiments.suite import load_suite
from cmbench.report.runs.plan import plan_of
from cmbench.training.trainer import train
from cmbench.workloads.imagenet import DEVIATION, MEAN
from cmbench.workloads.registry import WORKLOADS, default_option, get_workload, unusual_options

from . import miniatures

CPU = torch.device("cpu")
COUNTS = (5,) * 10
NAME = "five_datasets_online"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    miniatures.streams(folder, COUNTS, images=100)
    miniatures.photographs(folder)
    return folder


@pytest.fixture
def small(monkeypatch):
    """The readers accept the miniatures."""
    miniatures.accept_streams(monkeypatch, COUNTS, images=100)


def loaded(folder, name=NAME, **options):
    workload = get_workload(name, "", folder, options)
    workload.load(CPU)
    return workload


def suite(tmp_path, workload):
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"kind: train\ndescription: mine\nworkload: {workload}\nepochs: 1\nbatch_size: 20\nseeds: 8\n"
        "optimizers: {adam: {lr: 1e-3}}\n"
    )
    return load_suite(str(path), kind="train")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (NAME, {"stem": "cifarr"}, r"mine\.yaml: workload\.stem: 'cifarr': accepted: cifar, imagenet"),
        (NAME, {"stam": "cifar"}, r"unknown option 'stam': did you mean 'stem'\? accepted: order, stem, size"),
        (NAME, {"size": [224]}, r"workload\.size: \[224\]: accepted: 32, 224"),
        ("digits", {"stem": "cifar"}, r"workload\.stem: this workload has no options"),
        ("gpt", {"layers": 0}, r"workload\.layers: 0: accepted: 6, an integer >= 1"),
        ("gpt", {"layers": 2.5}, r"workload\.layers: 2\.5: accepted: 6, an integer >= 1"),
        ("gpt", {"layers": True}, r"workload\.layers: True: accepted"),
        ("gpt", {"text": 3}, r"workload\.text: 3: accepted: pydoc, a name"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(name, options, message):
    for refused in (unusual_options, lambda *given: get_workload(given[0], given[2], None, given[1])):
        with pytest.raises(UserError, match=message):
            refused(name, options, "mine.yaml: workload")


def test_a_default_written_out_is_the_same_run(tmp_path):
    bare, written = suite(tmp_path, NAME), suite(tmp_path, f"{{name: {NAME}, order: listed, size: 32}}")
    other = suite(tmp_path, f"{{name: {NAME}, order: shuffled}}")
    ids = [[spec.id for spec in plan_of(each, [])] for each in (bare, written, other)]
    assert ids[0] == ids[1]
    assert set(ids[0]).isdisjoint(ids[2])
    assert plan_of(written, [])[0].settings_document()["workload"] == NAME
    assert "options" not in plan_of(written, [])[0].settings_document()
    assert plan_of(other, [])[0].settings_document()["options"] == {"order": "shuffled"}


def test_an_open_option_takes_any_integer_and_its_default_written_out_is_none():
    assert unusual_options("gpt", {"layers": 3, "width": 64}) == {"layers": 3}
    assert get_workload("gpt", options={"layers": 3}).chosen["layers"] == 3


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_option_has_a_default_and_something_else(name):
    workload = get_workload(name)
    assert workload.chosen == {option: default_option(name, option) for option in workload.options}
    for option in workload.options.values():
        assert len(set(option.values)) == len(option.values)
        assert len(option.accepted) > 1


def test_a_worker_process_gets_the_options():
    workload = get_workload(NAME, options={"order": "shuffled"})
    assert pickle.loads(pickle.dumps(workload)).chosen == {"order": "shuffled", "stem": "cifar", "size": 32}


def test_shuffled_tasks_are_those_of_the_list_in_an_order_of_their_seed(files, small):
    listed, shuffled = loaded(files), loaded(files, order="shuffled")

    def order(workload, seed):
        tasks = workload.tasks_of_run(torch.Generator().manual_seed(seed))
        return [task.outputs.start // 10 for task in tasks]

    assert order(listed, 0) == order(listed, 1) == [0, 1, 2, 3, 4]
    orders = [order(shuffled, seed) for seed in range(8)]
    assert orders == [order(shuffled, seed) for seed in range(8)]
    assert all(sorted(each) == [0, 1, 2, 3, 4] for each in orders)
    assert len({tuple(each) for each in orders}) > 5


def test_a_run_meets_the_tasks_in_its_seeds_order_and_its_sharpness_is_of_the_last(files, small, tmp_path, monkeypatch):
    workload = loaded(files, order="shuffled")
    monkeypatch.setattr(type(workload), "model", lambda self: torch.nn.Sequential(Mean(), torch.nn.Linear(3, 50)))
    specs = plan_training(suite(tmp_path, f"{{name: {NAME}, order: shuffled}}"), workload.identity())
    lasts, steps = set(), []
    for task in workload.tasks:
        monkeypatch.setattr(task, "batches", lambda *given, task=task, **named: noted(task, steps, given, named))
    for spec in specs:
        steps.clear()
        assert train(spec, workload, CPU, lambda suffix, seed=spec.seed: tmp_path / f"{seed}{suffix}").cost.steps == 12
        met = list(dict.fromkeys(steps))
        settings = SharpnessSettings(of=spec.id, examples=100)
        which = {"kind": "sharpness", "suite": spec.suite, "optimizer": spec.optimizer, "seed": spec.seed}
        steps.clear()
        curvature.measure(RunSpec(**which, settings=settings), tmp_path / f"{spec.seed}.pt", workload, CPU, 64)
        assert sorted(met) == [0, 1, 2, 3, 4]
        assert steps == [met[-1]]
        lasts.add(met[-1])
    assert len(lasts) > 1


class Mean(torch.nn.Module):
    """The mean of each channel, (B, 3)."""

    def forward(self, images):
        return images.mean((2, 3))


def noted(task, steps, given, named):
    steps.append(task.outputs.start // 10)
    return type(task).batches(task, *given, **named)


def test_the_stem_of_imagenet_is_torchvisions_own(files, small):
    own, other = (get_workload(NAME, options={"stem": stem}).model() for stem in ("imagenet", "cifar"))
    shapes = {name: tuple(weights.shape) for name, weights in own.state_dict().items()}
    assert shapes == {name: tuple(w.shape) for name, w in resnet18(num_classes=50).state_dict().items()}
    images = torch.zeros(1, 3, 64, 64)
    sizes = [network.maxpool(network.conv1(images)).shape[-1] for network in (own, other)]
    assert sizes == [64 // 4, 64]


def test_large_pictures_are_scaled_as_pillow_scales_them(files, small):
    """Pillow rounds to bytes twice, so that they agree to two steps of 1/255."""
    images = np.random.default_rng(0).integers(0, 256, (2, 28, 28), np.uint8)
    task = loaded(files, size=224).tasks[1]
    assert task.train_inputs.shape[1:] == (3, 28, 28)  # no frame
    inputs = task.inputs(torch.from_numpy(np.repeat(images[:, None], 3, 1)))
    for image, got in zip(images, inputs, strict=True):
        scaled = np.array(Image.fromarray(image).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)) / 255
        expected = (scaled - MEAN) / DEVIATION
        assert np.abs(got.permute(1, 2, 0).numpy() - expected).max() < 2 / 255 / min(DEVIATION)
    assert next(task.valid_batches()).inputs.shape[1:] == (3, 224, 224)


@pytest.mark.parametrize(
    ("options", "side", "way"),
    [({}, 256, Image.Resampling.BILINEAR), ({"resize": 224}, 224, Image.Resampling.BICUBIC)],
)
def test_validation_images_of_imagenet_are_scaled_and_cropped_as_said(files, options, side, way):
    workload = loaded(files, "imagenet", **options)
    inputs = next(workload.valid_batches()).inputs
    for i, got in enumerate(inputs):
        picture, _ = workload.valid_set.picture(i)
        width, height = picture.size
        short = min(width, height)
        scaled = picture.convert("RGB").resize((side * width // short, side * height // short), way)
        left, top = (round((full - 224) / 2) for full in scaled.size)
        pixels = np.array(scaled.crop((left, top, left + 224, top + 224))) / 255
        np.testing.assert_allclose(got.permute(1, 2, 0), (pixels - MEAN) / DEVIATION, atol=1e-5)
