"""OpenFace's CLNF model files: read and write.

A *main file* names a *module file* (and those of parts); the module file names a PDM text file and one CCNF
binary per patch scale, all relative to the file that names them. Binaries are little-endian. A file is never
believed: every size is checked against the bytes that are left before anything is allocated.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import read_only
from clnf_engine.errors import ModelFileError
from clnf_engine.io.atomic import atomic_write
from clnf_engine.model import Model, ModelPart, PatchExperts, PatchScale
from clnf_engine.pdm import PDM

_TYPES: dict[int, np.dtype[Any]] = {4: np.dtype("<i4"), 5: np.dtype("<f4"), 6: np.dtype("<f8")}
_EXPERT_TAG = 5
_NEURON_TAG = 2
_MAX_FILE_BYTES = 1 << 29
_MAX_LANDMARKS = 10_000
_MAX_VIEWS = 1_000
_MAX_WINDOWS = 100
_MAX_WINDOW = 51
_MAX_SUPPORT = 101
_MAX_NEURONS = 1_000
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
        When any file of the model is missing, truncated, corrupt, foreign, too large or of an unsupported kind.
    """
    return _read_main(Path(path), depth=0)


def _read_main(path: Path, depth: int) -> Model:
    if depth > _MAX_PART_DEPTH:
        raise ModelFileError(
            path, "", f"parts are nested more than {_MAX_PART_DEPTH} deep; is the model part of itself?"
        )
    entries = list(_entries(path))
    keys = {key for _, key, _ in entries}
    if "LandmarkDetector" not in keys and "PDM" in keys:
        return _read_module(path, name=path.stem, main_path=path)
    module: Model | None = None
    parts: list[ModelPart] = []
    for line, key, value in entries:
        if key == "LandmarkDetector":
            module = _read_module(_sibling(path, line, value), name=path.stem, main_path=path)
        elif key == "LandmarkDetector_part":
            parts.append(_read_part(path, line, value, depth))
    if module is None:
        raise ModelFileError(path, "", "no line 'LandmarkDetector <file>'; expected the main file of a CLNF model")
    for part in parts:
        _check_pairs(path, part, module)
    return Model(
        name=module.name,
        pdm=module.pdm,
        scales=module.scales,
        parts=tuple(parts),
        triangulations=module.triangulations,
        path=path,
        unsupported=module.unsupported,
    )


def _entries(path: Path) -> Iterator[tuple[int, str, str]]:
    """Lines ``key value`` of a main or module file, with their line numbers from 1."""
    text = _read_text(path)
    for number, line in enumerate(text.splitlines(), start=1):
        key, _, value = line.strip().partition(" ")
        if key and not key.startswith("#"):
            yield number, key, value.strip()


def _sibling(path: Path, line: int, value: str) -> Path:
    if not value:
        raise ModelFileError(path, f"line {line}", "expected a file name after the key")
    found = path.parent / value.replace("\\", "/")
    if not found.is_file():
        raise ModelFileError(path, f"line {line}", f"names {value}, but there is no file {found}")
    return found


def _read_part(path: Path, line: int, value: str, depth: int) -> ModelPart:
    words = value.split()
    if len(words) < 2 or len(words) % 2:
        raise ModelFileError(
            path, f"line {line}", "expected 'LandmarkDetector_part <file> <name>' and pairs of landmark indices"
        )
    try:
        pairs = np.array([int(word) for word in words[2:]], dtype=np.int64).reshape(-1, 2)
    except (ValueError, OverflowError):
        raise ModelFileError(path, f"line {line}", "expected whole numbers as landmark indices of a part") from None
    model = _read_main(_sibling(path, line, words[0]), depth + 1)
    return ModelPart(name=words[1], landmark_pairs=read_only(pairs), model=model)


def _check_pairs(path: Path, part: ModelPart, whole: Model) -> None:
    for column, model in ((0, whole), (1, part.model)):
        indices = part.landmark_pairs[:, column]
        if indices.size and not (0 <= indices.min() and indices.max() < model.n_landmarks):
            raise ModelFileError(
                path, "", f"part {part.name} names a landmark that is not among the {model.n_landmarks} of {model.name}"
            )


