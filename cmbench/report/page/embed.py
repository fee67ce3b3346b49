"""Puts foreign text into the page so that it stays text: in HTML, and in the JSON that the page's program reads."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from typing import Any


def text(value: object) -> str:
    """`value` as the text of an element or of a quoted attribute."""
    return html.escape(str(value), quote=True)


def data(value: Any) -> str:
    """`value` as JSON that ends no `<script>` and breaks no line, whatever its strings hold.

    Raises `ValueError` for a number that is not finite.
    """
    found = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        found = found.replace(character, f"\\u{ord(character):04x}")
    return found


def fingerprint(script: str) -> str:
    """What a Content-Security-Policy calls a script that may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
