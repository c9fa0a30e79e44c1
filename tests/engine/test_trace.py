"""The trace file: bit-identical round trips, files of other programs, writing, and where two runs first part."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clnf_engine import (
    FitOptions,
    Model,
    Phase,
    Trace,
    TraceFileError,
    first_divergence,
    fit,
    fit_steps,
    initial_from_box,
    initial_from_landmarks,
    initial_from_params,
    perturbed,
    preset,
)

from . import trace_tools
from .tiny_model import start, tiny_image, tiny_model, true_landmarks, true_params, with_experts
from .trace_tools import RESPONSE_ARRAYS, SHIFT_ARRAYS, assert_same, load_bytes, minimal, pack

pytestmark = pytest.mark.usefixtures("trace_folder")


def run(initial: Any = None, model: Model | None = None, **options: Any) -> Trace:
    return fit(tiny_image(), model or tiny_model(), initial or start(), FitOptions(**options))


def reloaded(trace: Trace, folder: Path) -> Trace:
    trace.save(folder / "t.npz")
    return Trace.load(folder / "t.npz")


CASES: dict[str, Callable[[], Trace]] = {
    "default": run,
    "wild": lambda: fit(tiny_image(), tiny_model(), start(), preset("openface-wild")),
    "float32": lambda: run(precision="float32", normalization="minmax", kernel="exact", sigma_off=True),
    "second-view": lambda: run(start(rotation=(0.1, 0.4, 0.0)), weight_factor=2.0, response_gain=0.3),
    "skipped": lambda: run(windows=(0, 9)),
    "never-ran": lambda: run(windows=(0, 0)),
    "singular": lambda: run(model=with_experts(tiny_model(), patch_confidence=np.zeros(68)), weight_factor=1.0),
    "no-likelihood": lambda: run(
        model=with_experts(
            tiny_model(), visible=np.zeros(68, dtype=bool), alpha=np.zeros((68, 3)), neurons=np.zeros(68, dtype=int)
        )
    ),
    "perturbed": lambda: run(perturbed(tiny_model(), start(), 2**62 + 1)),
    "from-landmarks": lambda: run(initial_from_landmarks(tiny_model(), true_landmarks() + 0.123)),
    "from-params": lambda: run(initial_from_params(tiny_model(), true_params())),
    "incomplete": lambda: replace(run(), steps=run().steps[:4]),
    "first-step": lambda: replace(run(), steps=run().steps[:1]),
    "named": lambda: replace(run(windows=(3, 0)), model_name='Größe "ß" \\ 顔 \U0001f600'),
}


@pytest.mark.parametrize("name", CASES)
def test_save_and_load_gives_the_same(name: str, tmp_path: Path) -> None:
    trace = CASES[name]()
    again = reloaded(trace, tmp_path)
    assert_same(trace, again, "trace")
    assert first_divergence(trace, again) is None
    assert first_divergence(again, trace) is None
    assert (again.complete, again.success, again.message) == (trace.complete, trace.success, trace.message)
    assert again.stages == trace.stages
    second = tmp_path / "second.npz"
    again.save(second)
    assert_same(again, Trace.load(second), "second")


def test_a_loaded_trace_shares_maps_and_is_read_only(tmp_path: Path) -> None:
    trace = reloaded(run(), tmp_path)
    for index in (0, 1):
        maps = {id(s.responses) for s in trace.steps if s.stage and s.stage.index == index and s.responses}
        assert len(maps) == 1
    for step in trace.steps:
        for array in (step.params, step.landmarks, step.delta, step.clamped, step.hessian):
            assert array is None or not array.flags.writeable
        for holder in (step.responses, step.mean_shift):
            if holder is not None:
                assert not any(getattr(holder, f.name).flags.writeable for f in fields(holder))
    assert not trace.image.flags.writeable


@settings(max_examples=10)
@given(st.integers(0, 2**32), st.sampled_from(["float64", "float32"]))
def test_replaying_a_loaded_trace_gives_the_live_run(seed: int, precision: str) -> None:
    """Everything a run needs is in its file: image, start and options decide every bit."""
    live = run(perturbed(tiny_model(), start(), seed, 0.15, 0.2), precision=precision)
    loaded = reloaded(live, trace_tools.folder)
    replayed = tuple(fit_steps(loaded.image, tiny_model(), loaded.initial, loaded.options))
    assert_same(live.steps, replayed, "replayed")
    assert_same(loaded.steps, replayed, "loaded")


def test_openface_model_round_trip(openface_model: Model, tmp_path: Path) -> None:
    trace = fit(tiny_image(), openface_model, initial_from_box(openface_model, (28, 20, 90, 95)))
    again = reloaded(trace, tmp_path)
    assert_same(trace, again, "trace")
    replayed = fit(again.image, openface_model, again.initial, again.options)
    assert first_divergence(again, replayed) is None


def test_only_documented_arrays_are_written(tmp_path: Path, root: Path) -> None:
    """Every array in the file is named in docs/trace-format.md, and the header's keys too."""
    text = (root / "docs" / "trace-format.md").read_text(encoding="utf-8")
    run(weight_factor=1.0).save(tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz") as archive:
        names = set(archive.files)
        header = json.loads(str(archive["header"]))
        assert all(archive[name].dtype.kind in "fibuU" for name in names)
    expected = {"header", "image", "initial_params", "params", "landmarks", "update_norm", "shape_change", "likelihood"}
    expected |= {f"responses/{k}/{name}" for k in (0, 1) for name in RESPONSE_ARRAYS}
    rows = {"landmarks_before", "weights", "jacobian", "hessian", "gradient", "delta", "clamped", "likelihoods"}
    for phase in ("rigid", "nonrigid"):
        expected |= {f"{phase}/{name}" for name in rows} | {f"{phase}/mean_shift/{name}" for name in SHIFT_ARRAYS}
    assert names == expected
    for name in expected:
        assert f"`{name.split('/')[-1]}`" in text or f"/{name.split('/')[-1]}`" in text, name
    assert header["version"] == 2 and header["model_fingerprint"] == tiny_model().fingerprint
    for entry in (header, header["initial"], *header["stages"], *header["steps"]):
        for key in entry:
            assert f"`{key}`" in text or f'"{key}"' in text, key


# --- a trace by another program -------------------------------------------------------------------


def example(root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str = "example.npz") -> Path:
    """Run the example of docs/trace-format.md that writes a trace of this name, as it stands there."""
    text = (root / "docs" / "trace-format.md").read_text(encoding="utf-8")
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) if f'"{name}"' in code]
    assert "clnf" not in code.replace("clnf-trace", ""), "it must need nothing of ours"
    monkeypatch.chdir(folder)
    exec(compile(code, "trace-format.md", "exec"), {})
    return folder / name


