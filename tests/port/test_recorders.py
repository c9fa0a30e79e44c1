"""What the recorders of both languages write is the trace that the port has in memory, bit for bit."""

from __future__ import annotations

import ast
import os
import random
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine.trace_tools import assert_same

from clnf_engine import ClnfError, Trace
from clnf_engine.checking.check import check_trace
from clnf_engine.io.trace_arrays import MAPS, ROWS
from clnf_engine.io.trace_parts import NUMBERS
from clnf_engine.recorders import clnf_recorder
from clnf_engine.recorders.clnf_recorder import Recorder, RecorderError

from .compiling import RECORDERS, compiled, needs_compiler
from .faces import FACES
from .recording import play, script
from .traces import last_iterations, only_final_maps, only_landmarks, recorded

RUNS: dict[str, Any] = {
    "tiny": recorded,
    "turned": lambda: recorded("", "turned"),
    "stopping": lambda: recorded("", "stopping"),
    "float32": lambda: recorded("", "turned", np.float32),
    "maps_in_every_iteration": lambda: recorded("maps_in_every_iteration"),
    "nonrigid_before_rigid": lambda: recorded("nonrigid_before_rigid"),
    "euler_order_zyx": lambda: recorded("euler_order_zyx"),
    "landmarks": lambda: only_landmarks(recorded()),
    "final_maps": lambda: only_final_maps(recorded()),
    "last_iterations": lambda: last_iterations(recorded("gradient_without_prior")),
}
KILLED = 30
"""How often a port is killed while it records, in each language."""


@pytest.mark.parametrize("name", RUNS)
def test_python_records_what_the_port_has_in_memory(name: str, tmp_path: Path) -> None:
    play(RUNS[name](), Recorder(tmp_path / "run"))
    assert_same(Trace.load(tmp_path / "run"), RUNS[name](), name)


@needs_compiler
@pytest.mark.parametrize("name", RUNS)
def test_cpp_records_what_the_port_has_in_memory(name: str, tmp_path: Path, cpp_port: Path) -> None:
    script(RUNS[name](), tmp_path / "calls")
    subprocess.run([cpp_port, "replay", tmp_path / "calls", tmp_path / "run"], check=True, timeout=60)
    assert_same(Trace.load(tmp_path / "run"), RUNS[name](), name)


@pytest.mark.parametrize("name", ["", "euler_order_zyx", "sigma_left_out"])
def test_a_recorded_port_is_checked_like_the_one_in_memory(name: str, tmp_path: Path) -> None:
    play(recorded(name), Recorder(tmp_path / "run"))
    said, expected = (
        check_trace(trace, FACES["tiny"].model()) for trace in (Trace.load(tmp_path / "run"), recorded(name))
    )
    assert said.document("t", "m") == expected.document("t", "m")
    assert said.conforms is (name == "")


def test_every_value_of_the_format_has_its_place_in_both_recorders() -> None:
    def spec(shape: tuple[Any, ...]) -> str:
        return " ".join("." if size is None else str(size) for size in shape)

    values = {name: spec(shape) for name, shape in ROWS.items()} | dict.fromkeys(NUMBERS, "")
    maps = {name: spec(shape) for name, shape in MAPS.items()}
    assert clnf_recorder._ROWS == values
    assert maps == clnf_recorder._MAPS
    header = (RECORDERS / "clnf_recorder.hpp").read_text("utf-8")
    tables = re.findall(r"Table table = \{(.*?)\n    \};", header, flags=re.DOTALL)
    assert [dict(re.findall(r'\{"(.*?)", "(.*?)"\}', table)) for table in tables] == [values, maps]


def test_the_recorders_can_be_copied_into_any_port() -> None:
    source = (RECORDERS / "clnf_recorder.py").read_text("utf-8")
    tree = ast.parse(source, feature_version=(3, 8))
    nodes = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {name.name if isinstance(node, ast.Import) else node.module for node in nodes for name in node.names}
    assert names <= sys.stdlib_module_names | {"numpy"}
    header = (RECORDERS / "clnf_recorder.hpp").read_text("utf-8")
    assert not re.findall(r'#include "', header)
    for text in (source, header):
        assert "Permission is hereby granted, free of charge" in text


