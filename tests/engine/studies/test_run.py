"""The run of a study: the same rows wherever they are made; what is there is kept, what is missing is made."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import dask
import distributed  # noqa: F401  before `dask.config.set`, which would take its settings away with its own
import numpy as np
import pytest
from tqdm import tqdm

from clnf_engine import Study, __version__, run_study
from clnf_engine.commandline.main import main
from clnf_engine.deviations import DEVIATIONS, active
from clnf_engine.errors import ClnfError, StudyError
from clnf_engine.io.files import exclusive
from clnf_engine.studies import cluster as cluster_module
from clnf_engine.studies import making as making_module
from clnf_engine.studies import rows as rows_module
from clnf_engine.studies import run as module
from clnf_engine.studies.cluster import Cluster
from clnf_engine.studies.data import STUDY_FILE
from clnf_engine.studies.making import fit_part
from clnf_engine.studies.parts import PARTS, read_study, scan
from clnf_engine.studies.plan import Task
from clnf_engine.studies.variants import Start

from ..cli_tools import save
from ..tiny_model import tiny_image
from .study_tools import rows_of, small_study, write_faces

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def study(tmp_path: Path, model_file: str) -> Study:
    return small_study(write_faces(tmp_path / "faces"), model_file)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One worker, which a task may kill twice before it is taken for the culprit."""
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}), cluster_module.embedded(1) as made:
        yield made


@pytest.fixture
def reference(study: Study, tmp_path: Path) -> list[dict[str, Any]]:
    """The rows of the serial run."""
    run_study(study, tmp_path / "serial", workers=0)
    return rows_of(tmp_path / "serial")


# --- here -------------------------------------------------------------------------------------------


def test_a_study_is_made_once_and_extended(study: Study, tmp_path: Path, model_file: str) -> None:
    results = tmp_path / "results"
    assert run_study(study, results, workers=0).rows == 6
    files = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    again = run_study(study, results, workers=0)
    assert (again.rows, again.before, again.notes) == (0, 6, [])
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == files

    more = replace(small_study(Path(study.data), model_file, "sigma=2,3"), starts=(*study.starts, Start("box")))
    assert run_study(more, results, workers=0).rows == 9  # sigma 2 from the new start, sigma 3 from both
    rows = rows_of(results)
    assert len({row["row"] for row in rows}) == len(rows) == 15
    assert [variant.fit.sigma for variant in read_study(results).variants] == [1, 2, 3]
    assert read_study(results).baseline == study.baseline

    save(Path(study.data) / "new.png", tiny_image()[4:])
    assert run_study(study, results, workers=0).failures == 2  # it has no truth to start from
    with pytest.raises(StudyError, match=r"results: there is a study of seed 0; expected the same, found 1"):
        run_study(replace(study, seed=1), results, workers=0)


def test_a_photo_or_truth_that_changed_is_fitted_anew(study: Study, tmp_path: Path) -> None:
    results, data = tmp_path / "results", Path(study.data)
    run_study(study, results, workers=0)
    save(data / "face0.png", tiny_image()[3:])
    (data / "face1.pts").write_text((data / "face2.pts").read_text())
    assert run_study(study, results, workers=0).rows == 4
    rows = rows_of(results)
    assert len(rows) == 6
    run_study(study, tmp_path / "fresh", workers=0)
    assert rows == rows_of(tmp_path / "fresh")


def test_a_damaged_part_is_set_aside_and_made_again(
    study: Study, tmp_path: Path, reference: list[dict[str, Any]]
) -> None:
    results = tmp_path / "serial"
    (part,) = scan(results)
    part.path.write_bytes(part.path.read_bytes()[:100])
    outcome = run_study(study, results, workers=0)
    assert outcome.rows == 6
    (note,) = outcome.notes
    assert note.startswith(f"{part.path}: not a part of a study")
    assert (results / "aside" / part.path.name).stat().st_size == 100
    assert rows_of(results) == reference


