"""`cmbench new`: a runnable, commented file to begin with."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Annotated, Literal

import typer

What = Literal["optimizer", "workload", "surface", "suite"]
COMMANDS: dict[What, str] = {
    "optimizer": "cmbench train --suite digits --opt adam --opt ./{file}:{class}",
    "workload": "cmbench train --suite digits --workload ./{file}:{name}",
    "surface": "cmbench toy --surface ./{file}:{name} --plot {name}.png",
    "suite": "cmbench train --suite {file}",
}
"""What runs each of them."""


def new(
    what: Annotated[What, typer.Argument(metavar="WHAT", help="What to begin.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, and that of its file.")],
) -> None:
    """Write NAME.py (or NAME.yaml) with a runnable example of an optimizer, a workload, a surface or a suite."""
    from cmbench.errors import UserError

    if not name.isidentifier() or not name.islower():
        raise UserError(f"new {what} {name}: accepted: a name of small letters, digits and underscores")
    ending = ".yaml" if what == "suite" else ".py"
    file = Path(name + ending)
    if file.exists():
        raise UserError(f"{file}: there is such a file already; accepted: another name")
    words = {"name": name, "class": "".join(part.capitalize() for part in name.split("_")), "file": file.name}
    text = (importlib.resources.files("cmbench.cli") / "templates" / f"{what}{ending}.txt").read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace("{{" + word + "}}", value)
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror}") from None
    print(f"{file}; to run it:\n  {COMMANDS[what].format(**words)}")
