"""Turned copies: planes and spheres by their closed forms, landmarks turned rigidly, a picture that goes with them."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from clnf_engine import load_model
from clnf_engine.pdm import PDM, rotation_matrix
from clnf_engine.training.turning import cast, pose_of, surface, turned

SIZE = (60, 80)
MARGIN = 100


@pytest.fixture(scope="module")
def pdm() -> PDM:
    return load_model().pdm


def places() -> tuple[np.ndarray, np.ndarray]:
    """x and y of every cell of a surface."""
    rows, cols = (np.arange(length + 2 * MARGIN) - MARGIN for length in SIZE)
    return np.meshgrid(cols.astype(float), rows.astype(float))


@pytest.mark.parametrize("angles", [(0, 0, 0), (0, 25, 0), (-20, 0, 0), (10, -15, 5)])
@pytest.mark.parametrize(("a", "b"), [(0.0, 0.0), (0.3, -0.2)])
def test_a_plane_is_seen_where_it_turns_to(angles: tuple[float, float, float], a: float, b: float) -> None:
    """The plane z = a·x + b·y + 12."""
    x, y = places()
    turn, pivot = rotation_matrix(np.radians(angles)), np.array([38.0, 27.0, 30.0])
    found = np.stack(cast((a * x + b * y + 12).astype(np.float32), turn, pivot, SIZE), axis=-1)
    # Of the pixel (u, v): turn · (X − pivot) + pivot = (u, v, ·) with X on the plane, solved for x and y.
    on_plane = np.array([[1, 0], [0, 1], [a, b]])
    u, v = np.meshgrid(np.arange(SIZE[1]), np.arange(SIZE[0]))
    offset = turn @ (np.array([0, 0, 12]) - pivot) + pivot
    xy = np.stack([u - offset[0], v - offset[1]], axis=-1) @ np.linalg.inv((turn @ on_plane)[:2]).T
    assert found[..., :2] == pytest.approx(xy, abs=0.1)
    assert found[..., 2] == pytest.approx(xy @ (turn @ on_plane)[2] + offset[2], abs=0.1)


def test_of_a_sphere_the_front_is_seen_and_the_rest_hidden() -> None:
    """A half sphere on a plane, turned about its centre: a point is seen if its normal still faces the viewer."""
    centre, radius = np.array([40.0, 30.0, 50.0]), 24.0
    x, y = places()
    height = radius**2 - (x - centre[0]) ** 2 - (y - centre[1]) ** 2
    depths = (centre[2] - np.sqrt(np.maximum(height, 0))).astype(np.float32)
    turn = rotation_matrix(np.radians([0.0, 30.0, 0.0]))
    depth = cast(depths, turn, centre, SIZE)[2]
    seen, hidden = 0, 0
    for azimuth in np.radians(np.arange(-75, 76, 15)):
        for elevation in np.radians(np.arange(-45, 46, 15)):
            normal = np.array(
                [math.sin(azimuth) * math.cos(elevation), math.sin(elevation), -math.cos(azimuth) * math.cos(elevation)]
            )
            there = turn @ (radius * normal) + centre
            behind = there[2] - depth[round(there[1]), round(there[0])]
            facing = -(turn @ normal)[2]
            if facing > 0.4:
                seen += 1
                assert behind == pytest.approx(0, abs=1.5)  # half a pixel off, on a slope
            elif facing < -0.1:
                hidden += 1
                assert behind > 1.5
    assert seen > 40 and hidden > 5


def face(pdm: PDM, angles: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    """The mean shape as a face of an image of 200 × 220 px, (68, 3)."""
    return 0.9 * pdm.mean.reshape(3, -1).T @ rotation_matrix(np.radians(angles)).T + (100, 100, 7)


def test_the_pose_of_a_face(pdm: PDM) -> None:
    pose = pose_of(face(pdm, (4, -7, 3)), pdm)
    assert pose.scale == pytest.approx(0.9)
    assert pose.rotation == pytest.approx(rotation_matrix(np.radians([4, -7, 3])), abs=1e-9)
    assert pose.translation == pytest.approx([100, 100, 7])


def test_landmarks_turn_rigidly_to_the_rotation_asked_for(pdm: PDM) -> None:
    points, target = face(pdm, (4, -7, 3)), rotation_matrix(np.radians([-2, 22, 1]))
    copy = turned(np.zeros((220, 200), np.uint8), points, pdm, target)
    pose = pose_of(copy.points, pdm)
    assert pose.rotation == pytest.approx(target, abs=1e-9) and pose.scale == pytest.approx(0.9)
    middle = np.array([0, 0, 35])  # what the head turns about stays
    before = pose_of(points, pdm)
    assert 0.9 * target @ middle + pose.translation == pytest.approx(
        0.9 * before.rotation @ middle + before.translation, abs=1e-9
    )
    far_jaw, near_jaw = copy.seen[:5], copy.seen[12:17]
    assert not far_jaw.any() and near_jaw.all() and copy.seen[17:].all()


def test_a_face_turned_to_where_it_is_stays_as_it_is(pdm: PDM) -> None:
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (220, 200)).astype(np.uint8), (0, 0), 1.5)
    angles = (3, -5, 2)
    copy = turned(image, face(pdm, angles), pdm, rotation_matrix(np.radians(angles)))
    assert np.array_equal(copy.image, image)
    assert copy.points == pytest.approx(face(pdm, angles), abs=1e-9)


@pytest.mark.parametrize("angles", [(0, 25, 0), (0, -15, 4), (18, 0, 0), (-18, 5, 0)])
def test_the_picture_goes_with_the_landmarks(pdm: PDM, angles: tuple[float, float, float]) -> None:
    """Bright dots at landmarks of the photograph are at the landmarks of the copy."""
    chosen = [8, 19, 24, 28, 30, 33, 36, 39, 42, 45, 48, 54, 57]
    points = face(pdm)
    image = np.zeros((220, 200), np.float64)
    y, x = np.mgrid[:220, :200]
    for px, py in points[chosen, :2]:
        image += 255 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 4.5)
    copy = turned(np.clip(image, 0, 255).astype(np.uint8), points, pdm, rotation_matrix(np.radians(angles)))
    for px, py in copy.points[chosen, :2]:
        near = (abs(x - px) < 4.5) & (abs(y - py) < 4.5)
        weight = copy.image * near
        assert (np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()) == pytest.approx([px, py], abs=1.2)


def test_the_surface_passes_near_the_landmarks_and_goes_no_farther_than_the_background(pdm: PDM) -> None:
    points = face(pdm)
    depths = surface(points, pdm, 0.9, (220, 200))
    assert depths.shape == (420, 400)
    inner = np.rint(points[17:, :2]).astype(int) + MARGIN
    assert np.abs(depths[inner[:, 1], inner[:, 0]] - points[17:, 2]).max() < 6
    assert depths.max() == pytest.approx(0.9 * 110 + 7, abs=1)