def _read_module(path: Path, name: str, main_path: Path) -> Model:
    pdm: PDM | None = None
    scales: list[tuple[Path, PatchScale]] = []
    triangulations: tuple[NDArray[np.int32], ...] = ()
    unsupported: list[str] = []
    for line, key, value in _entries(path):
        if key == "PDM":
            pdm = read_pdm(_sibling(path, line, value))
        elif key == "Triangulations":
            triangulations = _read_triangulations(_sibling(path, line, value))
        elif key == "PatchesCCNF":
            file = _sibling(path, line, value)
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


# --- text -------------------------------------------------------------------------------------------


def read_pdm(path: str | os.PathLike[str]) -> PDM:
    """Read a PDM text file: mean (3n×1), principal components (3n×m), variances (1×m or m×1).

    Raises
    ------
    ModelFileError
        When the file is not such a triple of matrices or a variance is not positive.
    """
    path = Path(path)
    words = _Words(path)
    mean, modes, variances = words.matrix(), words.matrix(), words.matrix()
    words.expect_end()
    rows, m = modes.shape
    if mean.shape != (rows, 1) or rows % 3 or rows == 0:
        raise ModelFileError(
            path, "", f"mean is {mean.shape[0]}×{mean.shape[1]} and components {rows}×{m}; expected 3n×1 and 3n×m"
        )
    if variances.size != m or 1 not in variances.shape:
        raise ModelFileError(path, "", f"{variances.size} variances for {m} components; expected 1×{m}")
    if not (variances > 0).all():
        raise ModelFileError(path, "", "a variance is not positive")
    if rows // 3 > _MAX_LANDMARKS:
        raise ModelFileError(path, "", f"{rows // 3} landmarks; expected at most {_MAX_LANDMARKS}")
    return PDM(
        mean=read_only(mean.ravel().astype(np.float64)),
        modes=read_only(modes.astype(np.float64)),
        variances=read_only(variances.ravel().astype(np.float64)),
    )


def _read_triangulations(path: Path) -> tuple[NDArray[np.int32], ...]:
    words = _Words(path)
    count = words.integer("the number of triangulations", 0, _MAX_VIEWS)
    result = []
    for _ in range(count):
        triangles = words.matrix()
        if triangles.shape[1] != 3:
            raise ModelFileError(path, "", f"a triangulation has {triangles.shape[1]} columns; expected 3")
        result.append(read_only(triangles.astype(np.int32)))
    words.expect_end()
    return tuple(result)


