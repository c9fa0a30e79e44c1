"""The search for faces: upright ones as OpenFace finds them, tilted ones beyond that."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from clnf_engine import SearchOptions, detect_faces, fit, initials_from_detector, load_model, search
from clnf_engine.accuracy import accuracy
from clnf_engine.detection import haar
from clnf_engine.detection.haar import Found
from clnf_engine.detection.search import best_of_faces, detected_at
from clnf_engine.errors import ClnfError, OptionsError
from clnf_engine.initial import Initial
from clnf_engine.io.images import read_image
from clnf_engine.io.landmarks import read_pts
from clnf_engine.options import Source
from clnf_engine.pdm import landmarks

from ..detector_tools import FIND_FACES, finds
from ..portrait import grace_hopper, turned_portrait
from ..tiny_model import start, tiny_image, tiny_model

CASCADE = haar._cascade_file()


def off_axis(degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """The portrait turned in the image, counterclockwise where positive, and its landmarks from an upright fit."""
    image, _, truth = turned_portrait(load_model(), degrees)
    return image, truth


@pytest.mark.parametrize("degrees", [-50, -20, 25, 40])
def test_a_tilted_face_is_found_and_fitted(degrees: float) -> None:
    image, truth = off_axis(degrees)
    best, *_ = initials_from_detector(load_model(), image)
    assert best.source is Source.DETECTOR
    assert abs(np.degrees(best.rotation[2]) + degrees) <= 15  # radians, clockwise
    error = accuracy(fit(image, load_model(), best).landmarks, truth).mean_percent
    assert error is not None and error < 5


def test_portraits_turned_by_20_to_50_degrees(shared: Path) -> None:
    """A dozen of the shared portraits at one of four tilts each; at least 95 % of all end below 5 %."""
    model, errors = load_model(), []
    for k, path in enumerate(sorted((shared / "faces").glob("*.jpg"))[7::29]):
        image, truth = read_image(path).gray, read_pts(path.with_suffix(".pts"))
        turn = cv2.getRotationMatrix2D((image.shape[1] / 2, image.shape[0] / 2), (-40, -20, 25, 50)[k % 4], 1)
        tilted = cv2.warpAffine(image, turn, image.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        (initial, *_) = initials_from_detector(model, tilted)
        errors.append(accuracy(fit(tilted, model, initial).landmarks, truth @ turn[:, :2].T + turn[:, 2]).mean_percent)
    assert len(errors) >= 12
    assert max(errors) < 5


@pytest.mark.parametrize(("name", "tilt"), [("sample1", -20), ("sample2", 20)])
def test_the_tilted_faces_of_openface_s_samples(name: str, tilt: float, shared: Path) -> None:
    image = read_image(shared / "samples" / f"{name}.jpg").gray
    first, *others = search(load_model(), image)
    assert (first.angle, first.sure, first.face) == (tilt, True, 0)
    assert all(first.likelihood > (-np.inf if c.likelihood is None else c.likelihood) for c in others)
    (alone,) = initials_from_detector(load_model(), image)
    np.testing.assert_array_equal(alone.params, first.initial.params)


def test_an_upright_face_is_openface_s_without_a_further_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs no more than the one pass: neither a closer look nor a fit."""
    monkeypatch.setattr(haar, "_closer", lambda image, finds, angles: iter(()) if not list(finds) else pytest.fail())
    monkeypatch.setattr("clnf_engine.detection.search.fit_many", lambda *_: pytest.fail())
    candidates = search(load_model(), grace_hopper())
    assert [c.box for c in candidates] == detect_faces(grace_hopper())
    assert [(c.angle, c.sure, c.likelihood, c.face) for c in candidates] == [(0, True, None, 0)]


def test_switched_off_it_is_openface_s_detector() -> None:
    image, _ = off_axis(40)
    assert search(load_model(), image, SearchOptions(search=False)) == []
    off = search(load_model(), grace_hopper(), SearchOptions(search=False, search_min_size=60))
    assert [c.box for c in off] == detect_faces(grace_hopper())
    assert search(load_model(), grace_hopper(), SearchOptions(search=False, search_min_size=400)) == []


def test_only_the_angles_that_are_named_are_searched() -> None:
    image, _ = off_axis(-40)
    options = SearchOptions(search_angles=(40,))
    assert {c.angle for c in search(load_model(), image, options)} == {40}
    assert best_of_faces(search(load_model(), image, SearchOptions(search_angles=(-40,)))) == []


@pytest.mark.parametrize("text", ["search_angles=200", "search_angles=1.5", "search_min_size=10", "search=perhaps"])
def test_options_that_make_no_sense(text: str) -> None:
    with pytest.raises(OptionsError, match=text.partition("=")[0]):
        SearchOptions().with_text([text])


