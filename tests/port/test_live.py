"""A port that is followed while it runs: nothing is lost that was heard, and nothing ever hangs."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine.trace_tools import assert_same

from clnf_engine import ClnfError, Trace
from clnf_engine.live.follower import Follower
from clnf_engine.live.server import LiveServer, LiveState
from clnf_engine.recorders.clnf_recorder import Recorder, RecorderError

from .compiling import RECORDERS, needs_compiler
from .recording import play
from .traces import recorded

IMAGE = np.full((20, 30), 9, np.uint8)
SECONDS = 30.0
"""After which something hangs."""


class Ears:
    """What a server heard, to be waited for."""

    def __init__(self, path: str | None = None) -> None:
        self.states: list[LiveState] = []
        self._changed = threading.Condition()
        self.server = LiveServer(self._hear, path)

    def _hear(self, state: LiveState) -> None:
        with self._changed:
            self.states.append(state)
            self._changed.notify_all()

    def wait(self, wanted: Any) -> LiveState:
        with self._changed:
            assert self._changed.wait_for(lambda: self.states and wanted(self.states[-1]), SECONDS), self.states[-3:]
            return self.states[-1]


@contextmanager
def listening(path: str | None = None) -> Iterator[Ears]:
    ears = Ears(path)
    try:
        yield ears
    finally:
        ears.server.close()


def port(address: str, folder: Path, steps: int, hold: bool = False) -> threading.Thread:
    """A port in a thread; step k has k in its parameters."""

    def run() -> None:
        rec = Recorder(folder, stream=address, hold=hold)
        rec.begin(IMAGE, [1.0, 0, 0, 0, 0, 0, 0])
        rec.stage(window=5)
        for k in range(1, steps + 1):
            rec.iteration("rigid", params=[1.0, 0, 0, 0, 0, 0, k], jacobian=np.full((6, 6), k))
        rec.end()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def ended(thread: threading.Thread) -> None:
    thread.join(SECONDS)
    assert not thread.is_alive(), "the port hangs"


def assert_whole(trace: Trace, steps: int) -> None:
    """Every step that was told of is there, whole."""
    assert len(trace.steps) >= steps
    for k, step in enumerate(trace.steps[2:], start=1):
        if step.iteration is not None:
            assert step.iteration == k == step.params[-1] and (step.jacobian == k).all()


def test_steps_appear_while_they_are_computed(tmp_path: Path) -> None:
    with listening() as ears:
        rec = Recorder(tmp_path / "run", stream=ears.server.address)
        play(recorded(), rec)
        state = ears.wait(lambda state: state.steps == len(recorded().steps))
        assert (state.folder, state.held, state.connected) == (str(tmp_path / "run"), False, True)
        assert_same(Follower(state.folder).poll(), recorded(), "live")
        del rec
        ears.wait(lambda state: not state.connected)


def test_what_is_new_is_read_once_and_the_whole_is_the_trace(tmp_path: Path) -> None:
    follower, seen = Follower(tmp_path / "run"), []
    rec = Recorder(tmp_path / "run")
    with pytest.raises(ClnfError, match=r"trace\.jsonl: no such file"):
        follower.poll()
    rec.begin(IMAGE, [1.0, 0, 0, 0, 0, 0, 0])
    rec.stage(window=5)
    for k in range(1, 5):
        rec.iteration("rigid", params=[1.0, 0, 0, 0, 0, 0, k], jacobian=np.full((6, 6), k))
        seen.append(len(follower.poll().steps))
        assert follower.poll() is None
    assert seen == [3, 4, 5, 6]
    with open(tmp_path / "run" / "trace.jsonl", "a") as file:
        file.write('{"phase": "rigid", "stage": 0, "par')
    assert follower.poll() is None
    with open(tmp_path / "run" / "trace.jsonl", "a") as file:
        file.write('ams": [1, 0, 0, 0, 0, 0, 5]}\n')
    assert follower.poll().steps[-1].params[6] == 5
    with open(tmp_path / "run" / "trace.jsonl", "a") as file:
        file.write("nonsense\n")
    with pytest.raises(ClnfError, match="line 9 is not JSON"):
        follower.poll()


def test_what_was_read_stays_as_it_is_and_the_whole_is_as_if_read_at_once(tmp_path: Path) -> None:
    """Values that come later, in another dtype or of an unknown size change steps, and no others change."""
    rec, follower = Recorder(tmp_path / "run"), Follower(tmp_path / "run")
    rec.begin(IMAGE, [1.0, 0, 0, 0, 0, 0, 0])
    steps: list[Any] = []
    known = {"scale": 0.25, "sigma": 1.5, "reg_factor": 25.0, "weight_factor": 0.0}

    def changed() -> int:
        """How many of the first steps are the objects that they were."""
        trace = follower.poll()
        assert_same(trace, Trace.load(tmp_path / "run"), "followed")
        kept = sum(a is b for a, b in zip(steps, trace.steps, strict=False))
        steps[:] = trace.steps
        return kept

    assert changed() == 0
    rec.stage(window=5, **known)
    for k in range(1, 4):
        rec.iteration("rigid", params=[1.0, 0, 0, 0, 0, 0, k], delta=np.full(6, k, np.float32))
        assert changed() == k + (k > 1)
    rec.more(likelihood=1.0)
    assert changed() == 4
    rec.iteration("rigid", params=[1.0, 0, 0, 0, 0, 0, 4], delta=np.full(6, 1 / 3))
    assert changed() == 2  # the deltas before are float64, too
    rec.stage(window=3, **known)
    rec.iteration("rigid", landmarks=np.ones((68, 2)))
    assert changed() == 0  # how many landmarks there are was not known


def test_a_port_that_never_pauses_loses_no_step(tmp_path: Path) -> None:
    with listening() as ears:
        thread = port(ears.server.address, tmp_path / "run", 3000)
        follower, last = None, None
        while last is None or not last.complete:
            state = ears.wait(lambda state: state.folder)
            follower = follower or Follower(state.folder)
            last = follower.poll() or last
        ended(thread)
    assert len(last.steps) == 3003
    assert_whole(last, 3003)


def test_a_held_port_computes_as_many_steps_as_it_may(tmp_path: Path) -> None:
    with listening() as ears:
        thread = port(ears.server.address, tmp_path / "run", 40, hold=True)
        follower, steps = Follower(tmp_path / "run"), 1
        for allowed in (1, 1, 3, 1, 5):
            assert ears.wait(lambda state: state.held).steps == steps
            assert len(follower.poll().steps) == steps
            ears.states.clear()
            ears.server.go(allowed)
            steps += allowed
        assert ears.wait(lambda state: state.held).steps == steps
        ears.server.hold(False)
        ended(thread)
        ears.states.clear()
        running = port(ears.server.address, tmp_path / "free", 40, hold=True)
        ears.wait(lambda state: state.held)
        ears.server.close()  # nobody is left to let it go on
        ended(running)
        assert len(Trace.load(tmp_path / "free").steps) == 43


def test_a_running_port_can_be_held(tmp_path: Path) -> None:
    with listening() as ears:
        thread = port(ears.server.address, tmp_path / "run", 20000)
        ears.wait(lambda state: state.steps > 10)
        ears.server.hold(True)
        state = ears.wait(lambda state: state.held)
        assert 10 < state.steps < 20003
        assert len(Follower(state.folder).poll().steps) == state.steps
        ears.server.hold(False)
        ears.server.close()
        ended(thread)


def test_who_does_not_read_does_not_hold_a_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system takes the connection, nobody ever reads
        ended(port(f"127.0.0.1:{silent.getsockname()[1]}#x", tmp_path / "run", 20000))
    assert len(Trace.load(tmp_path / "run").steps) == 20003


def test_a_unix_path_and_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = str(tmp_path / "s")
    with listening(path) as ears:
        assert ears.server.address.startswith(f"unix:{path}#")
        monkeypatch.setenv("CLNF_STREAM", ears.server.address)
        rec = Recorder()
        rec.begin(IMAGE, [1.0, 0, 0, 0, 0, 0, 0])
        assert ears.wait(lambda state: state.steps == 1).folder == rec.folder
    assert not Path(path).exists()
    assert Path(rec.folder).parent.parent == tmp_path
    with pytest.raises(ClnfError, match="cannot listen"):
        LiveServer(lambda _: None, str(tmp_path / "none" / "s"))


@pytest.mark.parametrize(
    "address", ["8.8.8.8:80#x", "127.0.0.1:port#x", "nonsense", "127.0.0.1:70000#x", "0.0.0.0:80#x"]
)
def test_a_port_connects_to_this_machine_only(address: str, tmp_path: Path) -> None:
    with pytest.raises(RecorderError, match="expected 127"):
        Recorder(tmp_path / "run", stream=address)
    Recorder(tmp_path / "run", strict=False, stream=address).begin(IMAGE)


HELLO = b'{"clnf-live": 1, "token": "%s"}\n'
STATE = b'{"folder": "/nowhere", "steps": 3, "held": true}\n'
HOSTILE = {
    "nothing": b"",
    "garbage": b"\x00\xff" * 1000 + b"\n",
    "a browser": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "no token": b'{"clnf-live": 1}\n',
    "another token": HELLO % (b"0" * 32),
    "a token of another kind": b'{"clnf-live": 1, "token": ["x"]}\n',
    "a letter that is none": '{"clnf-live": 1, "token": "ä"}\n'.encode(),
    "a state before the token": STATE,
    "a line without an end": b"[" * 100_000,
    "deep": b"[" * 5000 + b"\n",
}
AFTER_HELLO = {
    "a list": b"[]\n",
    "no folder": b'{"steps": 3, "held": true}\n',
    "a folder of here": b'{"folder": "run", "steps": 3, "held": true}\n',
    "half a step": b'{"folder": "/x", "steps": 0.5, "held": true}\n',
    "less than none": b'{"folder": "/x", "steps": -1, "held": true}\n',
    "a line without an end": b"x" * 100_000,
}


@pytest.mark.parametrize("name", [*HOSTILE, *(f"welcome, then {name}" for name in AFTER_HELLO)])
def test_hostile_input_is_refused(name: str, tmp_path: Path) -> None:
    with listening() as ears:
        place, token = ears.server.address.split("#")
        hello = HELLO % token.encode()
        data = HOSTILE[name] if name in HOSTILE else hello + AFTER_HELLO[name.partition("then ")[2]]
        with socket.create_connection(("127.0.0.1", int(place.rpartition(":")[2])), SECONDS) as guest:
            try:
                guest.sendall(data)
                guest.shutdown(socket.SHUT_WR)
                assert guest.recv(1) == b""  # it hangs up
            except OSError as error:  # it has hung up already
                assert not isinstance(error, TimeoutError)
        ended(port(ears.server.address, tmp_path / "run", 20))
        assert ears.wait(lambda state: state.steps and not state.connected).steps <= 23
        assert all(state.folder in ("", str(tmp_path / "run")) for state in ears.states)


def test_many_who_say_nothing_do_not_keep_a_port_out(tmp_path: Path) -> None:
    with listening() as ears:
        number = int(ears.server.address.split("#")[0].rpartition(":")[2])
        guests = [socket.create_connection(("127.0.0.1", number), SECONDS) for _ in range(30)]
        assert guests[-1].recv(1) == b""  # refused, as eight wait
        for guest in guests:
            guest.close()
        ended(port(ears.server.address, tmp_path / "run", 20))
        ears.wait(lambda state: state.steps)


def test_nonsense_from_the_window_does_not_harm_a_port(tmp_path: Path) -> None:
    for said in (b"nonsense\n", b"[]\n", b'{"go": "x"}\n', b"x" * 100_000, b'{"go": Infinity}\n', b"[" * 4000 + b"\n"):
        with socket.create_server(("127.0.0.1", 0)) as window:
            thread = port(f"127.0.0.1:{window.getsockname()[1]}#x", tmp_path / "run", 2000)
            connection, _ = window.accept()
            with connection:
                connection.sendall(said)
            ended(thread)
        assert len(Trace.load(tmp_path / "run").steps) == 2003


# --- cut at random moments --------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["the window is closed", "the socket is cut", "a held port is left"])
def test_cut_at_random_moments_nothing_hangs_and_nothing_is_lost(way: str, tmp_path: Path) -> None:
    chosen = random.Random(way)
    for _ in range(17):
        moment = chosen.randrange(1, 200)
        held = way == "a held port is left"
        heard = 1 if held else moment
        with listening() as ears:
            thread = port(ears.server.address, tmp_path / "run", 300, hold=held)
            if held:
                ears.server.go(moment)
                ears.wait(lambda state: state.held)
            state = ears.wait(lambda state, heard=heard: state.steps >= heard or not state.connected)
            if way == "the socket is cut":
                with ears.server._lock:
                    if ears.server._port is not None:
                        ears.server._port.connection.shutdown(socket.SHUT_RDWR)
                ears.wait(lambda state: not state.connected)
            else:
                ears.server.close()
            assert_whole(Follower(state.folder).poll(), state.steps)
            ended(thread)
        assert len(Trace.load(tmp_path / "run").steps) == 303


ENDLESS = """
import sys
sys.path.insert(0, sys.argv[1])
sys.modules["numpy"] = None
from clnf_recorder import Recorder
rec = Recorder(sys.argv[2], stream=sys.argv[3], hold=len(sys.argv) > 4)
rec.begin([[7] * 40] * 30, [1.0, 0, 0, 0, 0, 0, 0])
rec.stage(window=5)
for k in range(1, 90000):
    rec.iteration("rigid", params=[1.0, 0, 0, 0, 0, 0, k], jacobian=[[float(k)] * 6] * 6)
