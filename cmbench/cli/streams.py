"""Output that any terminal, pipe or file can take: what its encoding lacks is written in ASCII."""

from __future__ import annotations

import codecs
import unicodedata
from typing import TextIO

_HANDLER = "cmbench.ascii"
_FORMS = {
    **{"±": "+-", "−": "-", "–": "-", "—": "-", "×": "x", "·": "*", "…": "...", "≤": "<=", "≥": ">=", "≠": "!="},
    **{"↑": "^", "↓": "v", "→": "->", "←": "<-", "∞": "inf", "√": "sqrt", "‖": "||", "∇": "grad ", "≈": "~"},
    **{"α": "alpha", "β": "beta", "γ": "gamma", "ε": "eps", "θ": "theta", "κ": "kappa", "λ": "lambda"},
    **{"ρ": "rho", "φ": "phi", "Δ": "d", "Σ": "sum", "ü": "ue", "ö": "oe", "ä": "ae", "ß": "ss", "✓": "ok", "✗": "x"},
    **dict.fromkeys("─━═╌", "-"),
    **dict.fromkeys("│┃║", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯┏┓┗┛╷╵╶╴", "+"),
    **dict.fromkeys("“”„«»‘’", "'"),
    **dict.fromkeys("▁▂▃▄▅▆▇█▉▊▋▌▍▎▏░▒▓", "#"),
}


def in_ascii(text: str) -> str:
    """`text` with a customary form in ASCII for every character: `±` is `+-`, `é` is `e`, what has none is `?`.

    No sign becomes one that ends a text in JSON or CSV, or begins a tag: what is printed has been escaped before.
    """
    return "".join(map(_form, text))


def _form(character: str) -> str:
    if character.isascii():
        return character
    if character in _FORMS:
        return _FORMS[character]
    form = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return form if form.isalnum() else "?"


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return in_ascii(error.object[error.start : error.end]), error.end


codecs.register_error(_HANDLER, _replaced)


def print_anywhere(stream: TextIO) -> None:
    """From now on `stream` takes every text, whatever its encoding: `PYTHONIOENCODING=ascii`, an old console."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors=_HANDLER)
