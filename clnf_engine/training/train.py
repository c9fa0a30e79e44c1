"""Train a model: all patch experts on all cores, in a work folder from which an interrupted training goes on.

Experts are trained twice. Those of the *split* never see the held-out faces, on which their confidences and the
accuracy of the whole model are measured; those of the result start from them and see all faces.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from clnf_engine.arrays import Floats
from clnf_engine.errors import ClnfError, FileError
from clnf_engine.ibug68 import MIRROR, TRAINED
from clnf_engine.io.calibration_file import calibration_path
from clnf_engine.io.files import atomic_write, exclusive, read_file
from clnf_engine.io.openface import write_model
from clnf_engine.model import Model
from clnf_engine.pdm import PDM
from clnf_engine.training.annotations import Face
from clnf_engine.training.assemble import Experts, assemble
from clnf_engine.training.ccnf import Expert, confidence, train_expert
from clnf_engine.training.crops import sample_crops
from clnf_engine.training.pdm import train_pdm
from clnf_engine.training.processes import Begin, worker_processes
from clnf_engine.training.recipe import FRONTAL, Recipe, View
from clnf_engine.training.views import can_be_turned, has_copies, landmarks_seen, read_copies, write_copies

SPLIT, ALL = "split", "all"
"""Folders, in the work folder, of the experts trained without and with the held-out faces."""

HELD_OUT_FILE = "held_out.txt"
"""Names of the held-out faces, one per line, in the model's folder."""

_MAX_IMAGE_BYTES = 1 << 29
_MAX_EXPERT_BYTES = _MAX_KEY_BYTES = 1 << 24

COPIES = "copies"
"""Folder, in the work folder, of the turned copies that views learn from."""


@dataclass(frozen=True, eq=False)
class Training:
    """The result of a training.

    Attributes
    ----------
    model : Model
        Trained on all faces, read from `main_file`.
    main_file : Path
    split_model : Model
        Trained without the held-out faces.
    held_out : tuple of Face
        The faces that `split_model` has never seen.
    """

    model: Model
    main_file: Path
    split_model: Model
    held_out: tuple[Face, ...]


def train(
    faces: Sequence[Face],
    folder: str | os.PathLike[str],
    recipe: Recipe | None = None,
    *,
    processes: int | None = None,
    quiet: bool = False,
    begin: Begin = worker_processes,
) -> Training:
    """Train a model on annotated faces and write it in OpenFace's format.

    The same faces, recipe and machine give the same files, however many processes work and however often the training
    was interrupted. Every finished expert is kept in the folder ``<folder>.work`` until all are; afterwards it holds
    the model trained without the held-out faces.

    Parameters
    ----------
    faces : sequence of Face
        At least some with depth, for the PDM.
    folder : path-like
        Of the model; its name becomes the model's.
    recipe : Recipe, optional
    processes : int, optional
        All cores by default.
    quiet : bool
        No progress bar.
    begin : callable
        Where experts are trained: in processes of this machine by default. Wherever it is must see `folder`.

    Returns
    -------
    Training

    Raises
    ------
    ClnfError
        When there are too few faces, the folder cannot be written, another process trains into it, or one of this
        training dies.
    """
    folder = Path(folder).absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(folder, "", f"cannot be written ({error.strerror})") from error
    with exclusive(_work_folder(folder)):
        return _train(faces, folder, recipe or Recipe(), processes, quiet, begin)


