"""Menus, toolbar and shortcuts of the window, made from COMMANDS."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QSize
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QDockWidget, QDoubleSpinBox, QMainWindow, QToolBar, QToolButton

from clnf_engine.library import shipped_models
from clnf_gui.commands import COMMANDS, GROUPS, Command
from clnf_gui.dialogs import WindowDialogs
from clnf_gui.icons import icon
from clnf_gui.session import Session
from clnf_gui.settings import recent_files, recent_folders, recent_models


class Actions:
    """An action for every command, kept as the Session allows; they are put into `by_id`, by the command's id.

    Attributes
    ----------
    speed : QDoubleSpinBox
        Of playing, in the toolbar.
    recent_menu, folder_menu, model_menu : QMenu
    """

    def __init__(
        self, window: QMainWindow, session: Session, dialogs: WindowDialogs, by_id: dict[str, QAction]
    ) -> None:
        self._session, self._dialogs, self._by_id = session, dialogs, by_id
        self.speed = QDoubleSpinBox()
        bar = window.menuBar()
        menus = {title: bar.addMenu(f"&{title}") for title in dict.fromkeys(c.menu for c in COMMANDS)}
        for command in COMMANDS:
            action = QAction(command.text, window)
            action.setShortcut(QKeySequence(command.shortcut))
            action.setCheckable(command.checked is not None)
            action.triggered.connect(partial(self._run, command))
            action.setToolTip(command.tip)
            self._by_id[command.id] = action
            if command.id in GROUPS:
                menus[command.menu].addSeparator()
            menus[command.menu].addAction(action)
            if command.id == "open_image":
                self.recent_menu = menus[command.menu].addMenu("Open recent")
                self.recent_menu.aboutToShow.connect(self._list_recent)
                self.folder_menu = menus[command.menu].addMenu("Recent folders")
                self.folder_menu.aboutToShow.connect(self._list_folders)
            if command.id == "open_model":
                self.model_menu = menus[command.menu].addMenu("Model")
                self.model_menu.aboutToShow.connect(self._list_models)
        self._shown_playing = False
        self.draw_icons()
        self._fill(window.addToolBar("Steps"))
        panels = bar.addMenu("&Panels")
        for dock in window.findChildren(QDockWidget):
            panels.addAction(dock.toggleViewAction())
        bar.insertMenu(menus["Help"].menuAction(), panels)

    def _fill(self, toolbar: QToolBar) -> None:
        toolbar.setObjectName("Steps")
        toolbar.setIconSize(QSize(22, 22))
        toolbar.setMovable(False)
        previous = ""
        for command in COMMANDS:
            if command.icon:
                if previous not in ("", command.menu):
                    toolbar.addSeparator()
                previous = command.menu
                toolbar.addAction(self._by_id[command.id])
        self.speed.setRange(0.5, 200.0)
        self.speed.setDecimals(1)
        self.speed.setSuffix(" steps/s")
        self.speed.setAccessibleName("Speed of playing")
        self.speed.setToolTip("Speed of playing")
        self.speed.setValue(8.0)
        self.speed.valueChanged.connect(self._session.cursor.set_speed)
        toolbar.insertWidget(self._by_id["compare"], self.speed)
        button = toolbar.widgetForAction(self._by_id["open_model"])
        if isinstance(button, QToolButton):
            button.setMenu(self.model_menu)
            button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)

    def _list_recent(self) -> None:
        self.recent_menu.clear()
        for path in recent_files():
            self.recent_menu.addAction(path, partial(self._dialogs.open_file, path))
        if self.recent_menu.isEmpty():
            self.recent_menu.addAction("nothing yet").setEnabled(False)

    def _list_folders(self) -> None:
        """Folders of files used lately; one that is chosen is where its photos are looked for."""
        self.folder_menu.clear()
        for path in recent_folders():
            self.folder_menu.addAction(path, partial(self._dialogs.ask_image_in, path))
        if self.folder_menu.isEmpty():
            self.folder_menu.addAction("nothing yet").setEnabled(False)

    def _list_models(self) -> None:
        """The shipped models, those opened lately, and a way to open others."""
        self.model_menu.clear()
        for name in shipped_models():
            self.model_menu.addAction(f"{name} (shipped)", partial(self._dialogs.open_model, name))
        self.model_menu.addSeparator()
        for path in recent_models():
            self.model_menu.addAction(path, partial(self._dialogs.open_model, path))
        self.model_menu.addSeparator()
        self.model_menu.addAction(self._by_id["open_model"])

    def _run(self, command: Command) -> None:
        command.run(self._session, self._dialogs)
        self.update()

    def update(self) -> None:
        """Enable what can be done now, and tick what is on."""
        has_steps = len(self._session.lane.steps) > 0
        for command in COMMANDS:
            action = self._by_id[command.id]
            possible = command.can is None or command.can(self._session)
            action.setEnabled(possible and (has_steps or not command.needs_steps))
            if command.checked is not None:
                action.setChecked(command.checked(self._session))
        if self._session.cursor.playback.on is not self._shown_playing:  # an icon set anew lays the toolbar out anew
            self._shown_playing = self._session.cursor.playback.on
            self._by_id["play"].setIcon(icon("pause" if self._shown_playing else "play"))

    def draw_icons(self) -> None:
        """Draw every icon in the colours of the palette."""
        self._shown_playing = False
        for command in COMMANDS:
            if command.icon:
                self._by_id[command.id].setIcon(icon(command.icon))
