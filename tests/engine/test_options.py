"""FitOptions: defaults, texts, presets, JSON, and one-sentence refusals of everything impossible."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clnf_engine import FitOptions, Kernel, Normalization, OptionsError, Precision, preset
from clnf_engine.options import MAX_WINDOW, option_defaults
from clnf_engine.presets import PRESETS

NUMBERS = ("sigma", "reg_factor", "weight_factor", "convergence_px", "clamp_sigmas", "response_gain")


def test_defaults_are_openface_s() -> None:
    options = FitOptions()
    assert options == preset("openface")
    assert (options.windows, options.max_iterations) == ((11, 9, 7, 5), 5)
    assert (options.sigma, options.reg_factor, options.weight_factor) == (1.5, 25, 0)
    assert (options.convergence_px, options.clamp_sigmas, options.response_gain) == (0.01, 3, 1)
    assert options.adapt_per_scale is True
    assert (options.normalization, options.kernel, options.precision) == ("none", "table", "float64")


def test_wild_preset_is_openface_s() -> None:
    wild = preset("openface-wild")
    assert (wild.windows, wild.max_iterations) == ((15, 13, 11, 9), 10)
    assert (wild.sigma, wild.reg_factor, wild.weight_factor) == (1.25, 35, 2.5)
    assert (wild.normalization, wild.kernel, wild.sigma_off) == ("none", "table", False)


def test_unknown_preset() -> None:
    with pytest.raises(OptionsError, match=r"no preset 'wild'.*openface, openface-wild"):
        preset("wild")


def test_options_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        FitOptions().sigma = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("sigma=2", "sigma", 2.0),
        (" sigma = 2.5e0 ", "sigma", 2.5),
        ("windows=15,13,11,9", "windows", (15, 13, 11, 9)),
        ("windows=(0, 9, 7)", "windows", (0, 9, 7)),
        ("windows=[7]", "windows", (7,)),
        ("max_iterations=10", "max_iterations", 10),
        ("max_iterations=10.0", "max_iterations", 10),
        ("normalization=global_peak", "normalization", Normalization.GLOBAL_PEAK),
        ("kernel=exact", "kernel", Kernel.EXACT),
        ("precision=float32", "precision", Precision.FLOAT32),
        ("sigma_off=on", "sigma_off", True),
        ("sigma_off=True", "sigma_off", True),
        ("sigma_off=1", "sigma_off", True),
        ("adapt_per_scale=no", "adapt_per_scale", False),
        ("adapt_per_scale=YES", "adapt_per_scale", True),
        ("adapt_per_scale=1", "adapt_per_scale", True),
        ("response_gain=1e-9", "response_gain", 1e-9),
    ],
)
def test_texts(text: str, name: str, value: Any) -> None:
    options = FitOptions().with_text([text])
    found = getattr(options, name)
    assert found == value
    assert type(found) is type(value)
    others = {key: getattr(options, key) for key in option_defaults() if key != name}
    assert others == {key: default for key, default in option_defaults().items() if key != name}


def test_texts_add_up_and_the_last_wins() -> None:
    options = preset("openface-wild").with_text(["sigma=2", "kernel=exact", "sigma=3"])
    assert (options.sigma, options.kernel, options.reg_factor) == (3, "exact", 35)
    assert FitOptions().with_text([]) == FitOptions()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sigma", "key=value"),
        ("", "key=value"),
        ("=3", "there is no option"),
        ("Sigma=3", "there is no option 'Sigma'"),
        ("sigma=", "sigma"),
        ("sigma=two", "sigma is 'two'"),
        ("sigma=nan", "sigma is nan"),
        ("sigma=inf", "sigma is inf"),
        ("sigma=0", "sigma"),
        ("sigma=-1", "sigma is -1"),
        ("sigma=1,5", "sigma"),
        (f"sigma=1{'0' * 400}", "sigma"),
        (f"sigma=1{'0' * 5000}", "sigma"),
        ("max_iterations=0", "max_iterations is 0"),
        ("max_iterations=2.5", "max_iterations is 2.5"),
        ("max_iterations=true", "max_iterations"),
        ("max_iterations=1e9", "max_iterations"),
        (f"max_iterations=1{'0' * 400}", "max_iterations"),
        ("windows=", "windows"),
        ("windows=10", "windows: found 10"),
        ("windows=11,1", "windows: found 1"),
        ("windows=-7", "windows: found -7"),
        (f"windows={MAX_WINDOW + 2}", "windows"),
        ("windows=11,nan", "windows is nan"),
        ("windows=11,seven", "windows is 'seven'"),
        ("windows=11 9 7", "windows"),
        ("reg_factor=-1", "reg_factor is -1"),
        ("weight_factor=-0.1", "weight_factor"),
        ("convergence_px=-1", "convergence_px"),
        ("clamp_sigmas=0", "clamp_sigmas"),
        ("response_gain=0", "response_gain"),
        ("response_gain=-2", "response_gain"),
        ("normalization=max", "normalization is 'max'; expected one of none, peak, minmax, sum, global_peak"),
        ("normalization=", "normalization"),
        ("kernel=gauss", "kernel is 'gauss'; expected one of table, exact"),
        ("precision=float16", "precision is 'float16'"),
        ("sigma_off=maybe", "sigma_off is 'maybe'"),
        ("adapt_per_scale=2", "adapt_per_scale"),
    ],
)
def test_impossible_texts(text: str, message: str) -> None:
    with pytest.raises(OptionsError) as error:
        FitOptions().with_text([text])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


BAD_NUMBERS = [math.nan, math.inf, -math.inf, "5", None, True, [1.5], 10**400, -(10**400), 1j]


@pytest.mark.parametrize("value", BAD_NUMBERS, ids=lambda v: str(v)[:12])
@pytest.mark.parametrize("name", [*NUMBERS, "max_iterations"])
def test_bad_numbers_name_the_option(name: str, value: Any) -> None:
    with pytest.raises(OptionsError, match=name):
        FitOptions(**{name: value})


@pytest.mark.parametrize("value", ["yes", 1, 0.0, None, []])
@pytest.mark.parametrize("name", ["adapt_per_scale", "sigma_off"])
def test_bad_switches_name_the_option(name: str, value: Any) -> None:
    with pytest.raises(OptionsError, match=name):
        FitOptions(**{name: value})


@pytest.mark.parametrize("value", [None, 3, "", "None", ["none"], math.nan])
@pytest.mark.parametrize("name", ["normalization", "kernel", "precision"])
def test_bad_choices_name_the_option(name: str, value: Any) -> None:
    with pytest.raises(OptionsError, match=name):
        FitOptions(**{name: value})


@pytest.mark.parametrize(
    "value", [(), 11, None, "11,9", (11, None), (math.nan,), (11.5,), (True,), ((11,),), (10**400,)]
)
def test_bad_windows(value: Any) -> None:
    with pytest.raises(OptionsError, match="windows"):
        FitOptions(windows=value)


@given(st.sampled_from([*NUMBERS, "max_iterations", "windows"]), st.one_of(st.floats(), st.integers(), st.text()))
def test_any_value_is_taken_or_refused_with_its_name(name: str, value: Any) -> None:
    try:
        options = FitOptions(**{name: value})
    except OptionsError as error:
        assert name in str(error)
    else:
        assert getattr(options, name) == value


def test_values_are_brought_to_their_types() -> None:
    options = FitOptions(windows=[11, 9.0], sigma=2, max_iterations=7.0, kernel="exact", normalization="sum")
    assert options.windows == (11, 9) and all(type(w) is int for w in options.windows)
    assert (type(options.sigma), type(options.max_iterations)) == (float, int)
    assert options.kernel is Kernel.EXACT and options.normalization is Normalization.SUM
    assert options == FitOptions(
        windows=(11, 9), sigma=2.0, max_iterations=7, kernel=Kernel.EXACT, normalization=Normalization.SUM
    )
    assert hash(options) == hash(FitOptions.from_json(options.to_json()))


def test_numpy_numbers_are_numbers() -> None:
    options = FitOptions(windows=(np.int64(9), np.int32(7)), max_iterations=np.int64(3), sigma=np.float32(1.5))
    assert (options.windows, options.max_iterations, options.sigma) == ((9, 7), 3, 1.5)


windows = st.lists(st.sampled_from([0, *range(3, MAX_WINDOW + 1, 2)]), min_size=1, max_size=6).map(tuple)
any_options = st.builds(
    FitOptions,
    windows=windows,
    max_iterations=st.integers(1, 1000),
    sigma=st.floats(1e-3, 1e3),
    reg_factor=st.floats(0, 1e9),
    weight_factor=st.floats(0, 1e9),
    adapt_per_scale=st.booleans(),
    normalization=st.sampled_from(Normalization),
    sigma_off=st.booleans(),
    kernel=st.sampled_from(Kernel),
    precision=st.sampled_from(Precision),
    convergence_px=st.floats(0, 1e9),
    clamp_sigmas=st.floats(1e-9, 1e9),
    response_gain=st.floats(1e-300, 1e30),
)


@given(any_options)
def test_json_round_trip(options: FitOptions) -> None:
    text = json.dumps(options.to_json(), allow_nan=False)
    assert FitOptions.from_json(json.loads(text)) == options


@given(any_options)
def test_text_round_trip(options: FitOptions) -> None:
    values = {key: str(value) for key, value in options.to_json().items()}
    assert FitOptions().with_text(f"{key}={value}" for key, value in values.items()) == options


def test_json_keeps_defaults_for_what_is_missing() -> None:
    assert FitOptions.from_json({}) == FitOptions()
    assert FitOptions.from_json({"sigma": 2}) == FitOptions(sigma=2.0)
    assert list(FitOptions().to_json()) == list(option_defaults())


@pytest.mark.parametrize("values", [{"sgima": 2}, {"sigma": "2"}, {"windows": "11"}, {"kernel": None}, {"": 1}])
def test_bad_json(values: dict[str, Any]) -> None:
    with pytest.raises(OptionsError) as error:
        FitOptions.from_json(values)
    assert next(iter(values)) in str(error.value)


def test_presets_are_valid_and_survive_json() -> None:
    for name, options in PRESETS.items():
        assert FitOptions.from_json(options.to_json()) == preset(name)
