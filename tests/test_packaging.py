"""The package as it is installed: its data, its commands, and what importing it costs."""

from __future__ import annotations

import configparser
import importlib
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder

import clnf_engine

PACKAGES = ["clnf_engine", "clnf_gui"]
WINDOW = {"PySide6", "shiboken6", "pyqtgraph", "clnf_gui"}
HEAVY = WINDOW | {"numpy", "scipy", "cv2", "matplotlib", "jinja2"}


@pytest.fixture(scope="module")
def pyproject(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))


def packages_imported_by(code: str, root: Path) -> set[str]:
    """Top-level packages that a new interpreter has loaded after running `code`."""
    script = f"import json, sys\n{code}\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    run = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_data_folders_exist_and_are_installed_inside_the_packages(pyproject: dict[str, Any], root: Path) -> None:
    wheel = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["sources"] == {"models": "clnf_engine/models", "resources": "clnf_gui/resources"}
    assert sorted(wheel["only-include"]) == sorted([*PACKAGES, *wheel["sources"]])
    for source, target in wheel["sources"].items():
        assert any((root / source).iterdir()), f"{source} is empty, so git does not keep it"
        assert not (root / target).exists(), f"{target} would hide {source}"
        assert not list((root / source).rglob("*.py")), f"{source} is data only"


def test_every_shipped_model_has_its_calibration_in_the_wheel(root: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    from clnf_engine import load_model
    from clnf_engine.library import shipped_models

    installed = {file.distribution_path for file in WheelBuilder(str(root)).recurse_included_files()}
    for name in shipped_models():
        model = load_model(name)
        assert model.calibration is not None
        assert f"clnf_engine/models/{name}/{model.path.stem}.calibration.json" in installed


def test_source_distribution_holds_what_the_wheel_is_built_from(pyproject: dict[str, Any], root: Path) -> None:
    targets = pyproject["tool"]["hatch"]["build"]["targets"]
    included = {name.lstrip("/") for name in targets["sdist"]["include"]}
    assert included >= {*targets["wheel"]["only-include"], "tests", "docs", "LICENSE"}
    assert sorted(name for name in included if not (root / name).exists()) == []


def test_a_wheel_holds_the_data_that_the_packages_read(root: Path) -> None:
    held = {Path(file.distribution_path) for file in WheelBuilder(str(root)).recurse_included_files()}
    recorders = {Path("clnf_engine/recorders/clnf_recorder.py"), Path("clnf_engine/recorders/clnf_recorder.hpp")}
    assert {Path("clnf_engine/reports/report.html.j2"), Path("clnf_engine/py.typed"), *recorders} <= held
    for source, target in WheelBuilder(str(root)).config.sources.items():
        files = {path.relative_to(root / source) for path in (root / source).rglob("*") if path.is_file()}
        assert {Path(target) / file for file in files} <= held


def test_a_desktop_finds_the_program_and_its_icon(pyproject: dict[str, Any], root: Path) -> None:
    entry = configparser.ConfigParser(interpolation=None)
    entry.read(root / "resources" / "clnf-studio.desktop", "utf-8")
    desktop = entry["Desktop Entry"]
    assert desktop["Exec"].split()[0] in pyproject["project"]["gui-scripts"]
    shared = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared["resources/clnf-studio.desktop"] == "share/applications/clnf-studio.desktop"
    icon = f"share/icons/hicolor/scalable/apps/{desktop['Icon']}.svg"
    (source,) = (name for name, target in shared.items() if target == icon)
    assert (root / source).read_text("utf-8").startswith("<svg ")


def test_the_lock_file_is_that_of_the_project_and_names_no_mirror(pyproject: dict[str, Any], root: Path) -> None:
    """Else `uv sync --locked` fails, or asks an index that nobody else can reach."""
    text = (root / "uv.lock").read_text("utf-8")
    (own,) = (package for package in tomllib.loads(text)["package"] if package["name"] == "clnf-studio")
    project = pyproject["project"]
    wanted = {("", requirement) for requirement in project["dependencies"]}
    for extra, requirements in project["optional-dependencies"].items():
        wanted |= {(extra, requirement) for requirement in requirements}
    locked = own["metadata"]["requires-dist"]

    def bounds(specifiers: str) -> frozenset[str]:
        return frozenset(specifiers.replace(" ", "").split(","))

    found = {
        (re.sub(r".*'(.*)'", r"\1", entry.get("marker", "")), entry["name"], bounds(entry["specifier"]))
        for entry in locked
    }
    split = [(extra, *re.fullmatch(r"([A-Za-z0-9_-]+)(.*)", text).groups()) for extra, text in wanted]
    assert found == {(extra, name.lower(), bounds(specifiers)) for extra, name, specifiers in split}
    hosts = set(re.findall(r"https?://([^/\"]+)", text))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}


