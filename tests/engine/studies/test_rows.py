"""Rows: the fits of the engine itself, bit for bit, and sentences where there is none."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clnf_engine import FitOptions, detect, fit, load_model, open_video, perturbed, track
from clnf_engine.accuracy import accuracy
from clnf_engine.errors import StudyError
from clnf_engine.initial import box_around, initial_from_box
from clnf_engine.io.images import read_image
from clnf_engine.io.landmarks import read_pts
from clnf_engine.options import DetectionOptions, Source
from clnf_engine.studies import rows as module
from clnf_engine.studies.data import Photo, photos
from clnf_engine.studies.rows import Row, fit_batch
from clnf_engine.studies.variants import Start, Variant, grid

from ..cli_tools import save
from ..portrait import grace_hopper
from ..tiny_model import tiny_image
from ..video_tools import as_rgb, write_clip
from .study_tools import QUICK, write_faces


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_faces(tmp_path_factory.mktemp("data") / "faces", 2)


def all_of(folder: Path) -> list[Photo]:
    return list(photos(str(folder)))


def test_a_row_is_the_fit_of_the_engine(data: Path, model_file: str) -> None:
    variants = grid(["sigma=1,2"], QUICK, model_file)
    start = Start.of("box:0.1:5#3")
    found = fit_batch(all_of(data), variants, (start,), seed=4)
    model = load_model(model_file)
    assert [(row.photo, row.variant) for row in found] == [
        (f"face{k}.png", variant.name) for k in (0, 1) for variant in variants
    ]
    for row in found:
        truth = read_pts(data / row.photo.replace("png", "pts"))
        assert row.seed is not None
        begin = perturbed(model, initial_from_box(model, box_around(truth)), row.seed, 0.1, np.radians(5))
        variant = next(v for v in variants if v.name == row.variant)
        trace = fit(read_image(data / row.photo).gray, model, begin, variant.fit)
        assert row.initial is not None
        np.testing.assert_array_equal(row.initial.params, begin.params)
        np.testing.assert_array_equal(row.landmarks, trace.landmarks)
        np.testing.assert_array_equal(row.params, np.concatenate([trace.params_global, trace.params_local]))
        assert (row.likelihood, row.success, row.failure) == (trace.likelihood, True, None)
        assert row.accuracy is not None
        assert row.accuracy.mean == accuracy(trace.landmarks, truth).mean
    assert len({row.row for row in found}) == len({row.seed for row in found}) * 2 == 4


def test_what_is_around_a_fit_is_the_engines_too(data: Path, model_file: str) -> None:
    variant = Variant.of([*QUICK, "hypotheses=on"], model=model_file)
    photo, *_ = all_of(data)
    (row,) = fit_batch([photo], [variant], [Start("box")])
    model = load_model(model_file)
    around = DetectionOptions(parts=False, validate=False, hypotheses=True)
    truth = photo.truth
    assert truth is not None
    begin = initial_from_box(model, box_around(truth))
    found = detect(read_image(photo.file).gray, model, begin, variant.fit, around)
    np.testing.assert_array_equal(row.landmarks, found.landmarks)
    assert row.initial is not None
    assert (row.initial.box, row.initial.source) == (begin.box, Source.BOX)


def test_the_detector_gives_every_face_and_with_truth_the_one_there(tmp_path: Path, model_file: str) -> None:
    folder = tmp_path / "faces"
    both = np.hstack([grace_hopper(), grace_hopper()])
    save(folder / "two.png", both)
    save(folder / "none.png", tiny_image())
    variant = Variant.of(["max_iterations=1"])
    nobody, *found = fit_batch(all_of(folder), [variant], [Start()])
    assert (nobody.photo, nobody.failure, nobody.landmarks) == ("none.png", "no face found", None)
    assert [row.face for row in found] == [0, 1]
    middles = [float(row.landmarks[:, 0].mean()) for row in found if row.landmarks is not None]
    photo = all_of(folder)[1]
    right = next(row for row, x in zip(found, middles, strict=True) if x == max(middles))
    (row,) = fit_batch([replace(photo, truth=right.landmarks)], [variant], [Start()])
    assert row.face == right.face
    np.testing.assert_array_equal(row.landmarks, right.landmarks)
    assert row.row == right.row
    assert row.accuracy is not None
    assert row.accuracy.mean == 0


def test_what_cannot_be_fitted_says_so_and_the_rest_goes_on(tmp_path: Path, model_file: str) -> None:
    folder = write_faces(tmp_path / "faces", 1)
    (folder / "broken.png").write_bytes((folder / "face0.png").read_bytes()[:200])
    save(folder / "lonely.png", tiny_image()[5:])
    shutil.copy(folder / "lonely.png", folder / "short.png")
    with open(folder / "short.png", "ab") as file:
        file.write(b"tail")
    (folder / "short.pts").write_text("version: 1\nn_points: 2\n{\n10 20\n130 140\n}\n")
    poisoned = Variant.of([*QUICK, "response_gain=1e30", "kernel=exact", "sigma=0.001"], "poisoned", model_file)
    variants = [Variant.of(QUICK, "good", model_file), poisoned]
    with np.errstate(all="raise"):
        found = {(row.photo, row.variant): row for row in fit_batch(all_of(folder), variants, [Start("box")])}
    assert len(found) == 8
    assert found["face0.png", "good"].failure is None
    told = {photo: found[photo, "good"].failure for photo in ("broken.png", "lonely.png", "short.png")}
    assert told["broken.png"] == "broken.png, byte 200: the file ends before the image does; it is truncated"
    assert told["lonely.png"] == (
        "lonely.png: has no .pts file beside it; expected one for a start from true landmarks"
    )
    assert told["short.png"] == "there are 2 true landmarks; expected 68, as many as are fitted"
    assert found["short.png", "good"].accuracy is None
    assert all(found[photo, "good"].landmarks is None for photo in ("broken.png", "lonely.png"))


def test_an_error_in_a_fit_is_a_row(data: Path, model_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = module.fit_many

    def fails(images: object, model: object, initials: object, options: FitOptions) -> object:
        if options.sigma == 2:
            raise ZeroDivisionError("float division\nby zero")
        return real(images, model, initials, options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "fit_many", fails)
    good, bad = fit_batch(all_of(data)[:1], grid(["sigma=1,2"], QUICK, model_file), [Start("box")])
    assert (good.failure, bad.failure) == (None, "ZeroDivisionError: float division by zero")
    assert (bad.success, bad.landmarks) == (False, None)


def test_a_file_that_changes_stops_the_study_and_makes_no_row(tmp_path: Path, model_file: str) -> None:
    folder = write_faces(tmp_path / "faces", 1)
    planned = all_of(folder)
    save(folder / "face0.png", tiny_image()[3:])
    with pytest.raises(StudyError, match="changed since the study was planned"):
        fit_batch(planned, grid((), QUICK, model_file), [Start("box")])
    (folder / "face0.png").unlink()
    with pytest.raises(StudyError, match="no such file; expected the photo that the study was planned with"):
        fit_batch(planned, grid((), QUICK, model_file), [Start("box")])


def test_bytes_in_the_place_of_a_file_give_the_same_rows(tmp_path: Path, model_file: str) -> None:
    folder = write_faces(tmp_path / "faces", 1)
    (photo,) = all_of(folder)
    variants, starts = grid((), QUICK, model_file), [Start("box")]
    (here,) = fit_batch([photo], variants, starts)
    sent = photo.with_data()
    (folder / "face0.png").unlink()
    (there,) = fit_batch([sent], variants, starts)
    assert there.row == here.row
    np.testing.assert_array_equal(there.landmarks, here.landmarks)


def test_a_video_is_a_tracking(tmp_path: Path) -> None:
    gray = grace_hopper()[::2, ::2]
    clip = write_clip(tmp_path / "clip.avi", [as_rgb(np.roll(gray, k, axis=1)) for k in range(3)], codec="mjpeg")
    variant = Variant.of(["max_iterations=1"])
    *found, refused = fit_batch(all_of(tmp_path), [variant], [Start(), Start("box")])
    with open_video(clip) as source:
        results = list(track(source, load_model(), variant.fit))
    assert [row.frame for row in found] == [1, 2, 3]
    for row, result in zip(found, results, strict=True):
        np.testing.assert_array_equal(row.landmarks, result.landmarks)
        assert row.success == result.success
    assert found[0].windows is None
    assert found[1].windows == (0, 9, 7, 5)
    assert refused.failure == "clip.avi: a video has no true landmarks; expected the start detector"
    assert len({row.row for row in found}) == 3


def test_a_damaged_video_has_rows_up_to_the_damage(tmp_path: Path) -> None:
    (tmp_path / "clip.avi").write_bytes(b"RIFF")
    (row,) = fit_batch(all_of(tmp_path), [Variant.of()], [Start()])
    assert isinstance(row, Row)
    assert row.frame is None
    assert (row.failure or "").startswith("clip.avi: ")
