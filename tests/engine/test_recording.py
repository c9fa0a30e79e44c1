"""A Recording gives the Steps of the fit, bit for bit, however little of them it may keep."""

from __future__ import annotations

import pickle
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clnf_engine import FitOptions, Initial, Model, Phase, Recording, Step, Trace, fit, fit_steps, load_model, preset
from clnf_engine import moments as moments_module
from clnf_engine import recording as recording_module
from clnf_engine.detection.search import initials_from_detector
from clnf_engine.deviations import DEVIATIONS
from clnf_engine.diagnostics.divergence import divergence
from clnf_engine.diagnostics.fixed_point import fixed_point
from clnf_engine.diagnostics.kernel import kernel_check
from clnf_engine.diagnostics.magnitudes import run_magnitudes
from clnf_engine.diagnostics.round_trips import round_trips
from clnf_engine.documents import run_document
from clnf_engine.errors import ClnfError, TraceFileError
from clnf_engine.io import trace_file
from clnf_engine.shelf import maps_bytes
from clnf_engine.steps import LARGE, PHASES_OF_FIT, ResponseMaps, numbered_maps, numbers_of, without_large
from clnf_engine.stops import firings, parse_stop
from clnf_engine.trace import first_divergence

from .portrait import grace_hopper
from .tiny_model import SUPPORT, start, tiny_image, tiny_model, with_experts
from .trace_tools import assert_same

N, MODES, NEURONS = 68, 4, 3
UNFROZEN = FitOptions(responses_every_iteration=True)
BUDGETS = (0, 2_000_000)

OPTIONS = {
    "default": FitOptions(),
    "wild": preset("openface-wild"),
    "port": preset("pyclnf-2025-11"),
    "other maps": FitOptions(normalization="sum", kernel="exact", weight_factor=3.0, response_gain=0.1),
    "skipped": FitOptions(windows=(0, 9)),
    "unfrozen, skipped": replace(UNFROZEN, windows=(9, 0), window5_without_sigma=True, single_phase=True),
    **{name: FitOptions(**{name: deviation.value}) for name, deviation in DEVIATIONS.items()},
}


def fitted(options: FitOptions, initial: Initial | None = None, model: Model | None = None) -> tuple[Step, ...]:
    """All Steps of a fit of the tiny face, none of them dropped."""
    return tuple(fit_steps(tiny_image(), model or tiny_model(), initial or start(), options))


def recorded(
    options: FitOptions,
    budget: int,
    steps: Iterable[Step] | None = None,
    initial: Initial | None = None,
    model: Model | None = None,
) -> Recording:
    """A Recording of `steps`, or of a fit of its own, whose Steps nobody else has: what it drops is gone."""
    model, initial = model or tiny_model(), initial or start()
    recording = Recording(tiny_image(), model, initial, options, budget)
    for step in fit_steps(tiny_image(), model, initial, options) if steps is None else steps:
        recording.append(step)
    return recording


def maps_size(window: int, itemsize: int = 8, arrays: int = 3) -> int:
    """Bytes of the tiny model's maps; of raw, after Sigma, shifted and final, `arrays` are different ones."""
    frames = 2 * N * 2 * 8 + 2 * 4 * 8 + N
    neurons = 2 * N * NEURONS * window**2 * itemsize
    return frames + N * (window + SUPPORT - 1) ** 2 * 4 + neurons + arrays * N * window**2 * itemsize


def iteration_size(phase: Phase, itemsize: int = 8) -> int:
    """Bytes of the Jacobian and the Hessian of the tiny model."""
    p = 6 if phase is Phase.RIGID else 6 + MODES
    return (2 * N * p + p * p) * itemsize


def closed_form(steps: Sequence[Step], unfrozen: bool = False, itemsize: int = 8, arrays: int = 3) -> int:
    """Bytes of the large arrays of whole Steps, from their phases and windows alone."""
    total = 0
    for before, step in zip((None, *steps), steps, strict=False):
        own_maps = step.phase is Phase.RESPONSES
        if step.phase in (Phase.RIGID, Phase.NONRIGID):
            total += iteration_size(step.phase, itemsize)
            own_maps = unfrozen and before is not None and before.phase is not Phase.RESPONSES
        if own_maps and step.stage is not None:
            total += maps_size(step.stage.window, itemsize, arrays)
    return total