def test_the_documented_example_loads(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = Trace.load(example(root, tmp_path, monkeypatch))
    assert trace.model_name == "three-points"
    assert trace.options == FitOptions(windows=(11, 9, 7))
    assert (trace.initial.source, trace.initial.box, trace.initial.seed) == ("box", (30, 40, 40, 50), None)
    assert [step.phase for step in trace.steps] == ["initial", "end"]
    assert trace.complete and trace.success and trace.message == "done"
    assert trace.likelihood is None and trace.stages == ()
    np.testing.assert_array_equal(trace.landmarks, [[31, 41], [72, 40.5], [51, 93]])
    np.testing.assert_array_equal(trace.params_global, [1.3, 0, 0.1, 0, 52, 61])
    np.testing.assert_array_equal(trace.params_local, [4])
    np.testing.assert_array_equal(trace.initial.params, [1.2, 0, 0, 0, 50, 60, 0])
    assert trace.image.shape == (120, 100)
    assert_same(trace, reloaded(trace, tmp_path), "trace")


def test_the_documented_header_is_valid(root: Path) -> None:
    text = (root / "docs" / "trace-format.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```json\n(.*?)```", text, flags=re.DOTALL)
    header = json.loads(block)
    arrays, _ = minimal()
    arrays["params"], arrays["landmarks"] = np.ones((4, 7)), np.ones((4, 3, 2))
    maps = {"visible": np.ones(3, dtype=bool), "area": np.zeros((3, 21, 21), dtype=np.float32)}
    maps |= {name: np.zeros((3, 2)) for name in ("base_shape", "reference_shape")}
    maps |= {name: np.eye(2) for name in ("image_to_reference", "reference_to_image")}
    maps |= {name: np.zeros((3, 0, 11, 11)) for name in ("neuron_ncc", "neuron_output")}
    maps |= {name: np.zeros((3, 11, 11)) for name in ("raw", "after_sigma", "shifted", "final")}
    arrays |= {f"responses/0/{name}": array for name, array in maps.items()}
    trace = load_bytes(pack(arrays, header))
    assert [step.place for step in trace.steps[1:3]] == [(0, "responses", None), (0, "rigid", 1)]
    assert trace.steps[1].responses is trace.steps[2].responses
    assert trace.steps[2].converged is False and trace.steps[2].mean_shift is None and trace.steps[2].delta is None


def test_header_as_bytes_compressed_and_with_extra_arrays() -> None:
    arrays, header = minimal()
    expected = load_bytes(pack(arrays, header))
    utf8 = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    assert_same(load_bytes(pack(arrays, utf8)), expected, "bytes")
    assert_same(load_bytes(pack(arrays, header, compressed=True)), expected, "compressed")
    assert_same(load_bytes(pack(arrays | {"mine/extra": np.zeros(3)}, header)), expected, "extra")
    fortran = {name: np.asfortranarray(array) for name, array in arrays.items()}
    assert_same(load_bytes(pack(fortran, header)), expected, "fortran")


# --- writing --------------------------------------------------------------------------------------


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = run(windows=(3, 0))
    target = tmp_path / "t.npz"
    target.write_bytes(b"older")

    def full_disk(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(TraceFileError, match="No space left"):
        trace.save(target)
    assert target.read_bytes() == b"older"
    assert [file.name for file in tmp_path.iterdir()] == ["t.npz"]
    monkeypatch.undo()
    trace.save(target)
    assert_same(trace, Trace.load(target), "trace")
    assert [file.name for file in tmp_path.iterdir()] == ["t.npz"]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    trace = run(windows=(3, 0))
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "none" / "t.npz", tmp_path / "file" / "t.npz", tmp_path / "folder", tmp_path / ("x" * 300)):
        with pytest.raises(TraceFileError) as error:
            trace.save(path)
        assert "\n" not in str(error.value)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder"]
    assert not any((tmp_path / "folder").iterdir())


def test_the_name_is_kept_as_given(tmp_path: Path) -> None:
    trace = run(windows=(3, 0))
    trace.save(str(tmp_path / "größe 顔.trace"))
    assert [file.name for file in tmp_path.iterdir()] == ["größe 顔.trace"]


# --- where two runs part --------------------------------------------------------------------------


def test_identical_runs_do_not_part() -> None:
    assert first_divergence(run(), run()) is None


@pytest.mark.parametrize("normalization", ["peak", "minmax", "sum", "global_peak"])
def test_normalizations_part_at_the_final_maps(normalization: str) -> None:
    found = first_divergence(run(), run(normalization=normalization))
    assert found.array == "responses.final"
    assert found.step_a.place == found.step_b.place == (0, Phase.RESPONSES, None)
    expected = np.abs(found.step_a.responses.final - found.step_b.responses.final).max()
    assert found.difference == expected > 0


@pytest.mark.parametrize(
    ("changes", "array", "place"),
    [
        ({"sigma_off": True}, "responses.after_sigma", (0, Phase.RESPONSES, None)),
        ({"windows": (9, 9)}, "responses.area", (0, Phase.RESPONSES, None)),
        ({"sigma": 2.0}, "mean_shift.kernel_sum", (0, Phase.RIGID, 1)),
        ({"weight_factor": 1.0}, "weights", (0, Phase.RIGID, 1)),
        ({"reg_factor": 1.0}, "hessian", (0, Phase.NONRIGID, 1)),
        ({"clamp_sigmas": 1e-3}, "params", (0, Phase.NONRIGID, 1)),
    ],
    ids=str,
)
def test_options_part_where_they_first_act(changes: dict[str, Any], array: str, place: Any) -> None:
    found = first_divergence(run(), run(**changes))
    assert (found.array, found.step_a.place, found.step_b.place) == (array, place, place)


def test_the_kernel_parts_when_it_is_first_off_the_table() -> None:
    """The first position is the centre of the map, where table and exact kernel agree."""
    found = first_divergence(run(), run(kernel="exact"), tolerance=1e-9)
    assert found.array == "mean_shift.kernel_sum"
    assert found.step_a.place == (0, Phase.RIGID, 2)


def test_another_start_parts_at_once() -> None:
    found = first_divergence(run(), run(start(dx=4.1)))
    assert found.step_a.phase is Phase.INITIAL and found.array == "params"


def test_tolerance() -> None:
    a, b = run(), run(start(dx=4.0 + 1e-9))
    assert first_divergence(a, b).difference == pytest.approx(1e-9, rel=1e-3)
    far = first_divergence(a, b, tolerance=1e-6)
    assert far is None or far.difference > 1e-6


def test_a_run_with_more_iterations_has_a_moment_the_other_lacks() -> None:
    """Whichever comes first: after five rigid iterations one run goes on, the other does not."""
    five, six = run(convergence_px=0.0), run(max_iterations=6, convergence_px=0.0)
    found = first_divergence(six, five)
    assert found.step_a.place == (0, Phase.RIGID, 6)
    assert (found.step_b, found.array, found.difference) == (None, "", np.inf)
    found = first_divergence(five, six)
    assert found.step_b.place == (0, Phase.RIGID, 6)
    assert (found.step_a, found.array, found.difference) == (None, "", np.inf)


def test_an_unfinished_run_lacks_the_rest() -> None:
    whole = run()
    part = replace(whole, steps=whole.steps[:5])
    for found, missing in ((first_divergence(whole, part), "step_b"), (first_divergence(part, whole), "step_a")):
        other = found.step_a or found.step_b
        assert getattr(found, missing) is None
        assert other.place == whole.steps[5].place


def test_a_skipped_stage_parts_there() -> None:
    found = first_divergence(run(), run(windows=(0, 9)))
    present = found.step_a or found.step_b
    assert present.stage.index == 0
    assert present.phase in (Phase.RESPONSES, Phase.SKIPPED)


def test_values_that_only_one_run_has() -> None:
    """A trace of another program without mean-shifts or maps is compared in what both have, or parts there."""
    full = run()
    poor = replace(
        full,
        steps=tuple(replace(step, responses=None, mean_shift=None, jacobian=None, hessian=None) for step in full.steps),
    )
    for a, b in ((full, poor), (poor, full)):
        found = first_divergence(a, b)
        assert found is not None
        assert found.difference == np.inf
        assert found.step_a.place == found.step_b.place == (0, Phase.RESPONSES, None)
        assert found.array.startswith("responses")