def _work_folder(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.work")


def _train(
    faces: Sequence[Face], folder: Path, recipe: Recipe, processes: int | None, quiet: bool, begin: Begin
) -> Training:
    held_out = split(faces, recipe)
    kept = [face for face in faces if face not in held_out]
    pdms = {SPLIT: train_pdm(kept, recipe.variance_kept), ALL: train_pdm(faces, recipe.variance_kept)}
    work = _work_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _prepare(work, _fingerprint(faces, recipe))
        turnable: tuple[Face, ...] = ()
        if recipe.views:
            turnable = _with_copies(work / COPIES, faces, held_out, pdms[SPLIT], recipe, processes, quiet, begin)
        jobs = _jobs(work, faces, held_out, turnable, pdms, recipe)
        _train_all([job for views in jobs.values() for job in views.values()], processes, quiet, begin)
        models = {
            name: assemble(
                f"main_{folder.name}",
                pdms[name],
                {view: job.experts(jobs[SPLIT][view].folder) for view, job in jobs[name].items()},
                recipe,
            )
            for name in (SPLIT, ALL)
        }
        calibration_path(folder / f"main_{folder.name}.txt").unlink(missing_ok=True)  # that of a model no longer there
        main = write_model(models[ALL], folder)
        atomic_write(folder / HELD_OUT_FILE, os.fsencode("".join(f"{face.name}\n" for face in held_out)))
        shutil.rmtree(work / COPIES, ignore_errors=True)
        for name in (SPLIT, ALL):
            shutil.rmtree(work / name)
        write_model(models[SPLIT], work / SPLIT)
        (work / _KEY_FILE).unlink()
    except OSError as error:
        raise FileError(error.filename or folder, "", f"cannot be read or written ({error.strerror})") from error
    return Training(models[ALL], main, models[SPLIT], held_out)


def split(faces: Sequence[Face], recipe: Recipe) -> tuple[Face, ...]:
    """The faces to hold out: a share of them drawn at random with the recipe's seed, sorted by name.

    Raises
    ------
    ClnfError
        When that leaves no face to hold out, or none to train on.
    """
    count = round(recipe.held_out * len(faces))
    if not 0 < count < len(faces):
        raise ClnfError(f"{len(faces)} faces are too few to hold out {recipe.held_out:.0%} of them")
    ordered = sorted(faces, key=lambda face: face.name)
    drawn = np.random.default_rng(recipe.seed).permutation(len(ordered))[:count]
    return tuple(ordered[i] for i in sorted(drawn))


# --- the work folder --------------------------------------------------------------------------------

_KEY_FILE = "training.json"


def _fingerprint(faces: Sequence[Face], recipe: Recipe) -> dict[str, object]:
    """What the experts in a work folder depend on."""
    data = hashlib.sha256()
    for face in faces:
        data.update(os.fsencode(face.name))
        data.update(face.points.tobytes())
        data.update(b"" if face.depth is None else face.depth.tobytes())
        data.update(read_file(face.image, "an image", _MAX_IMAGE_BYTES))
    return {"recipe": asdict(recipe), "faces": data.hexdigest()}


def _prepare(work: Path, fingerprint: dict[str, object]) -> None:
    """Make the work folder; experts of another recipe or of other faces in it are removed."""
    text = json.dumps(fingerprint, indent=2) + "\n"
    key = work / _KEY_FILE
    if not (key.is_file() and read_file(key, "a recipe", _MAX_KEY_BYTES) == text.encode()):
        for name in (SPLIT, ALL, COPIES):
            shutil.rmtree(work / name, ignore_errors=True)
    for name in (SPLIT, ALL):
        (work / name).mkdir(parents=True, exist_ok=True)
    atomic_write(key, text.encode())


def _expert_file(folder: Path, scale: int, landmark: int) -> Path:
    return folder / f"expert_{scale}_{landmark:02d}.npz"


def _save(file: Path, expert: Expert, value: float) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, theta=expert.theta, bias=expert.bias, alpha=expert.alpha, betas=expert.betas, confidence=value)
    atomic_write(file, buffer.getvalue())


def _load(file: Path) -> tuple[Expert, float]:
    data = read_file(file, "an expert", _MAX_EXPERT_BYTES)
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        expert = Expert(arrays["theta"], arrays["bias"], float(arrays["alpha"]), arrays["betas"])
        return expert, float(arrays["confidence"])


def _is_finished(file: Path, recipe: Recipe) -> bool:
    """Whether a file holds a whole expert of a recipe; else it is trained, again when the file is damaged."""
    try:
        expert, value = _load(file)
    except (FileError, EOFError, KeyError, TypeError, ValueError, BadZipFile, zlib.error):
        return False
    numbers = np.concatenate([expert.theta.ravel(), expert.bias.ravel(), expert.betas.ravel(), [expert.alpha, value]])
    shapes = expert.theta.shape, expert.bias.shape, expert.betas.ndim
    expected = (recipe.neurons, recipe.support**2), (recipe.neurons,), 1
    return shapes == expected and bool(np.isfinite(numbers).all())


# --- the processes ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Job:
    """The training of the experts of a view on some faces.

    Attributes
    ----------
    folder : Path
        Where finished experts go.
    faces, held_out : tuple of Face
        To train on, and to measure confidences on.
    pdm : PDM
    recipe : Recipe
    start : Path or None
        Folder of the experts to start from.
    landmarks : tuple of int
        Those that get experts.
    flips : tuple of bool
        As for `sample_crops`.
    """

    folder: Path
    faces: tuple[Face, ...]
    held_out: tuple[Face, ...]
    pdm: PDM
    recipe: Recipe
    start: Path | None = None
    landmarks: tuple[int, ...] = TRAINED
    flips: tuple[bool, ...] = (False, True)

    @property
    def everything(self) -> list[tuple[int, int]]:
        """Scale and landmark of all of its experts."""
        return [(scale, landmark) for scale in range(len(self.recipe.scales)) for landmark in self.landmarks]

    def experts(self, confidences: Path) -> list[Experts]:
        """The experts of every scale, with their confidences from this folder."""
        result: list[Experts] = []
        for scale in range(len(self.recipe.scales)):
            files = {landmark: _expert_file(self.folder, scale, landmark).name for landmark in self.landmarks}
            result.append({i: (_load(self.folder / f)[0], _load(confidences / f)[1]) for i, f in files.items()})
        return result