class Calls:
    """Counts the calls of a function that it passes on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> None:
        self.count = 0
        inner: Callable[..., Any] = getattr(module, name)

        def counted(*args: Any, **keywords: Any) -> Any:
            self.count += 1
            return inner(*args, **keywords)

        monkeypatch.setattr(module, name, counted)


@pytest.fixture
def no_computing(monkeypatch: pytest.MonkeyPatch) -> None:
    """To compute a Step again is an error."""

    def refuse(*_: Any) -> Step:
        raise AssertionError("a step was computed again")

    monkeypatch.setattr(recording_module, "moment", refuse)


# --- the same Steps, bit for bit --------------------------------------------------------------------


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", OPTIONS)
def test_every_step_is_the_same_bit_for_bit(
    name: str, precision: str, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forwards, backwards and by index, in every phase and stage, whatever the fit's options."""
    options = replace(OPTIONS[name], precision=precision)
    initial = start(rotation=(0.1, 0.4, 0.0)) if name == "wild" else start()  # the view with invisible landmarks
    steps = fitted(options, initial)
    recording = recorded(options, budget, initial=initial)
    assert recording.complete and len(recording) == len(steps)
    again = Calls(monkeypatch, recording_module, "moment")
    assert_same(tuple(recording), steps)
    if budget == 0:
        assert again.count == recording.n_dropped > 0
    assert_same(tuple(reversed(recording)), steps[::-1])
    assert_same(tuple(recording[k] for k in range(len(steps))), steps)
    assert {step.phase for step in steps} - {Phase.SKIPPED} >= set(PHASES_OF_FIT) - {Phase.SKIPPED, Phase.RIGID}


@pytest.mark.parametrize("budget", BUDGETS)
def test_a_step_without_a_solution_is_the_same(budget: int) -> None:
    model, options = with_experts(tiny_model(), patch_confidence=np.zeros(N)), FitOptions(weight_factor=1.0)
    steps = fitted(options, model=model)
    assert any(step.iteration is not None and step.delta is None for step in steps)
    assert_same(tuple(recorded(options, budget, model=model)), steps)


@settings(max_examples=25)
@given(
    st.data(),
    st.booleans(),
    st.sampled_from(["float64", "float32"]),
    st.sampled_from(["none", "peak", "minmax", "sum", "global_peak"]),
    st.tuples(st.sampled_from([0, 3, 5, 7, 9, 11]), st.sampled_from([0, 3, 5, 7, 9])),
    st.integers(1, 6),
    st.floats(0.5, 3.0),
    st.floats(0.0, 40.0),
    st.integers(0, 3_000_000),
)
def test_any_options_and_any_budget(
    data: st.DataObject,
    unfrozen: bool,
    precision: str,
    normalization: str,
    windows: tuple[int, int],
    iterations: int,
    sigma: float,
    reg_factor: float,
    budget: int,
) -> None:
    deviations = data.draw(st.sets(st.sampled_from(sorted(DEVIATIONS)), max_size=3))
    options = FitOptions(
        **{name: DEVIATIONS[name].value for name in deviations - {"responses_every_iteration"}},
        responses_every_iteration=unfrozen,
        precision=precision,
        normalization=normalization,
        windows=windows,
        max_iterations=iterations,
        sigma=sigma,
        reg_factor=reg_factor,
    )
    steps = fitted(options)
    recording = recorded(options, budget)
    order = data.draw(st.lists(st.integers(-len(steps), len(steps) - 1), max_size=12))
    for index in order:
        assert_same(recording[index], steps[index])
        assert recording.held_bytes <= budget
    assert_same(tuple(recording), steps)


@pytest.fixture(scope="module", params=["portrait68", "openface"])
def portrait(request: pytest.FixtureRequest) -> tuple[NDArray[np.uint8], Model, Initial]:
    model = load_model() if request.param == "portrait68" else request.getfixturevalue("openface_model")
    image = grace_hopper()
    return image, model, initials_from_detector(model, image)[0]


@pytest.mark.parametrize("budget", [0, 1_000_000])
@pytest.mark.parametrize(
    "options",
    [FitOptions(), FitOptions(precision="float32"), UNFROZEN, replace(UNFROZEN, precision="float32")],
    ids=["default", "float32", "unfrozen", "unfrozen-float32"],
)
def test_a_real_fit_is_the_same(
    portrait: tuple[NDArray[np.uint8], Model, Initial], options: FitOptions, budget: int
) -> None:
    image, model, initial = portrait
    whole = fit(image, model, initial, options)
    trace = fit(image, model, initial, options, budget)
    assert isinstance(whole.steps, tuple) and isinstance(trace.steps, Recording)
    assert_same(tuple(trace.steps), whole.steps)
    assert first_divergence(trace, whole) is first_divergence(whole, trace) is None
    assert trace.steps.held_bytes <= budget


