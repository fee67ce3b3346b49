"""Where runs end on the plane of sharpness and metric, by what was measured of them."""

from cmbench.experiments.plan import plan_training
from cmbench.experiments.result import JudgedBy
from cmbench.experiments.suite import load_suite
from cmbench.report.figures.training.landing import landings_of
from cmbench.report.figures.training.rows import TrainingRuns
from cmbench.report.runs.every_group import every_group
from tests.report.results import DATA, sharpness_of, trained


def test_only_the_largest_eigenvalue_at_the_last_weights_is_the_sharpness_at_the_end():
    spec = plan_training(load_suite("digits"), DATA, [0])[0]
    result = trained(spec, 90.0)
    judged = JudgedBy(metric="accuracy", better="higher")
    result = result.model_copy(update={"curves": {"epoch": [1, 2], "val_accuracy": [80.0, 90.0]}, "judged_by": judged})
    (group,) = every_group([result])
    runs = TrainingRuns.of(group)
    others = [
        sharpness_of(result, 0.5, metric="spectrum"),
        sharpness_of(result, 0.1, metric="m-sharpness"),
        sharpness_of(result, 3.0, at="best"),
    ]
    assert landings_of(runs, others) == []
    (landing,) = landings_of(runs, [*others, sharpness_of(result, 0.0), sharpness_of(result, 7.0, examples=10)])
    assert (landing.seed, landing.sharpness, landing.metric) == (0, 0.0, 90.0)
