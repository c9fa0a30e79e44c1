"""CLNF face-landmark fitting as a stream of immutable steps.

>>> from clnf_engine import fit, initials_from_detector, load_model, sample
>>> model, gray = load_model(), sample("portrait").gray
>>> trace = fit(gray, model, initials_from_detector(model, gray)[0])
>>> trace.landmarks.shape, trace.message
((68, 2), 'done')

The public names are those in ``__init__.pyi``. Each is imported when it is first used.
"""

from __future__ import annotations

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Read the stub when the first public name is asked for; `clnf --help` asks for none, and need not wait for it."""
    from lazy_loader import attach_stub  # noqa: PLC0415

    lazy = dict(zip(("__getattr__", "__dir__", "__all__"), attach_stub(__name__, __file__), strict=True))
    globals().update(lazy)
    return lazy[name] if name in lazy else lazy["__getattr__"](name)


def __dir__() -> list[str]:
    """The public names."""
    return list(__getattr__("__all__"))
