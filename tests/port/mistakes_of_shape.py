"""Mistakes of the shape, the schedule and the frames: from the box to the similarity.

A function takes the place of the port's method of the operation, or of the method that `mistake` names.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from clnf_engine import Phase

from . import port as clean
from .planting import mistake, plant
from .port import Plan, Port

SHAPE = "init project base_shape reference_shape jacobian"
"""Where a wrong point set shows."""

# --- init: parameters from a box


def _with_scale(port, box, angles, choose):
    """The start with another scale than the mean of those of width and height."""
    x, y, width, height = box
    points = port.shape(np.zeros(port.modes)) @ clean.rotation(*angles).T[:, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    params = Port.init(port, box, angles)
    params[0] = choose(np.array([width, height]) / (high - low))
    params[4:6] = np.array([x + width / 2, y + height / 2]) - params[0] * (low + high) / 2
    return params


plant("init_from_width_alone", "init", init=lambda port, box, angles: _with_scale(port, box, angles, lambda s: s[0]))
plant("init_from_the_smaller_side", "init", init=lambda port, box, angles: _with_scale(port, box, angles, min))


@mistake("init")
def init_at_the_box_centre(port, box, angles):
    x, y, width, height = box
    params = Port.init(port, box, angles)
    params[4:6] = x + width / 2, y + height / 2
    return params


@mistake("init", faces="turned", hidden="tiny")
def init_without_rotation_of_the_mean(port, box, angles):
    params = Port.init(port, box, (0.0, 0.0, 0.0))
    params[1:4] = angles
    return params


# --- project: landmarks from parameters


@mistake("project base_shape")
def project_with_the_transposed_rotation(port, params):
    return params[0] * (port.shape(params[6:]) @ port.rotation(params)[:, :2]) + params[4:6]


def _zyx(port, params):
    rx, ry, rz = params[1:4]
    return clean.rotation(0, 0, rz) @ clean.rotation(0, ry, 0) @ clean.rotation(rx, 0, 0)


plant("euler_order_zyx", "project base_shape jacobian update", rotation=_zyx)
plant(
    "euler_angles_of_the_transposed_rotation",
    "project base_shape jacobian update",
    rotation=lambda port, params: Port.rotation(port, params).T,
)


def _interleaved_shape(port, q):
    return (port.model.pdm.mean + port.model.pdm.modes @ q).reshape(port.n, 3)


def _interleaved_basis(port):
    return port.model.pdm.modes.reshape(port.n, 3, port.modes).transpose(1, 0, 2)


plant("pdm_interleaved", SHAPE, faces="tiny", shape=_interleaved_shape, basis=_interleaved_basis)
plant(
    "modes_interleaved",
    "project base_shape reference_shape jacobian",
    shape=lambda port, q: Port.shape(port, 0 * q) + np.moveaxis(_interleaved_basis(port) @ q, 0, 1),
    basis=_interleaved_basis,
)
plant(
    "shape_without_modes",
    "project base_shape reference_shape jacobian",
    shape=lambda port, q: Port.shape(port, 0 * q),
)


@mistake("project base_shape")
def project_with_translation_swapped(port, params):
    return Port.project(port, params) - params[4:6] + params[[5, 4]]


@mistake("project base_shape")
def project_half_a_pixel_off(port, params):
    return Port.project(port, params) + (0.5 if params[4] else 0)


# --- schedule: stages, phases, iterations, stop rule


def _with_phases(port, **counts):
    return [replace(plan, iterations={Phase(k): v for k, v in counts.items()}) for plan in Port.schedule(port)]


plant("rigid_phase_left_out", "schedule", schedule=lambda port: _with_phases(port, nonrigid=5))
plant("nonrigid_phase_left_out", "schedule", schedule=lambda port: _with_phases(port, rigid=5))
plant("ten_iterations", "schedule", schedule=lambda port: _with_phases(port, rigid=10, nonrigid=10))
plant("one_rigid_iteration", "schedule", schedule=lambda port: _with_phases(port, rigid=1, nonrigid=5))
plant("last_stage_left_out", "schedule", schedule=lambda port: Port.schedule(port)[:-1])


@mistake("schedule", faces="tiny grace")
def windows_in_reverse(port):
    plans = Port.schedule(port)
    return [Plan(p.patch_scale, q.window, p.iterations) for p, q in zip(plans, plans[::-1], strict=True)]


@mistake("schedule", faces="stopping", hidden="tiny grace", method="stop")
def never_stops(port, shape, before, delta):
    return False


@mistake("schedule", faces="stopping", hidden="tiny", method="stop")
def stops_by_the_mean_change(port, shape, before, delta):
    return bool(np.sqrt(((shape - before) ** 2).mean()) < port.options.convergence_px)


@mistake("schedule", faces="tiny", method="stop")
def stops_by_the_update(port, shape, before, delta):
    return bool(np.linalg.norm(delta) < 0.3)


@mistake("schedule base_shape", method="maps_of_iteration", faces="tiny")
def maps_in_every_iteration(port, now, params):
    return replace(now, maps=port.maps(params, now.stage))


# --- stage: options adapted to the patch scale


def _stage(port, scaling, **changes):
    names = ("sigma", "reg", "weight")
    return tuple((dict(zip(names, Port.stage(port, scaling), strict=True)) | changes).values())


plant("sigma_not_adapted", "stage", stage=lambda port, scaling: _stage(port, scaling, sigma=port.options.sigma))
plant("reg_not_adapted", "stage", stage=lambda port, scaling: _stage(port, scaling, reg=port.options.reg_factor))
plant(
    "weight_not_adapted",
    "stage",
    faces="turned",
    hidden="tiny",
    stage=lambda port, scaling: _stage(port, scaling, weight=port.options.weight_factor),
)
plant(
    "reg_adapted_by_the_ratio",
    "stage",
    stage=lambda port, scaling: _stage(port, scaling, reg=port.options.reg_factor - 15 * (scaling / 0.25 - 1)),
)


@mistake("stage")
def adapted_by_the_natural_logarithm(port, scaling):
    level, options = np.log(scaling / 0.25), port.options
    return options.sigma + 0.25 * level, options.reg_factor - 15 * level, options.weight_factor * (1 + 2 * level)


# --- view, base shape, reference shape


@mistake("view", faces="turned", hidden="tiny")
def view_always_frontal(port, patch_scale, params):
    return 0


@mistake("view", faces="tiny turned")
def view_farthest_away(port, patch_scale, params):
    centres = np.deg2rad(port.model.scales[patch_scale].view_centres_degrees)
    return int(np.argmax(np.linalg.norm(centres - params[1:4], axis=1)))


@mistake("base_shape")
def base_shape_in_whole_pixels(port, params):
    return np.round(port.project(params))


@mistake("base_shape")
def base_shape_of_the_start(port, params):
    return port.steps[0].landmarks


@mistake("reference_shape")
def reference_shape_without_modes(port, params, scaling):
    return Port.reference_shape(port, np.concatenate([params[:6], 0 * params[6:]]), scaling)


@mistake("reference_shape")
def reference_shape_keeps_the_rotation(port, params, scaling):
    return port.project(np.concatenate([[scaling], params[1:4], [0, 0], params[6:]]))


@mistake("reference_shape")
def reference_shape_at_a_quarter(port, params, scaling):
    return Port.reference_shape(port, params, 0.25)


# --- similarity and its inverse


@mistake("similarity")
def similarity_without_scale(port, base, reference):
    full = Port.similarity(port, base, reference)
    return full / np.sqrt(np.linalg.det(full))


@mistake("similarity")
def similarity_without_rotation(port, base, reference):
    return np.sqrt(np.linalg.det(Port.similarity(port, base, reference))) * np.eye(2)


@mistake("similarity")
def similarity_with_the_transposed_rotation(port, base, reference):
    return Port.similarity(port, base, reference).T


@mistake("similarity")
def similarity_by_least_squares(port, base, reference):
    a, b = base - base.mean(axis=0), reference - reference.mean(axis=0)
    turn = Port.similarity(port, base, reference)
    turn = turn / np.sqrt(np.linalg.det(turn))
    return turn * ((a @ turn.T) * b).sum() / (a**2).sum()


@mistake("similarity_inverse")
def similarity_transposed_for_inverted(port, similarity):
    return similarity.T


@mistake("similarity_inverse")
def similarity_not_inverted(port, similarity):
    return similarity


@mistake("similarity_inverse")
def similarity_inverted_but_not_turned_back(port, similarity):
    return Port.similarity_inverse(port, similarity).T
