"""Parts: written and read back bit for bit, and refused in a sentence when they are damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from clnf_engine import Study
from clnf_engine.errors import FileError
from clnf_engine.studies.data import STUDY_FILE, photos
from clnf_engine.studies.making import fit_part, write_part
from clnf_engine.studies.parts import COLUMNS, HEAVY, PARTS, read_study, scan, write_study
from clnf_engine.studies.plan import Task
from clnf_engine.studies.reading import read_arrays, read_columns, read_row
from clnf_engine.studies.resuming import done_of, drop_photos, without_fit
from clnf_engine.studies.rows import Row, fit_batch
from clnf_engine.studies.variants import Start, grid

from .study_tools import QUICK, rows_of, small_study, write_faces


@pytest.fixture
def task(tmp_path: Path, model_file: str) -> Task:
    folder = write_faces(tmp_path / "faces", 2)
    (folder / "broken.png").write_bytes(b"no image")
    variants = grid(["sigma=1,2"], QUICK, model_file)
    return Task(tuple(photos(str(folder))), variants, (Start.of("box:0.1#1"),), 0)


@pytest.fixture
def results(tmp_path: Path, task: Task) -> Path:
    (tmp_path / PARTS).mkdir()
    made = fit_part(task)
    write_part(tmp_path, made.name, made.content)
    return tmp_path


def test_every_row_is_read_back_bit_for_bit(results: Path, task: Task) -> None:
    (part,) = scan(results)
    made = fit_batch(task.photos, task.variants, task.starts, task.seed)
    assert part.n_rows == len(made) == 6
    columns = read_columns([part], [*COLUMNS])
    points = read_arrays(part, "landmarks")
    for k, row in enumerate(made):
        back = read_row(part, k)
        for name in ("row", "image", "photo", "frame", "face", "variant", "start", "seed", "failure", "success"):
            assert getattr(back, name) == getattr(row, name)
        assert (back.likelihood, back.iterations, back.update_norm) == (row.likelihood, row.iterations, row.update_norm)
        assert columns["row"][k] == row.row
        assert columns["failure"][k] == row.failure
        assert (columns["part"][k], columns["position"][k]) == (0, k)
        if row.landmarks is None:
            assert row.failure is not None
            assert (back.landmarks, back.initial, back.params) == (None, None, None)
            assert np.isnan(columns["error"][k])
            assert np.isnan(points[k]).all()
        else:
            assert back.initial is not None
            assert row.initial is not None
            assert row.accuracy is not None
            np.testing.assert_array_equal(back.landmarks, row.landmarks)
            np.testing.assert_array_equal(points[k], row.landmarks.ravel())
            np.testing.assert_array_equal(back.params, row.params)
            np.testing.assert_array_equal(back.initial.params, row.initial.params)
            assert (back.initial.box, back.initial.source, back.initial.seed) == (
                *(row.initial.box, row.initial.source, row.seed),
            )
            assert columns["error"][k] == row.accuracy.mean_percent
            assert columns["error_mouth"][k] == row.accuracy.regions["mouth"]
            assert columns["likelihood"][k] == row.likelihood


def test_models_of_other_sizes_fit_into_one_part(tmp_path: Path, model_file: str) -> None:
    folder = write_faces(tmp_path / "faces", 1)
    variants = grid([f"model=portrait68,{model_file}"], ["max_iterations=1"])
    made = fit_part(Task(tuple(photos(str(folder))), variants, (Start("box"),), 0))
    (tmp_path / PARTS).mkdir()
    write_part(tmp_path, made.name, made.content)
    (part,) = scan(tmp_path)
    sizes = {row.params.size for k in (0, 1) if (row := read_row(part, k)).params is not None}
    assert sizes == {6 + variant.model.load().pdm.n_modes for variant in variants}
    assert len(sizes) == 2


def test_the_footer_tells_what_is_done(results: Path, task: Task) -> None:
    parts, done = done_of(results, scan(results))
    assert len(parts) == 1
    assert set(done.ways) == {photo.image for photo in task.photos}
    assert set(done.ways.values()) == {frozenset((v.id, "box:0.1#1") for v in task.variants)}
    assert {parts[0].footer[name] for name in ("arithmetic", "version")} == {1}
    assert parts[0].footer["versions"]["numpy"] == np.__version__
    assert "openblas" in parts[0].footer["kernel"] or parts[0].footer["kernel"]


def test_rows_that_are_there_twice_are_taken_out_of_the_later_part(results: Path, task: Task) -> None:
    before = rows_of(results)
    one = fit_part(Task(task.photos[1:2], task.variants, task.starts, task.seed))
    write_part(results, one.name, one.content)
    assert len(rows_of(results)) == 8
    done_of(results, scan(results))
    assert rows_of(results) == before


def test_photos_can_be_dropped_and_those_without_a_fit_are_known(results: Path, task: Task) -> None:
    (part,) = scan(results)
    broken = next(photo for photo in task.photos if photo.path == "broken.png")
    assert without_fit(part) == {broken.image}
    left = drop_photos(results, part, {broken.image})
    assert left is not None
    assert [row["photo"] for row in rows_of(results)].count("broken.png") == 0
    assert scan(results)[0].footer == left.footer
    assert left.n_rows == 4
    assert drop_photos(results, left, {photo.image for photo in task.photos}) is None
    assert not list((results / PARTS).iterdir())


def test_a_study_is_written_and_read(tmp_path: Path, model_file: str) -> None:
    study = small_study(tmp_path, model_file)
    write_study(tmp_path, study)
    assert read_study(tmp_path) == study
    document = json.loads((tmp_path / STUDY_FILE).read_text())
    assert document["models"][0]["fingerprint"] == study.variants[0].model.fingerprint
    assert document["variants"][0]["fit"]["max_iterations"] == 1
    assert document["baseline"] == study.baseline


@pytest.mark.parametrize("damage", ["{", "[]", '{"format": "clnf-study", "version": 9}', '{"format": "x"}', "null"])
def test_a_damaged_study_is_refused(tmp_path: Path, damage: str) -> None:
    (tmp_path / STUDY_FILE).write_text(damage)
    with pytest.raises(FileError, match=r"study as this program|expected a study of version"):
        read_study(tmp_path)


def test_a_damaged_part_is_refused_with_its_name(results: Path) -> None:
    (part,) = scan(results)
    content = part.path.read_bytes()
    for damaged in (b"", content[: len(content) // 2], b"PAR1" + content[4:-40] + bytes(40)):
        part.path.write_bytes(damaged)
        with pytest.raises(FileError, match=part.path.stem):
            scan(results)
        told: dict[Path, str] = {}
        assert scan(results, told.__setitem__) == []
        assert told[part.path].startswith("not a part of a study")


def test_no_column_is_both_heavy_and_light(results: Path) -> None:
    (part,) = scan(results)
    assert not {*COLUMNS} & {*HEAVY}
    assert read_columns([], ["error"])["error"].size == 0
    with pytest.raises(IndexError):
        read_row(part, 6)
    assert isinstance(read_row(part, -1), Row)
    assert isinstance(Study, type)