# --- what is kept -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "itemsize", "arrays"),
    [
        (FitOptions(), 8, 3),  # final is shifted
        (FitOptions(precision="float32", normalization="peak"), 4, 4),
        (FitOptions(sigma_off=True), 8, 2),  # after_sigma is raw
        (UNFROZEN, 8, 3),
    ],
)
def test_within_the_budget_the_steps_are_those_that_came(options: FitOptions, itemsize: int, arrays: int) -> None:
    steps = fitted(options)
    size = closed_form(steps, options.responses_every_iteration, itemsize, arrays)
    recording = recorded(options, size, steps)
    assert all(a is b for a, b in zip(recording, steps, strict=True))
    assert all(recording[k] is step for k, step in enumerate(steps))
    assert (recording.held_bytes, recording.budget, recording.n_dropped) == (size, size, 0)
    assert recorded(options, size - 1).n_dropped > 0


@pytest.mark.parametrize("options", [FitOptions(), UNFROZEN, replace(UNFROZEN, precision="float32")])
def test_never_more_than_the_budget_is_held(options: FitOptions) -> None:
    steps = fitted(options)
    sizes = []
    for budget in (0, 100_000, 1_000_000, 3_000_000):
        recording = recorded(options, budget, ())
        for step in fit_steps(tiny_image(), tiny_model(), start(), options):
            recording.append(step)
            assert recording.held_bytes <= budget
        for read in (recording, reversed(recording), (recording[k] for k in range(len(steps))), recording[3:20:2]):
            for _ in read:
                assert recording.held_bytes <= budget
        sizes.append(recording.n_dropped)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == sum(step.has("responses") for step in steps)
    assert recorded(options, 0).held_bytes == 0


def test_what_is_dropped_is_let_go() -> None:
    """Nothing but the Recording holds these Steps, and it holds no more than it says."""
    recording = recorded(UNFROZEN, 1_000_000, ())
    large: list[tuple[int, weakref.ref[Any]]] = []
    for step in fit_steps(tiny_image(), tiny_model(), start(), UNFROZEN):
        recording.append(step)
        if step.responses is not None:
            large.append((maps_size(step.responses.window), weakref.ref(step.responses)))
        for array in (step.jacobian, step.hessian):
            if array is not None:
                large.append((array.nbytes, weakref.ref(array)))
    del step, array
    alive = {id(ref()): size for size, ref in large if ref() is not None}
    assert recording.n_dropped > 0 and sum(alive.values()) == recording.held_bytes > 0


def test_the_maps_that_stages_begin_with_go_last(monkeypatch: pytest.MonkeyPatch) -> None:
    options = FitOptions()
    steps = fitted(options)
    starts = sum(maps_size(step.stage.window) for step in steps if step.phase is Phase.RESPONSES and step.stage)
    recording = recorded(options, starts)
    iterations = sum(step.iteration is not None for step in steps)
    assert (recording.held_bytes, recording.n_dropped) == (starts, iterations)
    maps = Calls(monkeypatch, moments_module, "response_maps")
    iterated = Calls(monkeypatch, moments_module, "iterate")
    assert_same(tuple(recording[k] for k in range(len(steps))), steps)
    assert (maps.count, iterated.count) == (0, iterations)


def test_what_was_looked_at_last_is_kept() -> None:
    steps = fitted(UNFROZEN)
    recording = recorded(UNFROZEN, 2_500_000)
    place = next(k for k, step in enumerate(steps) if step.phase is Phase.NONRIGID)
    first = id(recording[place])
    assert id(recording[place]) == first, "not computed a second time"
    dropped, held = recording.n_dropped, recording.held_bytes
    assert len(list(recording)) == len(list(reversed(recording))) == len(steps)
    assert (recording.n_dropped, recording.held_bytes) == (dropped, held), "iterating keeps nothing else"
    assert id(recording[place]) == first


def test_a_step_stays_the_same_object_while_somebody_has_it() -> None:
    steps = fitted(UNFROZEN)
    recording = recorded(UNFROZEN, 0, steps)
    assert all(a is b for a, b in zip(recording, steps, strict=True)), "`steps` has them"
    del steps
    mine = recording[5]
    assert recording[5] is mine and next(iter(recording[5:6])) is mine
    assert recording.index(mine) == recording.index(recording.numbers[5]) == 5
    assert mine in recording and replace(mine, landmarks=mine.landmarks.copy()) not in recording


