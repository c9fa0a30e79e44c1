"""The Session: what is looked at, what was chosen and what came of it, as objects of one concern each."""

from clnf_gui.session.session import Session

__all__ = ["Session"]