def test_the_readme_on_pypi_leads_to_the_repository(root: Path) -> None:
    """Pictures and links of a checkout lead nowhere there."""
    readme = WheelBuilder(str(root)).metadata.core.readme
    links = re.findall(r"\]\(([^)]+)\)", readme)
    here = re.findall(r"\]\(([^)]+)\)", (root / "README.md").read_text("utf-8"))
    assert len(links) == len(here) > 5
    tag = f"v{clnf_engine.__version__}"
    for link, original in zip(links, here, strict=True):
        if not original.startswith(("https:", "#")):
            kind = f"raw.githubusercontent.com/clnf-studio/clnf-studio/{tag}"
            page = f"github.com/clnf-studio/clnf-studio/blob/{tag}"
            assert link == f"https://{kind if original.endswith(('.png', '.webp')) else page}/{original}"
            assert (root / original.partition("#")[0]).exists()


def test_version_date_and_changelog_agree(root: Path) -> None:
    citation = (root / "CITATION.cff").read_text("utf-8")
    date = re.search(r"^date-released: (\d{4}-\d\d-\d\d)$", citation, re.MULTILINE)
    assert date is not None
    assert f"\nversion: {clnf_engine.__version__}\n" in citation
    changelog = (root / "CHANGELOG.md").read_text("utf-8")
    assert f"\n## [{clnf_engine.__version__}] - {date[1]}\n" in changelog


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_folder_has_an_init_file(package: str, root: Path) -> None:
    folders = {file.parent for file in (root / package).rglob("*.py")}
    assert folders
    assert sorted(folder for folder in folders if not (folder / "__init__.py").is_file()) == []


def test_installed_version_is_the_engine_s() -> None:
    assert importlib.metadata.version("clnf-studio") == clnf_engine.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", clnf_engine.__version__)


def test_commands_resolve(pyproject: dict[str, Any]) -> None:
    project = pyproject["project"]
    assert project["scripts"] == {"clnf": "clnf_engine.__main__:main"}
    assert project["gui-scripts"] == {"clnf-gui": "clnf_gui.__main__:main"}
    for target in (*project["scripts"].values(), *project["gui-scripts"].values()):
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_public_names_resolve() -> None:
    assert [name for name in clnf_engine.__all__ if getattr(clnf_engine, name, None) is None] == []
    with pytest.raises(AttributeError, match="nonsense"):
        _ = clnf_engine.nonsense  # type: ignore[attr-defined]


@pytest.mark.parametrize("module", ["clnf_engine", "clnf_engine.commandline.main", "clnf_gui.__main__"])
def test_commands_start_without_loading_libraries(module: str, root: Path) -> None:
    loaded = packages_imported_by(f"import {module}", root)
    assert loaded & (HEAVY - {"clnf_gui"}) == set()


def test_engine_never_imports_the_window(root: Path) -> None:
    names = [
        ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        for file in sorted((root / "clnf_engine").rglob("*.py"))
        if file.name != "__main__.py"
    ]
    loaded = packages_imported_by("\n".join(f"import {name}" for name in names), root)
    assert "numpy" in loaded
    assert loaded & WINDOW == set()


def test_the_base_installation_has_no_qt(pyproject: dict[str, Any]) -> None:
    base = " ".join(pyproject["project"]["dependencies"]).lower()
    assert "pyside" not in base
    assert "pyqt" not in base


def test_installed_pyside_is_a_usable_one() -> None:
    """6.11.0 and 6.11.1 break dock layouts; 6.12.0 corrupts reference counts on Python 3.11 and aborts."""
    version = tuple(int(part) for part in importlib.metadata.version("PySide6-Essentials").split(".")[:3])
    assert (6, 8) <= version < (6, 12)
    assert version not in {(6, 11, 0), (6, 11, 1)}


def test_installed_opencv_has_the_face_detector() -> None:
    """OpenCV 5 does not."""
    import cv2

    assert callable(cv2.CascadeClassifier)
