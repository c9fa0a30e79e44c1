"""Guiding: plays guided cases in the window, by what a person could do there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Slot
from PySide6.QtWidgets import QWidget

from clnf_engine import ClnfError
from clnf_engine.library import DEFAULT_MODEL, find_model
from clnf_gui.docks import Docks
from clnf_gui.guide.cases import CASES, Page
from clnf_gui.guide.material import Material, Picture
from clnf_gui.opening import open_model
from clnf_gui.panels.guide_card import GuideCard
from clnf_gui.session import Session
from clnf_gui.session.aspect import Aspect
from clnf_gui.session.document import write_session
from clnf_gui.views.highlight import Highlight

_CHOOSE = (
    "Real fits, page by page; the frame shows where to look. You may change anything on the way: the next page sets "
    "what it needs. What is open now comes back when you leave."
)
_WAIT = "One moment…"
_LOST = "Something else has been opened. <i>Back</i> and <i>Next</i> go on with the case."


class Guiding(QObject):
    """A case that is played, and the page it is at.

    Parameters
    ----------
    session : Session
    card : GuideCard
    docks : Docks
    parts : mapping of str to tuple of QWidget
        The parts of the window that pages name, but for docks.
    window : QWidget
    """

    def __init__(
        self,
        session: Session,
        card: GuideCard,
        docks: Docks,
        parts: Mapping[str, tuple[QWidget, ...]],
        window: QWidget,
    ) -> None:
        super().__init__(window)
        self._session, self._docks, self._parts = session, docks, parts
        self.card, self.frame = card, Highlight(window)
        self._material: Material | None = None
        self._case, self._page = 0, 0
        self._playing = self._kept = False
        self._opening = self._shown = self._asked = self._told = False
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self._go_on)
        self.card.case_chosen.connect(self._begin)
        self.card.turned.connect(self._turn)
        self.card.leave_wanted.connect(self.leave)
        session.changed.connect(self._hear)

    @property
    def page(self) -> Page | None:
        """The page that is shown; None when no case is played."""
        return CASES[self._case].pages[self._page] if self._playing else None

    def choose(self) -> None:
        """Let the person choose a case."""
        self._playing = False
        self.frame.look_at()
        self.card.show_cases(_CHOOSE, [(case.title, case.about) for case in CASES])

    @Slot()
    def leave(self) -> None:
        """Take card and frame away, and bring back what was open before, unless the person has opened something."""
        self._playing = False
        self.card.hide()
        self.frame.look_at()
        if self._kept and self._material is not None and self._is_open():
            self._session.open_session(self._material.session_path)
        self._kept = False

    def close(self) -> None:
        """The window closes."""
        self._playing = False
        self._timer.stop()
        if self._material is not None:
            self._material.close()

    # --- pages --------------------------------------------------------------------------------

    @Slot(int)
    def _begin(self, case: int) -> None:
        if self._material is None:
            self._material = Material()
        document = self._session.document()
        if document is not None and not self._kept:
            try:
                write_session(document, self._material.session_path)
                self._kept = True
            except ClnfError as error:
                self._session.failed.emit(str(error), "")
        self._case, self._playing = case, True
        self._turn_to(0)

    @Slot(int)
    def _turn(self, by: int) -> None:
        page = self._page + by
        if 0 <= page < len(CASES[self._case].pages):
            self._turn_to(page)
        else:
            self.choose()

    def _turn_to(self, number: int) -> None:
        self._page = number
        self._opening = self._shown = self._asked = self._told = False
        if (page := self.page) is not None:
            self._tell(page, _WAIT, False)
            self._point(page)
        self._go_on()

    @Slot(Aspect)
    def _hear(self, _: Aspect) -> None:
        if self._playing:
            self._timer.start(0)  # when the window has been painted

    @Slot()
    def _go_on(self) -> None:
        """Do what is next of a page: open its picture, set what it shows, ask the Lab; then tell what is to be seen.

        What has been told stays, whatever the person then tries.
        """
        page = self.page
        if page is None:
            return
        if not self._is_open():
            if self._shown:
                self._tell(page, _LOST, True)
            elif not self._opening:
                self._opening = True
                self._open()
        elif not self._told and self._is_settled():
            self._go_on_with(page)

    def _go_on_with(self, page: Page) -> None:
        lab = self._session.lab
        if not self._shown:
            self._shown = True
            page.show(self._session)
            self._point(page)
        if page.tool and not self._asked and self._is_settled():
            self._asked = True
            record = lab.records[page.tool]
            if record.result is None or record.is_stale(self._session.subject()):
                self._session.diagnose((page.tool,))
        self._told = self._is_settled() and not lab.busy
        self._tell(page, page.text(self._session) if self._told else self._progress(page), self._told)

    def _progress(self, page: Page) -> str:
        record = self._session.lab.records.get(page.tool)
        if record is None or not record.total or not self._asked:
            return _WAIT
        return f"{_WAIT} The Lab has made {record.done} of {record.total} fits."

    def _tell(self, page: Page, text: str, ready: bool) -> None:
        case = CASES[self._case]
        where = f"{case.title}, {self._page + 1} of {len(case.pages)}"
        self.card.show_page(page.title, where, text, ready, self._page == len(case.pages) - 1)

    def _point(self, page: Page) -> None:
        """Frame what the page is about, once: whoever looks elsewhere is not called back."""
        if page.look_at in self._parts:
            self.frame.look_at(*self._parts[page.look_at])
        else:
            self._docks.raise_(page.look_at)
            self.frame.look_at(self._docks[page.look_at])

    # --- the picture --------------------------------------------------------------------------

    def _path(self) -> Path:
        assert self._material is not None
        return self._material.path(CASES[self._case].picture)

    def _is_open(self) -> bool:
        """Whether the picture or run of the case is what is shown, with the shipped model."""
        session = self._session
        model, recorded = session.model, session.choices.a.recorded
        if model is None or model.path != find_model(DEFAULT_MODEL) or session.video is not None:
            return False
        if CASES[self._case].picture is Picture.PORT:
            return recorded is not None and recorded.path == self._path()
        return session.image is not None and session.image.path == self._path() and recorded is None

    def _open(self) -> None:
        session = self._session
        if session.model is None or session.model.path != find_model(DEFAULT_MODEL):
            open_model(session, DEFAULT_MODEL)
        if CASES[self._case].picture is Picture.PORT:
            session.open_trace(self._path())
        else:
            session.open_image(self._path())

    def _is_settled(self) -> bool:
        session = self._session
        return self._is_open() and not session.busy and all(session.finished(name) for name in session.shown)