def test_the_box_of_a_tilted_face_turns_about_its_middle() -> None:
    """A face found in a copy that is turned lies where the same face lies in the copy."""
    portrait = grace_hopper()
    (upright,) = search(load_model(), portrait)
    height, width = portrait.shape
    for degrees in (-40, 40):
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
        tilted = cv2.warpAffine(portrait, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
        best = search(load_model(), tilted)[0]
        expected = landmarks(load_model().pdm, upright.initial.params) @ turn[:, :2].T + turn[:, 2]
        found = landmarks(load_model().pdm, best.initial.params)
        assert np.linalg.norm(found - expected, axis=1).mean() < 0.06 * upright.box[2]


def test_two_faces_the_likelier_first_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where something is tilted fits decide; what has the likelihood of no face is kept, but is no start."""
    true, beside = start().box, (0.0, 0.0, 40.0, 40.0)
    seen = [Found(beside, 20.0, 50, True), Found(true, 0.0, 20, True), Found(true, 20.0, 17, True)]
    monkeypatch.setattr(FIND_FACES, lambda image, options: iter([seen]))
    candidates = search(tiny_model(), tiny_image())
    assert [c.face for c in candidates] in ([0, 0, 1], [0, 1, 0])
    likelihoods = [c.likelihood for c in candidates]
    assert None not in likelihoods and likelihoods == sorted(likelihoods, reverse=True)  # type: ignore[type-var]
    assert candidates[0].box == true
    expected = fit(tiny_image(), tiny_model(), candidates[0].initial).likelihood
    assert likelihoods[0] == expected
    assert [c.box for c in best_of_faces(candidates)] == [true, beside]
    monkeypatch.setattr("clnf_engine.detection.search.LIKELY", (likelihoods[0] + likelihoods[-1]) / 2)
    assert [c.box for c in best_of_faces(candidates)] == [true]


def test_an_upright_face_that_is_also_seen_tilted_starts_upright(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tilted find is larger, but weaker: no fit is needed to choose."""
    x, y, width, height = start().box
    small = (0.0, 0.0, 20.0, 20.0)
    larger = (x - 5, y - 5, width + 10, height + 10)
    seen = [Found(larger, -20.0, 17, True), Found(start().box, 0.0, 43, True), Found(small, 0.0, 3, False)]
    monkeypatch.setattr(FIND_FACES, lambda image, options: iter([seen]))
    candidates = search(tiny_model(), tiny_image())
    assert [(c.face, c.angle, c.likelihood) for c in candidates] == [(0, 0, None), (0, -20, None), (1, 0, None)]
    assert [c.box for c in best_of_faces(candidates)] == [start().box]


def test_where_no_fit_sees_a_face_only_openface_s_finds_are_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What only a search with more care takes for a face is considered, but is no start."""
    weak, junk = Found(start().box, 0.0, 3, False), Found((0.0, 0.0, 60.0, 60.0), 0.0, 1, False)
    monkeypatch.setattr("clnf_engine.detection.search.LIKELY", np.inf)
    monkeypatch.setattr(FIND_FACES, lambda image, options: iter([[], [junk]]))
    assert [c.box for c in search(tiny_model(), tiny_image())] == [junk.box]
    assert initials_from_detector(tiny_model(), tiny_image()) == []
    monkeypatch.setattr(FIND_FACES, lambda image, options: iter([[weak], [junk]]))
    assert [initial.box for initial in initials_from_detector(tiny_model(), tiny_image())] == [weak.box]


def test_the_start_at_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [(0.0, 0.0, 30.0, 30.0), (40.0, 40.0, 60.0, 60.0)]
    monkeypatch.setattr(FIND_FACES, finds(lambda image: boxes))
    there = detected_at(tiny_model(), tiny_image(), (50, 50, 20, 20))
    assert isinstance(there, Initial) and there.box == boxes[1]
    assert detected_at(tiny_model(), tiny_image(), (110, 0, 20, 20)) is None


# --- the cascade of OpenCV ----------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An OpenCV in a folder whose name is not ASCII, without data of its own, in an environment of its own."""
    folder = tmp_path / "Jürgen 面"
    folder.mkdir()
    monkeypatch.setattr(haar.cv2, "__file__", str(folder / "cv2" / "__init__.py"))
    monkeypatch.setattr(haar.sys, "prefix", str(folder))
    monkeypatch.setattr(haar, "_NAME", "none-but-here.xml")  # not that of the system
    monkeypatch.delattr(haar._local, "cascade", raising=False)
    return folder


@pytest.mark.parametrize("place", ["cv2/data", "share/opencv4/haarcascades", "Library/etc/haarcascades"])
def test_the_cascade_is_found_where_pip_conda_and_debian_put_it(place: str, elsewhere: Path) -> None:
    (elsewhere / place).mkdir(parents=True)
    (elsewhere / place / "none-but-here.xml").write_bytes(CASCADE.read_bytes())
    assert len(detect_faces(grace_hopper())) == 1


@pytest.mark.parametrize(
    "content", [None, "", "no XML", "<a/>", "<?xml version='1.0'?><opencv_storage><x/></opencv_storage>"]
)
def test_a_cascade_that_is_missing_or_broken_is_told(content: str | None, elsewhere: Path) -> None:
    if content is not None:
        (elsewhere / "cv2" / "data").mkdir(parents=True)
        (elsewhere / "cv2" / "data" / "none-but-here.xml").write_text(content)
    with pytest.raises(ClnfError, match=r"none-but-here\.xml"):
        detect_faces(grace_hopper())
