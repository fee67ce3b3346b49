"""Suites, command lines, results and checkpoints that nobody has written in earnest."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.campaign._process import _main, outcomes, preload, start
from tests.campaign.attack import Attack, Outcome, deadline
from tests.campaign.kills import PATIENCE, RUNS, _undisturbed
from tests.campaign.mutations import mutated

HANG = 10.0
CANARY = "executed"
MEMORY = 12 * 2**30
"""Bytes of address space: what a suite or a file makes a command ask for beyond them is a failure."""
PLAIN = ("Traceback (most recent call last)", "a fault of cmbench")

TEXTS = ["", "x", "adam", "adam_cm", "wine", "levy", "nan", "inf", "-1", "1e400", "%s{}$(touch executed)", "../../x",
         "\x1b[2J", "ä" * 300, "[", "null", "~", "!!python/object/apply:os.system [touch executed]", "a b", "0x10",
         "`touch executed`", "os:system", "./x.py:f", ":", "::", "+", "torch.optim:Adam+sam+cm", "\u202e",
         "\x00"]  # fmt: skip
NUMBERS = [0, 1, -1, 2, 3, 0.5, 1e-3, 1e308, 1e-320, -0.0, 10**30, 2**63, 2**64, float("inf"), float("nan"), True]
VALUES = st.recursive(
    st.sampled_from([*TEXTS, *NUMBERS, None]) | st.text(max_size=8) | st.floats() | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(TEXTS), inner, max_size=3),
    max_leaves=8,
)


def _cli(arguments: Sequence[object], folder: Path) -> tuple[int | str, str]:
    """Exit code and both streams of a command in this process; what escaped from it in place of a code."""
    out, here = io.StringIO(), os.getcwd()
    os.chdir(folder)
    try:
        with redirect_stdout(out), redirect_stderr(out), deadline(HANG):
            code: int | str = _main(arguments)
    except BaseException as error:
        code = f"{type(error).__name__}: {error}"
    finally:
        os.chdir(here)
    return code, out.getvalue()


def _lost(code: int | str | None, text: str, folder: Path, allowed: Sequence[int], how: str) -> str | None:
    problem = None
    if code not in allowed:
        problem = f"ended with {code}"
    elif any(trace in text for trace in PLAIN):
        problem = "a traceback"
    elif list(folder.rglob(CANARY)):
        problem = "something was executed"
        for file in folder.rglob(CANARY):
            file.unlink()
    return f"{problem}: {how}: {text[-600:]}" if problem else None


def suites_by_mutation(rng: random.Random, folder: Path) -> Iterator[Outcome]:
    """The suites that ship, with lines and bytes changed."""
    from cmbench.experiments.suite import builtin_suites

    texts = [path.read_bytes() for path in builtin_suites().values()]
    while True:
        content = rng.choice(texts)
        if rng.random() < 0.7:  # whole values, so that it stays YAML
            lines = content.decode().splitlines()
            for _ in range(rng.randint(1, 4)):
                at = rng.randrange(len(lines))
                key, colon, _ = lines[at].partition(":")
                value = rng.choice([*TEXTS, *map(repr, NUMBERS), "[1, 2]", "{a: 1}", "[[[[", "*a", "&a [*a, *a]"])
                lines[at] = rng.choice([f"{key}{colon} {value}", "", lines[at] * 2, f"{value}: {value}", lines[at - 1]])
            content = "\n".join(lines).encode("utf-8", "surrogatepass")
        else:
            content = mutated(content, rng, folder / CANARY)
        (folder / "mine.yaml").write_bytes(content)
        code, text = _cli(["suites", "mine.yaml"], folder)
        yield Outcome(_lost(code, text, folder, (0, 2), repr(content)), "accepted" if code == 0 else "refused")


_OPTIMIZERS = {"adam": {"lr": 0.1}, "adam_cm": {"capacity": 3}}
BASES: dict[str, dict[str, Any]] = {
    "train": {"workload": "wine", "epochs": 2, "batch_size": 16, "optimizers": _OPTIMIZERS, "description": "x"},
    "toy": {"surface": "levy", "starts": 2, "steps": 3, "optimizers": _OPTIMIZERS, "description": "x"},
    "escape-ratio": {"sharpness": [2, 5], "starts": 2, "steps": 3, "optimizers": _OPTIMIZERS, "description": "x"},
    "sharpness": {"of": "wine", "description": "x"},
    "convergence": {"condition_numbers": [1, 10], "description": "x"},
}


def suites_by_hypothesis(rng: random.Random, folder: Path) -> Iterator[Outcome]:
    """Suites whose keys are those that there are, and whose values are anything."""
    import yaml

    from cmbench.experiments.settings import SUITE_TYPES

    kinds = [
        st.builds(
            lambda base, changed: base | changed,
            st.just(BASES[kind] | {"kind": kind}),
            st.dictionaries(
                st.sampled_from([name for name in suite.model_fields if name != "kind"]), VALUES, max_size=2
            ),
        )
        for kind, suite in SUITE_TYPES.items()
    ]
    changes = st.tuples(st.sampled_from(["epochs", "lr", "optimizers.adam.lr"]), VALUES)
    strategy = st.tuples(st.one_of(*kinds), st.lists(changes, max_size=2))
    while True:
        for document, sets in _examples(strategy, rng.getrandbits(60)):
            text = yaml.safe_dump(document, allow_unicode=True)
            (folder / "mine.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
            options = [part for key, value in sets for part in ("--set", f"{key}={value}")]
            code, told = _cli(["suites", "mine.yaml", *options], folder)
            where = "accepted" if code == 0 else "refused"
            yield Outcome(_lost(code, told, folder, (0, 2), repr((document, options))), where)


def _examples(strategy: st.SearchStrategy[Any], number: int) -> list[Any]:
    """A hundred of what the strategy gives."""
    found: list[Any] = []

    @seed(number)
    @settings(max_examples=100, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(strategy)
    def collect(example: Any) -> None:
        found.append(example)

    collect()
    return found


BOUNDED = {
    "train": ["--set", "epochs=1", "--set", "max_steps=2", "--seeds", "1"],
    "toy": ["--starts", "2", "--steps", "3"],
    "escape-ratio": ["--starts", "2", "--steps", "3"],
    "convergence": ["--capacity", "1", "--set", "condition_numbers=[1, 10]"],
    "sweep": ["--trials", "1", "--set", "epochs=1", "--set", "max_steps=2"],
}


def command_lines(rng: random.Random, folder: Path) -> Iterator[Outcome]:
    """Commands with any of their options, and anything for a value."""
    preload()
    import typer.main

    from cmbench.cli.main import app

    group: Any = typer.main.get_command(app)
    home = folder / "home"
    process = start((*RUNS, "--opt", "adam"), home)
    assert process.wait(PATIENCE) == 0, process.stderr
    while True:
        name = rng.choice(list(group.commands))
        command, arguments = group.commands[name], [name]
        if hasattr(command, "commands"):
            sub = rng.choice(list(command.commands))
            command, arguments = command.commands[sub], [name, sub]
        known = [
            p for p in command.params if p.opts[0].startswith("-") and not {*p.opts} & {"--watch", "--on", "--slurm"}
        ]
        for parameter in rng.sample(known, min(len(known), rng.randint(0, 4))):
            arguments.append(rng.choice(parameter.opts))
            if not getattr(parameter, "is_flag", False):
                arguments.append(_value(rng, parameter))
        if rng.random() < 0.3:
            arguments.insert(rng.randrange(1, len(arguments) + 1), rng.choice([t for t in TEXTS if "\x00" not in t]))
        if "--suite" not in arguments and name in ("train", "sweep", "plan"):
            arguments += ["--suite", "wine"]
        arguments += BOUNDED.get(name, [])  # the last one counts
        process = start(arguments, home, memory=MEMORY)
        code = process.wait(HANG * 3)
        text = process.stdout + process.stderr
        lost = _lost(code, text, home, (0, 1, 2, 3, 4), repr(arguments))
        shutil.rmtree(process._out, ignore_errors=True)
        yield Outcome(lost, f"exit code {code}")


def _value(rng: random.Random, parameter: Any) -> str:
    choices = getattr(parameter.type_descriptor.annotation, "__args__", ())
    pool = [*TEXTS, *map(str, NUMBERS), "results", "digits", "table2", "1,2", "1-3", "wine/adam", "cpu", "cuda:7"]
    pool += ["epochs=1", "lr=0.1", "lr=x", "optimizers.adam.lr=nan", "a.b.c=1", "=", "epochs=[1", "capacity=1e9"]
    if choices and all(isinstance(choice, str) for choice in choices) and rng.random() < 0.7:
        pool = list(choices)
    if {"--out", "--plot", "--html", "--show-surface", "--save", "--page"} & {*parameter.opts}:
        pool = ["results", "other", "p.png", "nowhere/at/all/x.png", "/proc/x", "", ".", "x" * 300, "/dev/full"]
    return rng.choice([text for text in pool if "\x00" not in text])


class _Runs:
    """What a pickle looks like that runs a command when it is loaded."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (f"touch {CANARY}",)