class _Words:
    """The white-space separated words of a text file without its comments, each with its line number."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._words: list[str] = []
        self._lines: list[int] = []
        for number, line in enumerate(_read_text(path).splitlines(), start=1):
            if not line.lstrip().startswith("#"):
                words = line.split()
                self._words += words
                self._lines += [number] * len(words)
        self._at = 0

    def _where(self, at: int) -> str:
        return f"line {self._lines[at]}" if at < len(self._lines) else "end of file"

    def integer(self, what: str, low: int, high: int) -> int:
        at = self._at
        word = self._words[at] if at < len(self._words) else ""
        try:
            value = int(word)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            found = f"{word[:40]!r}" if word else "nothing"
            raise ModelFileError(
                self._path, self._where(at), f"found {found}; expected {what}, a whole number from {low} to {high}"
            )
        self._at += 1
        return value

    def matrix(self) -> NDArray[Any]:
        rows = self.integer("a matrix's rows", 0, 1 << 24)
        cols = self.integer("a matrix's columns", 0, 1 << 24)
        code = self.integer("a matrix's type (4 int32, 5 float32, 6 float64)", 4, 6)
        size, left = rows * cols, len(self._words) - self._at
        if size > left:
            raise ModelFileError(
                self._path,
                self._where(self._at - 1),
                f"a {rows}×{cols} matrix needs {size} numbers, but {left} are left in the file",
            )
        start = self._at
        words = self._words[start : start + size]
        try:
            values = np.array(words, dtype=np.float64) if size else np.zeros(0)
            good = bool(np.isfinite(values).all())
        except ValueError:
            good = False
        if not good:
            bad = next(k for k, word in enumerate(words) if not _is_finite_number(word))
            raise ModelFileError(
                self._path, self._where(start + bad), f"found {words[bad][:40]!r}; expected a finite number"
            )
        self._at += size
        return values.astype(_TYPES[code]).reshape(rows, cols)

    def expect_end(self) -> None:
        if self._at != len(self._words):
            raise ModelFileError(self._path, self._where(self._at), "expected the end of the file")


def _is_finite_number(word: str) -> bool:
    try:
        return bool(np.isfinite(float(word)))
    except ValueError:
        return False


# --- binary -----------------------------------------------------------------------------------------


def read_patch_scale(path: str | os.PathLike[str]) -> PatchScale:
    """Read a CCNF binary: the patch experts of all views at one scale.

    Raises
    ------
    ModelFileError
        When the file is truncated, corrupt, foreign, or has experts of different sizes.
    """
    reader = _Reader(Path(path))
    patch_scaling = reader.number("patch scaling", low=1e-3, high=1e3)
    n_views = reader.integer("the number of views", 1, _MAX_VIEWS)
    centres = np.array([reader.matrix("a view's centre", (3, 1), 6).ravel() for _ in range(n_views)])
    visibility = [reader.matrix("a view's visibility", (None, 1), 4).ravel() for _ in range(n_views)]
    n = visibility[0].shape[0]
    if not 1 <= n <= _MAX_LANDMARKS or any(v.shape[0] != n for v in visibility):
        raise reader.error("the views' visibilities have no common number of landmarks")
    components: dict[int, NDArray[np.float32]] = {}
    for _ in range(reader.integer("the number of windows", 0, _MAX_WINDOWS)):
        window = reader.integer("a window", 1, _MAX_WINDOW)
        count = reader.integer("the number of Sigma components", 0, 100)
        side = window * window
        matrices = [reader.matrix("a Sigma component", (side, side), 5) for _ in range(count)]
        if not all(np.array_equal(matrix, matrix.T) for matrix in matrices):
            raise reader.error(f"a Sigma component of window {window} is not symmetric")
        components[window] = read_only(np.array(matrices, dtype=np.float32).reshape(count, side, side))
    counts = {q.shape[0] for q in components.values()}
    if len(counts) > 1:
        raise reader.error("windows have different numbers of Sigma components; expected the same for all")
    n_betas = counts.pop() if counts else 0
    experts = [[_read_expert(reader, n_betas) for _ in range(n)] for _ in range(n_views)]
    reader.expect_end()
    supports = {e[0].shape[1:] for view in experts for e in view if e is not None}
    if len(supports) != 1:
        raise reader.error(f"experts have {len(supports)} different sizes; expected one size for all")
    support = supports.pop()
    for v, view in enumerate(experts):
        for i, expert in enumerate(view):
            if visibility[v][i] and expert is None:
                raise reader.error(f"landmark {i} is visible in view {v} but has no neurons")
    return PatchScale(
        patch_scaling=patch_scaling,
        view_centres_degrees=read_only(centres),
        views=tuple(
            _stack(view, visible != 0, support, n_betas) for view, visible in zip(experts, visibility, strict=True)
        ),
        sigma_components=components,
    )


_Expert = tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64], float]
"""weights (k, h, w), columns norm_weights/bias/alpha (k, 3), betas (C,), patch confidence."""


def _read_expert(reader: _Reader, n_betas: int) -> _Expert | None:
    reader.tag(_EXPERT_TAG, "a CCNF patch expert")
    width = reader.integer("a patch expert's width", 1, _MAX_SUPPORT)
    height = reader.integer("a patch expert's height", 1, _MAX_SUPPORT)
    k = reader.integer("a patch expert's number of neurons", 0, _MAX_NEURONS)
    if k == 0:
        reader.integer("the end of an empty patch expert", -(1 << 31), (1 << 31) - 1)
        return None
    neurons = reader.records(_neuron_dtype(height, width), k, "neurons")
    for name, value, what in (
        ("tag", _NEURON_TAG, "a neuron's tag"),
        ("kind", 0, "a neuron's kind (0 = intensity)"),
        ("rows", height, "a neuron's rows"),
        ("cols", width, "a neuron's columns"),
        ("type", 5, "a neuron's matrix type (5 = float32)"),
    ):
        wrong = np.flatnonzero(neurons[name] != value)
        if wrong.size:
            raise reader.error(f"{what} is {neurons[name][wrong[0]]}; expected {value}")
    numbers = np.stack([neurons["norm_weights"], neurons["bias"], neurons["alpha"]], axis=1)
    weights = neurons["weights"]
    tail = reader.records(np.dtype("<f8"), n_betas + 1, "betas and patch confidence")
    if not (np.isfinite(numbers).all() and np.isfinite(weights).all() and np.isfinite(tail).all()):
        raise reader.error("a patch expert holds a number that is not finite")
    if (numbers[:, 2] < 0).any() or not numbers[:, 2].sum() > 0 or (tail[:-1] < 0).any():
        raise reader.error("a patch expert's alphas or betas are negative or all zero; Sigma would not exist")
    return weights, numbers, tail[:-1], float(tail[-1])


def _neuron_dtype(height: int, width: int) -> np.dtype[Any]:
    return np.dtype(
        [
            ("tag", "<i4"),
            ("kind", "<i4"),
            ("norm_weights", "<f8"),
            ("bias", "<f8"),
            ("alpha", "<f8"),
            ("rows", "<i4"),
            ("cols", "<i4"),
            ("type", "<i4"),
            ("weights", "<f4", (height, width)),
        ]
    )


def _stack(
    experts: list[_Expert | None], visible: NDArray[np.bool_], support: tuple[int, ...], n_betas: int
) -> PatchExperts:
    n = len(experts)
    neurons = np.array([0 if e is None else e[0].shape[0] for e in experts], dtype=np.int64)
    k = int(neurons.max())
    weights = np.zeros((n, k, *support), dtype=np.float32)
    numbers = np.zeros((3, n, k))
    betas, confidence = np.zeros((n, n_betas)), np.zeros(n)
    for i, expert in enumerate(experts):
        if expert is not None:
            weights[i, : neurons[i]], numbers[:, i, : neurons[i]] = expert[0], expert[1].T
            betas[i], confidence[i] = expert[2], expert[3]
    return PatchExperts(
        visible=read_only(visible),
        weights=read_only(weights),
        norm_weights=read_only(numbers[0]),
        bias=read_only(numbers[1]),
        alpha=read_only(numbers[2]),
        neurons=read_only(neurons),
        betas=read_only(betas),
        patch_confidence=read_only(confidence),
    )


class _Reader:
    """A cursor over a binary file that refuses to read past its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data = _read_bytes(path)
        self._at = 0
        self._last = 0

    def error(self, problem: str) -> ModelFileError:
        return ModelFileError(self._path, f"byte {self._last}", problem)

    def _take(self, size: int, what: str) -> int:
        self._last = self._at
        left = len(self._data) - self._at
        if size > left:
            raise self.error(f"expected {what}, {size} bytes, but {left} are left in the file")
        self._at += size
        return self._last

    def integer(self, what: str, low: int, high: int) -> int:
        value: int = struct.unpack_from("<i", self._data, self._take(4, what))[0]
        if not low <= value <= high:
            raise self.error(f"{what} is {value}; expected {low} to {high}")
        return value

    def tag(self, value: int, what: str) -> None:
        found: int = struct.unpack_from("<i", self._data, self._take(4, what))[0]
        if found != value:
            raise self.error(f"found {found}; expected {value}, the tag of {what}")

    def number(self, what: str, low: float, high: float) -> float:
        value: float = struct.unpack_from("<d", self._data, self._take(8, what))[0]
        if not low <= value <= high:
            raise self.error(f"{what} is {value}; expected {low:g} to {high:g}: is this a CCNF file?")
        return value

    def records(self, dtype: np.dtype[Any], count: int, what: str) -> NDArray[Any]:
        start = self._take(dtype.itemsize * count, what)
        return np.frombuffer(self._data, dtype, count, start)

    def matrix(self, what: str, shape: tuple[int | None, int], code: int) -> NDArray[Any]:
        start = self._take(12, what)
        rows, cols, found = struct.unpack_from("<iii", self._data, start)
        if rows < 0 or cols != shape[1] or (shape[0] is not None and rows != shape[0]) or found != code:
            wanted = "any" if shape[0] is None else shape[0]
            raise self.error(
                f"{what} is a {rows}×{cols} matrix of type {found}; expected {wanted}×{shape[1]} of type {code}"
            )
        return self.records(_TYPES[code], rows * cols, what).reshape(rows, cols)

    def expect_end(self) -> None:
        left = len(self._data) - self._at
        if left:
            self._last = self._at
            raise self.error(f"expected the end of the file, but {left} bytes are left")


