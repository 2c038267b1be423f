"""The scripts that set up and run a checkout, in copies of this one."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
# The one that made the virtual environment of this run, and has what a bundle is made for.
PYTHON = os.path.realpath(sys.executable)
NO_NETWORK = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
# Answers at once, with a refusal.
DEAD_INDEX = {
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_FIND_LINKS": "",
}
STAND_IN = """
import os, sys

def main() -> int:
    print(os.getcwd(), *sys.argv[1:], sep="|")
    return 7
"""

pytestmark = pytest.mark.timeout(240)


def environment(**changes: str) -> dict[str, str]:
    """Return this process's environment without what would steer the scripts."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MCAST_", "PYTHON", "VIRTUAL_ENV"))}
    return kept | {"PYTHON": PYTHON} | changes


def script(checkout: Path, name: str, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    command = [str(checkout / "scripts" / name), *arguments]
    return subprocess.run(command, env=environment(**changes), capture_output=True, text=True, timeout=200)


def start(
    checkout: Path, *arguments: str, prefix: list[str] | None = None, **changes: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*(prefix or []), str(checkout / "scripts" / "mcast"), *arguments],
        env=environment(**changes),
        cwd=checkout / "docs",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def copy_checkout(target: Path) -> Path:
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def with_stand_in(checkout: Path) -> Path:
    """Replace the command line of a copy by one that prints where and how it was called, and ends with 7."""
    shutil.rmtree(checkout / "mcast" / "cli", ignore_errors=True)
    (checkout / "mcast" / "cli").mkdir()
    (checkout / "mcast" / "cli" / "__init__.py").write_text(STAND_IN)
    (checkout / "docs").mkdir(exist_ok=True)
    return checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return with_stand_in(copy_checkout(tmp_path / "a copy"))


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which scripts/bundle has run: the only one that needs the package index."""
    copy = copy_checkout(tmp_path_factory.mktemp("bundled") / "mcast")
    result = script(copy, "bundle")
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    return copy


@pytest.fixture(scope="module")
def first_runs(
    bundled: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[tuple[int, str, str]]]:
    """A checkout whose first two runs began together, with no network, and what came of both."""
    copy = with_stand_in(copy_checkout(tmp_path_factory.mktemp("first") / "a copy"))
    bundle = str(bundled / "bundle")
    runs = [start(copy, "chat", "-g x y", prefix=NO_NETWORK, MCAST_BUNDLE=bundle) for _ in range(2)]
    outputs = [run.communicate(timeout=200) for run in runs]
    return copy, [(run.returncode, *output) for run, output in zip(runs, outputs, strict=True)]


def test_two_first_runs_at_once_make_one_environment(
    first_runs: tuple[Path, list[tuple[int, str, str]]],
) -> None:
    copy, runs = first_runs
    assert [code for code, _, _ in runs] == [7, 7], runs
    assert [out for _, out, _ in runs] == [f"{copy}/docs|chat|-g x y\n"] * 2
    told = sorted(err for _, _, err in runs)
    assert "setting up" in told[0]
    assert told[1] == "mcast: waiting for another set-up of this checkout to end\n"


def test_a_warm_start_is_silent_and_runs_the_checkout_as_it_is(
    first_runs: tuple[Path, list[tuple[int, str, str]]],
) -> None:
    copy, _ = first_runs
    (copy / "mcast" / "cli" / "__init__.py").write_text(STAND_IN.replace("return 7", "return 8"))
    result = script(copy, "mcast", "new code", PYTHON="/nonexistent")
    assert (result.returncode, result.stderr) == (8, "")
    assert result.stdout.endswith("|new code\n")


def test_the_script_works_through_a_symbolic_link(
    first_runs: tuple[Path, list[tuple[int, str, str]]], tmp_path: Path
) -> None:
    copy, _ = first_runs
    link = tmp_path / "link"
    link.symlink_to(copy / "scripts" / "mcast")
    result = subprocess.run([link, "x"], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert (result.stdout, result.stderr) == (f"{tmp_path}|x\n", "")


def test_set_up_is_redone_when_pyproject_changes(
    bundled: Path, first_runs: tuple[Path, list[tuple[int, str, str]]]
) -> None:
    copy, _ = first_runs
    project = copy / "pyproject.toml"
    before = project.read_text()
    project.write_text(
        before.replace(
            '\nmcast = "mcast.__main__:main"', '\nmcast = "mcast.__main__:main"\nmc = "mcast.cli:main"'
        )
    )

    refused = script(copy, "mcast", MCAST_BUNDLE="", **DEAD_INDEX)
    assert refused.returncode == 1
    assert "scripts/bundle" in refused.stderr.splitlines()[-1]
    assert "index cannot be reached" in refused.stderr.splitlines()[-1]

    done = script(copy, "mcast", MCAST_BUNDLE=str(bundled / "bundle"), **DEAD_INDEX)
    assert done.stderr.startswith("mcast: installing into ")
    assert (copy / ".venv" / "bin" / "mc").exists()
    assert script(copy, "mcast").stderr == ""

    project.write_text(before)
    assert script(copy, "mcast", MCAST_BUNDLE="nowhere").stderr == (
        "mcast: MCAST_BUNDLE names nowhere, which is not a folder: make it with scripts/bundle nowhere\n"
    )


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def set_up_by_pip(bundled: Path, checkout: Path) -> Iterator[subprocess.Popen[str]]:
    """A first run that has come to pip."""
    run = start(checkout, MCAST_BUNDLE=str(bundled / "bundle"))
    try:
        wait_for(lambda: installs(psutil.Process(run.pid)))
        yield run
    finally:
        run.communicate(timeout=60)


def installs(process: psutil.Process) -> bool:
    """Whether a pip runs below `process`; others may end while they are looked at."""
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is one, too
            if "install" in child.cmdline():
                return True
    return False


def test_a_killed_set_up_is_repaired_once_its_pip_has_ended(
    bundled: Path, checkout: Path, set_up_by_pip: subprocess.Popen[str]
) -> None:
    [set_up] = psutil.Process(set_up_by_pip.pid).children()
    set_up.kill()
    assert set_up_by_pip.wait(timeout=60) != 0
    half_made = checkout / ".venv" / "lib" / "half-made"
    half_made.touch()
    # What a refresh that is killed leaves beside the mark.
    (checkout / ".venv" / ".ready-run").write_text(f"{checkout}\nolder")

    result = script(checkout, "mcast", MCAST_BUNDLE=str(bundled / "bundle"))
    assert result.returncode == 7, result.stderr
    assert "waiting for another set-up" in result.stderr
    assert "setting up" in result.stderr
    assert not half_made.exists()


def test_another_ones_environment_is_left_alone(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "precious").touch()
    result = script(checkout, "mcast")
    assert result.returncode == 1
    assert result.stderr == (
        f"mcast: {checkout}/.venv was not made by scripts/mcast: remove it, or run mcast from it\n"
    )
    assert (checkout / ".venv" / "precious").exists()


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A folder for PATH that holds the few commands which every POSIX system has, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for command in ("cat", "id", "readlink"):
        (folder / command).symlink_to(str(shutil.which(command)))
    return folder


def write_command(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_an_old_python_is_one_line(checkout: Path, bare_path: Path) -> None:
    write_command(bare_path / "python3", '[ "$1" = -V ] && echo Python 3.9.2 && exit\nexit 1')
    result = script(checkout, "mcast", PATH=str(bare_path), PYTHON="")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("mcast: Python 3.11 or newer is needed, found Python 3.9.2: install one")


def test_no_python_is_one_line(checkout: Path, bare_path: Path) -> None:
    result = script(checkout, "mcast", PATH=str(bare_path), PYTHON="")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "found no python3" in result.stderr


def test_a_named_version_is_taken_before_an_old_python3(checkout: Path, bare_path: Path) -> None:
    write_command(bare_path / "python3", "exit 1")
    write_command(bare_path / "python3.12", 'case $2 in *setup.py) ;; esac; [ "$1" = -c ] || echo "$@" >&2')
    result = script(checkout, "mcast", PATH=str(bare_path), PYTHON="")
    assert result.stderr.splitlines()[0] == f"{checkout}/scripts/setup.py run"


def test_a_missing_venv_module_is_one_line(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "ensurepip.py").write_text("raise ImportError")
    result = script(checkout, "mcast", PYTHONPATH=str(tmp_path))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert (
        f"lacks the venv module: install it (Debian, Ubuntu: apt install python{version}-venv)"
        in result.stderr
    )
    assert not (checkout / ".venv").exists()


@pytest.fixture
def with_tools(checkout: Path) -> Path:
    """A checkout whose set-up is done, with stand-ins for the tools."""
    tools = checkout / ".venv" / "bin"
    tools.mkdir(parents=True)
    for tool in ("ruff", "mypy", "lint-imports", "python"):
        write_command(tools / tool, f'echo {tool} "$@"')
    stamp = f"{checkout}\n{(checkout / 'pyproject.toml').read_text()}"
    (checkout / ".venv" / ".ready-dev").write_text(stamp)
    return checkout


def test_check_runs_everything_and_names_what_failed(with_tools: Path) -> None:
    assert script(with_tools, "check").returncode == 0
    for tool in ("mypy", "ruff"):
        write_command(with_tools / ".venv" / "bin" / tool, "exit 3")
    result = script(with_tools, "check")
    assert result.returncode == 1
    assert "lint-imports" in result.stdout
    assert result.stderr == "mcast: failed: format, lint, types\n"


def test_test_hands_its_arguments_to_pytest(with_tools: Path) -> None:
    result = script(with_tools, "test", "-k", "a b")
    assert (result.returncode, result.stdout) == (0, "python -m pytest -k a b\n")


def test_bench_hands_its_arguments_to_the_measurements(with_tools: Path) -> None:
    result = script(with_tools, "bench", "--quick")
    assert (result.returncode, result.stdout) == (0, "python -m tests.bench --quick\n")


def test_test_names_the_system_packages_it_cannot_install(with_tools: Path, bare_path: Path) -> None:
    script_text = (with_tools / "scripts" / "test").read_text()
    (with_tools / "scripts" / "test").write_text(script_text.replace(":/usr/sbin:/sbin", ""))
    result = script(with_tools, "test", PATH=str(bare_path))
    assert (
        result.stdout
        == "python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -p tests.coverage_gate\n"
    )
    assert result.stderr == (
        "mcast: tests on a LAN of network namespaces also need: iproute2 nftables ethtool tmux procps jq"
        " netcat-openbsd inetutils-telnet chromium avahi-daemon avahi-utils dbus\n"
    )


def test_the_bundle_holds_mcast_and_what_it_needs(bundled: Path) -> None:
    names = {wheel.name.partition("-")[0] for wheel in (bundled / "bundle").iterdir()}
    assert names >= {
        "mcast_lan",
        "netifaces_plus",
        "psutil",
        "typer",
        "prompt_toolkit",
        "hatchling",
        "editables",
    }


@pytest.mark.parametrize(
    "command", [["scripts/mcast"], [".venv/bin/mcast"], [".venv/bin/python", "-m", "mcast"]]
)
def test_the_command_line_answers(bundled: Path, command: list[str]) -> None:
    run = subprocess.run(
        [*command, "--help"], cwd=bundled, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert "--install-completion" in run.stdout
    assert "chat" in run.stdout


def test_the_library_loads_no_command_line() -> None:
    code = (
        "import sys, mcast; print(*sorted({'typer', 'rich', 'click', 'prompt_toolkit'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "\n"
