"""How ``clnf-gui`` starts, or says in one sentence why it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

import clnf_engine
from clnf_gui.__main__ import main

Output = pytest.CaptureFixture[str]


def start(root: Path, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own, without a display; it ends, or the test fails."""
    display = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    inherited = {name: value for name, value in os.environ.items() if name not in display}
    path = os.pathsep.join(filter(None, [environment.pop("PYTHONPATH", ""), str(root)]))
    return subprocess.run(
        [sys.executable, "-m", "clnf_gui", *argv],
        env=inherited | {"PYTHONPATH": path} | environment,
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_version(capsys: Output) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"clnf-gui {clnf_engine.__version__}\n"


@pytest.mark.parametrize("size", ["0x0", "0x720", "1280x0", "-5x-5", "1280", "axb", "1x2x3"])
def test_a_size_that_no_window_has_is_refused(size: str, capsys: Output) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([f"--size={size}"])
    assert f"{size!r}: expected WIDTHxHEIGHT, such as 1280x720" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["no.jpg"], "no.jpg: no such file"),
        (["no.jpg", "--screenshot", "window.png"], "no.jpg: no such file"),
        (["--model", "no.txt"], "no.txt: no such file"),
        (["--model", "no"], "no: no such file, folder or shipped model (shipped: portrait68)"),
        (["--model", "empty"], "empty: holds no main file; expected main.txt or one main_*.txt"),
    ],
)
def test_what_is_not_there_is_told_before_the_window_opens(
    argv: list[str], sentence: str, capsys: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("clnf_gui.app.run", lambda _: pytest.fail("the window opens"))
    (tmp_path / "empty").mkdir()
    assert main(argv) == 2
    assert capsys.readouterr() == ("", f"clnf-gui: {sentence}\n")


def test_a_name_of_any_length_makes_one_short_sentence(capsys: Output) -> None:
    assert main(["x" * 5000]) == 2
    said = capsys.readouterr().err
    assert said.startswith("clnf-gui: xxx") and said.endswith("x: no such file\n") and len(said) < 320


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")
def test_without_a_display_it_says_so_and_ends(root: Path, tmp_path: Path) -> None:
    done = start(root, XDG_CONFIG_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "clnf-gui: there is no display, DISPLAY and WAYLAND_DISPLAY are not set; "
        "--screenshot OUT.png and clnf need none\n"
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")
def test_a_screenshot_needs_no_display(root: Path, model_file: Path, photo: Path, tmp_path: Path) -> None:
    path = tmp_path / "window.png"
    words = (str(photo), "--model", str(model_file), "--screenshot", str(path))
    done = start(root, *words, XDG_CONFIG_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert path.stat().st_size


@pytest.mark.parametrize("variable", ["DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"])
def test_a_display_is_found(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from clnf_gui.qt_setup import has_display

    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert not has_display()
    monkeypatch.setenv(variable, "offscreen")
    assert has_display()


def test_a_library_that_qt_needs_and_the_system_lacks(root: Path, tmp_path: Path) -> None:
    package = tmp_path / "PySide6"
    package.mkdir()
    (package / "__init__.py").touch()
    problem = "libEGL.so.1: cannot open shared object file: No such file or directory"
    (package / "QtCore.py").write_text(f"raise ImportError({problem!r})\n")
    done = start(root, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(
        "clnf-gui: libEGL.so.1 is not on this system; on Debian and Ubuntu run: sudo apt-get install -y libegl1"
    )


def test_a_desktop_knows_the_window_and_its_icon(qapp: QApplication) -> None:
    assert qapp.desktopFileName() == "clnf-studio"
    image = qapp.windowIcon().pixmap(64, 64).toImage()
    colours = {image.pixelColor(x, y).name() for x in range(0, image.width(), 2) for y in range(0, image.height(), 2)}
    assert {"#17242f", "#ffd23f"} <= colours, "the ground, and the frame of the map"


def test_a_window_opens_without_what_only_some_of_its_tools_need() -> None:
    lines = (
        "import sys, clnf_gui.window",
        "print(sorted({'scipy', 'numba', 'matplotlib', 'jinja2', 'pyarrow', 'distributed'} & set(sys.modules)))",
    )
    said = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True).stdout
    assert said == "[]\n"
