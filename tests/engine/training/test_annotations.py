"""Annotated faces: what is read, and what is skipped with its reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from clnf_engine.errors import ClnfError
from clnf_engine.ibug68 import MIRROR, REGIONS, TRAINED, mirrored
from clnf_engine.io.landmarks import pts_text, read_pts
from clnf_engine.training.annotations import read_annotations, select

from .drawn_faces import SIZE, write_faces


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_faces(tmp_path_factory.mktemp("good"), 2, seed=5)


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    shutil.copytree(good, tmp_path / "faces")
    return tmp_path / "faces"


def test_faces_are_read_with_and_without_depth(folder: Path) -> None:
    (folder / "face01.xyz").unlink()
    annotations = read_annotations(folder)
    first, second = annotations.faces
    assert annotations.skipped == ()
    assert [first.name, second.name] == ["face00", "face01"]
    assert np.array_equal(first.points, read_pts(folder / "face00.pts"))
    assert first.depth is not None
    assert first.depth[30] < first.depth[0]  # the tip of the nose is nearer than the cheek
    assert second.depth is None
    assert first.gray().shape == (SIZE, SIZE)
    assert first.eye_distance == pytest.approx(np.linalg.norm(first.points[36] - first.points[45]))


def few_points(folder: Path) -> None:
    (folder / "face00.pts").write_text(pts_text(np.zeros((5, 2)) + np.arange(5)[:, None]))


def no_image(folder: Path) -> None:
    (folder / "face00.png").unlink()


def broken_image(folder: Path) -> None:
    (folder / "face00.png").write_bytes(b"not an image")


def broken_points(folder: Path) -> None:
    (folder / "face00.pts").write_text("version: 1\nn_points: 68\n{\n1 2\n}\n")


def broken_depth(folder: Path) -> None:
    (folder / "face00.xyz").write_text("1 2 3\n1 2\n")


def depth_not_finite(folder: Path) -> None:
    (folder / "face00.xyz").write_text("1 2 nan\n" * 68)


def binary_depth(folder: Path) -> None:
    (folder / "face00.xyz").write_bytes(b"\xff\xfe\0")


def outside(folder: Path) -> None:
    (folder / "face00.pts").write_text(pts_text(read_pts(folder / "face00.pts") + 10 * SIZE))


def one_place(folder: Path) -> None:
    (folder / "face00.pts").write_text(pts_text(read_pts(folder / "face00.pts") / 100 + 100))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (few_points, "face00.pts: has 5 points; expected 68"),
        (no_image, "face00.pts: there is no image face00.jpg"),
        (broken_image, "face00.png: not an image"),
        (broken_points, "face00.pts, line 5: found '}'; expected point 2 of 68"),
        (broken_depth, "face00.xyz: expected 68 lines"),
        (depth_not_finite, "face00.xyz: expected 68 lines"),
        (binary_depth, "face00.xyz: expected 68 lines"),
        (outside, "face00.pts: its landmarks are not in the image of 220×220 px"),
        (one_place, "face00.pts: its outer eye corners are"),
    ],
)
def test_malformed_annotations_are_named_and_skipped(folder: Path, damage: object, reason: str) -> None:
    damage(folder)  # type: ignore[operator]
    annotations = read_annotations(folder)
    assert [face.name for face in annotations.faces] == ["face01"]
    assert len(annotations.skipped) == 1
    assert reason in annotations.skipped[0]


def test_folders_without_a_usable_face_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ClnfError, match="cannot be read as a folder of faces"):
        read_annotations(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ClnfError, match=r"empty: no \.pts files; expected images"):
        read_annotations(tmp_path / "empty")
    for name in ("face00.png", "face01.png"):
        (folder / name).unlink()
    with pytest.raises(ClnfError, match=r"none of its 2 \.pts files can be used; first: .*face00\.pts: there is no"):
        read_annotations(folder)


def test_faces_are_selected_by_name(folder: Path) -> None:
    faces = read_annotations(folder).faces
    assert select(faces, ["face01"]) == faces[1:]
    with pytest.raises(ClnfError, match="1 of the faces asked for are not there; first: nobody"):
        select(faces, ["face01", "nobody"])


def test_mirroring_is_an_involution_that_keeps_regions() -> None:
    points = np.random.default_rng(0).normal(size=(68, 2))
    assert np.array_equal(MIRROR[MIRROR], np.arange(68))
    assert np.allclose(mirrored(mirrored(points, 100), 100), points)
    assert sorted(i for region in REGIONS.values() for i in region) == list(range(68))
    assert all(set(MIRROR[list(region)]) == set(region) for region in REGIONS.values())
    assert len(TRAINED) == 39
    assert sorted({*TRAINED, *MIRROR[list(TRAINED)]}) == list(range(68))
