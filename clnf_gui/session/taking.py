"""What has been opened becomes what the Session shows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from clnf_engine import Initial, Model, Phase, initial_from_box
from clnf_engine.initial import Box
from clnf_engine.io.images import Image
from clnf_engine.stops import parse_stop
from clnf_gui.session.aspect import ALL_ASPECTS, Aspect
from clnf_gui.session.choices import LANES, Choices, Recorded, Start
from clnf_gui.session.live import same_run
from clnf_gui.session.opener import Clip, Ended, Faces, Opened, Restored, picture_of

if TYPE_CHECKING:
    from clnf_gui.session.session import Session

NO_FACE = "no face found. Drag the yellow box onto the face, and turn it by its round handle."


def take(session: Session, opened: Opened) -> None:
    """Show what has been opened; a port is followed no more where that replaces its picture."""
    if isinstance(opened, Image | Clip | Recorded | Restored):
        session.live.let_be()
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
        case Ended():
            _take_ended(session, opened.recorded)


def _take_model(session: Session, model: Model) -> None:
    recorded = session.choices.a.recorded or session.choices.b.recorded
    session.begin_anew()
    session.scene.set_model(model)
    for name in LANES:
        session.tracker.forget(name)
    session.changed.emit(ALL_ASPECTS)
    if recorded is not None and recorded is session.live.shown:
        session.live.read_anew()
    elif recorded is not None:
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
        session.lanes.choose(session.choices.with_fits_alone())
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
    _set_picture(session, picture_of(recorded))
    session.lanes.choose(_showing(session.choices, recorded))
    beside = _put_beside(session, recorded)
    for name in session.shown:
        session.refit(name)
    session.changed.emit(ALL_ASPECTS)
    _tell_of(session, recorded, beside)


def _showing(choices: Choices, recorded: Recorded) -> Choices:
    """A recorded run in lane A, alone."""
    trace = recorded.trace
    start = Start(trace.initial, trace.initial) if trace.initial.known else None
    shown = choices.with_lane("A", options=trace.options, start=start, recorded=recorded, functions=None)
    return replace(shown, comparing=False)


def _put_beside(session: Session, recorded: Recorded) -> bool:
    """Put the engine's run into lane B, if the run in lane A is foreign and tells its start; whether it is."""
    start = session.choices.a.start
    beside = bool(recorded.foreign) and start is not None and not recorded.other_model
    if beside:
        choices = session.choices.with_lane("B", options=recorded.trace.options, start=start, functions=None)
        session.lanes.choose(replace(choices, comparing=True))
    return beside


def _tell_of(session: Session, recorded: Recorded, beside: bool) -> None:
    trace, where = recorded.trace, f"{recorded.path}: "
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


# --- the runs of a port -----------------------------------------------------------------------------


def take_live(session: Session, recorded: Recorded) -> None:
    """Show what a port has computed by now; its next fit waits while a person looks at an earlier step of this one."""
    live, shown = session.live, session.live.shown
    name = None if shown is None else _lane_of(session, shown)
    if shown is None or name is None:
        _begin_live(session, recorded)
    elif same_run(shown, recorded):
        _go_on_live(session, name, recorded)
    elif _at_newest(session, name):
        _begin_live(session, recorded)
    else:
        if live.waiting is None:
            session.told.emit(f"the port has begun {recorded.path.name}; To the end shows it")
            live.ended.emit(shown)
        live.pause()
        live.set_waiting(recorded)


def show_waiting(session: Session) -> None:
    """Go to the fit that a port has begun, if the one before has been seen to its end."""
    live = session.live
    name = None if live.waiting is None or live.shown is None else _lane_of(session, live.shown)
    if live.waiting is not None and name is not None and _at_newest(session, name):
        _begin_live(session, live.waiting)


def _replace(session: Session, old: Recorded, new: Recorded) -> None:
    """Let a recorded run take the place of another, as if it always had been there: it cannot be undone."""
    change = lambda choices: choices.with_recorded(old, new)  # noqa: E731
    session.lanes.choose(change(session.choices))
    session.history.revise(change)


def _lane_of(session: Session, recorded: Recorded) -> str | None:
    """The lane that shows a recorded run."""
    return next((name for name in LANES if session.choices[name].recorded is recorded), None)


def _at_newest(session: Session, name: str) -> bool:
    """Whether the cursor is to stay at the newest Step of a lane."""
    lane = session.lanes[name]
    return session.cursor.following or lane.cursor >= len(lane.steps) - 1


def _begin_live(session: Session, recorded: Recorded) -> None:
    """Show a fit that a port has begun; the view stays as it is where its pictures are of one size, as of a video."""
    live, image = session.live, session.scene.image
    alike = live.shown is not None and image is not None and image.gray.shape == recorded.trace.image.shape
    _set_picture(session, picture_of(recorded))
    session.lanes.choose(_showing(session.choices, recorded))
    live.set_shown(recorded)
    live.set_waiting(None)
    session.refit("A")
    session.cursor.move_to(session.lanes["A"].places[-1])
    if live.running:
        _run_on(session, "A", 0)
    session.changed.emit(ALL_ASPECTS & ~Aspect.SOURCE if alike else ALL_ASPECTS)
    session.told.emit(f"{recorded.path}: a port computes this fit")


def _go_on_live(session: Session, name: str, recorded: Recorded) -> None:
    live, lane = session.live, session.lanes[name]
    before, newest = live.shown, _at_newest(session, name)
    assert before is not None
    known = len(before.steps) if before.live else 0
    _replace(session, before, recorded)
    live.set_shown(recorded)
    session.refit(name)
    if newest:
        session.cursor.move_to(lane.places[-1])
    if live.running:
        _run_on(session, name, known)


def _run_on(session: Session, name: str, start: int) -> None:
    """Let a port that runs wait where a stop condition fires, and at the end of its fit."""
    complete = session.lanes[name].numbers[-1].phase is Phase.END
    if session.cursor.stop_at_new(name, start) or complete:
        session.live.pause()


def _take_ended(session: Session, recorded: Recorded) -> None:
    """What a port has computed is as if it had been opened; lane B is left alone where it is in use."""
    name = next((name for name in LANES if _is_live(session.choices[name].recorded, recorded)), None)
    before = None if name is None else session.choices[name].recorded
    if name is None or before is None:
        return
    _replace(session, before, recorded)
    if session.live.shown is before:
        session.live.set_shown(recorded)
    beside = not session.comparing and _put_beside(session, recorded)
    for shown in session.shown if beside else (name,):
        session.refit(shown)
    session.changed.emit(ALL_ASPECTS & ~Aspect.SOURCE)
    _tell_of(session, recorded, beside)


def _is_live(held: Recorded | None, ended: Recorded) -> bool:
    return held is not None and held.live and held.trace is ended.trace


def _take_restored(session: Session, restored: Restored) -> None:
    document, picture = restored.document, restored.picture
    _set_picture(session, picture)
    session.scene.set_model(restored.model)
    session.scene.set_truth(restored.truth, document.truth)
    session.lanes.choose(restored.choices)
    for name in LANES:
        session.tracker.forget(name)
    session.cursor.set_place(document.place)
    session.cursor.set_node(document.node)
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
