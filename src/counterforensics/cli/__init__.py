"""The command line. Thin: it reads what was asked, calls the library and prints."""

from __future__ import annotations

import io
import sys
import warnings
from typing import Annotated, NoReturn, Protocol, runtime_checkable

import typer

from counterforensics import __version__, names
from counterforensics.__main__ import INTERRUPTED, STOPPED
from counterforensics.cli import beginnings, leaderboard, parts, photographs, platforms, stores, studies
from counterforensics.cli.screen import (
    broken_said,
    print_lines,
    say_broken_plug_ins,
)
from counterforensics.errors import CounterforensicsError, SlowStartWarning, place_of, printable, reason_of

LONGEST_LINE = 2000  # letters of a message

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Measure how image manipulation detectors hold up against attacks that hide the traces.",
)
for group in (studies, leaderboard, photographs, platforms, parts):
    app.add_typer(group.commands)
app.add_typer(beginnings.new, name="new")
app.add_typer(stores.store, name="store")


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        print_lines([__version__])
        raise typer.Exit


@runtime_checkable
class _Complaint(Protocol):
    """What typer's own errors about arguments share: the class that they derive from is not public."""

    def format_message(self) -> str: ...


def main() -> None:
    """The entry point: an error of the user's is one line and exit 2."""
    broken_said.clear()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what the terminal's encoding lacks is shown escaped
    usual = warnings.formatwarning

    def worded(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        ours = issubclass(category, SlowStartWarning)
        return f"counterforensics: {message}\n" if ours else usual(message, category, filename, lineno, line)

    warnings.formatwarning = worded
    try:
        _run_command()
    finally:
        warnings.formatwarning = usual


def _run_command() -> NoReturn:
    """Run what the arguments ask for, and leave with its exit status."""
    try:
        status = app(standalone_mode=False)
    except CounterforensicsError as error:
        _leave(str(error), 2)
    except Exception as error:
        if name := names.plug_in_behind(error):
            _leave(f"the plug-in {name!r} failed: {reason_of(error)} ({place_of(error)})", 2)
        if not isinstance(error, _Complaint):
            raise
        _leave(f"{error.format_message() or 'no command given'} (counterforensics --help shows the commands)", 2)
    if status == INTERRUPTED:
        _leave(STOPPED, INTERRUPTED)
    say_broken_plug_ins()
    sys.exit(status)


def _leave(message: str, status: int) -> NoReturn:
    """Print one line on standard error and end with `status`."""
    line = printable(" ".join(message.split()))
    if len(line) > LONGEST_LINE:  # whatever was given is cut to a readable length
        line = f"{line[: LONGEST_LINE // 2]} ... {line[-LONGEST_LINE // 2 :]}"
    say_broken_plug_ins(besides=line)
    print(f"counterforensics: {line}", file=sys.stderr)
    sys.exit(status)
