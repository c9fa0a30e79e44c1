"""Every format that is read: whole files to begin with, and what a person does with one."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from engine.io.model_tools import ccnf, write
from engine.io.test_validator_file import KINDS as NETWORKS
from engine.io.test_validator_file import validator
from engine.tiny_model import micro_model, start, tiny_image, tiny_model
from engine.trace_tools import minimal, pack
from engine.video_tools import pictures, write_clip
from port.foreign_files import cpp_trace, history, openface_csv, response_files

from clnf_engine import FitOptions, Study, Trace, TrackOptions, Variant, fit, initial_from_box, open_video, run_study
from clnf_engine.diagnostics.foreign import rerun
from clnf_engine.errors import ClnfError
from clnf_engine.imports.sources import import_trace
from clnf_engine.io.calibration_file import read_calibration, write_calibration
from clnf_engine.io.image_headers import read_header
from clnf_engine.io.images import read_image
from clnf_engine.io.landmarks import pts_text, read_pts
from clnf_engine.io.model_binary import read_patch_scale
from clnf_engine.io.openface import read_model, write_model
from clnf_engine.io.validator_file import read_validator, validator_bytes
from clnf_engine.library import load_model
from clnf_engine.stops import EXAMPLES, parse_stop
from clnf_engine.studies.parts import COLUMNS, PARTS, read_study, scan
from clnf_engine.studies.reading import read_columns, read_row
from clnf_engine.studies.resuming import done_of
from clnf_engine.tracking.job import TrackJob
from clnf_engine.tracking.journal import Journal, run_name
from clnf_engine.tracking.output import write_json, write_parquet
from clnf_engine.training.annotations import read_annotations

_FRAMES = 3
"""That are decoded of a video."""

_QUICK = FitOptions(max_iterations=1, windows=(3,))


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes
    ----------
    name : str
        Of the file that `use` finds in its folder.
    seeds : tuple of bytes
        Whole files.
    use : callable
        What is done with the file.
    """

    name: str
    seeds: tuple[bytes, ...]
    use: Callable[[Path], object]


def formats(folder: Path) -> dict[str, Format]:
    """All formats; `folder` is for the files that each needs beside its own, one folder each."""
    kinds = {
        "image": Format("image", tuple(_images()), _use_image),
        "video": Format("clip", tuple(_videos(folder / "clips")), _use_video),
        "pts": Format("a.pts", (pts_text(np.arange(12).reshape(6, 2) / 3).encode(),), read_pts),
        "xyz": Format("a.xyz", _faces(folder / "xyz"), lambda path: read_annotations(path.parent)),
        "ccnf": Format("a.bin", (ccnf(),), read_patch_scale),
        "calibration": Format("a.json", (_calibration(folder),), read_calibration),
        "trace": Format("t.npz", tuple(_traces(folder)), _use_trace),
        "options": Format("a.json", (json.dumps(FitOptions().to_json()).encode(),), _use_options),
        "stop": Format("a.txt", tuple(text.encode() for text in EXAMPLES), _use_stop),
    }
    for name in ("main", "module_main", "pdm_3"):
        main = write(folder / name)
        data = (main.parent / f"{name}.txt").read_bytes()
        kinds[f"model {name}"] = Format(f"{name}.txt", (data,), lambda path: _use_model(path.parent / "main.txt"))
    main = write(folder / "patches")
    (patches,) = main.parent.glob("*.bin")
    kinds["model patches"] = Format(
        patches.name, (patches.read_bytes(),), lambda path: _use_model(path.parent / "main.txt")
    )
    lines = {"format": "clnf-trace", "version": 2, "model": "m", "image": [[1, 2], [3, 4]]}
    step = {"phase": "nonrigid", "stage": 0, "iteration": 0, "landmarks": [[0, 0], [1, 1]], "params": [1] + [0] * 6}
    kinds["trace lines"] = Format(
        "trace.jsonl", ("".join(json.dumps(line) + "\n" for line in (lines, step, step)).encode(),), Trace.load
    )
    kinds["journal"] = _journal(folder / "journal")
    networks = tuple(validator_bytes(validator(network)) for network in NETWORKS.values())
    kinds["validator"] = Format("v.txt", networks, read_validator)
    kinds |= _imports(folder / "imports")
    kinds |= _results(folder / "results")
    with suppress(ImportError):  # the window is optional
        kinds["session"] = _session()
    return kinds


