"""The main window: its docks, its readouts, and the repainting of what changed."""

from __future__ import annotations

import time
from functools import partial

import pyqtgraph as pg
from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Slot
from PySide6.QtGui import QAction, QCloseEvent, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import (
    QDockWidget,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QScrollArea,
    QTabWidget,
    QToolBar,
    QVBoxLayout,
    QWidget,
)

from clnf_gui.actions import Actions
from clnf_gui.dialogs import WindowDialogs
from clnf_gui.panels.message_bar import MessageBar
from clnf_gui.panels.options import OptionsPanel
from clnf_gui.panels.timeline import Timeline
from clnf_gui.panes import Pane, Panes, in_sight
from clnf_gui.pins import Pins
from clnf_gui.session import Session
from clnf_gui.session.aspect import ALL_ASPECTS, Aspect
from clnf_gui.views.axes import follow_palette
from clnf_gui.views.image_view import ImageView
from clnf_gui.views.readout import cell_line, landmark_line, step_line

_FRAME_SECONDS = 1 / 60
_IMAGES_SHOW = (
    Aspect.SOURCE
    | Aspect.TRUTH
    | Aspect.START
    | Aspect.STEPS
    | Aspect.CURSOR
    | Aspect.LOOK
    | Aspect.SELECTION
    | Aspect.LANES
)
_PINS_SHOW = Aspect.SOURCE | Aspect.STEPS | Aspect.CURSOR | Aspect.LOOK | Aspect.OPTIONS | Aspect.LANES


