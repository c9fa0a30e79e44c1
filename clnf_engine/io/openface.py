"""OpenFace's CLNF model files: read and write.

A *main file* names a *module file* (and those of parts); the module file names a PDM text file and one CCNF
binary per patch scale, all relative to the file that names them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import read_only
from clnf_engine.errors import ModelFileError
from clnf_engine.io.files import atomic_write, exclusive, reason, replacing_folder
from clnf_engine.io.model_binary import patch_scale_bytes, read_patch_scale
from clnf_engine.io.model_text import Budget, entries, read_pdm, read_triangulations, sibling, text_matrix
from clnf_engine.io.validator_file import read_validator, validator_bytes
from clnf_engine.model import Model, ModelPart, PatchScale
from clnf_engine.pdm import PDM
from clnf_engine.validator import Validator

_MAX_PART_DEPTH = 4
_VALIDATOR = "validator.bin"
_NAME = re.compile(r"[^./\\:][^/\\:]{0,99}")
_UNSUPPORTED_PATCHES = {
    "PatchesIntensity": "SVR intensity patch experts",
    "PatchesDepth": "SVR depth patch experts",
    "PatchesCEN": "CEN (convolutional) patch experts",
}


def read_model(path: str | os.PathLike[str]) -> Model:
    """Read a CLNF model from its main file (or directly from a module file).

    Parameters
    ----------
    path : path-like
        The main file, ``main_*.txt``.

    Returns
    -------
    Model

    Raises
    ------
    ModelFileError
        When any file of the whole is missing, truncated, corrupt, foreign, too large or of an unsupported kind. What is
        wrong with a part or the validator becomes one of `Model.problems`.
    """
    return _read_main(Path(path), 0, Budget())


def _read_main(path: Path, depth: int, budget: Budget) -> Model:
    if depth > _MAX_PART_DEPTH:
        raise ModelFileError(
            path, "", f"parts are nested more than {_MAX_PART_DEPTH} deep; is the model part of itself?"
        )
    lines = _entries(path, budget, once=("LandmarkDetector", "DetectionValidator"))
    keys = {key for _, key, _ in lines}
    if "LandmarkDetector" not in keys and "PDM" in keys:
        return _read_module(path, path.stem, path, budget)
    module: Model | None = None
    for line, key, value in lines:
        if key == "LandmarkDetector":
            module = _read_module(sibling(path, line, value), path.stem, path, budget)
    if module is None:
        raise ModelFileError(path, "", "no line 'LandmarkDetector <file>'; expected the main file of a CLNF model")
    parts: list[ModelPart] = []
    validator: Validator | None = None
    problems: list[str] = []
    for line, key, value in lines:
        try:
            if key == "LandmarkDetector_part":
                parts.append(_read_part(path, line, value, depth, module, budget))
            elif key == "DetectionValidator":
                validator = _read_validator(path, line, value, module, budget)
        except ModelFileError as error:
            if depth:  # of a part nothing is used unless all is well; so it is also one that is part of itself
                raise
            problems.append(str(error))
    return Model(
        name=module.name,
        pdm=module.pdm,
        scales=module.scales,
        parts=tuple(parts),
        triangulations=module.triangulations,
        path=path,
        unsupported=module.unsupported,
        validator=validator,
        problems=tuple(problems),
    )


def _entries(path: Path, budget: Budget, once: tuple[str, ...]) -> list[tuple[int, str, str]]:
    """The lines of a main or module file; those with the keys `once` may occur once."""
    lines, seen = list(entries(budget.take(path))), set()
    for line, key, _ in lines:
        if key in once and key in seen:
            raise ModelFileError(path, f"line {line}", f"a second line '{key} <file>'; expected one")
        seen.add(key)
    return lines


def _read_validator(path: Path, line: int, value: str, whole: Model, budget: Budget) -> Validator:
    file = budget.take(sibling(path, line, value))
    validator = read_validator(file)
    if validator.n_landmarks != whole.n_landmarks:
        raise ModelFileError(
            file, "", f"is for {validator.n_landmarks} landmarks, but {whole.name} has {whole.n_landmarks}"
        )
    return validator


def _read_part(path: Path, line: int, value: str, depth: int, whole: Model, budget: Budget) -> ModelPart:
    words = value.split()
    if len(words) < 2 or len(words) % 2:
        raise ModelFileError(
            path, f"line {line}", "expected 'LandmarkDetector_part <file> <name>' and pairs of landmark indices"
        )
    try:
        pairs = np.array([int(word) for word in words[2:]], dtype=np.int64).reshape(-1, 2)
    except (ValueError, OverflowError):
        raise ModelFileError(path, f"line {line}", "expected whole numbers as landmark indices of a part") from None
    model = _read_main(sibling(path, line, words[0]), depth + 1, budget)
    for indices, holder in zip(pairs.T, (whole, model), strict=True):
        if indices.size and not (0 <= indices.min() and indices.max() < holder.n_landmarks):
            problem = f"part {words[1]} names a landmark that is not among the {holder.n_landmarks} of {holder.name}"
            raise ModelFileError(path, f"line {line}", problem)
    return ModelPart(name=words[1], landmark_pairs=read_only(pairs), model=model)


def _read_module(path: Path, name: str, main_path: Path, budget: Budget) -> Model:
    pdm: PDM | None = None
    scales: list[tuple[Path, PatchScale]] = []
    triangulations: tuple[NDArray[np.int32], ...] = ()
    unsupported: list[str] = []
    for line, key, value in _entries(path, budget, once=("PDM", "Triangulations")):
        if key == "PDM":
            pdm = read_pdm(budget.take(sibling(path, line, value)))
        elif key == "Triangulations":
            triangulations = read_triangulations(budget.take(sibling(path, line, value)))
        elif key == "PatchesCCNF":
            file = budget.take(sibling(path, line, value))
            scales.append((file, read_patch_scale(file)))
        elif key in _UNSUPPORTED_PATCHES:
            unsupported.append(f"{key} {value}")
    if pdm is None:
        raise ModelFileError(path, "", "no line 'PDM <file>'; expected the module file of a CLNF model")
    if not scales:
        kinds = sorted({_UNSUPPORTED_PATCHES[entry.split()[0]] for entry in unsupported})
        found = f"only {' and '.join(kinds)}, which are not supported" if kinds else "no patch experts"
        raise ModelFileError(path, "", f"{found}; expected at least one line 'PatchesCCNF <file>'")
    for file, scale in scales:
        n = scale.views[0].visible.shape[0]
        if n != pdm.n_landmarks:
            raise ModelFileError(file, "", f"has {n} landmarks, but the model's PDM has {pdm.n_landmarks}")
    return Model(
        name=name,
        pdm=pdm,
        scales=tuple(scale for _, scale in scales),
        triangulations=triangulations,
        path=main_path,
        unsupported=tuple(unsupported),
    )


def write_model(model: Model, folder: str | os.PathLike[str]) -> Path:
    """Write a model, its parts and its validator included, in OpenFace's format; it reads back bit-identical.

    Parameters
    ----------
    model : Model
    folder : path-like
        Created if missing. An older model of the same name is replaced as a whole.

    Returns
    -------
    Path
        The main file, ``<folder>/<model.name>.txt``. The other files are in a folder ``<model.name>-<digest>`` beside
        it, of a name of its own for every content, so that the one file that names it changes all.

    Raises
    ------
    ModelFileError
        When the folder cannot be written, or a name in the model is none that a file can have.
    """
    folder = Path(folder)
    files = _files(model)
    digest = hashlib.sha256(b"".join(name.encode() + b"\0" + data for name, data in sorted(files.items())))
    own = f"{model.name}-{digest.hexdigest()[:12]}"
    main = folder / f"{model.name}.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(main, ModelFileError):
            with replacing_folder(folder / own) as new:
                for name, data in files.items():
                    (new / name).parent.mkdir(parents=True, exist_ok=True)
                    (new / name).write_bytes(data)
            try:
                atomic_write(main, _main_text(model, f"{own}/").encode())
            finally:
                _remove_unnamed(main)
    except (OSError, ValueError) as error:
        raise ModelFileError(folder, "", f"cannot be written ({reason(error)})") from error
    return main


def _remove_unnamed(main: Path) -> None:
    """Remove the folders that `write_model` made for a main file and that it names no more."""
    text = main.read_text("utf-8") if main.is_file() else ""
    for folder in main.parent.iterdir():
        if re.fullmatch(re.escape(main.stem) + "-[0-9a-f]{12}", folder.name) and f" {folder.name}/" not in text:
            shutil.rmtree(folder, ignore_errors=True)


def _files(model: Model) -> dict[str, bytes]:
    """Names and contents of all files of a model but the main file."""
    for name, what in ((model.name, "a model"), *((part.name, "a part of a model") for part in model.parts)):
        if not _NAME.fullmatch(name) or not name.isprintable() or (what != "a model" and " " in name):
            raise ModelFileError(name, "", f"cannot be the name of {what}; expected letters, digits and the like")
    pdm = model.pdm
    pdm_file, module = f"pdm_{pdm.n_landmarks}.txt", _module_name(model)
    files = {pdm_file: "".join(f"# {title}\n{text_matrix(matrix)}" for title, matrix in _matrices(pdm)).encode()}
    lines = [f"PDM {pdm_file}"]
    if model.triangulations:
        text = f"# Number of triangulations\n{len(model.triangulations)}\n"
        files["triangulations.txt"] = (text + "".join(map(text_matrix, model.triangulations))).encode()
        lines.append("Triangulations triangulations.txt")
    for index, scale in enumerate(model.scales):
        file = f"ccnf_patches_{index}_{scale.patch_scaling:g}.bin"
        files[file] = patch_scale_bytes(scale)
        lines.append(f"PatchesCCNF {file}")
    if model.validator is not None:
        files[_VALIDATOR] = validator_bytes(model.validator)
    files[module] = ("\n".join(lines) + "\n").encode()
    for part in model.parts:
        folder = f"part_{part.name}/"
        files[folder + part.model.name + ".txt"] = _main_text(part.model).encode()
        files |= {folder + name: data for name, data in _files(part.model).items()}
    return files


def _module_name(model: Model) -> str:
    return f"module_{model.name}.txt"


def _matrices(pdm: PDM) -> tuple[tuple[str, NDArray[np.float64]], ...]:
    return (
        ("Mean shape: all x, all y, all z", pdm.mean[:, None]),
        ("Principal components", pdm.modes),
        ("Variances of the components", pdm.variances[None, :]),
    )


def _main_text(model: Model, folder: str = "") -> str:
    """The main file of a model whose other files are in a folder."""
    lines = [f"LandmarkDetector {folder}{_module_name(model)}"]
    for part in model.parts:
        pairs = " ".join(str(i) for i in part.landmark_pairs.ravel())
        file = f"{folder}part_{part.name}/{part.model.name}.txt"
        lines.append(f"LandmarkDetector_part {file} {part.name} {pairs}".rstrip())
    if model.validator is not None:
        lines.append(f"DetectionValidator {folder}{_VALIDATOR}")
    return "\n".join(lines) + "\n"
