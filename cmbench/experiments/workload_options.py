"""The two ways in which a suite writes its workload: by its name, or as a mapping of its name and options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cmbench.errors import UserError


def split_workload(content: dict[str, Any], where: str, origin: Mapping[str, str]) -> None:
    """Puts the options of `workload: {name: NAME, OPTION: VALUE}` under a key of their own, beside the name.

    Which options and values a workload accepts is its own affair. Raises `UserError` where the name is missing, or the
    options stand elsewhere.
    """
    if "options" in content:
        source = next((f" (from {text})" for key, text in origin.items() if key.partition(".")[0] == "options"), "")
        raise UserError(f"{where}: options{source}: accepted: workload: {{name: NAME, OPTION: VALUE}}")
    written = content.get("workload")
    if isinstance(written, dict):
        if "name" not in written:
            raise UserError(f"{where}: workload.name: missing; accepted: workload: {{name: NAME, OPTION: VALUE}}")
        content["options"] = {str(key): value for key, value in written.items() if key != "name"}
        content["workload"] = written["name"]


def joined_workload(document: dict[str, Any]) -> None:
    """Writes the workload and its options, where there are any, as a suite's file does."""
    if options := document.pop("options", None):
        document["workload"] = {"name": document["workload"], **options}
