"""The error that a user of the command line caused and can mend."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A bad command, suite, data set or checkpoint: its message is shown without a traceback, exit code 2."""


class MissingResults(UserError):
    """Results that were asked for do not exist yet: exit code 4."""


class Unreadable(UserError):
    """A file of our own folders that does not hold what it should: set aside where it can be made again."""


def suggest(given: str, options: Iterable[str]) -> str:
    """`"did you mean 'adam_cm'? "` for a close misspelling of one of `options`, else an empty string."""
    match = get_close_matches(str(given), list(options), n=1, cutoff=0.6)
    return f"did you mean '{match[0]}'? " if match else ""


def unknown(what: str, given: str, options: Iterable[str], where: str = "") -> UserError:
    """The error for a name that is none of `options`: names the place, the value, a suggestion and what is accepted."""
    options = list(options)
    prefix = f"{where}: " if where else ""
    return UserError(f"{prefix}unknown {what} '{given}': {suggest(given, options)}accepted: {', '.join(options)}")
