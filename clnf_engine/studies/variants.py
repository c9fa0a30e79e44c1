"""Variants and starts: the ways to fit a face, and the identity of all that makes a fit.

A fit is known by what it depends on, never by its place in a list: the bytes of its image, the numbers of its model,
all its options, its start, and the version of the engine's arithmetic.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Self

from clnf_engine.errors import OptionsError, StudyError
from clnf_engine.io.validator_file import validator_bytes
from clnf_engine.library import find_model, load_model, shipped_models
from clnf_engine.model import Model
from clnf_engine.options import DetectionOptions, FitOptions, SearchOptions, TrackOptions, option_defaults
from clnf_engine.presets import PROGRAMS, preset

ARITHMETIC = 1
"""Raised whenever the engine gives other numbers for the same fit: rows of before are then made again."""

_KINDS: tuple[type[Any], ...] = (FitOptions, DetectionOptions, SearchOptions, TrackOptions)

AXES = ("model", "preset", *(name for kind in _KINDS for name in option_defaults(kind)))
"""Everything that a variant can differ in."""

_MAX_MODELS = 64
"""That a process keeps; a study of more reads them again and again."""

_START = re.compile(
    r"(?P<kind>detector|box|landmarks)(:(?P<amount>[0-9.]+)(:(?P<degrees>[0-9.]+))?(#(?P<seed>[0-9]{1,9}))?)?"
)


def digest(*values: object) -> str:
    """A name of plain JSON values, 32 hexadecimal digits."""
    return hashlib.blake2b(canonical(values).encode(), digest_size=16).hexdigest()


def canonical(value: object) -> str:
    """JSON that is the same text for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


# --- variants ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StudyModel:
    """A model, and where every process finds it.

    Attributes
    ----------
    name : str
    path : str
        Its main file; of a shipped model its name, which is found wherever this program is installed.
    fingerprint : str
        `Model.fingerprint`: of all numbers that a fit depends on.
    around : str
        A digest of its parts and its validator, on which `detect` depends; "" when it has none.
    """

    name: str
    path: str
    fingerprint: str
    around: str = ""

    @property
    def key(self) -> str:
        """What tells it from other models."""
        return f"{self.fingerprint}-{self.around[:8]}" if self.around else self.fingerprint

    @classmethod
    def of(cls, path_or_name: str | None = None) -> Self:
        """The model that `load_model` would load.

        Raises
        ------
        ModelFileError
            When there is none.
        """
        main = find_model(path_or_name).resolve()
        shipped = [name for name, folder in shipped_models().items() if folder.resolve() == main.parent]
        path = shipped[0] if shipped else str(main)
        model = _loaded(path)
        return cls(shipped[0] if shipped else model.name, path, model.fingerprint, _around(model))

    def load(self) -> Model:
        """The model itself, which a process reads once.

        Raises
        ------
        StudyError
            When what is found there is another model.
        ModelFileError
            When nothing is.
        """
        model = _loaded(self.path)
        if (model.fingerprint, _around(model)) != (self.fingerprint, self.around):
            raise StudyError(
                f"{self.path}: a model of fingerprint {model.fingerprint}; expected {self.fingerprint}, or other parts"
            )
        return model


@lru_cache(maxsize=_MAX_MODELS)
def _loaded(path: str) -> Model:
    return load_model(path)


@lru_cache(maxsize=_MAX_MODELS)
def _around(model: Model) -> str:
    if not model.parts and model.validator is None:
        return ""
    parts = [[part.name, part.landmark_pairs.tolist(), part.model.fingerprint] for part in model.parts]
    validator = b"" if model.validator is None else validator_bytes(model.validator)
    return digest(parts, hashlib.sha256(validator).hexdigest())


