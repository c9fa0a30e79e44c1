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
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from clnf_engine.arrays import Floats
from clnf_engine.errors import ClnfError, FileError
from clnf_engine.ibug68 import TRAINED
from clnf_engine.io.calibration_file import calibration_path
from clnf_engine.io.files import atomic_write, exclusive, read_file
from clnf_engine.io.openface import write_model
from clnf_engine.model import Model
from clnf_engine.pdm import PDM
from clnf_engine.processes import end_with_parent, starting_deaf_processes
from clnf_engine.training.annotations import Face
from clnf_engine.training.assemble import assemble
from clnf_engine.training.ccnf import Expert, confidence, train_expert
from clnf_engine.training.crops import sample_crops
from clnf_engine.training.pdm import train_pdm
from clnf_engine.training.recipe import Recipe

SPLIT, ALL = "split", "all"
"""Folders, in the work folder, of the experts trained without and with the held-out faces."""

HELD_OUT_FILE = "held_out.txt"
"""Names of the held-out faces, one per line, in the model's folder."""

_MAX_IMAGE_BYTES = 1 << 29

_MAX_PROCESSES = 61
"""More than these, Windows cannot wait for."""

_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


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
    with exclusive(_work_folder(folder)):
        return _train(faces, folder, recipe or Recipe(), processes, quiet)


def _work_folder(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.work")


def _train(faces: Sequence[Face], folder: Path, recipe: Recipe, processes: int | None, quiet: bool) -> Training:
    held_out = split(faces, recipe)
    kept = tuple(face for face in faces if face not in held_out)
    pdms = {SPLIT: train_pdm(kept, recipe.variance_kept), ALL: train_pdm(faces, recipe.variance_kept)}
    work = _work_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _prepare(work, _fingerprint(faces, recipe))
        with tqdm(total=2 * len(recipe.scales) * len(TRAINED), unit="expert", disable=quiet) as bar:
            _run(_Job(work / SPLIT, kept, held_out, pdms[SPLIT], recipe, None), processes, bar)
            _run(_Job(work / ALL, tuple(faces), (), pdms[ALL], recipe, work / SPLIT), processes, bar)
        confidences = _confidences(work / SPLIT, recipe)
        models = {
            name: assemble(f"main_{folder.name}", pdms[name], _all_experts(work / name, recipe), confidences, recipe)
            for name in (SPLIT, ALL)
        }
        calibration_path(folder / f"main_{folder.name}.txt").unlink(missing_ok=True)  # that of a model no longer there
        main = write_model(models[ALL], folder)
        atomic_write(folder / HELD_OUT_FILE, os.fsencode("".join(f"{face.name}\n" for face in held_out)))
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
    if not (key.is_file() and key.read_bytes() == text.encode()):
        for name in (SPLIT, ALL):
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
    with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        expert = Expert(arrays["theta"], arrays["bias"], float(arrays["alpha"]), arrays["betas"])
        return expert, float(arrays["confidence"])


def _is_finished(file: Path, recipe: Recipe) -> bool:
    """Whether a file holds a whole expert of a recipe; else it is trained, again when the file is damaged."""
    try:
        expert, value = _load(file)
    except (OSError, EOFError, KeyError, TypeError, ValueError, BadZipFile, zlib.error):
        return False
    numbers = np.concatenate([expert.theta.ravel(), expert.bias.ravel(), expert.betas.ravel(), [expert.alpha, value]])
    shapes = expert.theta.shape, expert.bias.shape, expert.betas.ndim
    expected = (recipe.neurons, recipe.support**2), (recipe.neurons,), 1
    return shapes == expected and bool(np.isfinite(numbers).all())


def _all_experts(folder: Path, recipe: Recipe) -> list[list[Expert]]:
    return [
        [_load(_expert_file(folder, scale, landmark))[0] for landmark in TRAINED] for scale in range(len(recipe.scales))
    ]


def _confidences(folder: Path, recipe: Recipe) -> Floats:
    """Confidence of every expert, (scales, T)."""
    scales = range(len(recipe.scales))
    return np.array([[_load(_expert_file(folder, scale, landmark))[1] for landmark in TRAINED] for scale in scales])


# --- the processes ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Job:
    """The training of all experts on some faces.

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
    """

    folder: Path
    faces: tuple[Face, ...]
    held_out: tuple[Face, ...]
    pdm: PDM
    recipe: Recipe
    start: Path | None


def _run(job: _Job, processes: int | None, bar: tqdm[None]) -> None:
    """Train every expert that has no file yet."""
    everything = [(scale, landmark) for scale in range(len(job.recipe.scales)) for landmark in TRAINED]
    left = [task for task in everything if not _is_finished(_expert_file(job.folder, *task), job.recipe)]
    bar.update(len(everything) - len(left))
    if not left:
        return
    workers = min(processes or os.cpu_count() or 1, len(left), _MAX_PROCESSES)
    with _single_threaded(), ProcessPoolExecutor(workers, get_context("spawn"), _begin, (job,)) as pool:
        with starting_deaf_processes():
            tasks: list[Future[None]] = [pool.submit(_train_one, *task) for task in left]
        try:
            for task in as_completed(tasks):
                task.result()
                bar.update()
        except BrokenProcessPool:
            raise ClnfError(
                "a training process died, perhaps for lack of memory; the same command goes on from here"
            ) from None
        except BaseException:  # also an interruption; experts under way are finished and kept
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Have processes that start now compute on one thread each: quicker side by side, and always the same sums."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_job: _Job


def _begin(job: _Job) -> None:
    """First thing in a process: learn the job, and serve the parent."""
    global _job  # noqa: PLW0603
    _job = job
    end_with_parent()


_Crops = tuple[NDArray[np.float32], Floats]


@lru_cache(maxsize=1)
def _crops(scale: int) -> tuple[_Crops, _Crops]:
    """Crops at one scale, to train on and held out; kept while a process works its way through the landmarks."""
    patch_scaling = _job.recipe.scales[scale]
    return (
        sample_crops(_job.faces, _job.pdm, patch_scaling, _job.recipe),
        sample_crops(_job.held_out, _job.pdm, patch_scaling, _job.recipe),
    )


def _train_one(scale: int, landmark: int) -> None:
    (crops, truth), (other_crops, other_truth) = _crops(scale)
    row = TRAINED.index(landmark)
    start = None if _job.start is None else _load(_expert_file(_job.start, scale, landmark))[0]
    seed = _job.recipe.seed + 1000 * scale + landmark
    expert = train_expert(crops[row], truth[row], _job.recipe, seed, start)
    value = confidence(expert, other_crops[row], other_truth[row], _job.recipe) if _job.held_out else 0.0
    _save(_expert_file(_job.folder, scale, landmark), expert, value)