class MainWindow(QMainWindow):
    """Shows a Session. It holds no state of its own but what is still to be repainted."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.setWindowTitle("CLNF Studio")
        self.resize(1440, 900)
        self.image_views = {name: ImageView(name) for name in session.lanes}
        self.panes = Panes(session)
        self.timeline, self.options = Timeline(), OptionsPanel()
        self.message_bar, self.headers = MessageBar(), {name: QLabel() for name in session.lanes}
        self.hover_label, self.run_label = QLabel(), QLabel()
        self.actions_by_id: dict[str, QAction] = {}
        self.pins = Pins(self)
        self.dialogs = WindowDialogs(
            self, session, self.panes, self.image_views, self.actions_by_id, self._restore_made_layout
        )
        self.setAcceptDrops(True)
        self._lay_out()
        self.menus = Actions(self, session, self.dialogs, self.actions_by_id)
        self._connect()
        self._dirty = ALL_ASPECTS
        self._zoom_when_fitted = True
        self._had_video = False
        self._stale: set[Pane] = set(self.panes.all)
        self._painted_at = 0.0
        self._repaint_timer = QTimer(self, singleShot=True)
        self._repaint_timer.timeout.connect(self.repaint_now)
        self._zoom_timer = QTimer(self, singleShot=True)
        self._zoom_timer.timeout.connect(self.dialogs.zoom_to_face)
        self._made_layout = self.saveState()
        self._mark_dirty(ALL_ASPECTS)

    # --- layout -------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        centre = QWidget()
        layout = QVBoxLayout(centre)
        layout.setContentsMargins(4, 4, 4, 2)
        layout.setSpacing(4)
        layout.addWidget(self.message_bar)
        images = QHBoxLayout()
        images.setSpacing(4)
        for view in self.image_views.values():
            images.addWidget(view, 1)
        self.image_views["B"].link(self.image_views["A"])
        layout.addLayout(images, 1)
        self.setCentralWidget(centre)
        strip = QWidget()
        strip_layout = QVBoxLayout(strip)
        strip_layout.setContentsMargins(6, 0, 6, 0)
        strip_layout.setSpacing(0)
        for header in self.headers.values():
            header.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            header.setMinimumWidth(1)
            strip_layout.addWidget(header)
        strip_layout.addWidget(self.timeline)
        below_all = QToolBar("Timeline")
        below_all.setObjectName("Timeline")
        below_all.setMovable(False)
        below_all.addWidget(strip)
        self.addToolBar(Qt.ToolBarArea.BottomToolBarArea, below_all)
        self.setDockNestingEnabled(True)
        self.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)
        self.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.BottomDockWidgetArea)
        scroll = QScrollArea()
        scroll.setWidget(self.options)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        bar_width = scroll.verticalScrollBar().sizeHint().width()
        scroll.setMinimumWidth(self.options.minimumSizeHint().width() + bar_width)
        left = self._dock("Options", scroll, Qt.DockWidgetArea.LeftDockWidgetArea)
        docks: dict[str, QDockWidget] = {}
        last: dict[Qt.DockWidgetArea, QDockWidget] = {}
        for pane in self.panes.all:
            dock = docks[pane.title] = self._dock(pane.title, pane.widget, pane.area)
            if pane.area in last:  # at once: side by side, even for a moment, docks make the window wider
                self.tabifyDockWidget(last[pane.area], dock)
            last[pane.area] = dock
        for title in ("Response maps", "Convergence"):
            docks[title].raise_()
        self.setTabPosition(Qt.DockWidgetArea.AllDockWidgetAreas, QTabWidget.TabPosition.North)
        self.resizeDocks([left, docks["Response maps"]], [290, 560], Qt.Orientation.Horizontal)
        self.resizeDocks([docks["Convergence"]], [250], Qt.Orientation.Vertical)
        self.statusBar().setSizeGripEnabled(False)
        self.statusBar().addWidget(self.hover_label, 1)
        self.statusBar().addPermanentWidget(self.run_label)

    def _dock(self, title: str, widget: QWidget, area: Qt.DockWidgetArea) -> QDockWidget:
        dock = QDockWidget(title)
        dock.setObjectName(title)
        dock.setWidget(widget)
        dock.installEventFilter(self)
        self.addDockWidget(area, dock)
        return dock

    def _raise_frames(self) -> None:
        """Bring the frames to the front: a video has been opened."""
        dock = next(dock for dock in self.findChildren(QDockWidget) if dock.objectName() == "Frames")
        dock.show()
        dock.raise_()
        if not self._had_video:
            self._had_video = True
            self.resizeDocks([dock], [max(dock.height(), self.height() // 3)], Qt.Orientation.Vertical)

    def _restore_made_layout(self) -> None:
        """Put the docks back as they were made, and all of them in sight."""
        self.restoreState(self._made_layout)
        for dock in self.findChildren(QDockWidget):
            dock.show()

    def _connect(self) -> None:
        session = self.session
        session.changed.connect(self._mark_dirty)
        session.failed.connect(self.message_bar.show_message)
        session.told.connect(self._tell)
        self.timeline.scrubbed.connect(session.cursor.move_to)
        for name, view in self.image_views.items():
            view.landmark_clicked.connect(session.select)
            view.hovered.connect(partial(self._show_pixel, name))
            view.box_dragged.connect(partial(self._drag_box, name))
            view.box_released.connect(session.history.end_run)
        self.panes.atlas.hovered.connect(self._show_cell)
        self.options.lane_chosen.connect(session.set_active)
        self.options.start_like_a_chosen.connect(session.start_like_a)
        self.options.options_chosen.connect(session.set_options)
        self.options.face_chosen.connect(session.start_from_face)
        self.options.box_chosen.connect(session.start_from_box)
        self.options.landmarks_wanted.connect(self.dialogs.ask_landmarks)
        self.options.result_chosen.connect(session.start_from_result)
        self.options.perturbation_chosen.connect(session.perturb)
        self.options.track.tracking_chosen.connect(session.set_tracking_options)
        self.panes.command_wanted.connect(self._trigger)

    # --- repainting ---------------------------------------------------------------------------

    @Slot(Aspect)
    def _mark_dirty(self, aspect: Aspect) -> None:
        """Repaint soon, but at most once a frame."""
        self._dirty |= aspect
        if not self._repaint_timer.isActive():
            wait = self._painted_at + _FRAME_SECONDS - time.monotonic()
            self._repaint_timer.start(max(0, round(wait * 1000)))

    @Slot()
    def repaint_now(self) -> None:
        """Repaint everything that has changed; hidden views are left for when they are seen again."""
        self._repaint_timer.stop()
        self.session.give_way()
        dirty, self._dirty = self._dirty, Aspect(0)
        self._painted_at = time.monotonic()
        session, lane = self.session, self.session.lane
        self._stale |= {pane for pane in self.panes.all if pane.aspects & dirty}
        if Aspect.SOURCE in dirty:
            for view in self.image_views.values():
                view.show_image(None if session.image is None else session.image.rgb)
            self.dialogs.zoom_to_image()
            name = "" if session.image is None else f"{session.image.path.name} — "
            self.setWindowTitle(f"{name}CLNF Studio")
            self._zoom_when_fitted = True
            if session.video is not None:
                self._zoom_when_fitted = False
                self._raise_frames()
            self.options.show_video(session.video is not None)
        elif Aspect.FRAME in dirty and session.image is not None:
            for view in self.image_views.values():
                view.show_image(session.image.rgb)
        if Aspect.LANES in dirty:
            if session.video is None:
                self._zoom_when_fitted |= self.image_views["B"].isHidden() == session.comparing
            self.options.show_lanes(session.comparing, session.active)
            for name in session.lanes:
                for widget in (self.image_views[name], self.headers[name]):
                    widget.setVisible(name in session.shown)
        if (Aspect.SOURCE | Aspect.START | Aspect.LANES) & dirty:
            like_a = session.active == "B" and lane.chosen.start is None and session.video is None
            self.options.show_initial(session.start(session.active), session.scene.faces, like_a)
            self.options.setEnabled(session.start("A") is not None or session.video is not None)
        if (Aspect.SOURCE | Aspect.OPTIONS | Aspect.LANES) & dirty:
            self.options.show_options(lane.options)
            self.options.track.show_way(lane.chosen.way)
        if (Aspect.STEPS | Aspect.CURSOR | Aspect.LANES | Aspect.STOPS | Aspect.FRAME) & dirty:
            self._paint_strip()
        if _IMAGES_SHOW & dirty:
            self._paint_images()
        if _PINS_SHOW & dirty:
            self.pins.paint(session)
        for pane in [pane for pane in self._stale if in_sight(pane.widget)]:
            self._stale.discard(pane)
            pane.paint(session)
        if self._zoom_when_fitted and session.lanes["A"].complete:
            self._zoom_when_fitted = False
            self._zoom_timer.start(0)  # when a new layout has settled
        self._show_selected()
        self._show_run()
        self.menus.update()

    def _paint_strip(self) -> None:
        """Repaint the timeline and the line about each lane's Step."""
        session = self.session
        lanes = {name: session.lanes[name] for name in session.shown}
        self.timeline.show_lanes(lanes, session.cursor.places(), session.cursor.stop_places())
        for name, lane in lanes.items():
            parts = [name] if session.comparing else []
            if text := session.lanes[name].frame_note(session.scene.frame):
                parts.append(text)
            if lane.step:
                parts += [f"{lane.cursor + 1} / {len(lane.steps)}", step_line(lane.step, session.cursor.moment)]
            self.headers[name].setText("   ·   ".join(parts))

    def _paint_images(self) -> None:
        session = self.session
        for name in session.shown:
            lane, view = session.lanes[name], self.image_views[name]
            view.show_step(lane.steps, lane.cursor, session.look, session.cursor.moment)
            view.show_selection(session.selection)
            view.show_truth(session.scene.truth, session.look)
            start = session.start(name)
            view.show_box(start.initial.box if start is not None and session.look.show_box else None)

    def _show_run(self) -> None:
        session = self.session
        name = "no model" if session.model is None else session.model.name
        if session.tracker.tracking:
            tracker, count = session.tracker, len(session.scene.times)
            state = f"tracking frame {tracker.tracked + 1} of {count}, {tracker.rate:.0f} frames/s"
        elif session.busy:
            state = f"{session.opener.what or 'working'}…"
        elif session.lane.complete:
            last = session.lane.steps[-1]
            outcome = "fitted" if last.success else f"failed: {last.message}"
            state = f"{outcome} in {session.lane.seconds * 1000:.0f} ms"
        else:
            state = "no fit"
        self.run_label.setText(f"{name}   ·   {state}")

    # --- readouts -----------------------------------------------------------------------------

    @Slot(str)
    def _tell(self, text: str) -> None:
        """Show a sentence in the status bar, as much of it as there is room for."""
        room = self.statusBar().width() - self.run_label.width() - 3 * self.fontMetrics().averageCharWidth()
        self.statusBar().showMessage(self.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, room))

    @Slot(str)
    def _trigger(self, name: str) -> None:
        self.actions_by_id[name].trigger()

    def _drag_box(self, name: str, box: tuple[float, float, float, float]) -> None:
        """The fit follows the box live, in the lane whose box is dragged."""
        self.session.set_active(name)
        self.session.start_from_box(box)

    def _show_pixel(self, name: str, point: tuple[float, float] | None) -> None:
        for other, view in self.image_views.items():
            view.show_crosshair(point if other != name and self.session.comparing else None)
        image = self.session.image
        if point is None or image is None:
            self._show_selected()
            return
        column, row = round(point[0]), round(point[1])
        height, width = image.gray.shape
        if 0 <= row < height and 0 <= column < width:
            self.hover_label.setText(f"pixel ({column}, {row})   grey {image.gray[row, column]}")

    @Slot(object)
    def _show_cell(self, cell: tuple[int, int, int] | None) -> None:
        lanes = {name: self.session.lanes[name].step for name in self.session.shown}
        steps = {name: step for name, step in lanes.items() if step is not None}
        if cell is None or not steps:
            self._show_selected()
        else:
            self.hover_label.setText(cell_line(steps, *cell))

    def _show_selected(self) -> None:
        step, landmark = self.session.step, self.session.selection
        self.hover_label.setText("" if step is None or landmark is None else landmark_line(step, landmark))

    # --- Qt's events --------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Paint what a dock that comes into sight has missed; raising a tab moves its dock."""
        if event.type() in (QEvent.Type.Show, QEvent.Type.Move):
            self._mark_dirty(Aspect(0))
        return super().eventFilter(watched, event)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the desktop from light to dark and back."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            for plot in self.findChildren(pg.PlotWidget):
                follow_palette(plot, self.palette())
            self.menus.draw_icons()
            self.panes.frame_bar.draw_icons()
            self.panes.frames.follow_palette(self.palette())
            self.timeline.repaint_strips()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        for url in event.mimeData().urls():
            if url.isLocalFile():
                self.dialogs.open_file(url.toLocalFile())

    def closeEvent(self, event: QCloseEvent) -> None:
        self._repaint_timer.stop()
        self._zoom_timer.stop()
        self.hide()  # at once; a tool of the Lab may take a moment to end
        self.session.shut_down()
        super().closeEvent(event)
