"""Aspect: what of a Session has changed; the one thing its signals say."""

from __future__ import annotations

from enum import Flag, auto


class Aspect(Flag):
    """What of a Session has changed."""

    SOURCE = auto()
    TRUTH = auto()
    START = auto()
    OPTIONS = auto()
    STEPS = auto()
    CURSOR = auto()
    LOOK = auto()
    SELECTION = auto()
    PLAYING = auto()
    BUSY = auto()
    LANES = auto()
    STOPS = auto()
    LAB = auto()
    FRAME = auto()
    """Which frame of a video is shown."""
    TRACK = auto()
    """What is known of the other frames, and whether they are being tracked or played."""
    LIVE = auto()
    """What is heard of a port that is followed."""
    STUDY = auto()
    """What is looked at of a study."""


ALL_ASPECTS = ~Aspect(0)