# --- what is computed -------------------------------------------------------------------------------


@pytest.mark.parametrize("unfrozen", [False, True])
def test_iterating_computes_every_map_once(unfrozen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    options = FitOptions(responses_every_iteration=unfrozen)
    recording = recorded(options, 0)
    numbers = recording.numbers
    distinct = len({key for key in recording.maps_keys if key is not None})
    stages = sum(step.phase is Phase.RESPONSES for step in numbers)
    iterations = sum(step.iteration is not None for step in numbers)
    # Unfrozen, the first iteration of a stage still has the maps of its RESPONSES step.
    assert distinct == (iterations if unfrozen else stages)
    maps = Calls(monkeypatch, moments_module, "response_maps")
    iterated = Calls(monkeypatch, moments_module, "iterate")
    for _ in recording:
        pass
    assert (maps.count, iterated.count) == (distinct, iterations)


def test_numbers_are_the_steps_without_large_arrays(no_computing: None) -> None:
    steps = fitted(UNFROZEN)
    for budget in (0, 1 << 30):
        numbers = recorded(UNFROZEN, budget, steps).numbers
        assert len(numbers) == len(steps)
        for k, (light, step) in enumerate(zip(numbers, steps, strict=True)):
            assert numbers[k] is light
            present = tuple(name for name in LARGE if getattr(step, name) is not None)
            assert (light.left_out or ()) == present and step.left_out is None
            assert all(light.has(name) == (name in present) for name in LARGE)
            if not present:
                assert light is step, "a moment that has no such value"
            for field in fields(step):
                if field.name not in (*LARGE, "left_out"):
                    assert getattr(light, field.name) is getattr(step, field.name)
        assert [step.place for step in numbers[4:-2]] == [step.place for step in steps[4:-2]]


def test_a_number_of_a_run_is_told_without_computing(no_computing: None) -> None:
    steps = fitted(UNFROZEN)
    whole = Trace(tiny_image(), "tiny", start(), UNFROZEN, steps)
    trace = recorded(UNFROZEN, 0).trace()
    whole = replace(whole, steps=tuple(without_large(step) for step in whole.steps))
    assert trace.complete and trace.success and trace.message == "done"
    assert run_document(trace) == run_document(whole)
    assert fixed_point(trace).tables() == fixed_point(whole).tables()
    stops = [parse_stop("update_norm grows"), parse_stop("any landmark moves > 1 px"), parse_stop("any clamp")]
    told = [(k, stop.text) for k, stop in firings(numbers_of(trace.steps), (), stops)]
    assert told == [(k, stop.text) for k, stop in firings(whole.steps, (), stops)] != []


def test_slices_stay_as_they_were() -> None:
    steps = fitted(FitOptions())
    recording = recorded(FitOptions(), 0, ())
    stream = fit_steps(tiny_image(), tiny_model(), start(), FitOptions())
    for step in islice(stream, 7):
        recording.append(step)
    part, numbers, trace = recording[:], recording.numbers, recording.trace()
    for step in stream:
        recording.append(step)
    del step
    assert (len(part), len(numbers), len(trace.steps), len(recording)) == (7, 7, 7, len(steps))
    assert not trace.complete and recording.trace().complete and recording.trace().steps is recording
    assert_same(tuple(part), steps[:7])
    assert_same(tuple(recording[-3:]), steps[-3:])
    assert_same(tuple(recording[2:30:3][1:4]), steps[2:30:3][1:4])
    assert_same(tuple(reversed(recording[1:9:2])), steps[1:9:2][::-1])
    assert numbered_maps(recording[3:]) == numbered_maps(steps[3:])
    assert recording[2:].index(recording[5]) == 3
    for wrong in (7, -8):
        with pytest.raises(IndexError):
            part[wrong]
    with pytest.raises(ValueError, match="not in this run"):
        recording[:4].index(recording[5])


# --- the readers of a Trace -------------------------------------------------------------------------


@pytest.mark.parametrize("options", [FitOptions(), UNFROZEN, FitOptions(windows=(0, 9), precision="float32")])
def test_the_file_of_a_recorded_trace_is_the_same(options: FitOptions, tmp_path: Path) -> None:
    whole = fit(tiny_image(), tiny_model(), start(), options)
    trace = fit(tiny_image(), tiny_model(), start(), options, budget=0)
    whole.save(tmp_path / "whole.npz")
    trace.save(tmp_path / "trace.npz")
    assert (tmp_path / "trace.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert_same(Trace.load(tmp_path / "trace.npz").steps, whole.steps)
    replace(trace, steps=trace.steps[:6]).save(tmp_path / "part.npz")
    assert_same(Trace.load(tmp_path / "part.npz").steps, whole.steps[:6])


def test_a_trace_that_could_not_be_read_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_file, "MAX_BYTES", 1_000_000)
    trace = fit(tiny_image(), tiny_model(), start(), UNFROZEN, budget=0)
    with pytest.raises(TraceFileError, match=r"long\.npz: would hold more than 1000000 bytes; a shorter run"):
        trace.save(tmp_path / "long.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [FitOptions(), UNFROZEN])
def test_diagnostics_find_the_same_in_a_recorded_trace(options: FitOptions) -> None:
    model = tiny_model()
    whole = fit(tiny_image(), model, start(), options)
    trace = fit(tiny_image(), model, start(), options, budget=0)
    other = fit(tiny_image(), model, start(), replace(options, normalization="peak"), budget=400_000)
    for a, b in (
        (run_magnitudes(whole, model), run_magnitudes(trace, model)),
        (kernel_check(whole, model), kernel_check(trace, model)),
        (round_trips(whole, model), round_trips(trace, model)),
        (divergence(whole, other), divergence(trace, other)),
    ):
        assert (a.verdict, a.tables()) == (b.verdict, b.tables())
    assert all(step.responses is None for step in divergence(whole, other).growth.steps), "a finding keeps no maps"


# --- what can go wrong ------------------------------------------------------------------------------


def test_a_changed_image_is_noticed() -> None:
    image = tiny_image().copy()
    trace = fit(image, tiny_model(), start(), UNFROZEN, budget=0)
    image[:] = 255 - image
    with pytest.raises(ClnfError, match=r"stage 1 \(0\.25, window 11\), rigid 1: other parameters when computed again"):
        list(trace.steps)


def test_steps_come_in_the_order_of_a_fit() -> None:
    steps = fitted(FitOptions())
    with pytest.raises(ValueError, match=r"found stage 1 .* responses after 0 steps"):
        recorded(FitOptions(), 0, steps[1:])
    for wrong in (steps[-1], steps[0]):
        with pytest.raises(ValueError, match="expected the next step of a fit"):
            recorded(FitOptions(), 0, (*steps, wrong))
    with pytest.raises(ValueError, match="the budget is -1 bytes; expected at least 0"):
        recorded(FitOptions(), -1)


def test_threads_may_read_while_one_appends() -> None:
    steps = fitted(UNFROZEN)
    stream = fit_steps(tiny_image(), tiny_model(), start(), UNFROZEN)
    recording = recorded(UNFROZEN, 1_500_000, islice(stream, 1))
    wrong: list[str] = []

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        while not recording.complete or rng.random() < 0.9:
            k = int(rng.integers(len(recording)))
            try:
                assert_same(recording[k] if rng.random() < 0.8 else recording[k : k + 1][0], steps[k])
                assert_same(without_large(steps[k]), recording.numbers[k])
                assert recording.held_bytes <= recording.budget
            except Exception as error:
                wrong.append(repr(error))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for step in stream:
        recording.append(step)
    for thread in threads:
        thread.join()
    assert wrong == []
    assert_same(tuple(recording), steps)


def test_pickled_it_is_its_numbers() -> None:
    steps = fitted(UNFROZEN)
    recording = recorded(UNFROZEN, 1 << 30)
    data = pickle.dumps(recording)
    assert len(data) < len(pickle.dumps((recording.model, recording.image))) + 7000 * len(steps)
    again = pickle.loads(data)
    assert again.n_dropped == sum(step.has("responses") for step in steps) and again.budget == 1 << 30
    assert_same(tuple(again), steps)
    assert_same(tuple(pickle.loads(pickle.dumps(recording[2:5]))), steps[2:5])


def test_maps_count_each_array_once() -> None:
    maps = next(step.responses for step in fitted(FitOptions(sigma_off=True)) if step.responses is not None)
    assert maps.after_sigma is maps.raw and maps.final is maps.shifted
    assert maps_bytes(maps) == maps_size(11, arrays=2)
    apart = ResponseMaps(**{field.name: getattr(maps, field.name).copy() for field in fields(maps)})
    assert maps_bytes(apart) == maps_size(11, arrays=4)
