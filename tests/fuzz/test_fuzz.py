"""A few seconds of `make fuzz`, shrunk by Hypothesis when something breaks, and what once broke."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .fuzzer import Fuzzer

FORMATS = (
    *("image", "video", "pts", "xyz", "ccnf", "calibration", "trace", "trace lines", "options", "stop"),
    *("model main", "model module_main", "model pdm_3", "model patches", "journal", "session"),
    *("validator", "import csv", "import cpp_trace", "import history", "import maps"),
    *("study", "study part"),
)


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Fuzzer:
    return Fuzzer(tmp_path_factory.mktemp("fuzz"))


def test_every_format_is_here(fuzzer: Fuzzer) -> None:
    assert set(fuzzer.formats) == set(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_whole_files_are_used(fuzzer: Fuzzer, name: str) -> None:
    """Else what is made of them is refused for another reason."""
    if name != "video":  # among whose seeds are playlists
        fuzzer.whole(name)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=12)
@given(random=st.randoms(use_true_random=False))
def test_damaged_files(fuzzer: Fuzzer, name: str, random: Random) -> None:
    fuzzer.file(name, random)


@settings(max_examples=40)
@given(random=st.randoms(use_true_random=False))
def test_command_lines(fuzzer: Fuzzer, random: Random) -> None:
    fuzzer.command(random)


FOUND: dict[str, tuple[str, bytes]] = {
    "a playlist without an end": ("video", b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nv.mp4\n"),
    "text as ANSI art": ("video", b"root:x:0:0:root:/root:/bin/bash\n" * 20),
    "a long number": ("pts", b"version: 1\nn_points: " + b"9" * 5000),
    "a long value": ("session", b'{"format": "clnf-session", "version": "' + b"a" * 5000 + b'"}'),
    "a number that is none": (
        "calibration",
        b'{"version": 1, "model": "m", "basis": "", "faces": 1, "held_out": true, "error_limit_percent": 8,'
        b'"scales": [1, 2], "options": {}, "worked": [' + b"9" * 400 + b'], "failed": []}',
    ),
    "a seed without an end": (
        "study",
        b'{"format": "clnf-study", "version": 1, "data": "", "models": [], "variants": [], '
        b'"starts": [], "seed": 1e999, "baseline": ""}',
    ),
    "a long stop": ("stop", b"update_norm > " * 400),
    "a long name": ("model main", b"LandmarkDetector " + b"x" * 5000),
}


@pytest.mark.parametrize("kind", FOUND)
def test_what_once_broke(fuzzer: Fuzzer, kind: str) -> None:
    fuzzer.check(*FOUND[kind])


def test_the_fuzzer_finds_what_breaks(fuzzer: Fuzzer, monkeypatch: pytest.MonkeyPatch) -> None:
    def use(path: Path) -> None:
        if b"nan" in path.read_bytes():
            raise ZeroDivisionError

    monkeypatch.setitem(fuzzer.formats, "pts", type(fuzzer.formats["pts"])("a.pts", (b"1 2 3",), use))
    with pytest.raises(ZeroDivisionError):
        for seed in range(500):
            fuzzer.file("pts", Random(seed))
