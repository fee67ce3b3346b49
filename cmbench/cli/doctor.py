"""`cmbench doctor`: what this machine offers, and whether a killed training here ends as if nothing had happened."""

from __future__ import annotations

import json as json_module
from typing import Annotated, Any, Literal

import typer

from cmbench.cli.options import DataDir, Device, Json, Set

Document = Annotated[
    Literal["result", "claims", "baseline"],
    typer.Argument(metavar="[DOCUMENT]", help="What --schema is of: result, claims (report --claims), baseline."),
]


def doctor(
    document: Document = "result",
    suite: Annotated[
        str | None,
        typer.Option("--suite", metavar="NAME|FILE", help="Kill a training of this suite and prove that it resumes."),
    ] = None,
    opt: Annotated[
        str | None, typer.Option("--opt", metavar="NAME", help="The optimizer of that training. [default: adam_cm]")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", min=4, help="The length of that training. [default: 60]")
    ] = None,
    set_: Set = None,
    device: Device = None,
    data_dir: DataDir = None,
    schema: Annotated[bool, typer.Option("--schema", help="Only print the JSON Schema of DOCUMENT.")] = False,
    json: Json = False,
) -> None:
    """Say what this machine offers; with --suite, prove that a killed training resumes bit for bit."""
    if schema:
        print(json_module.dumps(_schema(document), indent=1, ensure_ascii=False))
        return
    from cmbench.errors import UserError
    from cmbench.experiments.environment import compiler, environment, pick_device
    from cmbench.optim.trial import is_available
    from cmbench.workloads.registry import WORKLOADS, get_workload

    if not suite and (opt or steps or set_):
        raise UserError("--opt, --steps and --set belong to a training: accepted: with --suite")
    target = pick_device(device)
    found = environment(str(target)) | {"compiler": compiler(), "native": is_available("adam", "cm")}
    found["data"] = {name: get_workload(name, data_dir=data_dir).is_here() for name in WORKLOADS}
    proof = None
    if suite:
        from cmbench.training.proof import prove_resume

        arguments = ["--suite", suite, "--opt", opt or "adam_cm", "--seed", "0"]
        arguments += [part for value in set_ or () for part in ("--set", value)]
        for option, value in (("--device", device), ("--data-dir", data_dir)):
            arguments += [option, str(value)] if value is not None else []
        proof = prove_resume(arguments, steps or 60)
    if json:
        from dataclasses import asdict

        print(json_module.dumps(found | {"resume": proof and asdict(proof)}, indent=1, ensure_ascii=False))
    else:
        _print(found)
        if proof:
            print(f"resume    {proof.run}: {proof.steps} steps, killed after {proof.killed_after}: ", end="")
            same = f"the same bits in {proof.compared} numbers and {proof.parameters:,} weights"
            print(f"DIFFERENT in {', '.join(proof.differences)}" if proof.differences else same)
    if proof and proof.differences:
        raise typer.Exit(3)


def _schema(document: str) -> dict[str, Any]:
    """The JSON Schema of a document that cmbench writes."""
    from pydantic import BaseModel

    model: type[BaseModel]
    if document == "claims":
        from cmbench.report.formats.claims_json import ClaimsDocument as model
    elif document == "baseline":
        from cmbench.report.compare.sides import Side as model
    else:
        from cmbench.experiments.result import Result as model
    return model.model_json_schema(by_alias=True, mode="serialization" if document == "baseline" else "validation")


def _print(found: dict[str, Any]) -> None:
    commit = f" ({found['git_commit'][:10]})" if found["git_commit"] else ""
    data = found["data"]
    native = "by a C function on a CPU" if found["native"] else "not by a C function: no compiler, or switched off"
    for name, text in {
        "cmbench": f"{found['cmbench']}{commit}, Python {found['python']}, torch {found['torch']}",
        "device": f"{found['device']} of {found['platform']}, {found['cpu']}, {found['threads']} threads",
        "compiler": found["compiler"] or "none for torch.compile",
        "fused": native,
        "data": f"here: {', '.join(name for name, here in data.items() if here)}",
        "": f"not here: {', '.join(name for name, here in data.items() if not here)} (cmbench data prepare NAME)",
    }.items():
        print(f"{name:9} {text}")
