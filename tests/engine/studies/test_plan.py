"""What a fit is known by, and what of a study is still to be done."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from clnf_engine import FitOptions, OptionsError, Study
from clnf_engine.deviations import DEVIATIONS
from clnf_engine.errors import StudyError
from clnf_engine.options import DetectionOptions, Rules
from clnf_engine.studies.data import photos, root_of
from clnf_engine.studies.plan import Done, Task, tasks
from clnf_engine.studies.variants import AXES, Start, Variant, grid

from .study_tools import QUICK, small_study, write_faces


def by_two(_: Task) -> int:
    return 2


def none_is_stale(image: str) -> None:
    raise AssertionError(image)


def test_a_grid_has_all_combinations_in_order(model_file: str) -> None:
    variants = grid(["sigma=1,2", "windows=7,7/9", "parts=off,on"], ["clamp_sigmas=2"], model_file)
    assert len(variants) == 8
    assert variants[0].name == "sigma=1 windows=7,7 parts=off clamp_sigmas=2"
    assert [v.fit.sigma for v in variants] == [1, 1, 1, 1, 2, 2, 2, 2]
    assert [v.fit.windows for v in variants[:4]] == [(7, 7), (7, 7), (9,), (9,)]
    assert [v.detection for v in variants[:2]] == [None, DetectionOptions(validate=False)]
    assert {v.fit.clamp_sigmas for v in variants} == {2.0}


def test_every_option_model_preset_and_deviation_is_an_axis(model_file: str) -> None:
    assert {"model", "preset", *FitOptions().to_json(), *DEVIATIONS, "hypotheses", "search_angles", "rules"} <= set(
        AXES
    )
    models = grid([f"model=portrait68,{model_file}"])
    assert [v.model.path for v in models] == ["portrait68", str(Path(model_file).resolve())]
    wild, video = grid(["preset=openface-wild,openface-video"], (), model_file)
    assert wild.fit.windows == (15, 13, 11, 9)
    assert video.tracking.rules is Rules.OPENFACE
    assert video.detection == DetectionOptions()


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        (["sigma"], "expected an option and its values"),
        (["sigma=1", "sigma=2"], "all its values in one"),
        (["sogma=1"], "there is no option 'sogma'"),
        (["sigma=1,x"], "sigma is 'x'; expected a finite number"),
    ],
)
def test_an_axis_that_is_none_is_refused(model_file: str, axes: list[str], words: str) -> None:
    with pytest.raises(OptionsError, match=words):
        grid(axes, (), model_file)


def test_starts_are_read_back_from_their_names() -> None:
    for name in ("detector", "box", "landmarks", "box:0.1#0", "detector:0.05:10#3", "landmarks:0:5#12"):
        assert Start.of(name).name == name
    for name in ("nose", "box:1", "box:x", "box#1", "box:0.1:200", ""):
        with pytest.raises(OptionsError, match=r"expected detector, box or landmarks"):
            Start.of(name)


def test_seeds_depend_on_the_image_and_all_seeds_alone() -> None:
    start = Start.of("box:0.1#1")
    assert start.seed_for("a", 0) == Start.of("detector:0.3#1").seed_for("a", 0)
    seeds = {
        start.seed_for("a", 0),
        start.seed_for("b", 0),
        start.seed_for("a", 1),
        Start.of("box:0.1#2").seed_for("a", 0),
    }
    assert len(seeds) == 4
    assert Start("box").seed_for("a", 0) is None


def test_variants_are_known_by_all_they_depend_on_and_nothing_else(model_file: str, tmp_path: Path) -> None:
    variant = Variant.of(["sigma=2"], model=model_file)
    moved = shutil.copytree(Path(model_file).parent, tmp_path / "moved") / Path(model_file).name
    assert Variant.of(["sigma=2.0"], "another name", str(moved)).id == variant.id
    for text in ("sigma=1", "kernel=exact", "mend_slips=on", "parts=on", "search=off", "redetect_interval=5"):
        same = text == "mend_slips=on"  # without parts it is nothing
        assert (Variant.of(["sigma=2", text], model=model_file).id == variant.id) == same
    assert Variant.of(["sigma=2"], model="portrait68").id != variant.id


def test_a_study_is_read_back_from_json(model_file: str) -> None:
    variants = grid(["sigma=1,2", "hypotheses=off,on"], (), model_file) + grid(
        ["preset=openface-video"], (), "portrait68"
    )
    study = Study("faces", variants, (Start(), Start.of("box:0.1#3")), 7, "sigma=2 hypotheses=on")
    assert Study.from_json(json.loads(json.dumps(study.to_json()))) == study


def test_the_baseline_is_the_variant_of_the_defaults(model_file: str) -> None:
    assert Study("faces", grid(["sigma=1,1.5,2"], (), model_file)).baseline == "sigma=1.5"
    assert Study("faces", grid(["sigma=1,2"], (), model_file)).baseline == "sigma=1"
    with pytest.raises(StudyError, match="there is no variant 'sigma=3'"):
        Study("faces", grid(["sigma=1,2"], (), model_file), baseline="sigma=3")


def test_the_same_variant_counts_once_and_keeps_its_name(model_file: str) -> None:
    first = Study("faces", grid(["sigma=1,1.5"], (), model_file))
    again = Study("faces", grid(["normalization=none,peak"], (), model_file))
    both = first.extended(again)
    assert [variant.name for variant in both.variants] == ["sigma=1", "sigma=1.5", "normalization=peak"]
    assert both.extended(first) == both
    with pytest.raises(StudyError, match="a study of data"):
        first.extended(replace(again, data="others"))


def test_tasks_are_what_is_missing(model_file: str, tmp_path: Path) -> None:
    data = write_faces(tmp_path / "faces")
    study = small_study(data, model_file)
    todo = list(tasks(study, Done(), by_two, none_is_stale))
    assert [[photo.path for photo in task.photos] for task in todo] == [["face0.png", "face1.png"], ["face2.png"]]
    assert all(task.variants == study.variants for task in todo)

    first, second = (todo[0].photos[0], todo[0].photos[1])
    ways = {(v.id, "box:0.05#0") for v in study.variants}
    done = Done(
        {first.image: frozenset(ways), second.image: frozenset(list(ways)[:1])},
        {first.image: first.truth_digest, second.image: second.truth_digest},
        {first.path: first.image, second.path: second.image},
    )
    left = {photo.path: task for task in tasks(study, done, by_two, none_is_stale) for photo in task.photos}
    assert set(left) == {"face1.png", "face2.png"}
    assert [(v.id, "box:0.05#0") for v in left["face1.png"].variants] == list(ways)[1:]

    both = replace(study, starts=(*study.starts, Start("box")))
    extended = [
        (photo.path, way.name, start.name)
        for task in tasks(both, done, by_two, none_is_stale)
        for photo in task.photos
        for way in task.variants
        for start in task.starts
    ]
    assert len(extended) == len(set(extended)) == 2 + 3 + 4
    assert ("face0.png", "sigma=1 max_iterations=1 windows=7,7", "box") in extended


def test_what_changed_is_stale_and_what_is_there_twice_is_left_out(model_file: str, tmp_path: Path) -> None:
    data = write_faces(tmp_path / "faces", 2)
    study = small_study(data, model_file)
    before = [photo for task in tasks(study, Done(), by_two, none_is_stale) for photo in task.photos]
    ways = frozenset((v.id, "box:0.05#0") for v in study.variants)
    done = Done(
        {photo.image: ways for photo in before},
        {photo.image: photo.truth_digest for photo in before},
        {photo.path: photo.image for photo in before},
    )
    shutil.copy(data / "face0.png", data / "copy.png")
    shutil.copy(data / "face0.pts", data / "copy.pts")
    assert not list(tasks(study, done, by_two, none_is_stale))
    (data / "face1.pts").write_text((data / "face0.pts").read_text())
    stale: list[str] = []
    (task,) = tasks(study, done, by_two, stale.append)
    assert [photo.path for photo in task.photos] == ["face1.png"]
    assert stale == [before[1].image]


def test_data_is_a_folder_a_glob_a_list_or_a_file(tmp_path: Path) -> None:
    data = write_faces(tmp_path / "faces", 2)
    write_faces(data / "deep", 1)
    (data / "results").mkdir()
    write_faces(data / "results" / "pictures", 1)
    (data / "results" / "study.json").write_text("{}")
    (data / "list.txt").write_text("face1.png\ndeep/face0.png\n")

    def paths(what: Path) -> list[str]:
        return [photo.path for photo in photos(str(what))]

    assert paths(data) == ["face0.png", "face1.png", "deep/face0.png"]
    assert paths(data / "face?.png") == ["face0.png", "face1.png"]
    assert paths(data / "**" / "face0.png")[:2] == ["deep/face0.png", "face0.png"]
    assert paths(data / "list.txt") == ["face1.png", "deep/face0.png"]
    assert paths(data / "face1.png") == ["face1.png"]
    assert root_of(str(data / "*" / "face0.png")) == data
    for nothing in (tmp_path / "faces" / "*.gif", tmp_path / "none"):
        with pytest.raises(StudyError, match="no photo or video there"):
            paths(nothing)


def test_what_cannot_be_read_is_told_of(tmp_path: Path) -> None:
    data = write_faces(tmp_path / "faces", 1)
    (data / "face0.pts").write_text("version: 2\n")
    (data / "list.txt").write_text("face0.png\nmissing.png\n")
    broken, missing = photos(str(data / "list.txt"))
    assert broken.problem == "face0.pts, line 1: found 'version: 2'; expected 'version: ' and 1"
    assert missing.problem == "missing.png: no such file"
    assert broken.image != missing.image


def test_the_quick_options_are_those_of_a_variant(model_file: str) -> None:
    assert grid((), QUICK, model_file)[0].name == "max_iterations=1 windows=7,7"
    assert grid((), (), model_file)[0].name == "baseline"
