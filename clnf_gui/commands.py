"""COMMANDS: one table that makes the menus, the toolbar, the shortcuts and their help."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from PySide6.QtGui import QKeySequence

from clnf_engine.initial import Rotation
from clnf_gui.asking import Dialogs
from clnf_gui.look import MapKind, MapSource
from clnf_gui.session import Session
from clnf_gui.session.frames import SPEEDS


@dataclass(frozen=True)
class Command:
    """One thing a person can do.

    Attributes
    ----------
    id : str
    menu : str
        Title of its menu.
    text : str
        Sentence case; ends in … only when a dialog follows.
    run : callable
        Of the session and the window's dialogs.
    shortcut : str
        In Qt's portable form; "" for none.
    icon : str
        Name of its drawing in ``resources/icons``; "" keeps it off the toolbar.
    needs_steps : bool
        Whether it is disabled before the first Step.
    checked : callable or None
        For commands that switch something: whether it is on.
    can : callable or None
        Whether it can be done now; always, without one.
    about : str
        What it does, where its text leaves that open.
    """

    id: str
    menu: str
    text: str
    run: Callable[[Session, Dialogs], None]
    shortcut: str = ""
    icon: str = ""
    needs_steps: bool = False
    checked: Callable[[Session], bool] | None = None
    can: Callable[[Session], bool] | None = None
    about: str = ""

    @property
    def keys(self) -> str:
        """The shortcut as this desktop writes it."""
        return QKeySequence(self.shortcut).toString(QKeySequence.SequenceFormat.NativeText)

    @property
    def tip(self) -> str:
        """The text, the shortcut if there is one, and what it does where the text leaves that open."""
        text = f"{self.text} ({self.keys})" if self.shortcut else self.text
        return f"{text}: {self.about}" if self.about else text


def _show_maps(kind: MapKind) -> Callable[[Session, Dialogs], None]:
    return lambda session, _: session.set_look(replace(session.look, map_kind=kind))


def _shows_maps(kind: MapKind) -> Callable[[Session], bool]:
    return lambda session: session.look.map_kind is kind


def _show_source(source: MapSource) -> Callable[[Session, Dialogs], None]:
    return lambda session, _: session.set_look(replace(session.look, map_source=source))


def _shows_source(source: MapSource) -> Callable[[Session], bool]:
    return lambda session: session.look.map_source is source


def _overlay(name: str, text: str, shortcut: str) -> Command:
    """A switch of the Look."""
    return Command(
        name.removeprefix("show_"),
        "View",
        text,
        lambda session, _: session.set_look(session.look.toggled(name)),
        shortcut,
        checked=lambda session: bool(getattr(session.look, name)),
    )


def _scale_shifts(session: Session, factor: float) -> None:
    session.set_look(replace(session.look, shift_scale=session.look.shift_scale * factor))


def _next_landmark(session: Session, direction: int) -> None:
    if session.step is not None:
        n = session.step.landmarks.shape[0]
        start = -1 if session.selection is None and direction > 0 else session.selection or 0
        session.select((start + direction) % n)


def _run_tools(session: Session, dialogs: Dialogs, names: Iterable[str]) -> None:
    dialogs.raise_lab()
    session.diagnose(names)


def _find_start(session: Session, dialogs: Dialogs) -> None:
    session.lab.choose("starts")
    _run_tools(session, dialogs, ("starts",))


def _follow_port(session: Session, dialogs: Dialogs) -> None:
    session.live.listen()
    dialogs.show_port()


def _has_video(session: Session) -> bool:
    return session.video is not None


def _track(session: Session, _: Dialogs) -> None:
    if session.tracker.tracking:
        session.tracker.stop()
    else:
        session.tracker.start()


def _change_speed(session: Session, direction: int) -> None:
    at = SPEEDS.index(session.frames.speed) + direction
    session.frames.set_speed(SPEEDS[min(max(at, 0), len(SPEEDS) - 1)])


def _roll_by(degrees: float) -> Callable[[Session, Dialogs], None]:
    """Turns the start in the image."""

    def run(session: Session, _: Dialogs) -> None:
        start = session.starts.now
        if start is not None:
            pitch, yaw, roll = start.initial.rotation
            _turn(session, (pitch, yaw, math.remainder(roll + math.radians(degrees), 2 * math.pi)))

    return run


def _turn(session: Session, rotation: Rotation) -> None:
    """Turns the start; every time is undone by itself."""
    session.history.end_run()
    session.starts.turn(rotation)
    session.history.end_run()


def _can_turn(session: Session) -> bool:
    return session.model is not None and session.starts.now is not None


def _is_turned(session: Session) -> bool:
    start = session.starts.now
    return session.model is not None and start is not None and any(start.initial.rotation)


COMMANDS: tuple[Command, ...] = (
    Command("open_image", "File", "Open image or video…", lambda _, d: d.ask_image(), "Ctrl+O", "open"),
    Command("open_folder", "File", "Open folder of frames…", lambda _, d: d.ask_frames_folder(), "Ctrl+Alt+O"),
    Command(
        "next_file",
        "File",
        "Next photo of the folder",
        lambda _, d: d.open_neighbour(1),
        "Ctrl+Right",
        can=lambda s: s.image is not None,
    ),
    Command(
        "previous_file",
        "File",
        "Previous photo of the folder",
        lambda _, d: d.open_neighbour(-1),
        "Ctrl+Left",
        can=lambda s: s.image is not None,
    ),
    Command(
        "cancel_opening",
        "File",
        "Cancel opening",
        lambda s, _: s.opener.cancel(),
        can=lambda s: bool(s.opener.what),
    ),
    Command("open_model", "File", "Open model…", lambda _, d: d.ask_model(), "Ctrl+M", "model"),
    Command("open_session", "File", "Open session…", lambda _, d: d.ask_session(), "Ctrl+Shift+O"),
    Command("open_study", "File", "Open study…", lambda _, d: d.ask_study(), about="the results of clnf study run"),
    Command("open_trace", "File", "Open trace…", lambda _, d: d.ask_trace()),
    Command("open_landmarks", "File", "Start from landmarks…", lambda _, d: d.ask_landmarks(), "Ctrl+L"),
    Command("open_truth", "File", "Open ground truth…", lambda _, d: d.ask_truth(), "Ctrl+T"),
    Command("save_session", "File", "Save session…", lambda _, d: d.ask_session_path(), "Ctrl+Shift+S", "", True),
    Command("save_trace", "File", "Save trace…", lambda _, d: d.ask_trace_path(), "Ctrl+S", needs_steps=True),
    Command("export_picture", "File", "Export picture…", lambda _, d: d.ask_picture_path(), "Ctrl+E", "", True),
    Command("export_steps", "File", "Export step table…", lambda _, d: d.ask_steps_path(), "", "", True),
    Command("export_report", "File", "Export report of this step…", lambda _, d: d.ask_report_path(), "", "", True),
    Command(
        "export_lab_report",
        "File",
        "Export report of the Lab…",
        lambda _, d: d.ask_lab_report_path(),
        can=lambda s: bool(s.results()),
    ),
    Command(
        "export_track",
        "File",
        "Export tracking…",
        lambda _, d: d.ask_track_path(),
        can=lambda s: s.lane.results is not None and s.lane.results.end > s.lane.results.begin,
    ),
    Command(
        "export_faces",
        "File",
        "Export faces of the study…",
        lambda _, d: d.ask_faces_path(),
        can=lambda s: s.studies.faces is not None,
        about="those that are listed, as CSV",
    ),
    Command("quit", "File", "Quit", lambda _, d: d.close_window(), "Ctrl+Q"),
    Command("undo", "Edit", "Undo", lambda s, _: s.undo(), "Ctrl+Z", "undo", can=lambda s: s.history.can_undo),
    Command("redo", "Edit", "Redo", lambda s, _: s.redo(), "Ctrl+Shift+Z", "redo", can=lambda s: s.history.can_redo),
    Command("copy_python", "Edit", "Copy as Python", lambda _, d: d.copy_python(), "Ctrl+Shift+C", "", True),
    Command("roll_left", "Edit", "Turn the start left by 5°", _roll_by(-5), "Ctrl+[", can=_can_turn),
    Command("roll_right", "Edit", "Turn the start right by 5°", _roll_by(5), "Ctrl+]", can=_can_turn),
    Command("upright", "Edit", "Upright start", lambda s, _: _turn(s, (0.0, 0.0, 0.0)), "Ctrl+U", can=_is_turned),
    Command("first", "Step", "To the start", lambda s, _: s.cursor.move_cursor(0), "Home", "first", True),
    Command("stage_back", "Step", "Stage back", lambda s, _: s.cursor.move_by_stage(-1), "PgUp", "stage-back", True),
    Command("phase_back", "Step", "Phase back", lambda s, _: s.cursor.move_by_phase(-1), "Up", "phase-back", True),
    Command("step_back", "Step", "Step back", lambda s, _: s.cursor.move_by_step(-1), "Left", "step-back", True),
    Command(
        "play",
        "Step",
        "Play",
        lambda s, _: s.cursor.set_playing(not s.cursor.playback.on),
        "Space",
        "play",
        True,
        checked=lambda s: s.cursor.playback.on,
        about="step by step, at the speed beside it",
    ),
    Command("step", "Step", "Step", lambda s, _: s.cursor.move_by_step(1), "Right", "step", True),
    Command("phase", "Step", "Phase forward", lambda s, _: s.cursor.move_by_phase(1), "Down", "phase", True),
    Command("stage", "Step", "Stage forward", lambda s, _: s.cursor.move_by_stage(1), "PgDown", "stage", True),
    Command("into_back", "Step", "Step into, back", lambda s, _: s.cursor.step_into(-1), "Shift+Left", "", True),
    Command("into", "Step", "Step into", lambda s, _: s.cursor.step_into(1), "Shift+Right", "", True),
    Command(
        "run",
        "Step",
        "Run",
        lambda s, _: s.cursor.run(),
        "Ctrl+R",
        "run",
        True,
        about="at once to the next stop condition, or to the end",
    ),
    Command("end", "Step", "To the end", lambda s, _: s.cursor.move_cursor(len(s.lane.steps)), "End", "last", True),
    Command(
        "loop",
        "Step",
        "Play in a loop",
        lambda s, _: s.cursor.set_looping(not s.cursor.looping),
        "Ctrl+Shift+P",
        checked=lambda s: s.cursor.looping,
    ),
    Command(
        "follow",
        "Step",
        "Follow a running fit",
        lambda s, _: s.cursor.set_following(not s.cursor.following),
        "Ctrl+F",
        checked=lambda s: s.cursor.following,
    ),
    Command("stops", "Step", "Stop when…", lambda _, d: d.ask_stops(), "Ctrl+B", "stop"),
    Command(
        "compare",
        "Lanes",
        "Compare two lanes",
        lambda s, _: s.set_comparing(not s.comparing),
        "Ctrl+D",
        "compare",
        True,
        checked=lambda s: s.comparing,
    ),
    Command("swap", "Lanes", "Swap the lanes", lambda s, _: s.swap_lanes(), "Shift+X", can=lambda s: s.comparing),
    Command("other_lane", "Lanes", "Other lane", lambda s, _: s.set_active("B" if s.active == "A" else "A"), "X"),
    Command("divergence", "Lanes", "Go to first divergence", lambda s, _: s.go_to_divergence(), "D", "", True),
    Command(
        "functions",
        "Lanes",
        "B: with functions of my own…",
        lambda _, d: d.ask_functions(),
        "Ctrl+Shift+M",
        needs_steps=True,
        can=lambda s: s.plugins.possible,
        about="of a Python file, in a process of its own; anew whenever the file is saved",
    ),
    Command(
        "run_functions",
        "Lanes",
        "Run functions of my own",
        lambda s, _: s.plugins.run(),
        can=lambda s: s.plugins.in_use,
        about="once more, or, of a file that came with a session or was dropped, for the first time",
    ),
    Command(
        "no_functions",
        "Lanes",
        "Without functions of my own",
        lambda s, _: s.plugins.leave(),
        can=lambda s: s.plugins.in_use,
    ),
    Command("maps_a", "Lanes", "Maps of lane A", _show_source(MapSource.A), "4", checked=_shows_source(MapSource.A)),
    Command("maps_b", "Lanes", "Maps of lane B", _show_source(MapSource.B), "5", checked=_shows_source(MapSource.B)),
    Command(
        "maps_difference",
        "Lanes",
        "Maps of A − B",
        _show_source(MapSource.DIFFERENCE),
        "6",
        checked=_shows_source(MapSource.DIFFERENCE),
    ),
    Command(
        "track",
        "Video",
        "Track, or stop tracking",
        _track,
        "F8",
        checked=lambda s: s.tracker.tracking,
        can=lambda s: s.tracker.tracking or s.tracker.can_track,
    ),
    Command(
        "track_from_here",
        "Video",
        "Track anew from this frame and its start",
        lambda s, _: s.track_from_here(),
        "Shift+F8",
        needs_steps=True,
        can=_has_video,
    ),
    Command(
        "play_video",
        "Video",
        "Play the video",
        lambda s, _: s.frames.set_playing(not s.frames.playback.on),
        "K",
        checked=lambda s: s.frames.playback.on,
        can=_has_video,
    ),
    Command("slower", "Video", "Slower", lambda s, _: _change_speed(s, -1), "[", can=_has_video),
    Command("faster", "Video", "Faster", lambda s, _: _change_speed(s, 1), "]", can=_has_video),
    Command("frame_back", "Video", "Frame back", lambda s, _: s.frames.go_by(-1), ",", can=_has_video),
    Command("frame", "Video", "Next frame", lambda s, _: s.frames.go_by(1), ".", can=_has_video),
    Command("first_frame", "Video", "First frame", lambda s, _: s.frames.go_to(0), "Ctrl+Home", can=_has_video),
    Command(
        "last_frame",
        "Video",
        "Last frame",
        lambda s, _: s.frames.go_to(len(s.scene.times) - 1),
        "Ctrl+End",
        can=_has_video,
    ),
    Command("go_to_frame", "Video", "Go to frame", lambda _, d: d.edit_frame(), "Ctrl+G", can=_has_video),
    Command(
        "parting",
        "Video",
        "Go to the frame where A and B part",
        lambda s, _: s.go_to_parting(),
        "Shift+D",
        can=lambda s: s.tracker.apart is not None,
    ),
    Command(
        "follow_port",
        "Port",
        "Follow a port…",
        _follow_port,
        "Ctrl+Shift+F",
        about="shows the steps of your own program while it computes them",
    ),
    Command(
        "hold_port",
        "Port",
        "Hold the port",
        lambda s, _: s.live.hold(),
        "F6",
        can=lambda s: s.live.connected and (s.live.running or not s.live.holding),
        about="it waits after its next step",
    ),
    Command(
        "step_port",
        "Port",
        "Let the port compute a step",
        lambda s, _: s.live.step(),
        "F10",
        can=lambda s: s.live.held and not s.live.running,
    ),
    Command(
        "run_port",
        "Port",
        "Run the port to a stop condition",
        lambda s, _: s.live.run(),
        "F9",
        can=lambda s: s.live.connected and not s.live.running,
        about="or to the end of its fit, where it is held",
    ),
    Command(
        "let_port_go",
        "Port",
        "Let the port go",
        lambda s, _: s.live.let_go(),
        "Shift+F6",
        can=lambda s: s.live.holding,
    ),
    Command(
        "stop_following",
        "Port",
        "Stop following",
        lambda s, _: s.live.stop(),
        can=lambda s: bool(s.live.address),
        about="what was received stays, and the port runs on",
    ),
    Command("lab", "Lab", "Show or hide the Lab", lambda _, d: d.toggle_lab(), "Ctrl+Shift+L", "lab"),
    Command(
        "run_tool",
        "Lab",
        "Run this tool",
        lambda s, d: _run_tools(s, d, (s.lab.chosen,)),
        "F5",
        needs_steps=True,
        can=lambda s: s.can_diagnose,
    ),
    Command(
        "run_all_tools",
        "Lab",
        "Run all tools",
        lambda s, d: _run_tools(s, d, s.lab.records),
        "Shift+F5",
        needs_steps=True,
        can=lambda s: s.can_diagnose,
    ),
    Command(
        "find_start",
        "Lab",
        "Look for a better start",
        _find_start,
        "Ctrl+Shift+B",
        needs_steps=True,
        can=lambda s: s.can_diagnose,
    ),
    Command(
        "run_study",
        "Lab",
        "Run a study…",
        lambda _, d: d.ask_study_run(),
        can=lambda s: s.studies.run.results is None,
        about="fits all photos of a folder in many ways, and compares them",
    ),
    Command(
        "stop_study",
        "Lab",
        "Stop the study",
        lambda s, _: s.studies.run.stop(),
        can=lambda s: s.studies.run.results is not None,
        about="what is done is kept; the same study goes on from there",
    ),
    Command("cancel_tools", "Lab", "Cancel tools", lambda s, _: s.lab.cancel(), "Ctrl+.", can=lambda s: s.lab.busy),
    Command("maps_raw", "View", "Raw responses", _show_maps(MapKind.RAW), "1", checked=_shows_maps(MapKind.RAW)),
    Command(
        "maps_after_sigma",
        "View",
        "Responses after Sigma",
        _show_maps(MapKind.AFTER_SIGMA),
        "2",
        checked=_shows_maps(MapKind.AFTER_SIGMA),
    ),
    Command(
        "maps_final", "View", "Final responses", _show_maps(MapKind.FINAL), "3", checked=_shows_maps(MapKind.FINAL)
    ),
    _overlay("show_ghost", "Initial shape", "G"),
    _overlay("show_shifts", "Mean-shifts", "S"),
    _overlay("show_contours", "Face contours", "C"),
    _overlay("show_windows", "Search windows", "W"),
    _overlay("windows_all", "Search windows of all landmarks", "Shift+W"),
    _overlay("show_map", "Map of the selected landmark", "M"),
    _overlay("show_trail", "Shapes of the last iterations", "T"),
    _overlay("show_numbers", "Numbers when zoomed in", "L"),
    _overlay("show_truth", "Ground truth", "Shift+T"),
    _overlay("show_apart", "From lane to lane (A − B)", "A"),
    _overlay("show_box", "Starting box, to be dragged", "B"),
    Command("longer_shifts", "View", "Longer arrows", lambda s, _: _scale_shifts(s, 1.5), "+", "", True),
    Command("shorter_shifts", "View", "Shorter arrows", lambda s, _: _scale_shifts(s, 1 / 1.5), "-", "", True),
    Command(
        "pin",
        "View",
        "Pin the selected landmark",
        lambda s, _: None if s.selection is None else s.set_look(s.look.with_pin(s.selection)),
        "Ctrl+P",
        can=lambda s: s.selection is not None,
        checked=lambda s: s.selection in s.look.pinned,
    ),
    Command("zoom_face", "View", "Zoom to the face", lambda _, d: d.zoom_to_face(), "F", "zoom-face", True),
    Command("zoom_image", "View", "Zoom to the image", lambda _, d: d.zoom_to_image(), "I", "zoom-image", True),
    Command("next_landmark", "View", "Next landmark", lambda s, _: _next_landmark(s, 1), "N", "", True),
    Command("previous_landmark", "View", "Previous landmark", lambda s, _: _next_landmark(s, -1), "P", "", True),
    Command("no_landmark", "View", "Select no landmark", lambda s, _: s.select(None), "Esc", "", True),
    Command("palette", "Help", "Command palette…", lambda _, d: d.show_palette(), "Ctrl+K"),
    Command("theme_system", "View", "Colours of the desktop", lambda _, d: d.choose_theme("system")),
    Command("theme_light", "View", "Light colours", lambda _, d: d.choose_theme("light")),
    Command("theme_dark", "View", "Dark colours", lambda _, d: d.choose_theme("dark")),
    Command("reset_layout", "View", "Reset layout", lambda _, d: d.reset_layout()),
    Command("help", "Help", "Shortcuts", lambda _, d: d.show_help(), "F1"),
    Command("about", "Help", "About CLNF Studio", lambda _, d: d.show_about()),
)

GROUPS = frozenset(
    [
        "next_file",
        "open_model",
        "open_landmarks",
        "save_session",
        "export_picture",
        "quit",
        "copy_python",
        "roll_left",
        "into_back",
        "play",
        "loop",
        "stops",
        "divergence",
        "maps_a",
        "play_video",
        "first_frame",
        "parting",
        "hold_port",
        "stop_following",
        "run_tool",
        "find_start",
        "ghost",
        "box",
        "longer_shifts",
        "pin",
        "zoom_face",
        "next_landmark",
        "theme_system",
        "about",
    ]
)
"""Commands before which a line parts their menu."""


def command(name: str) -> Command:
    """The command of an id."""
    return next(row for row in COMMANDS if row.id == name)
