"""The side of a live connection that listens: a port tells of its steps, and is told to go on.

Only this machine can connect, by the loopback interface or a Unix path, and only who knows the token. Steps themselves
are never sent: the port names the folder that it writes, which `Follower` reads as carefully as any trace.

From the port, a JSON object per line: ``{"clnf-live": 1, "token": …}`` first, then after a step
``{"folder": …, "steps": …, "held": …}``. To the port: ``{"go": n}`` and ``{"hold": true}``.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from clnf_engine.errors import ClnfError

_MAX_LINE = 1 << 13
_MAX_GUESTS = 8
"""Connections that have not told the token yet; more are refused."""
_PATIENCE_SECONDS = 5.0
"""In which a connection must have told it."""


@dataclass(frozen=True)
class LiveState:
    """What is known of a port.

    Attributes
    ----------
    folder : str
        That it writes; "" before its first step.
    steps : int
        That the folder holds, at least.
    held : bool
        Whether it waits to be told to go on.
    connected : bool
        Whether it can be reached.
    """

    folder: str = ""
    steps: int = 0
    held: bool = False
    connected: bool = True


@dataclass(eq=False)
class _Guest:
    connection: socket.socket
    since: float = field(default_factory=time.monotonic)
    welcome: bool = False
    heard: bytes = b""


class LiveServer:
    """Listens for one port at a time; who comes later takes the place of who is there.

    Parameters
    ----------
    heard : function of LiveState
        Called from the server's thread whenever something is heard of the port, or it is gone.
    path : str, optional
        Of a Unix socket; by default a free TCP port of the loopback interface.

    Raises
    ------
    ClnfError
        When nothing can listen there.
    """

    def __init__(self, heard: Callable[[LiveState], None], path: str | None = None) -> None:
        self._heard, self._path, self.token = heard, path, secrets.token_hex(16)
        self._selector = selectors.DefaultSelector()
        self._guests: dict[socket.socket, _Guest] = {}
        self._port: _Guest | None = None
        self._state = LiveState(connected=False)
        self._lock = threading.RLock()
        try:
            self._listener = self._listening(path)
        except OSError as error:
            raise ClnfError(f"{path or '127.0.0.1'}: cannot listen for ports ({error.strerror})") from error
        self._listener.setblocking(False)
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="clnf-live", daemon=True)
        self._thread.start()

    @staticmethod
    def _listening(path: str | None) -> socket.socket:
        if path is None:
            return socket.create_server(("127.0.0.1", 0))
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(path)
            os.chmod(path, 0o600)
            listener.listen()
        except OSError:
            listener.close()
            raise
        return listener

    @property
    def address(self) -> str:
        """What the recorder is given as `stream`."""
        place = f"unix:{self._path}" if self._path else f"127.0.0.1:{self._listener.getsockname()[1]}"
        return f"{place}#{self.token}"

    @property
    def state(self) -> LiveState:
        """What was heard last."""
        return self._state

    def go(self, steps: int = 1) -> None:
        """Let a held port compute this many steps."""
        self._tell({"go": steps})

    def hold(self, held: bool) -> None:
        """Hold the port after its next step, or let it run."""
        self._tell({"hold": held})

    def close(self) -> None:
        """Let every port run, and listen no more."""
        self._wake.close()
        self._thread.join()

    # --- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select(_PATIENCE_SECONDS):
                if key.fileobj is self._woken:
                    self._end()
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif (guest := self._guests.get(key.fileobj)) is not None:  # type: ignore[call-overload]
                    self._read(guest)
            self._see_off()

    def _end(self) -> None:
        for guest in list(self._guests.values()):
            self._part(guest)
        self._selector.close()
        for one in (self._listener, self._woken):
            one.close()
        if self._path and os.path.exists(self._path):
            os.unlink(self._path)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # it went away again
            return
        connection.setblocking(False)
        self._see_off()
        if sum(not guest.welcome for guest in self._guests.values()) >= _MAX_GUESTS:
            connection.close()
            return
        self._guests[connection] = _Guest(connection)
        self._selector.register(connection, selectors.EVENT_READ)

    def _see_off(self) -> None:
        """Part from those who have not told the token in time."""
        for guest in list(self._guests.values()):
            if not guest.welcome and time.monotonic() - guest.since > _PATIENCE_SECONDS:
                self._part(guest)

    def _part(self, guest: _Guest) -> None:
        self._selector.unregister(guest.connection)
        del self._guests[guest.connection]
        with self._lock:
            guest.connection.close()
            left = self._port is guest
            if left:
                self._port = None
        if left:
            self._say(LiveState(self._state.folder, self._state.steps, held=False, connected=False))

    def _read(self, guest: _Guest) -> None:
        try:
            data = guest.connection.recv(_MAX_LINE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        lines = (guest.heard + data).split(b"\n")
        guest.heard = lines.pop()
        try:
            states = [self._understood(guest, line) for line in lines]
        except (ValueError, RecursionError):
            states, data = [], b""
        if states and states[-1] is not None and guest is self._port:
            self._say(states[-1])
        if not data or len(guest.heard) > _MAX_LINE:
            self._part(guest)

    def _understood(self, guest: _Guest, line: bytes) -> LiveState | None:
        """What a line says of the port; None for the one that makes it welcome.

        Raises
        ------
        ValueError
            When it is nothing that a recorder sends, or not from who knows the token.
        """
        said: Any = json.loads(line)
        if not isinstance(said, dict):
            raise ValueError
        if not guest.welcome:
            token = said.get("token")
            known = isinstance(token, str) and hmac.compare_digest(token.encode(), self.token.encode())
            if said.get("clnf-live") != 1 or not known:
                raise ValueError
            guest.welcome = True
            before, self._port = self._port, guest
            if before is not None:
                self._part(before)
            return None
        folder, steps, held = said.get("folder"), said.get("steps"), said.get("held")
        good = isinstance(folder, str) and os.path.isabs(folder) and "\0" not in folder
        if not good or type(steps) is not int or steps < 0 or type(held) is not bool:
            raise ValueError
        return LiveState(str(folder), steps, held)

    def _say(self, state: LiveState) -> None:
        self._state = state
        self._heard(state)

    def _tell(self, message: dict[str, Any]) -> None:
        with self._lock:
            if self._port is None:
                return
            try:
                self._port.connection.send(json.dumps(message).encode() + b"\n")
            except OSError:  # gone, or it reads nothing; the thread will see
                return