# --- a port that is killed --------------------------------------------------------------------------

ENDLESS = """
import sys
sys.modules["numpy"] = None
sys.path.insert(0, sys.argv[1])
from clnf_recorder import Recorder
from array import array
rec = Recorder(sys.argv[2])
rec.begin([[7] * 40] * 30, [1.0, 0, 0, 0, 0, 0, 0, 0])
rec.stage(window=11)
rec.maps(final=[[[0.5] * 11] * 11] * 3)
for k in range(1, 90000):
    rec.put(jacobian=[[float(k)] * 6] * 6, weights=array("f", [k, k, k]))
    rec.iteration("rigid", params=[1.0, 0, 0, 0, 0, 0, 0, k], delta=array("d", [k] * 6))
    sys.stdout.write(".")
    sys.stdout.flush()
"""


@pytest.mark.parametrize("language", ["python", pytest.param("cpp", marks=needs_compiler)])
def test_a_killed_port_leaves_every_completed_step(
    language: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    words = [sys.executable, "-S", "-c", ENDLESS, RECORDERS]
    if language == "cpp":
        words = [request.getfixturevalue("cpp_port"), "endless"]
    chosen = random.Random(5)
    for _ in range(KILLED):
        count = chosen.choice([1, chosen.randrange(1, 40), chosen.randrange(1, 400)])
        with subprocess.Popen([*words, tmp_path / "run"], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert len(process.stdout.read(count)) == count
            process.kill()
        trace = Trace.load(tmp_path / "run")
        iterations = trace.steps[2:]
        assert len(iterations) >= count
        np.testing.assert_array_equal(trace.steps[1].responses.final, np.full((3, 11, 11), 0.5))
        for k, step in enumerate(iterations[:-1], start=1):
            assert step.iteration == k and step.params[7] == k
            assert (step.jacobian == k).all() and (step.weights == k).all() and (step.delta == k).all()


# --- how it is called -------------------------------------------------------------------------------

IMAGE = np.full((20, 30), 9, np.uint8)
PARAMS = [1.0, 0, 0, 0, 10, 10, 0.5]


def begun(folder: Path, strict: bool = True, **header: Any) -> Recorder:
    rec = Recorder(folder, strict)
    rec.begin(IMAGE, PARAMS, np.zeros((3, 2)), **header)
    rec.stage(window=5, sigma=1.5)
    return rec


MISTAKES = {
    "delta is 7; expected 6 (q)": lambda rec: rec.iteration("rigid", delta=np.zeros(7)),
    "params is 6; expected 7 (p)": lambda rec: rec.iteration("rigid", params=np.zeros(6)),
    "jacobian is 6×6; expected 6×7 (2n×q)": lambda rec: rec.iteration("nonrigid", jacobian=np.zeros((6, 6))),
    "landmarks is 6; expected 3×2 (n×2); use x.reshape(2, -1).T": lambda rec: rec.iteration(
        "rigid", landmarks=np.zeros(6)
    ),
    "step is no value here; expected one of params": lambda rec: rec.put(step=1),
    "final is no value here; expected one of params": lambda rec: rec.put(final=1),
    "final of landmark 1 is f4 5×5; that of 0 was f8 5×5": lambda rec: (
        rec.map(0, final=np.zeros((5, 5))),
        rec.map(1, final=np.zeros((5, 5), np.float32)),
    ),
    "final is 3×7×7; expected 3×5×5 (n×w×w)": lambda rec: (rec.maps(final=np.zeros((3, 7, 7))), rec.iteration("rigid")),
    "landmark is 3, but there are 3": lambda rec: rec.put_at(3, weights=1.0),
    "no landmark is given": lambda rec: rec.map(final=np.zeros((5, 5))),
    "landmark is -1; expected a whole number from 0": lambda rec: rec.map(-1, final=np.zeros((5, 5))),
    "hessian has no row for each landmark": lambda rec: rec.put_at(0, hessian=1.0),
    "raw is no map of a neuron": lambda rec: rec.neuron(0, 0, raw=np.zeros((5, 5))),
    "phase is 'third'": lambda rec: rec.iteration("third"),
    "colour is no setting of a stage; expected one of index": lambda rec: rec.stage(colour=3),
    "delta holds <U1; expected real numbers": lambda rec: rec.put(delta="x"),
    "delta holds complex128": lambda rec: rec.put(delta=np.zeros(6, complex)),
    "delta cannot be read as an array": lambda rec: rec.put(delta=[[1], [1, 2]]),
    "clamped holds float64; expected true and false": lambda rec: rec.put(clamped=[0.5] * 7),
    "image is u1 20×30×3; expected grey levels": lambda rec: rec.begin(np.zeros((20, 30, 3), np.uint8)),
    "image is f8 2×2; expected grey levels": lambda rec: rec.begin([[0.5, 1], [1, 1]]),
    "no fit is open; call begin first": lambda rec: (rec.end(), rec.iteration("rigid")),
    "final belongs to a stage; call stage first": lambda rec: (rec.begin(IMAGE, PARAMS), rec.maps(final=1)),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_one_sentence_or_one_line(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RecorderError) as error:
        MISTAKES[text](begun(tmp_path / "strict"))
    assert text in str(error.value) and "\n" not in str(error.value)
    assert capsys.readouterr().err == ""
    rec = begun(tmp_path / "lenient", strict=False)
    for _ in range(2):
        MISTAKES[text](rec)
    said = [line for line in capsys.readouterr().err.splitlines() if text in line]
    assert len(said) == 1 and said[0].startswith("clnf_recorder: ")


def test_what_is_wrong_is_left_out_and_the_rest_recorded(tmp_path: Path) -> None:
    rec = begun(tmp_path / "run", strict=False)
    rec.iteration("rigid", params=PARAMS, delta=np.zeros(9), gradient=np.ones(6))
    rec.end()
    step = Trace.load(tmp_path / "run").steps[2]
    assert step.delta is None and step.gradient.tolist() == [1.0] * 6 and step.params.tolist() == PARAMS


def test_a_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RecorderError, match="run: cannot be written"):
        Recorder(tmp_path / "file" / "run").begin(IMAGE, PARAMS)
    rec = Recorder(tmp_path / "file" / "run", strict=False)
    for _ in range(3):
        rec.begin(IMAGE, PARAMS)
        rec.stage(window=5)
        rec.iteration("rigid", params=PARAMS)
        rec.end()
    assert capsys.readouterr().err.count("\n") == 1


def test_without_a_folder_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLNF_RECORD", raising=False)
    rec = Recorder()
    rec.begin(None)
    rec.iteration("whatever", delta="nonsense")
    rec.end()
    assert list(tmp_path.iterdir()) == [] and rec.folder == ""
    monkeypatch.setenv("CLNF_RECORD", "named")
    Recorder().begin(IMAGE, PARAMS)
    assert len(Trace.load(tmp_path / "named").steps) == 1


def test_every_fit_has_its_folder_and_those_before_are_replaced(tmp_path: Path) -> None:
    for count in (3, 2):
        rec = Recorder(tmp_path / "run")
        for k in range(count):
            rec.begin(IMAGE, PARAMS)
            rec.stage(window=5)
            for _ in range(count + k):
                rec.iteration("rigid", params=PARAMS)
            rec.end()
    names = ["run", "run_2", "run_3"]
    assert [len(Trace.load(tmp_path / name).steps) for name in names] == [5, 6, 8]  # the third of the time before


def test_more_steps_than_a_trace_holds_are_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clnf_recorder, "_MAX_STEPS", 4)
    rec = begun(tmp_path / "run")
    rec.iteration("rigid", params=PARAMS, jacobian=np.zeros((6, 6)))
    rec.more(converged=True)
    rec.iteration("rigid", params=PARAMS, jacobian=np.zeros((6, 6)))
    sizes = [file.stat().st_size for file in (tmp_path / "run").iterdir()]
    with pytest.raises(RecorderError, match="the fit has 4 steps; those that follow are not recorded"):
        rec.iteration("rigid", params=PARAMS, jacobian=np.ones((6, 6)))
    assert [file.stat().st_size for file in (tmp_path / "run").iterdir()] == sizes
    assert len(Trace.load(tmp_path / "run").steps) == 4


def test_a_jacobian_alone_tells_how_many_landmarks_there_are(tmp_path: Path) -> None:
    rec = Recorder(tmp_path / "run")
    rec.begin(IMAGE, PARAMS)
    rec.stage(window=5)
    rec.iteration("rigid", jacobian=np.zeros((6, 6)))
    assert Trace.load(tmp_path / "run").landmarks.shape == (3, 2)


def test_values_outside_of_a_fit_belong_to_none(tmp_path: Path) -> None:
    rec = Recorder(tmp_path / "run")
    rec.put(jacobian=np.zeros((2, 2)))  # of code that other parts of a port call, too
    rec.maps(final=1)
    rec.begin(IMAGE, PARAMS)
    rec.put(jacobian=np.zeros((6, 6)))
    rec.stage(window=5)
    rec.iteration("rigid", params=PARAMS)
    assert Trace.load(tmp_path / "run").steps[2].jacobian is None


def test_rows_from_many_threads(tmp_path: Path) -> None:
    rec = begun(tmp_path / "run")

    def one(i: int) -> None:
        with rec.landmark(i):
            rec.map(raw=np.full((5, 5), i), final=np.full((5, 5), i, np.float32))
            for k in range(i + 1):
                rec.neuron(k, neuron_ncc=np.full((5, 5), 10 * i + k))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(one, [2, 0]))
    rec.iteration("rigid", params=PARAMS)
    maps = Trace.load(tmp_path / "run").steps[2].responses
    assert maps.final.dtype == maps.raw.dtype == np.float64  # of one dtype, as the format has it
    assert maps.raw[:, 0, 0].tolist()[::2] == [0, 2] and np.isnan(maps.raw[1]).all()
    assert maps.neuron_ncc[0, :, 0, 0].tolist() == [0, 0, 0]
    assert maps.neuron_ncc[2, :, 0, 0].tolist() == [20, 21, 22] and np.isnan(maps.neuron_ncc[1]).all()


