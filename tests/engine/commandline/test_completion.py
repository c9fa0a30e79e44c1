"""What the Tab key gives: of a real bash."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from clnf_engine.commandline.main import main

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@needs_bash
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["fi"], {"fit"}),
        (["comp"], {"compare", "completion"}),
        (["fit", "--form"], {"--format"}),
        (["fit", "--format", "c"], {"csv"}),
        (["track", "cl"], {"clip.mp4", "clnf"}),
        (["fit", "photo.jpg", "--model", "cl"], {"clip.mp4", "clnf"}),
        (["warm-up", "--precision", ""], {"float64", "float32"}),
    ],
    ids=lambda value: " ".join(sorted(value)) if isinstance(value, set) else " ".join(value),
)
def test_bash_completes(
    words: list[str], expected: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clip.mp4").touch()
    (tmp_path / "clnf").mkdir()
    quoted = " ".join(f"'{word}'" for word in ["clnf", *words])
    code = f"""{script("bash", capsys)}
COMP_WORDS=({quoted}); COMP_CWORD={len(words)}
function=$(complete -p clnf | sed 's/.*-F \\([^ ]*\\).*/\\1/')
"$function" clnf '{words[-1]}' '{["clnf", *words][-2]}'
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert {line.strip() for line in done.stdout.splitlines()} == expected, done.stderr


@pytest.mark.parametrize(
    ("shell", "mark"), [("zsh", "#compdef clnf"), ("tcsh", "complete clnf"), ("bash", "complete ")]
)
def test_every_command_is_in_it(shell: str, mark: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = script(shell, capsys)
    assert mark in text
    for command in ("fit", "track", "diagnose", "check-vectors"):
        assert command in text


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "fish"]) == 2
    assert "bash" in capsys.readouterr().err