# --- whole files ------------------------------------------------------------------------------------


def _images() -> Iterator[bytes]:
    picture = np.ascontiguousarray(np.repeat(tiny_image()[40:104, 40:110, None], 3, axis=2))
    kinds = {".png": np.uint8, ".jpg": np.uint8, ".bmp": np.uint8, ".gif": np.uint8, ".webp": np.uint8}
    kinds |= {".tiff": np.uint16, ".jp2": np.uint16, ".avif": np.uint8, ".ppm": np.uint8, ".hdr": np.float32}
    kinds |= {".pfm": np.float32, ".ras": np.uint8, ".pam": np.uint8}
    for extension, depth in kinds.items():
        with suppress(cv2.error):  # an OpenCV without this encoder
            yield cv2.imencode(extension, picture.astype(depth))[1].tobytes()
    yield cv2.imencode(".tiff", picture.astype(np.float64))[1].tobytes()
    yield cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()


def _videos(folder: Path) -> Iterator[bytes]:
    folder.mkdir()
    frames = pictures(6, 32, 32)
    for name, codec in {
        "a.avi": "mjpeg",
        "a.mp4": "mpeg4",
        "a.mkv": "mpeg4",
        "a.wmv": "wmv2",
        "a.ts": "libx264",
    }.items():
        yield write_clip(folder / name, frames, codec=codec).read_bytes()
    yield b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\na.mp4\n"
    yield b"ffconcat version 1.0\nfile a.mp4\n"


def _faces(folder: Path) -> tuple[bytes, ...]:
    folder.mkdir()
    points = np.random.default_rng(1).uniform(20, 80, (68, 2))
    (folder / "a.pts").write_text(pts_text(points))
    cv2.imwrite(str(folder / "a.png"), np.zeros((100, 100), np.uint8))
    return ("".join(f"{x} {y} 0.5\n" for x, y in points.tolist()).encode(),)


def _calibration(folder: Path) -> bytes:
    calibration = load_model().calibration
    assert calibration is not None
    write_calibration(folder / "c.json", replace(calibration, worked=calibration.worked[:5]))
    return (folder / "c.json").read_bytes()


def _traces(folder: Path) -> Iterator[bytes]:
    arrays, header = minimal()
    yield pack(arrays, header)
    yield pack(arrays, header | {"version": 2}, compressed=True)
    options = FitOptions(max_iterations=1, windows=(7, 7))
    fit(tiny_image(), tiny_model(), start(), options).save(folder / "t.npz")
    yield (folder / "t.npz").read_bytes()


