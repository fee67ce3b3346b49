"""`cmbench sharpness`: the largest Hessian eigenvalue of finished training runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmbench.cli.options import DEFAULT_OUT, DataDir, Device, Force, Json, Opt, Out, Quiet, Set


def sharpness(
    results: Annotated[
        list[Path] | None, typer.Argument(metavar="[RESULT]…", help="Result files of completed training runs.")
    ] = None,
    suite: Annotated[
        str,
        typer.Option("--suite", metavar="NAME|FILE", help="How to measure, and (without RESULT) which suite's runs."),
    ] = "sharpness",
    opt: Opt = None,
    set_: Set = None,
    device: Device = None,
    data_dir: DataDir = None,
    out: Out = DEFAULT_OUT,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Measure the sharpness of finished training runs: the largest eigenvalue of the loss Hessian at their weights.

    Each measurement is stored beside the run it belongs to, and joins its suite's table.
    """
    from cmbench.experiments.settings import SharpnessSettings
    from cmbench.experiments.suite import load_suite

    settings = load_suite(suite, kind="sharpness", sets=set_ or ()).settings

    from cmbench.cli.finish import finish
    from cmbench.cli.progress import Narrator
    from cmbench.curvature.measure import completed_runs, measure_runs
    from cmbench.experiments.environment import pick_device
    from cmbench.experiments.plan import narrow

    paths = results or completed_runs(out, settings.of, opt or ())
    with Narrator(quiet=quiet) as narrator:
        outcome, measured = measure_runs(
            paths,
            narrow(settings, SharpnessSettings),
            pick_device(device),
            force=force,
            data_dir=data_dir,
            listener=narrator,
            product_done=narrator.product_done,
        )
    finish(outcome, json=json, beside=measured)
