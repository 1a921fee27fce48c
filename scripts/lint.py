"""Lint, formatting and types of the whole tree; exits with 1 if any of them complains.

    python scripts/lint.py [--fix]

mypy cannot follow the mapping of `rtl/` to `ohmweave.rtl` in pyproject.toml, so it is shown the packages through a
folder of links, `.mypy_cache/tree/ohmweave`.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("rtl", "sim", "testbench")
TREE = ROOT / ".mypy_cache" / "tree"


def link_tree() -> None:
    """Make `ohmweave/` in TREE look like the installed package."""
    package = TREE / "ohmweave"
    package.mkdir(parents=True, exist_ok=True)
    wanted = {path.name: path for path in (ROOT / "src" / "ohmweave").iterdir()}
    wanted |= {name: ROOT / name for name in FOLDERS}
    for old in package.iterdir():
        old.unlink()
    for name, target in wanted.items():
        (package / name).symlink_to(target)


def run(*command: str) -> bool:
    print("$", *command, flush=True)
    environment = os.environ | {"MYPYPATH": str(TREE)}
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=environment, check=False)
    return done.returncode == 0


def main() -> int:
    fix = "--fix" in sys.argv[1:]
    link_tree()
    steps = [
        ("ruff", "check", *(["--fix"] if fix else []), "."),
        ("ruff", "format", *([] if fix else ["--check"]), "."),
        ("mypy",),
    ]
    passed = [run(*step) for step in steps]  # every step, also after a failure
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