def test_the_header_and_what_is_odd(tmp_path: Path) -> None:
    rec = begun(
        tmp_path / "run",
        box=(1, 2, 3, 4),
        source="detector",
        model="M",
        model_fingerprint="0123456789abcdef",
        options={"sigma": 1.25, "mine": [1]},
        conventions=["degrees"],
        notes={"program": "mine"},
    )
    rec.iteration("rigid", params=np.array(PARAMS, np.float32), likelihood=-np.inf, delta=[np.inf, np.nan, 0, 0, 0, 0])
    rec.more(converged=True, likelihoods=[1, 2, 3])
    rec.skip("the face is too small", window=3)
    trace = Trace.load(tmp_path / "run")
    assert (trace.initial.source, trace.initial.box) == ("detector", (1.0, 2.0, 3.0, 4.0))
    assert (trace.model_name, trace.fingerprint, trace.conventions) == ("M", "0123456789abcdef", ("degrees",))
    assert trace.options.sigma == 1.25 and dict(trace.notes) == {"program": '"mine"', "mine": "[1]"}
    step = trace.steps[2]
    assert step.likelihood == -np.inf and np.isinf(step.delta[0]) and np.isnan(step.delta[1])
    assert step.converged is True and step.likelihoods.tolist() == [1, 2, 3]
    assert trace.steps[3].stage.skipped == trace.steps[3].message == "the face is too small"