OF_EVERY_KIND = (
    (*RUNS, "--opt", "adam"),
    ("sharpness", "wine/adam", "--set", "examples=20"),
    ("toy", "--suite", "levy", "--opt", "adam_cm", "--opt", "sgd", "--starts", "3", "--steps", "20"),
    ("escape-ratio", "--dim", "1", "--opt", "adam_cm", "--opt", "adam", "--starts", "3", "--steps", "20"),
    ("convergence", "--capacity", "0,1", "--set", "condition_numbers=[2, 10]"),
)


def results(rng: random.Random, folder: Path) -> Iterator[Outcome]:
    """A folder of results of every kind, of which one is changed, and the commands that read them."""
    preload()
    home = folder / "home"
    for line in OF_EVERY_KIND:
        process = start(line, home)
        assert process.wait(PATIENCE) == 0, process.stderr
        shutil.rmtree(process._out)
    whole = {path: path.read_bytes() for path in sorted((home / "results").rglob("*.json"))}
    kinds = sorted({path.parts[-3] for path in whole})
    shutil.copytree(home / "results", home / "before")
    while True:
        kind = rng.choice(kinds)
        path = rng.choice([path for path in whole if path.parts[-3] == kind])
        content = mutated(whole[path], rng, home / CANARY) if rng.random() < 0.3 else _changed(rng, whole[path])
        path.write_bytes(content)
        line = rng.choice(
            ["report", "report --json", "report --format csv", "report --claims", "compare before results", "plan",
             "gc --dry-run", f"sharpness {path.relative_to(home)} --set examples=5", f"report --suite {kind}",
             "report --html page.html", "report --plot figures"]
        )  # fmt: skip
        code, text = _cli(line.split(), home)
        path.write_bytes(whole[path])
        yield Outcome(_lost(code, text, home, (0, 1, 2, 3, 4), f"{line}: {content!r}"), line.split()[0])