@dataclass(frozen=True)
class Variant:
    """One way to fit.

    Attributes
    ----------
    name : str
    model : StudyModel
    fit : FitOptions
    detection : DetectionOptions or None
        What is done around a fit; None where nothing is.
    search : SearchOptions
        How the detector looks for faces.
    tracking : TrackOptions
        How a face is followed through a video.
    """

    name: str
    model: StudyModel
    fit: FitOptions = field(default_factory=FitOptions)
    detection: DetectionOptions | None = None
    search: SearchOptions = field(default_factory=SearchOptions)
    tracking: TrackOptions = field(default_factory=TrackOptions)

    @classmethod
    def of(cls, texts: Iterable[str] = (), name: str = "", model: str | None = None) -> Self:
        """A variant from texts such as ``sigma=2``, ``preset=openface-wild``, ``model=portrait68`` or ``parts=on``.

        Parameters
        ----------
        texts : iterable of str
            Later ones win; a preset comes before all options.
        name : str
            The texts by default; "baseline" where there are none.
        model : str, optional
            Main file, folder or name of a shipped model, where no text names one.

        Raises
        ------
        OptionsError
            For an unknown name or an impossible value.
        ModelFileError
            When the model cannot be used.
        """
        chosen: dict[str, str] = {}
        for text in texts:
            key, equals, value = (part.strip() for part in text.partition("="))
            if not equals:
                raise OptionsError(f"option {text!r}: expected key=value")
            if key not in AXES:
                raise OptionsError(f"there is no option {key!r}; expected one of {', '.join(AXES)}")
            chosen.pop(key, None)
            chosen[key] = value
        name = name or " ".join(f"{key}={value}" for key, value in chosen.items()) or "baseline"
        path, start = chosen.pop("model", model), chosen.pop("preset", "openface")

        def changed(kind: type[Any]) -> list[str]:
            return [f"{key}={value}" for key, value in chosen.items() if key in option_defaults(kind)]

        program = PROGRAMS.get(start)
        detection = DetectionOptions(parts=False, validate=False) if program is None else program.detection
        detection = detection.with_text(changed(DetectionOptions))
        around = detection.parts or detection.hypotheses or detection.validate
        return cls(
            name,
            StudyModel.of(path),
            preset(start).with_text(changed(FitOptions)),
            detection if around else None,
            (SearchOptions() if program is None else program.search).with_text(changed(SearchOptions)),
            (TrackOptions() if program is None else program.tracking).with_text(changed(TrackOptions)),
        )

    @cached_property
    def id(self) -> str:
        """The same for variants that fit the same way, whatever they are called."""
        model = [self.model.fingerprint, "" if self.detection is None else self.model.around]
        return digest(model, *(None if options is None else options.to_json() for options in self._options))

    @property
    def _options(self) -> tuple[FitOptions, DetectionOptions | None, SearchOptions, TrackOptions]:
        return self.fit, self.detection, self.search, self.tracking

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON values, every option named; `from_json` reads them back.

        Returns
        -------
        dict
        """
        return {
            "name": self.name,
            "id": self.id,
            "model": self.model.key,
            "fit": self.fit.to_json(),
            "detection": None if self.detection is None else self.detection.to_json(),
            "search": self.search.to_json(),
            "tracking": self.tracking.to_json(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], models: Mapping[str, StudyModel]) -> Self:
        """A variant from `to_json`'s form.

        Parameters
        ----------
        values : mapping
        models : mapping of str to StudyModel
            By their keys.

        Returns
        -------
        Variant

        Raises
        ------
        OptionsError
            For an option that is none.
        KeyError, TypeError
            When something is missing or of another kind.
        """
        detection = values["detection"]
        return cls(
            str(values["name"]),
            models[values["model"]],
            FitOptions.from_json(values["fit"]),
            None if detection is None else DetectionOptions.from_json(detection),
            SearchOptions.from_json(values["search"]),
            TrackOptions.from_json(values["tracking"]),
        )


def grid(axes: Iterable[str], common: Sequence[str] = (), model: str | None = None) -> tuple[Variant, ...]:
    """All combinations of some values of some options.

    Parameters
    ----------
    axes : iterable of str
        ``sigma=1,1.5,2``: an option and its values; those of a list option are parted by slashes:
        ``windows=11,9,7,5/9,7,5``. The first axis changes most slowly.
    common : sequence of str
        What all have in common, as for `Variant.of`.
    model : str, optional
        Of all that name none.

    Returns
    -------
    tuple of Variant
        Named by their values on the axes and what they have in common; just one without axes.

    Raises
    ------
    OptionsError, ModelFileError
        As `Variant.of`.

    Examples
    --------
    >>> from clnf_engine import grid
    >>> for variant in grid(["sigma=1,2", "normalization=none,peak"]):
    ...     print(variant.name)
    sigma=1 normalization=none
    sigma=1 normalization=peak
    sigma=2 normalization=none
    sigma=2 normalization=peak
    """
    lists: list[list[str]] = []
    for text in axes:
        key, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not values:
            raise OptionsError(f"axis {text!r}: expected an option and its values, key=value,value,…")
        if key in [axis[0].partition("=")[0] for axis in lists]:
            raise OptionsError(f"axis {text!r}: there is one of {key} already; expected all its values in one")
        apart = "/" if any(isinstance(option_defaults(kind).get(key), tuple) for kind in _KINDS) else ","
        lists.append([f"{key}={value.strip()}" for value in values.split(apart)])
    return tuple(
        Variant.of([*common, *texts], " ".join([*texts, *common]), model) for texts in itertools.product(*lists)
    )


# --- starts -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Start:
    """Where fits start.

    Attributes
    ----------
    kind : str
        ``detector``: every face that is found, with true landmarks the one that overlaps them most; ``box``: the box
        around the true landmarks; ``landmarks``: the true landmarks.
    amount : float
        Perturbation, as of `clnf_engine.initial.perturbed`: a share of the face; 0 for none.
    degrees : float
        The same, of each Euler angle.
    seed : int
        Of the perturbation. What is drawn depends on it, the study's seed and the image, never on the order of files.
    """

    kind: str = "detector"
    amount: float = 0.0
    degrees: float = 0.0
    seed: int = 0

    @classmethod
    def of(cls, text: str) -> Self:
        """A start from its name.

        Parameters
        ----------
        text : str
            ``detector``, ``box``, ``landmarks``, or perturbed: ``box:0.1``, ``box:0.1:10#3``.

        Returns
        -------
        Start

        Raises
        ------
        OptionsError
            For another text.
        """
        match = _START.fullmatch(text.strip())
        try:
            values = {key: value for key, value in (match.groupdict() if match else {}).items() if value is not None}
            start = cls(
                values["kind"],
                float(values.get("amount", 0)),
                float(values.get("degrees", 0)),
                int(values.get("seed", 0)),
            )
        except (KeyError, ValueError):
            start = None
        if start is None or not (start.amount < 1 and start.degrees <= 180):
            raise OptionsError(
                f"start {text!r}: expected detector, box or landmarks, perturbed as box:SHARE:DEGREES#SEED, with a "
                "share below 1 and at most 180 degrees"
            )
        return start

    @property
    def perturbed(self) -> bool:
        """Whether anything is drawn at random."""
        return bool(self.amount or self.degrees)

    @property
    def name(self) -> str:
        """As `of` reads it."""
        if not self.perturbed:
            return self.kind
        turned = f":{self.degrees:g}" if self.degrees else ""
        return f"{self.kind}:{self.amount:g}{turned}#{self.seed}"

    def seed_for(self, image: str, seed: int) -> int | None:
        """What `clnf_engine.perturbed` is seeded with at an image.

        Parameters
        ----------
        image : str
            The sha256 of its bytes.
        seed : int
            Of the study.

        Returns
        -------
        int or None
            0 to 2³² − 1; None if not perturbed.
        """
        return int(digest("start", image, seed, self.seed)[:8], 16) if self.perturbed else None
