"""What commands ask a person for: files to open and save, texts to read. Implements `asking.Dialogs`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QGuiApplication
from PySide6.QtWidgets import QFileDialog, QInputDialog, QMainWindow, QMessageBox, QWidget

from clnf_engine import ClnfError
from clnf_engine.io.files import write_file
from clnf_gui import about, settings
from clnf_gui.commands import COMMANDS
from clnf_gui.docks import Docks
from clnf_gui.export import lab_report, picture, png_bytes, python_source, step_report, steps_csv, tracking_csv
from clnf_gui.opening import IMAGE_SUFFIXES, VIDEO_SUFFIXES, neighbour, open_file, open_model
from clnf_gui.panels.follow_dialog import FollowDialog
from clnf_gui.panels.palette import Palette
from clnf_gui.panels.shortcuts import ShortcutsDialog
from clnf_gui.panels.stop_dialog import StopDialog
from clnf_gui.panels.study_dialog import StudyDialog
from clnf_gui.panes import Panes, in_sight
from clnf_gui.qt_setup import set_theme
from clnf_gui.session import Session
from clnf_gui.session.document import write_session
from clnf_gui.views.image_view import ImageView

_PICTURES = (
    f"Images and videos ({' '.join(f'*{suffix}' for suffix in IMAGE_SUFFIXES + VIDEO_SUFFIXES)});;"
    f"Images ({' '.join(f'*{suffix}' for suffix in IMAGE_SUFFIXES)});;"
    f"Videos ({' '.join(f'*{suffix}' for suffix in VIDEO_SUFFIXES)});;All files (*)"
)
_MODELS = "CLNF main files (main*.txt);;All files (*)"
_LANDMARKS = "Landmarks (*.pts);;All files (*)"
_FUNCTIONS = "Python files (*.py);;All files (*)"
_SESSIONS = "Sessions (*.json);;All files (*)"
_TRACES = "Traces (*.npz);;All files (*)"
_RECORDED = "Traces, and what other programs print (*.npz trace.jsonl *.csv *.txt *.json);;All files (*)"


class WindowDialogs:
    """Dialogs of one window. Files are opened by what their names end in, dropped or chosen alike."""

    def __init__(
        self,
        window: QMainWindow,
        session: Session,
        panes: Panes,
        image_views: Mapping[str, ImageView],
        actions: Mapping[str, QAction],
        docks: Docks,
    ) -> None:
        self._window, self._session, self._panes = window, session, panes
        self._views, self._actions, self._docks = image_views, actions, docks

    # --- opening ------------------------------------------------------------------------------

    def open_file(self, path: str) -> None:
        """Open a file of any kind."""
        open_file(self._session, path)

    def open_model(self, path_or_name: str) -> None:
        """Open a model."""
        open_model(self._session, path_or_name)

    def open_neighbour(self, direction: int) -> None:
        """Open the next (+1) or previous (−1) image or video of the folder, by name."""
        image = self._session.image
        if image is None:
            return
        try:
            found = neighbour(image.path, direction)
        except OSError as error:
            self._session.failed.emit(f"{image.path.parent}: cannot be listed ({error.strerror})", "")
            return
        if found is None:
            self._session.told.emit(f"{image.path.parent}: holds no other image or video")
        else:
            self.open_file(str(found))

    def ask_image(self) -> None:
        self._ask("Open image or video", _PICTURES, self.open_file)

    def ask_image_in(self, folder: str) -> None:
        """Let the person choose an image or video of a folder to open."""
        settings.remember_folder(folder)
        self.ask_image()

    def ask_frames_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self._window, "Open folder of frames", settings.folder())
        if path:
            self.open_file(path)

    def ask_study(self) -> None:
        path = QFileDialog.getExistingDirectory(self._window, "Open study", settings.folder())
        if path:
            settings.remember_file(path)
            settings.remember_folder(str(Path(path).parent))
            self._session.studies.open(path)

    def ask_model(self) -> None:
        self._ask("Open model", _MODELS, self.open_model)

    def ask_landmarks(self) -> None:
        self._ask("Start from landmarks", _LANDMARKS, self._session.starts.from_landmarks)

    def ask_truth(self) -> None:
        self._ask("Open ground truth", _LANDMARKS, self._session.open_truth)

    def ask_session(self) -> None:
        self._ask("Open session", _SESSIONS, self.open_file)

    def ask_trace(self) -> None:
        self._ask("Open trace", _RECORDED, self.open_file)

    def ask_functions(self) -> None:
        self._ask("Run functions of my own in lane B", _FUNCTIONS, self._session.plugins.use)

    def _ask(self, title: str, kinds: str, use: Callable[[str], None]) -> None:
        path, _ = QFileDialog.getOpenFileName(self._window, title, settings.folder(), kinds)
        if path:
            settings.remember_folder(path)
            use(path)

    # --- saving -------------------------------------------------------------------------------

    def ask_session_path(self) -> None:
        document = self._session.document()
        if document is not None:
            self._save("Save session", ".json", _SESSIONS, lambda path: write_session(document, path))

    def ask_trace_path(self) -> None:
        trace = self._session.trace()
        if trace is not None:
            self._save("Save trace", ".npz", _TRACES, trace.save)

    def ask_steps_path(self) -> None:
        trace = self._session.trace()
        if trace is not None:
            truth = self._session.scene.truth
            self._save("Export step table", ".csv", "CSV (*.csv)", _writer(lambda: steps_csv(trace, truth).encode()))

    def ask_track_path(self) -> None:
        session = self._session
        results, model, video = session.lane.results, session.model, session.video
        if results is not None and model is not None and video is not None:
            path = self._ask_path("Export tracking", ".csv", "CSV (*.csv)")
            if path is not None:
                session.lab.write(path, tracking_csv(results, video, model, session.lane))

    def ask_study_run(self) -> None:
        image, model = self._session.image, self._session.model
        folder = settings.folder() if image is None else str(image.path.resolve().parent)
        dialog = StudyDialog(folder, None if model is None else model.path, self._window)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.wanted.connect(self._session.studies.run.start)
        dialog.wanted.connect(lambda *_: self._docks.raise_("Studies"))
        dialog.show()

    def ask_faces_path(self) -> None:
        results = self._session.studies.results
        if results is not None:
            path = self._ask_path("Export faces of the study", ".csv", "CSV (*.csv)")
            if path is not None:
                self._session.studies.export(path)

    def ask_picture_path(self) -> None:
        views: dict[str, QWidget] = {"The whole window": self._window}
        views |= {f"Image, lane {name}": self._views[name] for name in self._session.shown}
        views |= {pane.title: pane.widget for pane in self._panes.all}
        name, chosen = QInputDialog.getItem(self._window, "Export picture", "Of which view?", list(views), 0, False)
        if chosen:
            for pane in self._panes.all:
                if pane.title == name:
                    pane.show(self._session)
            self._save("Export picture", ".png", "PNG (*.png)", _writer(lambda: png_bytes(picture(views[name]))))

    def ask_report_path(self) -> None:
        path = self._ask_path("Export report", ".html", "HTML (*.html)")
        if path is None:
            return
        try:
            self._session.lab.write(path, self.report())
        except ClnfError as error:
            self._session.failed.emit(str(error), "")

    def ask_lab_report_path(self) -> None:
        session, subject, results = self._session, self._session.subject(), self._session.results()
        if subject is not None and session.image is not None and subject.model.path is not None:
            image, model = session.image.path.resolve(), subject.model.path.resolve()
            still = session.scene.frame
            path = self._ask_path("Export report of the Lab", ".html", "HTML (*.html)")
            if path is not None:
                recorded = {name: file.resolve() for name, file in session.recorded_files().items()}
                session.lab.write(path, lambda: lab_report(subject, results, image, model, still, recorded))

    def report(self) -> Callable[[], bytes]:
        """What makes the HTML report of the Step under the cursor, of views as they are now, in any thread."""
        session = self._session
        trace, step = session.trace(), session.step
        if trace is None or step is None:
            raise ClnfError("there is no step to report on any more: another file has been opened")
        pictures = {f"Image, lane {name}": picture(self._views[name]) for name in session.shown}
        for pane in self._panes.all:
            if pane.title in ("Response maps", "Landmark", "Convergence", "Magnitudes"):
                pane.show(session)
                pictures[pane.title] = picture(pane.widget)
        name = "" if session.image is None else session.image.path.name
        verdict = session.verdict(session.active)
        title, truth = f"CLNF fit of {name}", session.scene.truth
        return lambda: step_report(trace, step, title, pictures, verdict, truth).encode()

    def _save(self, title: str, suffix: str, kinds: str, write: Callable[[Path], None]) -> None:
        path = self._ask_path(title, suffix, kinds)
        if path is None:
            return
        try:
            write(path)
        except ClnfError as error:
            self._session.failed.emit(str(error), "")
        else:
            self._session.told.emit(f"saved {path}")

    def _ask_path(self, title: str, suffix: str, kinds: str) -> Path | None:
        image = self._session.image
        name = "" if image is None else image.path.with_suffix(suffix).name
        chosen, _ = QFileDialog.getSaveFileName(self._window, title, str(Path(settings.folder(), name)), kinds)
        if not chosen:
            return None
        settings.remember_folder(chosen)
        return Path(chosen) if Path(chosen).suffix else Path(chosen).with_suffix(suffix)

    def copy_python(self) -> None:
        session, trace = self._session, self._session.trace()
        if trace is None or session.model is None or session.model.path is None or session.image is None:
            return
        image, model = session.image.path.resolve(), session.model.path.resolve()
        step = session.step
        place = session.cursor.place if step is None else step.place
        files = {name: path.resolve() for name, path in session.recorded_files().items()}
        source = python_source(trace, session.active, image, model, place, session.scene.frame, files)
        QGuiApplication.clipboard().setText(source)
        session.told.emit(f"copied a program that {'reads' if session.active in files else 'repeats'} this run")

    # --- reading ------------------------------------------------------------------------------

    def ask_stops(self) -> None:
        dialog = StopDialog(self._session.cursor.stops, self._window)
        dialog.stops_chosen.connect(self._session.cursor.set_stops)
        dialog.show()

    def show_port(self) -> None:
        live = self._session.live
        if live.address:
            dialog = FollowDialog(live.address, self._window)
            if not live.connected:
                live.arrived.connect(dialog.leave)
            dialog.show()

    def show_palette(self) -> None:
        palette = Palette(self._actions, self._window)
        palette.show()
        palette.activateWindow()

    def show_help(self) -> None:
        ShortcutsDialog(COMMANDS, self._window).show()

    def show_about(self) -> None:
        self._tell("About CLNF Studio", about.about_html())

    def _tell(self, title: str, text: str) -> None:
        """Show a text in a dialog that does not stop the window."""
        dialog = QMessageBox(QMessageBox.Icon.NoIcon, title, text, QMessageBox.StandardButton.Close, self._window)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setModal(False)
        dialog.show()

    # --- the window ---------------------------------------------------------------------------

    def zoom_to_face(self) -> None:
        self._views["A"].zoom_to_face()

    def zoom_to_image(self) -> None:
        self._views["A"].zoom_to_image()

    def edit_frame(self) -> None:
        self._docks.raise_("Frames")
        self._panes.frame_bar.number.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self._panes.frame_bar.number.selectAll()

    def toggle_lab(self) -> None:
        lab = self._docks["Lab"]
        if in_sight(lab):
            lab.hide()
        else:
            self.raise_lab()

    def raise_lab(self) -> None:
        self._docks.raise_("Lab")

    def choose_theme(self, theme: str) -> None:
        settings.remember_theme(theme)
        set_theme(theme)

    def reset_layout(self) -> None:
        settings.forget_layout()
        self._docks.reset()

    def close_window(self) -> None:
        self._window.close()


def _writer(make: Callable[[], bytes]) -> Callable[[Path], None]:
    """Writes what `make` returns."""
    return lambda path: write_file(path, make())
