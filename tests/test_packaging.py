"""The wheel: every package, module and data file is in it, and it works from any folder without the checkout."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {
    "src/ohmweave": "ohmweave",
    "rtl": "ohmweave/rtl",
    "sim": "ohmweave/sim",
    "testbench": "ohmweave/testbench",
}
#: Files of the folders that are for readers of the checkout alone, or left by tools.
LEFT_OUT = ("__pycache__",)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """Built from a copy of the checkout's tracked and new files, so that nothing is left in it."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("the checkout's files are known from git, and it is none")
    for name in filter(None, listed.stdout.splitlines()):
        if (ROOT / name).is_file():
            (folder / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "copy" / name).write_bytes((ROOT / name).read_bytes())
    build = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(folder / "copy"),
    ]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def unpacked(wheel, tmp_path_factory):
    """What pip would put into site-packages."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def python(unpacked, cwd, *arguments):
    """Run Python with the wheel's contents before everything else, in another folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd, env=os.environ | {"PYTHONPATH": str(unpacked)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_every_file_is_in_the_wheel(wheel):
    """An editable install finds a package that the list in pyproject.toml lacks; a wheel does not."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    missing = [
        str(path.relative_to(ROOT))
        for folder, target in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
        and not set(path.parts) & set(LEFT_OUT)
        and f"{target}/{path.relative_to(ROOT / folder)}" not in names
    ]
    assert not missing


def test_nothing_else_is_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert tops == {"ohmweave", f"ohmweave-{version}.dist-info"}


def test_licence_is_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = [Path(name).name for name in archive.namelist() if "/licenses/" in name]
    assert sorted(names) == ["LICENSE", "NOTICE"]


def test_wheel_works_elsewhere(unpacked, tmp_path):
    """The main job on the golden model, from the wheel's own files."""
    where = python(
        unpacked, tmp_path, "-c", "import ohmweave.sim, ohmweave.rtl; print(ohmweave.sim.__file__)"
    )
    assert where.stdout.startswith(str(unpacked)), where.stdout + where.stderr
    done = python(
        unpacked, tmp_path, "-m", "ohmweave", "run", "lenet5", "--backend", "golden", "--limit", "100"
    )
    assert done.returncode == 0, done.stderr
    assert "lenet5 on re-reram, golden" in done.stdout


def test_every_module_of_the_wheel_imports(unpacked, tmp_path):
    """All but the testbenches, which a simulator has to load."""
    modules = sorted(
        ".".join(path.relative_to(unpacked).with_suffix("").parts).removesuffix(".__init__")
        for path in (unpacked / "ohmweave").rglob("*.py")
        if path.name != "__main__.py" and "testbench" not in path.parts
    )
    assert "ohmweave.sim.run" in modules
    done = python(unpacked, tmp_path, "-c", "\n".join(f"import {module}" for module in modules))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["rtl", "sim", "testbench"])
def test_no_generic_names(unpacked, tmp_path, name):
    """Neither the wheel nor the install that the tests run from claims a name that others may use."""
    for environment in ({"PYTHONPATH": str(unpacked)}, {}):
        done = subprocess.run(
            [sys.executable, "-c", f"import {name}"],
            cwd=tmp_path, env=os.environ | environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert f"No module named '{name}'" in done.stderr


def test_program_is_installed(tmp_path):
    """`ohmweave` stands beside this Python and works from any folder."""
    program = Path(sys.executable).parent / "ohmweave"
    done = subprocess.run([program, "--version"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("ohmweave, version ")
