"""The ``clnf`` command, from its first moment: little is imported here, so that Ctrl-C ends it quietly even then."""

from __future__ import annotations

# Without the enumerations of `signal`, for which much of Python would be imported.
import _signal as signal  # type: ignore[import-not-found]
import os
import sys

_INTERRUPTED = 130
"""What a shell reports for a command that SIGINT ended."""


def main() -> int:
    """Run the command; returns its exit code."""
    _open_standard_streams()
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    def unraisable(problem: sys.UnraisableHookArgs) -> None:
        """An interruption that came where nothing can be raised comes again."""
        if problem.exc_type is KeyboardInterrupt:
            signal.raise_signal(signal.SIGINT)
        elif not interrupted:
            sys.__unraisablehook__(problem)

    sys.unraisablehook = unraisable
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else ignored, as by nohup
        signal.signal(signal.SIGINT, interrupt)
    try:
        from clnf_engine.commandline.main import main as command  # noqa: PLC0415

        return command()
    except BaseException:
        if not interrupted:
            raise
        return _INTERRUPTED  # whatever an import or a library made of it
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # while Python ends


def _open_standard_streams() -> None:
    """Open those that are closed, or the next file to be opened would get what is written to them.

    Standard error goes nowhere then; what is written to standard output fails, as it should.
    """
    for descriptor, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flags)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    sys.exit(main())
