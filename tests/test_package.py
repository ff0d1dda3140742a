"""The distribution: every package listed, import names guarded, examples in docstrings true."""

import doctest
import importlib
import pkgutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

import memgym
import memgym.agents
import memgym.baselines
import memgym.benchmarks

ROOT = Path(__file__).parent.parent
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "setuptools"
]


def modules(package: ModuleType) -> list[str]:
    walked = pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    return [package.__name__, *(found.name for found in walked)]


ALL_MODULES = sorted(
    {
        name
        for package in (memgym, memgym.agents, memgym.baselines, memgym.benchmarks)
        for name in modules(package)
        if ".speed" not in name and not name.endswith("__main__")
    }
)


def test_every_package_is_listed() -> None:
    found = set()
    for name, folder in SETUPTOOLS["package-dir"].items():
        for init in (ROOT / folder).rglob("__init__.py"):
            inner = init.parent.relative_to(ROOT / folder).parts
            found.add(".".join([name, *inner]))
    assert found == set(SETUPTOOLS["packages"])


@pytest.mark.parametrize("folder", ["agents", "baselines", "benchmarks"])
def test_a_bare_import_from_the_repository_root_is_refused(folder: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {folder}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert f"import memgym.{folder}" in done.stderr


@pytest.mark.parametrize("folder", ["agents", "baselines", "benchmarks"])
def test_type_checkers_find_the_mapped_folders(folder: str) -> None:
    link = ROOT / "typings" / "memgym" / folder
    assert link.resolve() == ROOT / folder


@pytest.mark.parametrize("name", ALL_MODULES)
def test_modules_import_alone_are_documented_and_their_examples_hold(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    assert doctest.testmod(module).failed == 0
    for public in getattr(module, "__all__", ()):
        assert hasattr(module, public), f"{name}.__all__ names {public}"


def test_the_wheel_holds_every_module_under_its_public_name(tmp_path: Path) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
            *("--disable-pip-version-check", "--wheel-dir", str(tmp_path), str(copied(tmp_path))),
        ],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("memgym-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in ALL_MODULES:
        path = name.replace(".", "/")
        assert {f"{path}.py", f"{path}/__init__.py"} & names, name
    assert "memgym/py.typed" in names
    assert any(name.endswith("LICENSE") for name in names)
    assert not any(
        name.startswith(("agents/", "baselines/", "benchmarks/", "tests/")) for name in names
    )


def copied(target: Path) -> Path:
    """Copy what a build reads, so that it leaves nothing in the working tree."""
    import shutil

    source = target / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    for folder in SETUPTOOLS["package-dir"].values():
        shutil.copytree(
            ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    return source
