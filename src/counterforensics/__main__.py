"""`python -m counterforensics`, and what the script of that name calls: the command line, from its first moment."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130  # what a shell says of a program that Ctrl-C ended
STOPPED = "stopped; finished work is kept, and the same command resumes it"


def main() -> None:
    """Run the command line. Ctrl-C ends it in one line, while it loads as well as later; a second one at once.

    Whoever starts it in the background of a shell has Ctrl-C ignored, and it stays so.
    """
    atexit.register(gc.freeze)  # else Python looks through all that was loaded before it ends: a quarter of a second
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        from counterforensics import cli

        cli.main()
    except KeyboardInterrupt:
        print(f"counterforensics: {STOPPED}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    finally:
        if signal.getsignal(signal.SIGINT) is _interrupt:
            signal.signal(signal.SIGINT, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """The first Ctrl-C: what is under way is put in order, and then it ends."""
    signal.signal(signal.SIGINT, _leave_at_once)
    raise KeyboardInterrupt


def _leave_at_once(number: int, frame: FrameType | None) -> None:
    """The second one: nobody waits for the tasks that still run. The store takes none of them as finished."""
    os.write(2, f"counterforensics: {STOPPED}\n".encode())
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
