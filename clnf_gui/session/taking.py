"""What has been opened becomes what the Session shows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from clnf_engine import Initial, Model, initial_from_box
from clnf_engine.initial import Box
from clnf_engine.io.images import Image
from clnf_engine.stops import parse_stop
from clnf_gui.session.aspect import ALL_ASPECTS, Aspect
from clnf_gui.session.choices import LANES, Recorded, Start
from clnf_gui.session.opener import Clip, Faces, Opened, Restored, picture_of

if TYPE_CHECKING:
    from clnf_gui.session.session import Session

NO_FACE = "no face found. Drag the yellow box onto the face, and turn it by its round handle."


def take(session: Session, opened: Opened) -> None:
    """Show what has been opened."""
    match opened:
        case Model():
            _take_model(session, opened)
        case Image():
            _set_picture(session, opened)
            session.changed.emit(ALL_ASPECTS)
            _find_faces(session)
        case Clip():
            _take_clip(session, opened)
        case Recorded():
            _take_recorded(session, opened)
        case Restored():
            _take_restored(session, opened)
        case Faces():
            _take_faces(session, opened)


def _take_model(session: Session, model: Model) -> None:
    recorded = session.choices.a.recorded or session.choices.b.recorded
    session.begin_anew()
    session.scene.set_model(model)
    for name in LANES:
        session.tracker.forget(name)
    session.changed.emit(ALL_ASPECTS)
    if recorded is not None:
        session.opener.look_again(recorded, model)
    elif session.scene.video is None:
        _find_faces(session)
    else:
        session.frames.fetch(LANES)
        session.tracker.go_on()


def _set_picture(session: Session, picture: Image | Clip) -> None:
    """Look at another picture, of which nothing is known yet."""
    session.begin_anew()
    video = session.scene.close_video()
    if video is not None:
        session.frames.close(video)
    if isinstance(picture, Clip):
        source, frame = picture.source, picture.frame
        session.lanes.choose(session.choices.with_lane("A", functions=None).with_lane("B", functions=None))
        session.scene.set_video(source, Image(source.path, frame.rgb, frame.gray), frame.index)
        session.frames.expect(frame.index)
    else:
        session.scene.set_image(picture)
    session.tracker.open()


def _take_clip(session: Session, clip: Clip) -> None:
    _set_picture(session, clip)
    session.changed.emit(ALL_ASPECTS)
    session.frames.fetch(LANES)
    if clip.frame.index:
        session.told.emit(f"frame {clip.frame.index + 1} is the first that can be decoded")


def _find_faces(session: Session) -> None:
    """Find the faces of the image, which needs a model to place them."""
    image, model = session.scene.image, session.scene.model
    if image is not None and model is not None:
        session.opener.find_faces(image, model)


def _take_faces(session: Session, found: Faces) -> None:
    if found.image is not session.scene.image or found.model is not session.scene.model:
        return
    if not _offer_start(session, found.image, found.model, found.initials):
        session.lanes.choose(replace(session.choices, look=replace(session.look, show_box=True)))
        session.set_note(f"{found.image.path.name}: {NO_FACE}", "find_start")
    session.changed.emit(Aspect.START | Aspect.LOOK)
    for name in session.shown:
        session.refit(name)


def _offer_start(session: Session, image: Image, model: Model, faces: tuple[Initial, ...]) -> bool:
    """Offer the likeliest face as a start, else a box in the middle; whether there is a face."""
    session.scene.set_faces(faces, faces[0] if faces else initial_from_box(model, _middle_box(image)))
    return bool(faces)


def _take_recorded(session: Session, recorded: Recorded) -> None:
    """Show a saved run in lane A; beside a foreign one, the engine's run from the same start with the same options."""
    trace, where = recorded.trace, f"{recorded.path}: "
    _set_picture(session, picture_of(recorded))
    start = Start(trace.initial, trace.initial) if trace.initial.known else None
    beside = bool(recorded.foreign) and start is not None and not recorded.other_model
    choices = session.choices.with_lane("A", options=trace.options, start=start, recorded=recorded, functions=None)
    if beside:
        choices = choices.with_lane("B", options=trace.options, start=start, functions=None)
    session.lanes.choose(replace(choices, comparing=beside))
    for name in session.shown:
        session.refit(name)
    session.changed.emit(ALL_ASPECTS)
    for line in trace.converted:
        session.told.emit(f"{where}{line}")
    if recorded.other_model:
        asked = "Open its own model to compare it with the engine's run and to check it."
        session.set_note(f"{recorded.path.name}: {recorded.other_model} {asked}", "open_model")
        session.told.emit(f"{where}{recorded.other_model}")
    elif recorded.foreign:
        shown = "lane B is the engine's run from the same start" if beside else "it is shown as it is"
        session.told.emit(f"{where}a foreign run, {recorded.foreign}; {shown}")
        session.check_recorded()
    else:
        session.told.emit(f"{where}a saved run of {trace.model_name}; changing an option runs it anew in lane B")


def _take_restored(session: Session, restored: Restored) -> None:
    document, picture = restored.document, restored.picture
    _set_picture(session, picture)
    session.scene.set_model(restored.model)
    session.scene.set_truth(restored.truth, document.truth)
    session.lanes.choose(restored.choices)
    for name in LANES:
        session.tracker.forget(name)
    session.cursor.set_place(document.place)
    session.cursor.set_stops(tuple(parse_stop(text) for text in document.stops))
    if document.recorded:
        pass  # where it starts is told
    elif isinstance(picture, Image):
        _offer_start(session, picture, restored.model, restored.faces)
    else:
        session.frames.expect(document.frame or 0)
        session.frames.look_for_maps(False)
    session.select(document.selection)
    session.changed.emit(ALL_ASPECTS)
    session.frames.fetch(LANES)
    if isinstance(picture, Image):
        for name in session.shown:
            session.refit(name)


def _middle_box(image: Image) -> Box:
    """A square in the middle of an image, half as large as its smaller side."""
    height, width = image.gray.shape
    side = max(min(height, width) / 2, 1.0)
    return ((width - side) / 2, (height - side) / 2, side, side)