def test_rows_of_some_landmarks_only(tmp_path: Path) -> None:
    rec = Recorder(tmp_path / "run")
    rec.begin(IMAGE, PARAMS, n_landmarks=5, landmark_indices=[1, 3])
    rec.stage(window=5)
    rec.iteration("rigid", landmarks=[[1, 2], [3, 4]])
    with pytest.raises(RecorderError, match="landmarks is 5×2; expected 2×2"):
        rec.iteration("rigid", landmarks=np.zeros((5, 2)))
    assert Trace.load(tmp_path / "run").steps[2].landmarks[[1, 3]].tolist() == [[1, 2], [3, 4]]


# --- the program in C++ that is called in every way -------------------------------------------------


@needs_compiler
def test_cpp_takes_matrices_of_any_kind_and_tells_mistakes(tmp_path: Path, cpp_port: Path) -> None:
    run = subprocess.run([cpp_port], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr + run.stdout
    said = dict(line.split(": ", 1) for line in run.stdout.splitlines())
    expected = {
        "delta": "delta is 7; expected 6",
        "params": "params is 6; expected 7",
        "jacobian": "jacobian is 6x6; expected 6x7",
        "landmarks": "landmarks is 6; expected 3x2; wrap it in clnf::stacked",
        "unknown": "step is no value here; expected one of clamped, delta",
        "rows": "final of landmark 1 is <f4 5x5; that of 0 was <f8 5x5",
        "window": "final is 3x7x7; expected 3x5x5",
        "landmark": "landmark is 3, but there are 3",
        "here": "no landmark is given",
        "whole": "hessian has no row for each landmark",
        "neuron": "raw is no map of a neuron",
        "phase": 'phase is "third"; expected "rigid" or "nonrigid"',
        "setting": "colour is no setting of a stage",
        "window_half": "window of a stage is 4.5; expected a whole number",
        "image": "image is |u1 4x5x3; expected grey levels",
        "no_fit": "no fit is open; call begin first",
        "no_stage": "final belongs to a stage; call stage first",
        "folder": "nothing/run/trace.jsonl: cannot be written (",
    }
    assert set(said) == set(expected)
    assert {name: said[name][: len(text)] for name, text in expected.items()} == expected
    lines = run.stderr.splitlines()
    assert len(lines) == len(set(lines)) == 3 and all(line.startswith("clnf_recorder: ") for line in lines)
    trace = Trace.load(tmp_path / "lenient")
    assert trace.steps[2].delta is None and trace.steps[2].gradient.tolist() == [1.0] * 6
    threads = Trace.load(tmp_path / "threads")
    assert [float(one[0, 0]) for one in threads.steps[1].responses.final] == list(map(float, range(64)))
    assert threads.notes == (("text", '"a \\"quoted\\" line\\n"'),)


DOCUMENTED = """
#include "clnf_recorder.hpp"
static const std::vector<double> zeros(4096, 0.25);
static clnf::View view(clnf::detail::Shape shape) { return {zeros.data(), std::move(shape)}; }
int main() {
    const std::vector<unsigned char> levels(600, 9);
    const clnf::View gray(levels.data(), {20, 30}), params = view({8}), params_global = view({6, 1});
    const clnf::View params_local = view({1, 2}), landmarks = view({6, 1}), current_shape = landmarks;
    const clnf::View mean_shifts = view({1, 6}), new_shape = landmarks, image_to_reference = view({2, 2});
    const clnf::View reference_to_image = view({2, 2}), area = view({21, 21}), map = view({11, 11});
    const clnf::View correlation = map, sum_of_neurons = map, product = map, response = map;
    const int n = 3, k = 0, scales = 2, window = 11, view = 0;
    const double patch_scaling = 0.25, sigma = 1.5, reg = 25, weight_factor = 0, dx = 5, dy = 5, sum = 1;
    const bool success = true;
    { const int i = 2; FIVE_CALLS }
    { const int i = 0; OUTLINE }
}
"""


@needs_compiler
def test_the_documented_cpp(root: Path, tmp_path: Path) -> None:
    five, outline = re.findall(
        r"```cpp\n(.*?)```", (root / "docs" / "recorders.md").read_text("utf-8"), flags=re.DOTALL
    )
    include, five = five.split("\n", 1)
    assert include == '#include "clnf_recorder.hpp"'
    sizes = "const auto J = ::view({6, phase[0] == 'r' ? 6u : 8u}), right_side = ::view({phase[0] == 'r' ? 6u : 8u});"
    square = "const auto Hessian = ::view({right_side.count(), right_side.count()}), param_update = right_side;"
    outline = outline.replace("// if the shape", f"{sizes}{square}// if the shape")
    (tmp_path / "main.cpp").write_text(DOCUMENTED.replace("FIVE_CALLS", five).replace("OUTLINE", outline))
    program = compiled(tmp_path / "main.cpp", tmp_path / "main")
    subprocess.run([program], cwd=tmp_path, check=True, timeout=60, env=os.environ | {"CLNF_RECORD": "outline"})
    assert [str(step.phase) for step in Trace.load(tmp_path / "run").steps] == ["initial", "responses", "rigid", "end"]
    trace = Trace.load(tmp_path / "outline")
    assert len(trace.steps) == 24 and trace.complete and trace.model_name == "main_clnf_general"
    last = trace.steps[-2]
    assert last.stage.index == 1 and last.responses.has("area", "raw", "after_sigma", "neuron_ncc", "base_shape")
    assert last.jacobian.shape == (6, 8) and last.params.shape == (8,) and last.mean_shift.position[0, 0] == 5


def test_the_documented_python(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _ = re.findall(r"```python\n(.*?)```", (root / "docs" / "recorders.md").read_text("utf-8"), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(RECORDERS))
    exec(code, {"gray": IMAGE, "params": PARAMS, "i": 2, "response": np.ones((11, 11))})
    assert [str(step.phase) for step in Trace.load("run").steps] == ["initial", "responses", "rigid", "end"]


def test_files_of_the_recorder_that_were_cut_are_told_of(tmp_path: Path) -> None:
    rec = begun(tmp_path / "run")
    for _ in range(2):
        rec.iteration("rigid", params=PARAMS, jacobian=np.zeros((6, 6), np.float32))
    arrays = tmp_path / "run" / "arrays.raw"
    whole = arrays.read_bytes()
    arrays.write_bytes(whole[:-4])
    trace = Trace.load(tmp_path / "run")
    assert trace.steps[3].jacobian is None and "arrays.raw holds 140 bytes of 144" in trace.converted[-1]
    arrays.write_bytes(whole[:-200])
    with pytest.raises(ClnfError, match=r"line 4: arrays\.raw holds"):
        Trace.load(tmp_path / "run")
    text = (tmp_path / "run" / "trace.jsonl").read_text()
    for bad in ("-1", "1.5", "true", '"0"', str(10**30)):
        (tmp_path / "run" / "trace.jsonl").write_text(re.sub(r'"offset":\d+', f'"offset":{bad}', text))
        with pytest.raises(ClnfError, match="offset"):
            Trace.load(tmp_path / "run")
    lines = text.splitlines()
    for bad in ('{"more": true, "phase": "rigid"}', '{"more": true, "responses": {"final": []}}'):
        (tmp_path / "run" / "trace.jsonl").write_text("\n".join([*lines[:3], bad]) + "\n")
        with pytest.raises(ClnfError, match="line 4 has more of a step"):
            Trace.load(tmp_path / "run")
    (tmp_path / "run" / "trace.jsonl").write_text(lines[0] + '\n{"more": true}\n')
    with pytest.raises(ClnfError, match="line 2 has more, but there is no step before it"):
        Trace.load(tmp_path / "run")