def _changed(rng: random.Random, content: bytes) -> bytes:
    """A result with one of its values, at any depth, replaced by any other."""
    document = json.loads(content)
    node: Any = document
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            break
        key = rng.choice(keys)
        if isinstance(node[key], (dict, list)) and node[key] and rng.random() < 0.8:
            node = node[key]
            continue
        how = rng.random()
        if how < 0.2 and isinstance(node, dict):
            del node[key]
        else:
            node[key] = rng.choice([*TEXTS, *NUMBERS, None, [], {}, [None], {"x": 1}, [[[]]]])
        break
    return json.dumps(document).encode()


def checkpoints(rng: random.Random, folder: Path) -> Iterator[Outcome]:
    """The checkpoint of a run that was stopped is changed: the run goes on with the same bits, or begins anew."""
    import torch

    line = (*RUNS[:3], "--opt", "adam_cm", "--seeds", "1", "--threads", "1", *RUNS[-4:])
    truth = _undisturbed(folder / "truth", line)
    home = folder / "home"

    def stop_early() -> None:
        from cmbench.training import trainer

        make = trainer._Run._make_steps

        def made(self: Any, epoch: int) -> Any:
            if epoch == 5:
                os._exit(9)
            return make(self, epoch)

        trainer._Run._make_steps = made  # type: ignore[method-assign]

    process = start(line, home, stop_early)
    assert process.wait(PATIENCE) == 9, process.stderr
    (path,) = (home / "results").rglob("*.resume.pt")
    whole = path.read_bytes()
    shutil.copytree(home / "results", folder / "stopped")
    while True:
        shutil.rmtree(home)
        shutil.copytree(folder / "stopped", home / "results")
        how = rng.choice(["bytes", "bytes", "values", "pickle", "hostile"])
        if how == "bytes":
            path.write_bytes(mutated(whole, rng, home / CANARY))
        elif how == "values":
            torch.save(_with_another_value(rng, torch.load(io.BytesIO(whole), weights_only=True)), path)
        elif how == "pickle":
            path.write_bytes(pickle.dumps(_Runs()))
        else:
            torch.save({"learner": _Runs(), "position": {}}, path)
        process = start(line, home, memory=MEMORY)
        code = process.wait(PATIENCE)
        lost = _lost(code, process.stdout + process.stderr, home, (0,), f"a checkpoint changed by {how}")
        if not lost and how != "values" and outcomes(home / "results") != truth:
            lost = f"a checkpoint changed by {how}: other bits"
        anew = list(home.rglob("*.bad"))
        yield Outcome(lost, "set aside, and anew" if anew else "went on")


def _with_another_value(rng: random.Random, document: Any) -> Any:
    node = document
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = rng.choice(keys)
        if isinstance(node[key], (dict, list)) and node[key] and rng.random() < 0.8:
            node = node[key]
            continue
        if rng.random() < 0.3 and isinstance(node, dict):
            del node[key]
        else:
            import torch

            node[key] = rng.choice([None, "x", -1, 10**12, float("nan"), [], {}, torch.zeros(2), torch.zeros(0)])
        return document


KEPT = "read, or named in a sentence; no traceback, nothing executed, nothing over 10 s"
ATTACKS = (
    Attack("Suites, mutated", KEPT, 5000, suites_by_mutation),
    Attack("Suites, by hypothesis", KEPT, 5000, suites_by_hypothesis),
    Attack("Command lines", KEPT, 5000, command_lines),
    Attack("Results, mutated", KEPT, 1000, results),
    Attack("Checkpoints, mutated", f"{KEPT}; the run has the bits of an undisturbed one", 1000, checkpoints),
)