def _read_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise ModelFileError(path, "", "no such file" if not path.exists() else "not a file")
        size = path.stat().st_size
        if size > _MAX_FILE_BYTES:
            raise ModelFileError(path, "", f"{size} bytes; expected at most {_MAX_FILE_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise ModelFileError(path, "", f"cannot be read ({error.strerror})") from error


def _read_text(path: Path) -> str:
    data = _read_bytes(path)
    try:
        if b"\0" in data[:4096]:
            raise ValueError
        return data.decode("utf-8-sig")
    except ValueError:
        raise ModelFileError(path, "", "expected a text file, found binary data") from None


# --- writing ----------------------------------------------------------------------------------------


def write_model(model: Model, folder: str | os.PathLike[str]) -> Path:
    """Write a model, its parts included, in OpenFace's format; it reads back bit-identical.

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
    main = folder / f"{model.name}.txt"
    atomic_write(main, ("\n".join(lines) + "\n").encode())
    return main


def _write_module(model: Model, folder: Path, module: str) -> None:
    pdm = model.pdm
    atomic_write(
        folder / f"pdm_{pdm.n_landmarks}.txt",
        "".join(
            f"# {title}\n{_text_matrix(matrix)}"
            for title, matrix in (
                ("Mean shape: all x, all y, all z", pdm.mean[:, None]),
                ("Principal components", pdm.modes),
                ("Variances of the components", pdm.variances[None, :]),
            )
        ).encode(),
    )
    lines = [f"PDM pdm_{pdm.n_landmarks}.txt"]
    if model.triangulations:
        text = f"# Number of triangulations\n{len(model.triangulations)}\n"
        text += "".join(_text_matrix(triangles) for triangles in model.triangulations)
        atomic_write(folder / "triangulations.txt", text.encode())
        lines.append("Triangulations triangulations.txt")
    for index, scale in enumerate(model.scales):
        file = f"ccnf_patches_{index}_{scale.patch_scaling:g}.bin"
        atomic_write(folder / file, _patch_scale_bytes(scale))
        lines.append(f"PatchesCCNF {file}")
    atomic_write(folder / module, ("\n".join(lines) + "\n").encode())


def _text_matrix(matrix: NDArray[Any]) -> str:
    code = 4 if matrix.dtype.kind == "i" else 6
    rows = "".join(" ".join(map(repr, row)) + "\n" for row in matrix.tolist())
    return f"{matrix.shape[0]}\n{matrix.shape[1]}\n{code}\n{rows}"


def _patch_scale_bytes(scale: PatchScale) -> bytes:
    chunks = [struct.pack("<di", scale.patch_scaling, len(scale.views))]
    chunks += [_binary_matrix(centre[:, None], 6) for centre in scale.view_centres_degrees]
    chunks += [_binary_matrix(view.visible[:, None], 4) for view in scale.views]
    chunks.append(struct.pack("<i", len(scale.sigma_components)))
    for window, components in scale.sigma_components.items():
        chunks.append(struct.pack("<ii", window, len(components)))
        chunks += [_binary_matrix(q, 5) for q in components]
    for view in scale.views:
        height, width = view.support
        for i, k in enumerate(view.neurons.tolist()):
            chunks.append(struct.pack("<iiii", _EXPERT_TAG, width, height, k))
            if k == 0:
                chunks.append(struct.pack("<i", 0))
                continue
            neurons = np.zeros(k, _neuron_dtype(height, width))
            neurons["tag"], neurons["rows"], neurons["cols"], neurons["type"] = _NEURON_TAG, height, width, 5
            neurons["norm_weights"], neurons["bias"] = view.norm_weights[i, :k], view.bias[i, :k]
            neurons["alpha"], neurons["weights"] = view.alpha[i, :k], view.weights[i, :k]
            chunks += [neurons.tobytes(), view.betas[i].tobytes(), struct.pack("<d", view.patch_confidence[i])]
    return b"".join(chunks)


def _binary_matrix(matrix: NDArray[Any], code: int) -> bytes:
    return struct.pack("<iii", *matrix.shape, code) + matrix.astype(_TYPES[code]).tobytes()
