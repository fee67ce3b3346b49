"""`cmbench data`: which data sets there are, whether they are here and whole, and how to get them."""

from __future__ import annotations

import json as json_module
from typing import Annotated, Any

import typer

from cmbench.cli.options import DataDir, Json

app = typer.Typer(no_args_is_help=True, help="List, check and download the data sets of the workloads.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="A workload.")]


@app.command("list")
def list_(data_dir: DataDir = None, json: Json = False) -> None:
    """List the workloads: data, model, and whether the data is here."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from cmbench.workloads.registry import WORKLOADS, get_workload

    rows: list[dict[str, Any]] = []
    for name in WORKLOADS:
        workload = get_workload(name, data_dir=data_dir)
        card, metric = workload.card, workload.metric
        rows.append(
            {
                "workload": name,
                "here": workload.is_here(),
                "metric": metric.name,
                "data": card.data,
                "model": card.model,
                "parameters": card.parameters,
                "options": {
                    option: {"values": choice.values, "accepted": choice.accepted, "meaning": choice.meaning}
                    for option, choice in workload.options.items()
                },
                "source": card.source,
            }
        )
    if json:
        print(json_module.dumps(rows, indent=1, ensure_ascii=False))
        return
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("workload", "here", "data", "model"):
        table.add_column(column, no_wrap=column in ("workload", "here"))
    for row in rows:
        count = f", {row['parameters']:,} parameters" if row["parameters"] else ""
        options = "".join(f"\n{option}: {' | '.join(choice['accepted'])}" for option, choice in row["options"].items())
        table.add_row(row["workload"], "yes" if row["here"] else "no", row["data"], row["model"] + count + options)
    Console().print(table)


@app.command("check")
def check(name: Name, data_dir: DataDir = None) -> None:
    """Read a data set as a training would, and verify its size and format."""
    import torch

    from cmbench.errors import UserError
    from cmbench.workloads.registry import get_workload

    workload = get_workload(name, "data check", data_dir)
    fingerprint = workload.fingerprint()
    workload.load(torch.device("cpu"))
    if subset := workload.subset():
        counts = ", ".join(f"{part} {found:,} of {published:,}" for part, (found, published) in subset.items())
        raise UserError(
            f"{name}: {counts}: incomplete; fingerprint {fingerprint}\n"
            "  it can be trained on: results and tables say so, and no number of the paper stands beside them"
        )
    whole = "complete" if workload.published else "not the published files, but of their size"
    print(f"{name}: {whole} ({workload.card.data}); fingerprint {fingerprint}")


@app.command("prepare")
def prepare(name: Name, data_dir: DataDir = None) -> None:
    """Download a data set, unless it is here."""
    from cmbench.cli.progress import DownloadBars
    from cmbench.errors import UserError, reason
    from cmbench.workloads.registry import get_workload

    workload = get_workload(name, "data prepare", data_dir)
    if not workload.is_here():
        try:
            with DownloadBars() as bars:
                workload.prepare(bars.update)
        except UserError:
            raise
        except Exception as error:
            # Whatever the downloading library or the network raises.
            raise UserError(f"data prepare {name}: {reason(error)}") from None
    check(name, data_dir)
