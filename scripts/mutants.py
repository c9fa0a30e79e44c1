"""How many small mistakes in the code the tests notice: a seeded sample of mutants, each run against its tests.

Every mutant changes one operator, number or condition in a copy of the checkout. It is killed when a test fails.

    python scripts/mutants.py fitting --count 40 --seed 1
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FITTING = {
    "pdm nu_rlms mean_shift response experts sigma fitting initial schedule deviations": (
        "starts reference deviations operations edges starts_and_steps properties kernels options trace "
        "calibration parity"
    ),
    "kernels/equations kernels/iteration kernels/responses kernels/shape kernels/shifts": "starts reference edges",
}
"""Modules of the engine, and the tests that should notice a mistake in them; kernels run uncompiled, which is slow."""

WINDOW = {
    "session/choices": "choices lanes partial_traces files",
    "session/cursor": "session overlays lanes panels",
    "session/document": "files session_files video",
    "session/fits": "session lanes plugins",
    "session/frames session/shots session/tracker": "video",
    "session/lanes": "session lanes partial_traces video",
    "session/opener": "opening files session_files video",
    "session/session": "session opening files lanes turning video",
    "session/starts": "session turning overlays opening",
    "views/image_view": "views overlays lanes window",
    "views/response_atlas": "atlas views window lanes",
    "views/start_box": "turning overlays",
    "views/tables": "numbers panes lanes",
    "views/worst": "video",
    "panels/timeline": "panels window",
}


def _paths(package: str, tests: str, table: dict[str, str]) -> dict[str, list[str]]:
    """The files of an area, each with the paths of its tests."""

    def path(name: str) -> str:
        return f"{tests}/{name}" if name == "video" else f"{tests}/test_{name}.py"

    return {
        f"{package}/{module}.py": [path(name) for name in names.split()]
        for modules, names in table.items()
        for module in modules.split()
    }


AREAS = {
    "fitting": _paths("clnf_engine", "tests/engine", FITTING),
    "window": _paths("clnf_gui", "tests/gui", WINDOW),
}
COPIED = ("clnf_engine", "clnf_gui", "models", "resources", "tests", "docs", "pyproject.toml", "README.md")

COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "is not": "is", "is": "is not"}
COMPARISONS |= {"not in": "in", "in": "not in"}
OPERATORS = {"+": "-", "-": "+", "*": "/", "/": "*", "//": "*", "%": "*", "**": "*", "&": "|", "|": "&", "@": "*"}
OPERATORS |= {"and": "or", "or": "and"}


@dataclass(frozen=True)
class Mutant:
    """One change of a file."""

    file: str
    start: int
    end: int
    line: int
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.old!r} -> {self.new!r}"


def mutants(file: str) -> Iterator[Mutant]:
    """Every mutant of a file."""
    data = (ROOT / file).read_bytes()
    lines = [0, *(k + 1 for k, byte in enumerate(data) if byte == ord("\n"))]

    def at(node: ast.AST, end: bool = False) -> int:
        place = (node.end_lineno, node.end_col_offset) if end else (node.lineno, node.col_offset)
        return lines[place[0] - 1] + place[1]

    def change(start: int, end: int, new: str) -> Mutant:
        return Mutant(file, start, end, data.count(b"\n", 0, start) + 1, data[start:end].decode(), new)

    def operator(left: ast.AST, right: ast.AST, table: dict[str, str]) -> Iterator[Mutant]:
        start, end = at(left, end=True), at(right)
        between = data[start:end].decode()
        symbol = between.split("#")[0].strip(" ()\n\\")
        if symbol in table:
            here = start + between.index(symbol)
            yield change(here, here + len(symbol), table[symbol])

    def visit(node: ast.AST) -> Iterator[Mutant]:
        if isinstance(node, (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom)) or _about_types(node):
            return
        if isinstance(node, ast.BinOp):
            if not any(
                isinstance(side, (ast.JoinedStr, ast.Constant)) and _is_text(side) for side in (node.left, node.right)
            ):
                yield from operator(node.left, node.right, OPERATORS)
        elif isinstance(node, ast.BoolOp):
            yield from operator(node.values[0], node.values[1], OPERATORS)
        elif isinstance(node, ast.Compare):
            yield from operator(node.left, node.comparators[0], COMPARISONS)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
            yield change(at(node), at(node.operand), "")
        elif isinstance(node, (ast.If, ast.IfExp, ast.While)):
            yield change(at(node.test), at(node.test, end=True), "False")
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
            new = (
                str(not node.value)
                if isinstance(node.value, bool)
                else repr(node.value + 1 if node.value < 2 else node.value * 2)
            )
            yield change(at(node), at(node, end=True), new)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield change(at(node), at(node, end=True), "pass")
        for child in _children(node):
            yield from visit(child)

    for found in visit(ast.parse(data)):
        try:
            ast.parse(mutated(data, found))
        except SyntaxError:
            continue
        yield found


def _another(value: float) -> float:
    return value + 1 if value < 2 else 2 * value


def mutated(data: bytes, mutant: Mutant) -> bytes:
    """The file with the change made."""
    return data[: mutant.start] + mutant.new.encode() + data[mutant.end :]


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or isinstance(getattr(node, "value", None), str)


def _about_types(node: ast.AST) -> bool:
    """Aliases of types, and what is only there for a checker of types."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript) and node.col_offset == 0


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """What a node is made of, without annotations, decorators and the slices of types."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "bases"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child


def killed(mutant: Mutant, copy: Path, tests: Sequence[str], timeout: float) -> bool:
    """Whether the tests notice a mutant."""
    file = copy / mutant.file
    whole = file.read_bytes()
    file.write_bytes(mutated(whole, mutant))
    try:
        return not passes(copy, tests, timeout, compiled="/kernels/" not in mutant.file)
    finally:
        file.write_bytes(whole)


def passes(copy: Path, tests: Sequence[str], timeout: float, compiled: bool = True) -> bool:
    """Whether tests pass, in time; kernels that are not compiled run slowly, but at once."""
    environment = os.environ | {"PYTHONPATH": str(copy), "QT_QPA_PLATFORM": "offscreen", "OPENBLAS_NUM_THREADS": "1"}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_PROFILE": "ci", "XDG_CACHE_HOME": str(copy / ".cache")}
    environment.setdefault("CLNF_SHARED", str(ROOT.parent / "shared"))
    if not compiled:
        environment["NUMBA_DISABLE_JIT"] = "1"
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        with open(copy / "pytest.log", "wb") as log:
            done = subprocess.run(
                words, cwd=copy, env=environment, stdout=log, stderr=log, timeout=timeout, check=False
            )
        return done.returncode == 0
    except subprocess.TimeoutExpired:
        return False


def main() -> int:
    """Run a sample; exit code 1 when fewer than `--least` percent are killed."""
    parser = argparse.ArgumentParser(description="How many small mistakes in the code the tests notice.")
    parser.add_argument("area", choices=AREAS)
    parser.add_argument("--count", type=int, default=40, help="mutants to try (40)")
    parser.add_argument("--seed", type=int, default=1, help="of the sample (1)")
    parser.add_argument("--only", default="", help="files whose path holds this")
    parser.add_argument("--least", type=float, default=0.0, help="percent that must be killed")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds for the tests of a mutant (900)")
    arguments = parser.parse_args()
    area = {file: tests for file, tests in AREAS[arguments.area].items() if arguments.only in file}
    every = [mutant for file in area for mutant in mutants(file)]
    sample = random.Random(arguments.seed).sample(every, min(arguments.count, len(every)))
    print(f"{len(sample)} of {len(every)} mutants of {len(area)} files, seed {arguments.seed}", flush=True)
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        for tests, compiled in sorted({(tuple(area[m.file]), "/kernels/" not in m.file) for m in sample}):
            if not passes(copy, tests, arguments.timeout, compiled):
                print((copy / "pytest.log").read_text(errors="replace")[-3000:], file=sys.stderr)
                print(f"These tests fail before anything is changed: {' '.join(tests)}", file=sys.stderr)
                return 2
        for number, mutant in enumerate(sample, 1):
            dead = killed(mutant, copy, area[mutant.file], arguments.timeout)
            survivors += [] if dead else [mutant]
            print(f"{number:3} {'killed  ' if dead else 'SURVIVED'} {mutant}", flush=True)
    share = 100 * (1 - len(survivors) / max(len(sample), 1))
    print(f"{len(sample) - len(survivors)} of {len(sample)} killed, {share:.0f} %", flush=True)
    return int(share < arguments.least)


if __name__ == "__main__":
    sys.exit(main())
