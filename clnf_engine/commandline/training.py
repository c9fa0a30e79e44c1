"""``clnf train``, ``clnf evaluate`` and ``clnf models``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clnf_engine.commandline.arguments import (
    add_model_and_options,
    chosen_options,
    prepare_file,
    prepare_output,
    print_text,
)
from clnf_engine.errors import ClnfError, FileError
from clnf_engine.training.recipe import VIEWS, Recipe

if TYPE_CHECKING:
    from clnf_engine.calibration import Calibration
    from clnf_engine.model import Model
    from clnf_engine.options import FitOptions
    from clnf_engine.training.annotations import Face
    from clnf_engine.training.processes import Begin
    from clnf_engine.training.train import Training

_STARTS = ("box", "detector", "perturbed")
_OUTPUT = "evaluation"
_SCHEDULER = "work on this Dask cluster, such as tcp://host:8786, whose workers see the same folders"
_MAX_NAMES_BYTES = 1 << 24


def add_commands(commands: Any) -> None:
    """Add the commands to the sub-parsers of ``clnf``.

    Parameters
    ----------
    commands : what `argparse.ArgumentParser.add_subparsers` returns
    """
    recipe = Recipe()
    command = commands.add_parser(
        "train", help="train a model on annotated faces", allow_abbrev=False, epilog=_recipe_text(recipe)
    )
    command.set_defaults(run=_train)
    _add_faces(command)
    command.add_argument(
        "-o", "--output", metavar="MODEL_DIR", required=True, help="folder of the model; gives its name"
    )
    command.add_argument(
        "--scales", type=_numbers, metavar="S,S,…", help=f"patch scales, coarse to fine ({_list(recipe.scales)})"
    )
    command.add_argument(
        "--windows", type=_whole, metavar="W,W,…", help=f"windows with Sigma components ({_list(recipe.windows)})"
    )
    command.add_argument("--neurons", type=int, metavar="K", help="neurons per patch expert (%(default)s)")
    command.add_argument("--seed", type=int, help="of every random choice (%(default)s)")
    command.add_argument(
        "--views",
        action="store_true",
        help="also views to the sides, down and up, learnt from turned copies of the faces that have depth",
    )
    where = command.add_mutually_exclusive_group()
    where.add_argument("--processes", type=_count, metavar="N", help="processes to train in (all cores)")
    where.add_argument("--scheduler", metavar="ADDRESS", help=_SCHEDULER)
    command.add_argument(
        "-O", dest="option", metavar="KEY=VALUE", action="append", default=[], help="change the recipe; repeatable"
    )
    command.set_defaults(scales=recipe.scales, windows=recipe.windows, neurons=recipe.neurons, seed=recipe.seed)

    command = commands.add_parser("evaluate", help="measure a model on annotated faces", allow_abbrev=False)
    command.set_defaults(run=_evaluate)
    _add_faces(command)
    add_model_and_options(command)
    command.add_argument("--init", choices=_STARTS, default="detector", help="where fits start (detector)")
    command.add_argument("--only", metavar="F.txt", help="only the faces named in this file, such as held_out.txt")
    command.add_argument("--seed", type=int, default=0, help="of the perturbation (0)")
    command.add_argument("-o", "--output", metavar="DIR", default=_OUTPUT, help=f"folder for CSV and plot ({_OUTPUT})")
    command.add_argument("--scheduler", metavar="ADDRESS", help=_SCHEDULER)
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--calibrate", action="store_true", help="measure what likelihoods mean, and keep that with the model"
    )
    where.add_argument("--calibration", metavar="C.json", help="the same, kept in this file")

    command = commands.add_parser("models", help="list the models shipped with this program", allow_abbrev=False)
    command.set_defaults(run=_models)


def _add_faces(command: argparse.ArgumentParser) -> None:
    command.add_argument("faces", metavar="FACES", help="folder of images, each with a .pts file of 68 landmarks")


def _recipe_text(recipe: Recipe) -> str:
    named = ("scales", "windows", "neurons", "seed", "views")
    rest = (f"{field.name}={getattr(recipe, field.name):g}" for field in fields(recipe) if field.name not in named)
    return "Recipe entries for -O and their defaults: " + " ".join(rest)


def _list(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected numbers joined by commas") from None


def _whole(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected whole numbers joined by commas") from None


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a whole number from 1 to 1024")
    return int(text)


# --- clnf train -------------------------------------------------------------------------------------


def _train(args: argparse.Namespace) -> int:
    from clnf_engine.training.evaluate import Start, evaluate, table_text
    from clnf_engine.training.processes import worker_processes
    from clnf_engine.training.train import train

    recipe = _recipe(args)
    faces, folder = _faces(_folder(args)), Path(args.output).absolute().parent
    try:
        with _where(args, faces, folder) as begin:
            training = train(faces, args.output, recipe, processes=args.processes, begin=begin or worker_processes)
    except KeyboardInterrupt:
        print("clnf: interrupted; the same command goes on from here", file=sys.stderr)
        raise
    for start in (Start.DETECTOR, Start.PERTURBED):
        evaluation = evaluate(training.held_out, training.split_model, start=start, seed=recipe.seed)
        print_text(f"\nfaces never seen in training, init {start}\n{table_text(evaluation)}")
    print_text(f"\n{_calibrate_trained(training)}\n")
    print_text(f"\n{training.main_file}\n")
    return 0


@contextmanager
def _where(args: argparse.Namespace, faces: Sequence[Face], folder: Path | None = None) -> Iterator[Begin | None]:
    """Where the work is done, when the arguments name a cluster; its workers must see the faces and share a folder."""
    if args.scheduler is None:
        yield None
        return
    from clnf_engine.studies.cluster import on_cluster

    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with on_cluster(args.scheduler, faces[0].image, folder) as begin:
        yield begin


def _calibrate_trained(training: Training) -> str:
    """Calibrate a new model by the faces kept out of training; what that gave, in words."""
    from tqdm import tqdm

    from clnf_engine.io.calibration_file import calibration_path, write_calibration
    from clnf_engine.library import load_model
    from clnf_engine.training.calibrate import calibrate

    calibration = calibrate(
        tqdm(training.held_out, desc="calibrating", unit="face", disable=None, leave=False),
        training.split_model,
        origin="faces kept out of training, fitted with a model trained in the same way on all others",
        held_out=True,
        subject=load_model(training.main_file),
    )
    path = calibration_path(training.main_file)
    try:
        write_calibration(path, calibration)
    except OSError as error:
        raise FileError(path, "", f"cannot be written ({error.strerror})") from error
    return f"{path}\n{calibration.summary}"


def _recipe(args: argparse.Namespace) -> Recipe:
    changes: dict[str, float] = {}
    defaults = {field.name: field.default for field in fields(Recipe)}
    for text in args.option:
        name, equals, value = (part.strip() for part in text.partition("="))
        default = defaults.get(name)
        if not equals or not isinstance(default, (int, float)):
            known = ", ".join(key for key, value in defaults.items() if isinstance(value, (int, float)))
            raise ClnfError(f"-O {text!r}: expected key=value, with a key among {known}")
        try:
            changes[name] = type(default)(value)
        except ValueError:
            kind = "whole number" if isinstance(default, int) else "number"
            raise ClnfError(f"-O {text!r}: expected a {kind}") from None
    named: dict[str, Any] = {name: getattr(args, name) for name in ("scales", "windows", "neurons", "seed")}
    named["views"] = VIEWS if args.views else ()
    return replace(Recipe(**named), **changes)  # type: ignore[arg-type]


def _folder(args: argparse.Namespace) -> str:
    """The folder of faces as it was named; from the root for workers, which may be in another folder."""
    return args.faces if args.scheduler is None else str(Path(args.faces).absolute())


def _faces(folder: str) -> tuple[Face, ...]:
    """The faces of a folder; those that cannot be used are named."""
    from clnf_engine.training.annotations import read_annotations

    annotations = read_annotations(folder)
    for problem in annotations.skipped:
        print(f"clnf: skipped: {problem}", file=sys.stderr)
    if annotations.skipped:
        count = len(annotations.skipped) + len(annotations.faces)
        print(f"clnf: {len(annotations.skipped)} of {count} annotations skipped", file=sys.stderr)
    return annotations.faces


# --- clnf evaluate ----------------------------------------------------------------------------------


def _evaluate(args: argparse.Namespace) -> int:
    from clnf_engine.io.files import atomic_write
    from clnf_engine.library import load_model
    from clnf_engine.training.annotations import select
    from clnf_engine.training.evaluate import Start, csv_text, evaluate, save_curve, table_text

    if args.seed < 0:
        raise ClnfError(f"--seed is {args.seed}; expected 0 or more")
    options = chosen_options(args)
    model = load_model(args.model)
    if args.calibration is not None:
        prepare_file(args.calibration, [])
    faces = _faces(_folder(args))
    if args.only is not None:
        faces = select(faces, _names(Path(args.only)))
    prepare_output(f"{args.output}/", [])
    with _where(args, faces) as begin:
        evaluation = evaluate(faces, model, options, Start(args.init), args.seed, begin)
    print_text(table_text(evaluation))
    folder = Path(args.output)
    try:
        atomic_write(folder / "errors.csv", csv_text(evaluation).encode())
        save_curve(evaluation, folder / "cumulative_error.png", f"{model.name}, init {args.init}")
    except OSError as error:
        raise FileError(folder, "", f"cannot be written ({error.strerror})") from error
    print_text(f"{folder / 'errors.csv'}, {folder / 'cumulative_error.png'}\n")
    if args.calibrate or args.calibration is not None:
        print_text(_calibrate(args, faces, model, options) + "\n")
    return 0


def _calibrate(args: argparse.Namespace, faces: Sequence[Face], model: Model, options: FitOptions) -> str:
    """Calibrate a model, and keep what that gave; in words."""
    from tqdm import tqdm

    from clnf_engine.training.calibrate import calibrate

    origin = f"faces of the folder {Path(args.faces).resolve().name}, on which the model may have been trained"
    bar = tqdm(faces, desc="calibrating", unit="face", disable=None, leave=False)
    calibration = calibrate(bar, model, options, origin=origin)
    return f"{_keep(calibration, model, args.calibration)}\n{calibration.summary}"


def _keep(calibration: Calibration, model: Model, chosen: str | None) -> Path:
    """Write a calibration where it is wanted; else beside the model, or among a person's own where that cannot be."""
    from clnf_engine.io.calibration_file import calibration_path, own_calibration_path, write_calibration

    if chosen is not None:
        paths = [Path(chosen)]
    else:
        own = own_calibration_path(model)
        paths = [own] if model.path is None else [calibration_path(model.path), own]
    for path in paths:
        try:
            if chosen is None:
                path.parent.mkdir(parents=True, exist_ok=True)
            write_calibration(path, calibration)
        except OSError as error:
            problem = FileError(path, "", f"cannot be written ({error.strerror})")
        else:
            return path
    raise problem


def _names(file: Path) -> list[str]:
    from clnf_engine.io.files import read_text

    text = read_text(file, "a text file of names, one per line", _MAX_NAMES_BYTES)
    return [name for line in text.splitlines() if (name := line.strip())]


# --- clnf models ------------------------------------------------------------------------------------


def _models(_: argparse.Namespace) -> int:
    from clnf_engine.library import load_model, shipped_models

    for name, folder in shipped_models().items():
        model = load_model(folder)
        scales = ", ".join(f"{scale.patch_scaling:g}" for scale in model.scales)
        print_text(
            f"{name}: {model.n_landmarks} landmarks, {model.pdm.n_modes} modes, patch scales {scales}; {folder}\n"
        )
    return 0