"""


@pytest.mark.parametrize("language", ["python", pytest.param("cpp", marks=needs_compiler)])
def test_a_port_that_is_killed_leaves_what_was_heard(
    language: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    chosen = random.Random(3)
    words: list[Any] = [sys.executable, "-S", "-c", ENDLESS, RECORDERS]
    if language == "cpp":
        words = [request.getfixturevalue("cpp_port"), "endless"]
    for k in range(12):
        hold, moment = (["held"], 1) if k % 4 == 0 else ([], chosen.randrange(1, 300))
        with listening() as ears:
            arguments = [*words, tmp_path / "run", ears.server.address, *hold]
            with subprocess.Popen(arguments, stdout=subprocess.DEVNULL) as process:
                state = ears.wait(lambda state, moment=moment: state.steps >= moment)
                process.kill()
            ears.wait(lambda state: not state.connected)
            assert_whole(Follower(state.folder).poll(), state.steps)


@needs_compiler
def test_a_port_in_cpp_is_held_and_goes_on_when_it_is_left(tmp_path: Path, cpp_port: Path) -> None:
    with listening(str(tmp_path / "s")) as ears:
        words = [cpp_port, "endless", "run", ears.server.address, "held"]
        with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
            follower, steps = Follower(tmp_path / "run"), 1
            for allowed in (1, 1, 4, 1):
                assert ears.wait(lambda state: state.held).steps == steps
                assert len(follower.poll().steps) == steps
                ears.states.clear()
                ears.server.go(allowed)
                steps += allowed
            ears.wait(lambda state: state.held)
            ears.server.hold(False)
            ears.wait(lambda state: not state.held and state.steps > 100)
            ears.server.hold(True)
            ears.wait(lambda state: state.held)
            ears.server.close()
            size = (tmp_path / "run" / "trace.jsonl").stat().st_size
            while (tmp_path / "run" / "trace.jsonl").stat().st_size < 2 * size:
                assert process.poll() is None  # it goes on
            process.kill()


def test_a_window_that_comes_later_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clnf_engine.recorders.clnf_recorder._Stream._RETRY_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    rec = Recorder(tmp_path / "run", stream=f"127.0.0.1:{number}#secret")
    rec.begin(IMAGE, [1.0, 0, 0, 0, 0, 0, 0])
    rec.stage(window=5)
    for _ in range(3):
        rec.iteration("rigid", params=[1.0, 0, 0, 0, 0, 0, 1])
    with socket.create_server(("127.0.0.1", number)) as window:
        rec.iteration("rigid", params=[1.0, 0, 0, 0, 0, 0, 1])
        rec.iteration("rigid", params=[1.0, 0, 0, 0, 0, 0, 1])
        connection, _ = window.accept()
        with connection, connection.makefile("r") as lines:
            assert json.loads(lines.readline()) == {"clnf-live": 1, "token": "secret"}
            assert json.loads(lines.readline())["steps"] >= 6