def _jobs(
    work: Path,
    faces: Sequence[Face],
    held_out: tuple[Face, ...],
    turnable: Sequence[Face],
    pdms: Mapping[str, PDM],
    recipe: Recipe,
) -> dict[str, dict[View, _Job]]:
    """Everything to train, by folder and view; each after those whose experts it starts from."""
    kept = tuple(face for face in faces if face not in held_out)
    split = {FRONTAL: _Job(work / SPLIT, kept, held_out, pdms[SPLIT], recipe)}
    final = {FRONTAL: _Job(work / ALL, tuple(faces), (), pdms[ALL], recipe, start=work / SPLIT)}
    for view in recipe.views:
        known, unknown = (
            read_copies(work / COPIES, [face for face in turnable if (face in held_out) == is_held_out], view)
            for is_held_out in (False, True)
        )
        both_sides = (False, True) if view.mirrors_itself else (False,)
        start = split[FRONTAL].folder
        split[view] = _Job(
            start / view.name,
            known,
            unknown,
            pdms[SPLIT],
            replace(recipe, refinements=recipe.view_iterations),
            start,
            landmarks_seen(known, view),
            both_sides,
        )
        final[view] = replace(
            split[view],
            folder=final[FRONTAL].folder / view.name,
            faces=known + unknown,
            held_out=(),
            pdm=pdms[ALL],
            recipe=recipe,
            start=split[view].folder,
        )
    return {SPLIT: split, ALL: final}


def _with_copies(
    folder: Path,
    faces: Sequence[Face],
    held_out: Sequence[Face],
    pdm: PDM,
    recipe: Recipe,
    processes: int | None,
    quiet: bool,
    begin: Begin,
) -> tuple[Face, ...]:
    """Make turned copies of all faces that can be turned; which those are.

    Raises
    ------
    ClnfError
        When there is none to train on, or none to hold out.
    """
    turnable = tuple(face for face in faces if can_be_turned(face, pdm, recipe))
    if not 0 < sum(face in held_out for face in turnable) < len(turnable):
        raise ClnfError(
            f"{len(turnable)} of {len(faces)} faces have depth (.xyz) and are turned to a side by less than "
            f"{recipe.most_yaw_to_turn:g}°; views need some to train on and some to hold out"
        )
    folder.mkdir(exist_ok=True)
    left = [(folder, face) for face in turnable if not has_copies(folder, face, recipe)]
    with (
        tqdm(total=len(turnable), initial=len(turnable) - len(left), unit="face turned", disable=quiet) as bar,
        begin(_make_copies, (pdm, recipe), processes, bar) as run,
    ):
        run(left)
    return turnable


def _make_copies(common: tuple[PDM, Recipe], folder: Path, face: Face) -> None:
    write_copies(folder, face, *common)


def _train_all(jobs: Sequence[_Job], processes: int | None, quiet: bool, begin: Begin) -> None:
    """Train every expert that has no file yet."""
    with (
        tqdm(total=sum(len(job.everything) for job in jobs), unit="expert", disable=quiet) as bar,
        begin(_train_one, jobs, processes, bar) as run,
    ):
        for k, job in enumerate(jobs):
            job.folder.mkdir(exist_ok=True)
            left = [
                (k, *task) for task in job.everything if not _is_finished(_expert_file(job.folder, *task), job.recipe)
            ]
            bar.update(len(job.everything) - len(left))
            run(left)


_Crops = tuple[NDArray[np.float32], Floats]


@lru_cache(maxsize=1)
def _crops(job: _Job, scale: int) -> tuple[_Crops, _Crops]:
    """Crops at one scale, to train on and held out; kept while a process works its way through the landmarks."""
    patch_scaling, recipe = job.recipe.scales[scale], job.recipe
    return (
        sample_crops(job.faces, job.pdm, patch_scaling, recipe, job.landmarks, job.flips),
        sample_crops(job.held_out, job.pdm, patch_scaling, recipe, job.landmarks, job.flips),
    )


def _train_one(jobs: Sequence[_Job], k: int, scale: int, landmark: int) -> None:
    job = jobs[k]
    (crops, truth), (other_crops, other_truth) = _crops(job, scale)
    row = job.landmarks.index(landmark)
    start = None if job.start is None else _start(job.start, scale, landmark)
    seed = job.recipe.seed + 1000 * scale + landmark
    expert = train_expert(crops[row], truth[row], job.recipe, seed, start)
    value = confidence(expert, other_crops[row], other_truth[row], job.recipe) if job.held_out else 0.0
    _save(_expert_file(job.folder, scale, landmark), expert, value)


def _start(folder: Path, scale: int, landmark: int) -> Expert:
    """The expert of a landmark in a folder; that of its mirror image, mirrored, where the folder has one side only."""
    file = _expert_file(folder, scale, landmark)
    return _load(file)[0] if file.is_file() else _load(_expert_file(folder, scale, MIRROR[landmark]))[0].mirrored()
