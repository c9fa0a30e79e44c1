"""What ``clnf fit`` and ``clnf track`` may do around a fit: parts, hypotheses, validation."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from clnf_engine.commandline.arguments import complain, texts_for
from clnf_engine.errors import ClnfError
from clnf_engine.options import DetectionOptions
from clnf_engine.presets import PROGRAMS

if TYPE_CHECKING:
    from clnf_engine.model import Model


def add_detection_choices(command: argparse.ArgumentParser) -> None:
    """Add what is done around a fit."""
    command.add_argument("--parts", action="store_true", help="refine the fit with the model's parts, except eyes")
    command.add_argument("--eyes", action="store_true", help="with its eyes, too: 28 landmarks each")
    command.add_argument("--hypotheses", action="store_true", help="try five rotations, and keep the likeliest fit")
    command.add_argument("--validate", action="store_true", help="let the model's validator tell what is no face")


def chosen_detection(args: argparse.Namespace, *kinds: type[Any]) -> DetectionOptions | None:
    """What to do around a fit; None when it is a fit and nothing else. -O takes options of these kinds."""
    texts = texts_for(DetectionOptions, args.option, *kinds)
    asked = {
        "parts": args.parts or args.eyes,
        "eye_parts": args.eyes,
        "hypotheses": args.hypotheses,
        "validate": args.validate,
    }
    if args.preset in PROGRAMS:
        base = PROGRAMS[args.preset].detection
    elif any(asked.values()) or texts:
        base = DetectionOptions(parts=False, validate=False)
    else:
        return None
    return replace(base, **{name: True for name, on in asked.items() if on}).with_text(texts)


def check_model(model: Model, args: argparse.Namespace, detection: DetectionOptions | None) -> None:
    """Say what of a model cannot be used.

    Raises
    ------
    ClnfError
        When the model lacks what an argument asks for.
    """
    if detection is None:
        return
    from clnf_engine.detection.parts import EYES

    names = {part.name for part in model.parts}
    reasons = "".join(f"; {problem}" for problem in model.problems)
    for flag, what, there in (
        ("parts", "parts besides eyes", names - set(EYES)),
        ("eyes", "parts of the eyes", names & set(EYES)),
        ("validate", "validator", model.validator),
    ):
        if getattr(args, flag) and not there:
            raise ClnfError(f"--{flag}: {model.name} has no {what} that can be used{reasons}")
    for problem in model.problems:
        complain(f"{problem}; it is left out")
