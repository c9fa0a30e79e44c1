"""Plan of a study: data × variants × starts, in tasks, less what is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from clnf_engine.errors import StudyError
from clnf_engine.options import FitOptions
from clnf_engine.studies.data import Photo, photos
from clnf_engine.studies.variants import Start, StudyModel, Variant


@dataclass(frozen=True)
class Study:
    """Data, and all ways to fit it.

    Attributes
    ----------
    data : str
        A folder of photos and videos, with all folders in it; a glob; a text file of paths, one per line; one photo or
        video. A ``.pts`` file of the same name beside a photo is its truth.
    variants : tuple of Variant
        Ways to fit; `grid` makes many. Those that are the same count once.
    starts : tuple of Start
        Where each begins.
    seed : int
        Of all that is drawn at random.
    baseline : str
        Name of the variant that the others are compared with; by default one that has the engine's default options, or
        else the first.

    Raises
    ------
    StudyError
        When there is no variant or no start, two have the same name, or none has that of the baseline.

    Examples
    --------
    >>> study = Study("faces", grid(["sigma=1,1.5,2", "normalization=none,peak"]), (Start("box", 0.1),))
    >>> run_study(study, "results")
    """

    data: str
    variants: tuple[Variant, ...]
    starts: tuple[Start, ...] = (Start(),)
    seed: int = 0
    baseline: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", str(Path(self.data).absolute()))
        firsts: dict[str, Variant] = {}
        for variant in self.variants:
            firsts.setdefault(variant.id, variant)
        object.__setattr__(self, "variants", tuple(firsts.values()))
        object.__setattr__(self, "starts", tuple(dict.fromkeys(self.starts)))
        names = [variant.name for variant in self.variants]
        if not names or not self.starts:
            raise StudyError("a study has no variant or no start; expected at least one of each")
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise StudyError(f"two different variants are called {twice[0]!r}; expected another name for one")
        if not 0 <= self.seed < 1 << 31:
            raise StudyError(f"the seed is {self.seed}; expected 0 to {(1 << 31) - 1}")
        if not self.baseline:
            plain = [v.name for v in self.variants if v.fit == FitOptions() and v.detection is None]
            object.__setattr__(self, "baseline", [*plain, names[0]][0])
        if self.baseline not in names:
            raise StudyError(f"there is no variant {self.baseline!r}; expected one of {', '.join(names)}")

    def variant(self, name: str) -> Variant:
        """The variant of a name.

        Parameters
        ----------
        name : str

        Returns
        -------
        Variant

        Raises
        ------
        StudyError
            When there is none.
        """
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise StudyError(f"there is no variant {name!r}; expected one of {', '.join(v.name for v in self.variants)}")

    def named_as(self, other: Study) -> Study:
        """The same study, with the names that another has for the same variants.

        Parameters
        ----------
        other : Study

        Returns
        -------
        Study
        """
        names = {variant.id: variant.name for variant in other.variants}
        variants = tuple(replace(variant, name=names.get(variant.id, variant.name)) for variant in self.variants)
        return replace(self, variants=variants, baseline=names.get(self.variant(self.baseline).id, self.baseline))

    def extended(self, other: Study) -> Study:
        """The study with the variants and starts of another, under the names they have here.

        Parameters
        ----------
        other : Study
            Of the same data.

        Returns
        -------
        Study

        Raises
        ------
        StudyError
            When the other is of other data or has another seed.
        """
        for what in ("data", "seed"):
            if getattr(self, what) != getattr(other, what):
                raise StudyError(
                    f"there is a study of {what} {getattr(self, what)}; expected the same, found {getattr(other, what)}"
                )
        other = other.named_as(self)
        variants, starts = (*self.variants, *other.variants), (*self.starts, *other.starts)
        return replace(self, variants=variants, starts=starts)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `from_json` reads them back.

        Returns
        -------
        dict
        """
        models = {variant.model.key: variant.model for variant in self.variants}
        return {
            "data": self.data,
            "models": [vars(model) for model in models.values()],
            "variants": [variant.to_json() for variant in self.variants],
            "starts": [start.name for start in self.starts],
            "seed": self.seed,
            "baseline": self.baseline,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """A study from `to_json`'s form.

        Parameters
        ----------
        values : mapping

        Returns
        -------
        Study

        Raises
        ------
        ClnfError, KeyError, TypeError, AttributeError
            When it is not of that form.
        """
        models = [StudyModel(**{key: str(value) for key, value in model.items()}) for model in values["models"]]
        return cls(
            str(values["data"]),
            tuple(Variant.from_json(variant, {model.key: model for model in models}) for variant in values["variants"]),
            tuple(Start.of(name) for name in values["starts"]),
            int(values["seed"]),
            str(values["baseline"]),
        )


# --- tasks ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """Some photos, all to be fitted in the same ways.

    Attributes
    ----------
    photos : tuple of Photo
    variants : tuple of Variant
    starts : tuple of Start
    seed : int
        Of the study.
    """

    photos: tuple[Photo, ...]
    variants: tuple[Variant, ...]
    starts: tuple[Start, ...]
    seed: int

    @property
    def ways(self) -> int:
        """Fits per face."""
        return len(self.variants) * len(self.starts)

    @property
    def count(self) -> int:
        """Fits, where every photo has one face."""
        return len(self.photos) * self.ways

    def with_data(self) -> Task:
        """The same with the bytes of its photos, for a process that does not see them."""
        return replace(self, photos=tuple(photo.with_data() for photo in self.photos))

    def split(self) -> tuple[Task, ...]:
        """A task per photo."""
        return tuple(replace(self, photos=(photo,)) for photo in self.photos)


Way = tuple[str, str]
"""Id of a variant, name of a start."""


@dataclass
class Done:
    """What a study has rows of.

    Attributes
    ----------
    ways : dict of image to set of Way
    truths : dict of image to str
        `Photo.truth_digest` of when it was fitted.
    images : dict of path to image
    """

    ways: dict[str, frozenset[Way]] = field(default_factory=dict)
    truths: dict[str, str] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)


def tasks(study: Study, done: Done, size: Callable[[Task], int], stale: Callable[[str], None]) -> Iterator[Task]:
    """What is to be done, found while it is done: no more of the data is looked at than the tasks so far need.

    Parameters
    ----------
    study : Study
    done : Done
    size : callable
        How many photos a task such as this one shall have.
    stale : callable
        Told of an image whose rows are out of date, as its photo or the truth has changed, before it is fitted anew.

    Yields
    ------
    Task
        Photos with bytes that an earlier one had are left out.
    """
    seen: set[str] = set()
    open_tasks: dict[tuple[tuple[Variant, ...], tuple[Start, ...]], Task] = {}
    for photo in photos(study.data):
        if photo.image in seen:
            continue
        seen.add(photo.image)
        old = done.images.get(photo.path, photo.image)
        if old != photo.image:
            stale(old)
        ways = done.ways.get(photo.image, frozenset())
        if ways and done.truths[photo.image] != photo.truth_digest:
            stale(photo.image)
            ways = frozenset()
        for variants, starts in _missing(study, ways):
            if photo.video:  # hours, perhaps
                yield from (Task((photo,), (v,), (s,), study.seed) for v in variants for s in starts)
                continue
            task = open_tasks.pop((variants, starts), Task((), variants, starts, study.seed))
            task = replace(task, photos=(*task.photos, photo))
            if len(task.photos) >= size(task):
                yield task
            else:
                open_tasks[variants, starts] = task
    yield from open_tasks.values()


def _missing(study: Study, ways: frozenset[Way]) -> list[tuple[tuple[Variant, ...], tuple[Start, ...]]]:
    """The ways that are missing, as products of variants and starts."""
    starts_of: dict[tuple[Variant, ...], list[Start]] = {}
    for start in study.starts:
        missing = tuple(variant for variant in study.variants if (variant.id, start.name) not in ways)
        if missing:
            starts_of.setdefault(missing, []).append(start)
    return [(variants, tuple(starts)) for variants, starts in starts_of.items()]
