"""Landmark files: what is written reads back exactly, and a wrong line is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clnf_engine.errors import LandmarkFileError
from clnf_engine.io import landmarks
from clnf_engine.io.landmarks import pts_text, read_pts

GOOD = "version: 1\nn_points: 2\n{\n1.5 2\n-3e-1 4.25\n}\n"


def stored(folder: Path, text: str) -> Path:
    path = folder / "face.pts"
    path.write_bytes(text.encode())
    return path


def test_text_form() -> None:
    assert pts_text(np.array([[1.5, 2.0], [-0.3, 4.25]])) == "version: 1\nn_points: 2\n{\n1.5 2.0\n-0.3 4.25\n}\n"


@given(
    st.integers(1, 70).flatmap(
        lambda n: arrays(np.float64, (n, 2), elements=st.floats(allow_nan=False, allow_infinity=False))
    )
)
def test_round_trip_is_exact(tmp_path_factory: pytest.TempPathFactory, points: np.ndarray) -> None:
    path = stored(tmp_path_factory.getbasetemp(), pts_text(points))
    read = read_pts(path)
    assert read.dtype == np.float64
    assert read.tobytes() == points.tobytes()


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.replace("\n", "\r\n"),
        "\ufeff" + GOOD,
        GOOD.replace(": ", ":"),
        GOOD.replace("n_points:", "n_points:  "),
        GOOD.replace("n_points", "npoints"),
        GOOD.replace("\n", "\n\n").replace("{", "  { "),
        GOOD.replace("1.5 2\n", "  1.5\t 2 \n"),
        GOOD.rstrip(),
    ],
)
def test_layouts_that_are_accepted(tmp_path: Path, text: str) -> None:
    assert read_pts(stored(tmp_path, text)).tolist() == [[1.5, 2.0], [-0.3, 4.25]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "end of file: expected 'version: ' and 1"),
        ("points\n", "line 1: found 'points'; expected 'version: ' and 1"),
        (GOOD.replace("version: 1", "version: 2"), "line 1: found 'version: 2'; expected 'version: ' and 1"),
        (
            GOOD.replace("n_points: 2\n", ""),
            "line 2: found '{'; expected 'n_points: ' and a whole number from 1 to 10000",
        ),
        (GOOD.replace("n_points: 2", "n_points: two"), "line 2: found 'n_points: two'"),
        (GOOD.replace("n_points: 2", "n_points: 0"), "line 2: found 'n_points: 0'"),
        (GOOD.replace("n_points: 2", "n_points: -2"), "line 2: found 'n_points: -2'"),
        (GOOD.replace("n_points: 2", "n_points: 10001"), "line 2: found 'n_points: 10001'"),
        (GOOD.replace("n_points: 2", f"n_points: {'9' * 5000}"), "line 2: found 'n_points: 99999"),
        (GOOD.replace("{", "["), "line 3: found '['; expected '{'"),
        (GOOD.replace("1.5 2", "1.5 2 3"), "line 4: found '1.5 2 3'; expected point 1 of 2, two finite numbers x y"),
        (GOOD.replace("1.5 2", "1.5"), "line 4: found '1.5'; expected point 1 of 2"),
        (GOOD.replace("1.5 2", "1,5 2"), "line 4: found '1,5 2'; expected point 1 of 2"),
        (GOOD.replace("1.5 2", "nan 2"), "line 4: found 'nan 2'; expected point 1 of 2"),
        (GOOD.replace("1.5 2", "1e999 2"), "line 4: found '1e999 2'; expected point 1 of 2"),
        (GOOD.replace("n_points: 2", "n_points: 3"), "line 6: found '}'; expected point 3 of 3"),
        (GOOD.replace("n_points: 2", "n_points: 1"), "line 5: found '-3e-1 4.25'; expected '}'"),
        (GOOD.replace("}", ""), "end of file: expected '}'"),
        (GOOD + "more\n", "line 7: found 'more'; expected nothing after '}'"),
        ("version: 1\nn_points: 2\n{\n1.5 2\n", "end of file: expected point 2 of 2"),
    ],
)
def test_wrong_line_is_named(tmp_path: Path, text: str, problem: str) -> None:
    path = stored(tmp_path, text)
    with pytest.raises(LandmarkFileError) as caught:
        read_pts(path)
    assert str(caught.value).startswith(f"{path}, {problem}")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 150


def test_files_that_cannot_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LandmarkFileError, match="no such file"):
        read_pts(tmp_path / "missing.pts")
    with pytest.raises(LandmarkFileError, match=r"a folder; expected a \.pts file"):
        read_pts(tmp_path)
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(range(256)))
    with pytest.raises(LandmarkFileError, match="found binary data"):
        read_pts(path)
    monkeypatch.setattr(landmarks, "_MAX_FILE_BYTES", 10)
    with pytest.raises(LandmarkFileError, match="at most 10"):
        read_pts(stored(tmp_path, GOOD))


@given(st.text(max_size=200))
def test_arbitrary_text_gives_points_or_the_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "arbitrary.pts"
    path.write_bytes(("version: 1\nn_points: 1\n{\n" + text).encode("utf-8", "replace"))
    try:
        assert read_pts(path).shape == (1, 2)
    except LandmarkFileError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize("points", [np.zeros(4), np.zeros((2, 3)), np.array([[0, np.nan]]), np.array([[np.inf, 0]])])
def test_points_that_have_no_text_form(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        pts_text(points)


def test_labels_of_a_real_photo(shared: Path) -> None:
    points = read_pts(shared / "faces" / "A000148.pts")
    assert points.shape == (68, 2)
    assert points[0].tolist() == [95.804, 147.568]
