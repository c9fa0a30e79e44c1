"""OpenFace's CLNF model files: read and write.

A *main file* names a *module file* (and those of parts); the module file names a PDM text file and one CCNF
binary per patch scale, all relative to the file that names them.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import read_only
from clnf_engine.errors import ModelFileError
from clnf_engine.io.files import atomic_write
from clnf_engine.io.model_binary import patch_scale_bytes, read_patch_scale
from clnf_engine.io.model_text import entries, read_pdm, read_triangulations, sibling, text_matrix
from clnf_engine.io.validator_file import read_validator, validator_bytes
from clnf_engine.model import Model, ModelPart, PatchScale
from clnf_engine.pdm import PDM
from clnf_engine.validator import Validator

_MAX_PART_DEPTH = 4
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
    return _read_main(Path(path), depth=0)


def _read_main(path: Path, depth: int) -> Model:
    if depth > _MAX_PART_DEPTH:
        raise ModelFileError(
            path, "", f"parts are nested more than {_MAX_PART_DEPTH} deep; is the model part of itself?"
        )
    lines = list(entries(path))
    keys = {key for _, key, _ in lines}
    if "LandmarkDetector" not in keys and "PDM" in keys:
        return _read_module(path, name=path.stem, main_path=path)
    module: Model | None = None
    for line, key, value in lines:
        if key == "LandmarkDetector":
            module = _read_module(sibling(path, line, value), name=path.stem, main_path=path)
    if module is None:
        raise ModelFileError(path, "", "no line 'LandmarkDetector <file>'; expected the main file of a CLNF model")
    parts: list[ModelPart] = []
    validator: Validator | None = None
    problems: list[str] = []
    for line, key, value in lines:
        try:
            if key == "LandmarkDetector_part":
                parts.append(_read_part(path, line, value, depth, module))
            elif key == "DetectionValidator":
                validator = _read_validator(path, line, value, module)
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


def _read_validator(path: Path, line: int, value: str, whole: Model) -> Validator:
    file = sibling(path, line, value)
    validator = read_validator(file)
    if validator.n_landmarks != whole.n_landmarks:
        raise ModelFileError(
            file, "", f"is for {validator.n_landmarks} landmarks, but {whole.name} has {whole.n_landmarks}"
        )
    return validator


def _read_part(path: Path, line: int, value: str, depth: int, whole: Model) -> ModelPart:
    words = value.split()
    if len(words) < 2 or len(words) % 2:
        raise ModelFileError(
            path, f"line {line}", "expected 'LandmarkDetector_part <file> <name>' and pairs of landmark indices"
        )
    try:
        pairs = np.array([int(word) for word in words[2:]], dtype=np.int64).reshape(-1, 2)
    except (ValueError, OverflowError):
        raise ModelFileError(path, f"line {line}", "expected whole numbers as landmark indices of a part") from None
    model = _read_main(sibling(path, line, words[0]), depth + 1)
    for indices, holder in zip(pairs.T, (whole, model), strict=True):
        if indices.size and not (0 <= indices.min() and indices.max() < holder.n_landmarks):
            problem = f"part {words[1]} names a landmark that is not among the {holder.n_landmarks} of {holder.name}"
            raise ModelFileError(path, f"line {line}", problem)
    return ModelPart(name=words[1], landmark_pairs=read_only(pairs), model=model)


def _read_module(path: Path, name: str, main_path: Path) -> Model:
    pdm: PDM | None = None
    scales: list[tuple[Path, PatchScale]] = []
    triangulations: tuple[NDArray[np.int32], ...] = ()
    unsupported: list[str] = []
    for line, key, value in entries(path):
        if key == "PDM":
            pdm = read_pdm(sibling(path, line, value))
        elif key == "Triangulations":
            triangulations = read_triangulations(sibling(path, line, value))
        elif key == "PatchesCCNF":
            file = sibling(path, line, value)
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
        Created if missing; files of the same names are replaced.

    Returns
    -------
    Path
        The main file, ``<folder>/<model.name>.txt``.

    Raises
    ------
    ModelFileError
        When the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _write_main(model, folder)
    except OSError as error:
        raise ModelFileError(folder, "", f"cannot be written ({error.strerror})") from error


def _write_main(model: Model, folder: Path) -> Path:
    module = f"module_{model.name}.txt"
    lines = [f"LandmarkDetector {module}"]
    for part in model.parts:
        part_folder = folder / f"part_{part.name}"
        part_folder.mkdir(exist_ok=True)
        part_main = _write_main(part.model, part_folder)
        pairs = " ".join(str(i) for i in part.landmark_pairs.ravel())
        lines.append(f"LandmarkDetector_part {part_main.relative_to(folder).as_posix()} {part.name} {pairs}".rstrip())
    _write_module(model, folder, module)
    if model.validator is not None:
        atomic_write(folder / "validator.bin", validator_bytes(model.validator))
        lines.append("DetectionValidator validator.bin")
    main = folder / f"{model.name}.txt"
    atomic_write(main, ("\n".join(lines) + "\n").encode())
    return main


def _write_module(model: Model, folder: Path, module: str) -> None:
    pdm = model.pdm
    pdm_file, triangulations_file = f"pdm_{pdm.n_landmarks}.txt", "triangulations.txt"
    if f"{model.name}.txt" in (pdm_file, triangulations_file):
        pdm_file, triangulations_file = f"the_{pdm_file}", f"the_{triangulations_file}"
    atomic_write(
        folder / pdm_file,
        "".join(
            f"# {title}\n{text_matrix(matrix)}"
            for title, matrix in (
                ("Mean shape: all x, all y, all z", pdm.mean[:, None]),
                ("Principal components", pdm.modes),
                ("Variances of the components", pdm.variances[None, :]),
            )
        ).encode(),
    )
    lines = [f"PDM {pdm_file}"]
    if model.triangulations:
        text = f"# Number of triangulations\n{len(model.triangulations)}\n"
        text += "".join(text_matrix(triangles) for triangles in model.triangulations)
        atomic_write(folder / triangulations_file, text.encode())
        lines.append(f"Triangulations {triangulations_file}")
    for index, scale in enumerate(model.scales):
        file = f"ccnf_patches_{index}_{scale.patch_scaling:g}.bin"
        atomic_write(folder / file, patch_scale_bytes(scale))
        lines.append(f"PatchesCCNF {file}")
    atomic_write(folder / module, ("\n".join(lines) + "\n").encode())