def _journal(folder: Path) -> Format:
    folder.mkdir()
    frames = [tiny_image()] * 4
    clip = write_clip(folder / "a.avi", [np.repeat(f[..., None], 3, axis=2) for f in frames], codec="mjpeg")
    model, options, tracking = tiny_model(), FitOptions(max_iterations=1), TrackOptions()
    with open_video(clip) as source:
        TrackJob(source, model, options, tracking, start()).write(folder / "out.csv")
    seed = (folder / "out.csv").read_bytes()

    def use(path: Path) -> None:
        with open_video(clip) as source:
            run = run_name(source, model, options, tracking, start())
            with Journal(path, source, model, run):
                pass
        write_json(path.with_name("j.json"), path, clip, model, options, tracking)
        write_parquet(path.with_name("j.parquet"), path)

    return Format("j.csv", (seed, seed[: len(seed) // 2]), use)


def _imports(folder: Path) -> dict[str, Format]:
    """What other programs print of their fits."""
    folder.mkdir()
    trace = fit(tiny_image(), tiny_model(), start(), FitOptions(max_iterations=1))
    csv = openface_csv(folder / "a.csv", trace), openface_csv(folder / "b.csv", trace, video=True)
    first, *_ = sorted(response_files(folder / "maps", trace).glob("*.bin"))
    printed = {
        "import csv": csv,
        "import cpp_trace": (cpp_trace(folder / "cpp_trace.txt", trace),),
        "import history": (history(folder / "history.json", trace),),
    }
    kinds = {
        name: Format(files[0].name, tuple(file.read_bytes() for file in files), lambda path: import_trace([path]))
        for name, files in printed.items()
    }
    maps = Format(first.name, (first.read_bytes(),), lambda path: import_trace([path.parent]))
    return kinds | {"import maps": maps}


def _results(folder: Path) -> dict[str, Format]:
    """Both files of the results of a study."""
    (folder / "faces").mkdir(parents=True)
    (folder / "faces" / "a.png").write_bytes(next(_images()))
    main = write_model(tiny_model(), folder / "model")
    study = Study(str(folder / "faces"), (Variant.of(["max_iterations=1"], model=str(main)),))
    run_study(study, folder, workers=0)
    (part,) = scan(folder)
    return {
        "study": Format("study.json", ((folder / "study.json").read_bytes(),), lambda path: read_study(path.parent)),
        "study part": Format("a.parquet", (part.path.read_bytes(),), _use_part),
    }


def _session() -> Format:
    from clnf_engine import Phase
    from clnf_gui.session.choices import Choices, LaneChoices
    from clnf_gui.session.document import SessionDocument, read_session, write_session

    lane = LaneChoices(FitOptions(), None)
    document = SessionDocument(
        Path("m.txt"), Path("a.jpg"), Choices(lane, lane), (0, Phase.RIGID, 1), 3, ("update_norm grows",)
    )
    with tempfile.TemporaryDirectory() as folder:
        write_session(document, Path(folder) / "s.json")
        seed = (Path(folder) / "s.json").read_bytes()

    def use(path: Path) -> None:
        write_session(read_session(path), path.with_name("again.json"))

    return Format("s.json", (seed,), use)


# --- what is done with them -------------------------------------------------------------------------


def _use_image(path: Path) -> None:
    image = read_image(path)
    assert image.rgb.shape == (*image.gray.shape, 3)
    header = read_header(path, path.read_bytes())
    assert header.width * header.height == image.gray.size, "what memory was reckoned with"


def _use_video(path: Path) -> None:
    with open_video(path) as source:
        for frame, _ in zip(source.frames(), range(_FRAMES), strict=False):
            assert frame.rgb.shape == (*frame.gray.shape, 3)
        with suppress(ClnfError):
            source.frame(len(source) - 1)


def _use_model(main: Path) -> None:
    model = read_model(main)
    if model.pdm.n_modes < 20:
        trace = fit(tiny_image(), model, initial_from_box(model, (9, 27, 130, 120)), _QUICK)
        assert not trace.success or np.isfinite(trace.landmarks).all()


def _use_trace(path: Path) -> None:
    trace = Trace.load(path)
    trace.save(path.with_name("again.npz"))
    Trace.load(path.with_name("again.npz"))
    with suppress(ClnfError):
        rerun(replace(trace, options=replace(trace.options, max_iterations=1)), micro_model())


def _use_options(path: Path) -> None:
    try:
        values = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return
    if isinstance(values, dict):
        for kind in (FitOptions, TrackOptions):
            with suppress(ClnfError):
                kind.from_json(values)
            with suppress(ClnfError):
                kind().with_text([f"{name}={value}" for name, value in values.items()])


def _use_part(path: Path) -> None:
    results = path.with_name("results")
    (results / PARTS).mkdir(parents=True, exist_ok=True)
    copied = results / PARTS / "a.parquet"
    copied.write_bytes(path.read_bytes())
    (part,) = parts = scan(results)
    for name in COLUMNS:
        with suppress(ClnfError):
            read_columns(parts, [name])
    for position in range(min(part.n_rows, 3)):
        with suppress(ClnfError):
            read_row(part, position)
    done_of(results, parts)


def _use_stop(path: Path) -> None:
    parse_stop(path.read_bytes().decode("utf-8", "replace"))
