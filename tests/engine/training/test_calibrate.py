"""Calibrating: which fits count, as what, and that the shipped model's verdicts are right where the answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clnf_engine import FitOptions, fit, initial_from_box, initials_from_detector, load_model
from clnf_engine.accuracy import accuracy
from clnf_engine.calibration import FEWEST, judge
from clnf_engine.training import calibrate as module
from clnf_engine.training.annotations import read_annotations, resized, select
from clnf_engine.training.calibrate import ERROR_LIMIT, SIZES, STARTS, calibrate

from ..portrait import grace_hopper, turned_portrait
from .drawn_faces import write_faces


def test_every_fit_counts_as_what_its_error_says(tmp_path: Path) -> None:
    faces = read_annotations(write_faces(tmp_path, 2, seed=5)).faces
    model = load_model()
    found = calibrate(faces, model, origin="drawn faces")
    fits = [one for face in faces for one in module._fits(face, model, FitOptions())]
    assert len(fits) == 2 * len(SIZES) * len(STARTS)
    whole = [(t, error) for t, error in fits if t.success and not any(s.stage.skipped for s in t.stages)]
    assert found.worked.tolist() == sorted(t.likelihood for t, error in whole if error < ERROR_LIMIT)
    assert found.failed.tolist() == sorted(t.likelihood for t, error in whole if error >= ERROR_LIMIT)
    assert (found.faces, found.model, found.held_out) == (2, model.fingerprint, False)
    assert found.basis.startswith("2 drawn faces, each at half, full and double size")
    assert found.worked.tolist() == calibrate(reversed(faces), model, origin="").worked.tolist()


def test_landmarks_stay_on_their_pixels_when_an_image_is_resized() -> None:
    image = np.zeros((40, 60), dtype=np.uint8)
    image[10:14, 20:24] = 255  # the middle of the square is (21.5, 11.5)
    for size in SIZES:
        picture, points = resized(image, np.array([[21.5, 11.5]]), size)
        rows, columns = np.nonzero(picture > 127)
        assert points[0] == pytest.approx((columns.mean(), rows.mean()), abs=1e-9)
        assert picture.shape == (40 * size, 60 * size)


# --- the shipped model ------------------------------------------------------------------------------


def test_the_shipped_model_tells_a_fit_that_worked_from_one_that_did_not() -> None:
    model = load_model()
    assert model.calibration is not None and model.calibration.held_out
    assert min(len(model.calibration.worked), len(model.calibration.failed)) > 10 * FEWEST
    gray = grace_hopper()
    initial = initials_from_detector(model, gray)[0]
    good = fit(gray, model, initial)
    assert judge(good.steps, model, good.options).failed is False
    x, y, w, h = initial.box
    bad = fit(gray, model, initial_from_box(model, (x + w, y + h, w, h)))  # her uniform
    verdict = judge(bad.steps, model, bad.options)
    assert verdict.failed is True and "(70 held-out faces)" in verdict.text


def test_the_shipped_calibration_holds_for_faces_it_was_not_made_from(shared: Path, root: Path) -> None:
    """Portraits that training has seen: their verdicts agree with their errors, but for a few on the border."""
    model = load_model()
    names = (root / "models" / "portrait68" / "held_out.txt").read_text("utf-8").split()
    faces = [face for face in read_annotations(shared / "faces").faces if face.name not in names][::15]
    rows = []
    for face in select(faces, [face.name for face in faces]):
        for trace, error in module._fits(face, model, FitOptions()):
            failed = judge(trace.steps, model, trace.options).failed
            rows.append((error >= ERROR_LIMIT, failed))
    wrong = [row for row in rows if row[1] is not None and row[0] != row[1]]
    told = [row for row in rows if row[1] is not None]
    assert len(told) > 0.7 * len(rows) and len(wrong) <= 0.01 * len(told)


def test_turned_photo_is_known_to_have_failed() -> None:
    model = load_model()
    turned, initial, truth = turned_portrait(model, 50)
    trace = fit(turned, model, initial)
    assert accuracy(trace.landmarks, truth).mean_percent > 20
    assert judge(trace.steps, model, trace.options).failed is True