def test_rows_of_another_arithmetic_are_set_aside_and_made_again(
    study: Study, tmp_path: Path, reference: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    with monkeypatch.context() as patch:
        for home in (making_module, rows_module):
            patch.setattr(home, "ARITHMETIC", 0)
        run_study(study, results, workers=0)
    assert not {row["row"] for row in rows_of(results)} & {row["row"] for row in reference}
    outcome = run_study(study, results, workers=0)
    assert outcome.rows == 6
    assert "made by another version of the arithmetic; it is now" in outcome.notes[0]
    assert rows_of(results) == reference


def test_rows_without_a_fit_are_made_again_when_asked_for(study: Study, tmp_path: Path) -> None:
    results, data = tmp_path / "results", Path(study.data)
    truth = (data / "face1.pts").read_text()
    (data / "face1.png").rename(data / "face1.hidden")
    (data / "face1.png").symlink_to(data / "nothing")
    assert run_study(study, results, workers=0).failures == 2
    (data / "face1.png").unlink()
    (data / "face1.hidden").rename(data / "face1.png")
    assert run_study(study, results, workers=0).rows == 2  # it has bytes now, and so it is another image
    assert [row["failure"] for row in rows_of(results)] == [None] * 6

    (data / "face1.pts").unlink()
    assert run_study(study, results, workers=0).failures == 2
    assert run_study(study, results, workers=0).rows == 0
    assert run_study(study, results, workers=0, retry_failed=True).failures == 2
    (data / "face1.pts").write_text(truth)
    assert run_study(study, results, workers=0).failures == 0
    assert len(rows_of(results)) == 6


def test_two_runs_on_one_folder_are_refused(study: Study, tmp_path: Path) -> None:
    results = tmp_path / "results"
    run_study(study, results, workers=0)
    before = rows_of(results)
    with exclusive(results / STUDY_FILE), pytest.raises(ClnfError, match="another process is writing it"):
        run_study(study, results, workers=0)
    assert rows_of(results) == before


@pytest.mark.parametrize("missing", ["distributed", "pyarrow.parquet"])
def test_without_the_extra_a_sentence_tells_what_to_install(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ClnfError, match=r"pip install 'clnf-studio\[studies\]'"):
        run_study(study, tmp_path / "results", workers=1)
    assert not (tmp_path / "results").exists()


def test_an_error_that_is_no_fit_stops_the_study_and_writes_nothing(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"

    def fails(task: Task) -> object:
        (Path(study.data) / "face0.png").unlink()
        return fit_part(task)

    monkeypatch.setattr(module, "fit_part", fails)
    with pytest.raises(StudyError, match=r"face0.png: no such file; expected the photo"):
        run_study(study, results, workers=0)
    assert not list((results / PARTS).iterdir())


# --- on a cluster -----------------------------------------------------------------------------------


def test_a_cluster_makes_the_same_rows(
    study: Study, tmp_path: Path, reference: list[dict[str, Any]], cluster: Cluster
) -> None:
    outcome = run_study(study, tmp_path / "there", scheduler=cluster.client.scheduler.address)
    assert (outcome.rows, outcome.notes) == (6, [])
    assert rows_of(tmp_path / "there") == reference


def test_workers_that_do_not_see_the_photos_get_their_bytes(
    study: Study,
    tmp_path: Path,
    reference: list[dict[str, Any]],
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "admitted", lambda *_: False)

    def elsewhere(task: Task) -> object:
        assert all(photo.data is not None for photo in task.photos)
        return fit_part(replace(task, photos=tuple(replace(p, file="/nowhere/" + p.path) for p in task.photos)))

    monkeypatch.setattr(module, "fit_part", elsewhere)
    run_study(study, tmp_path / "there", scheduler=cluster.client.scheduler.address)
    assert rows_of(tmp_path / "there") == reference


def test_a_photo_that_kills_its_worker_fails_alone(
    study: Study,
    tmp_path: Path,
    reference: list[dict[str, Any]],
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def deadly(task: Task) -> object:
        if any(photo.path == "face1.png" for photo in task.photos):
            os.kill(os.getpid(), signal.SIGKILL)
        return fit_part(task)

    monkeypatch.setattr(module, "fit_part", deadly)
    monkeypatch.setattr(module, "embedded", lambda _: nullcontext(cluster))
    outcome = run_study(study, tmp_path / "there", workers=1)
    assert (outcome.rows, outcome.failures) == (6, 2)
    for row, expected in zip(rows_of(tmp_path / "there"), reference, strict=True):
        if row["photo"] == "face1.png":
            assert row["failure"] == "its worker died whenever it was fitted, perhaps for lack of memory"
            assert (row["row"], row["landmarks"]) == (expected["row"], None)
        else:
            assert row == expected
    monkeypatch.setattr(module, "fit_part", fit_part)
    run_study(study, tmp_path / "there", workers=1, retry_failed=True)
    assert rows_of(tmp_path / "there") == reference


def test_an_error_of_a_worker_that_is_no_fit_stops_the_study(
    study: Study, tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(task: Task) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "fit_part", broken)
    with pytest.raises(StudyError, match=r"a worker failed at something that is no fit \(OSError: .*No space left"):
        run_study(study, tmp_path / "there", scheduler=cluster.client.scheduler.address)
    assert not list((tmp_path / "there" / PARTS).iterdir())


def test_processes_of_its_own_make_the_same_rows(
    study: Study, tmp_path: Path, reference: list[dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["study", "run", study.data, "-o", str(tmp_path / "there"), "--model", study.variants[0].model.path]
    words += ["-G", "sigma=1,2", "-O", "max_iterations=1", "-O", "windows=7,7", "--start", "box:0.05", "--workers", "1"]
    assert main(words) == 0
    out, err = capfd.readouterr()
    assert (out, err) == (f"{tmp_path / 'there'}: 6 rows\n", "")
    assert rows_of(tmp_path / "there") == reference


def test_an_address_without_a_scheduler_is_told(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster_module, "_CONNECT_SECONDS", 0.3)
    for address in ("tcp://127.0.0.1:9", "nonsense://x", "host:port"):
        with pytest.raises(StudyError, match=f"no Dask scheduler answers at {address}"):
            run_study(study, tmp_path / "there", scheduler=address)
    assert capsys.readouterr() == ("", "")


# --- what lets workers in ---------------------------------------------------------------------------

Probe = Callable[[dict[str, Any]], dict[str, Any]]


def asked(study: Study, **changes: object) -> dict[str, Any]:
    model, photo = study.variants[0].model, Path(study.data) / "face0.png"
    given = {"version": __version__, "models": [(model.path, model.fingerprint)], "photo": (str(photo), "")}
    return given | changes


def test_a_worker_is_asked_for_version_models_and_photos(study: Study) -> None:
    probe = cluster_module.probe_function()
    assert probe(asked(study)) == {"problem": "", "sees": True}
    assert probe(asked(study, photo=("/nowhere/a.png", ""))) == {"problem": "", "sees": False}
    assert probe(asked(study, photo=(str(Path(study.data) / "face0.png"), "0" * 64)))["sees"] is False
    path, fingerprint = asked(study)["models"][0]
    for changes, words in (
        ({"version": "0.0.1"}, f"has version {__version__} of this program; expected 0.0.1, as here"),
        ({"models": [(path, "x")]}, f"another model at {path}: its fingerprint is {fingerprint}; expected x"),
        ({"models": [("/nowhere/main.txt", "x")]}, "cannot use a model: "),
    ):
        assert words in probe(asked(study, **changes))["problem"]


def test_the_probe_runs_where_the_program_is_missing(study: Study, tmp_path: Path) -> None:
    (tmp_path / "clnf_engine.py").write_text("raise ImportError('it is not here')")
    (tmp_path / "probe").write_bytes(cloudpickle.dumps((cluster_module.probe_function(), asked(study))))
    code = """
        import json, pickle
        probe, asked = pickle.load(open("probe", "rb"))
        print(json.dumps(probe(asked)))
    """
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = [sys.executable, "-c", textwrap.dedent(code)]
    answer = json.loads(subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, check=True).stdout)
    assert answer == {"problem": "lacks this program (it is not here); pip install 'clnf-studio[studies]' there"}
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(cluster_module.probe_function())  # by reference it cannot travel, and so Dask sends it by value


# --- Ctrl-C -----------------------------------------------------------------------------------------


def test_ctrl_c_is_one_line_and_loses_nothing(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    monkeypatch.setattr(module._Size, "photos", lambda self, task: 1)

    def interrupted(task: Task) -> object:
        if task.photos[0].path == "face2.png":
            raise KeyboardInterrupt
        return fit_part(task)

    words = ["study", "run", study.data, "-o", str(results), "--model", study.variants[0].model.path]
    words += ["-G", "sigma=1,2", "-O", "max_iterations=1", "-O", "windows=7,7", "--start", "box:0.05", "--workers", "0"]
    monkeypatch.setattr(module, "fit_part", interrupted)
    assert main(words) == 130
    told = f"clnf: {results}: interrupted after 4 rows, which are kept; the same command goes on from there\n"
    assert capsys.readouterr() == ("", told)
    assert len(rows_of(results)) == 4
    monkeypatch.setattr(module, "fit_part", fit_part)
    assert main(words) == 0
    assert capsys.readouterr().out == f"{results}: 2 rows; 4 fits were there\n"
    assert not np.isnan([row["error"] for row in rows_of(results)]).any()


# --- training and evaluation ------------------------------------------------------------------------


def test_an_evaluation_on_a_cluster_is_the_same(
    study: Study, tmp_path: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    model = study.variants[0].model.path
    words = ["evaluate", study.data, "--model", model, "--init", "perturbed", "-o"]
    assert main([*words, str(tmp_path / "here")]) == 0
    assert main([*words, str(tmp_path / "there"), "--scheduler", cluster.client.scheduler.address]) == 0
    here, there = ((tmp_path / name / "errors.csv").read_bytes() for name in ("here", "there"))
    assert here == there
    assert here.count(b"\n") == 4
    capsys.readouterr()


def test_a_training_on_a_cluster_needs_folders_that_all_share(
    study: Study, tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = Path(study.data) / "face0.png"
    with (
        cluster_module.on_cluster(cluster.client.scheduler.address, photo, tmp_path) as begin,
        tqdm(disable=True) as bar,
    ):
        with begin(_shout, "!", None, bar) as run:
            assert run([("a",), ("b",)]) == ["a!", "b!"]
        with begin(_fail, None, None, bar) as run, pytest.raises(StudyError, match="a face of no use"):
            run([(1,)])
    monkeypatch.setattr(cluster_module, "admitted", lambda *_: False)
    with (
        pytest.raises(StudyError, match=r"a worker does not see .*face0.png; expected a folder that all share"),
        cluster_module.on_cluster(cluster.client.scheduler.address, photo),
    ):
        pass


def _shout(common: str, text: str) -> str:
    return text + common


def _fail(common: None, number: int) -> None:
    raise ClnfError("a face of no use")


# --- the command ------------------------------------------------------------------------------------


def test_the_command_takes_variants_deviations_and_seeds(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    words = ["study", "run", str(Path(study.data) / "face0.png"), "-o", str(results), "--workers", "0"]
    words += ["--model", study.variants[0].model.path, "-O", "max_iterations=1", "-O", "windows=7,7", "--deviations"]
    words += ["-V", "sigma=2 kernel=exact", "--start", "landmarks", "--start", "box:0.1", "--seeds", "2", "--seed", "5"]
    assert main(words) == 0
    capsys.readouterr()
    made = read_study(results)
    names = [variant.name for variant in made.variants]
    assert names == ["max_iterations=1 windows=7,7", *DEVIATIONS, "sigma=2 kernel=exact"]
    assert [active(variant.fit) for variant in made.variants] == [[], *([name] for name in DEVIATIONS), []]
    assert [start.name for start in made.starts] == ["landmarks", "box:0.1#0", "box:0.1#1"]
    assert (made.seed, made.variants[-1].fit.sigma) == (5, 2)
    assert len(rows_of(results)) == 3 * len(names)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-G", "sigma=0"], "sigma is 0; expected 0.001 to 1000"),
        (["-V", "sgma=1"], "there is no option 'sgma'"),
        (["--start", "nose"], "start 'nose': expected detector, box or landmarks"),
        (["--baseline", "x"], "there is no variant 'x'; expected one of baseline"),
        (["--seed", "-1"], "the seed is -1; expected 0 to"),
        (["--seeds", "0"], "argument --seeds: found '0'"),
        (["--workers", "x"], "argument --workers: found 'x'; expected a whole number from 0 to 1024"),
        (["--model", "nowhere"], "nowhere: no such file, folder or shipped model"),
    ],
)
def test_a_study_that_cannot_be_is_refused_in_a_sentence(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert main(["study", "run", study.data, "-o", str(tmp_path / "results"), *words]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert told in err
    assert not (tmp_path / "results").exists()
