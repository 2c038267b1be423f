"""Make or refresh the checkout's .venv, or a bundle of wheels. Standard library only; prints on stderr only.

    setup.py run | dev     what mcast needs; and the tools of the tests
    setup.py bundle DIR    wheels of mcast and of all it needs, for machines without a registry

mcast is installed in place (`pip install -e`), from a bundle too: what runs is the checkout as it is now. The
wheel of mcast in a bundle is for `pip install --no-index --find-links bundle mcast-lan` and is not used here.

States of .venv: `.unfinished` in it means that a set-up began and did not end; `.ready-KIND` holds the place
and the pyproject.toml it was made from. setup.sh reads the same two.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UNFINISHED = VENV / ".unfinished"
# What hatchling asks for, beyond what pyproject.toml names, to install a checkout in place.
IN_PLACE = "editables~=0.3"
TARGETS = {"run": ".", "dev": ".[dev]"}
NO_NETWORK = re.compile(
    r"connection broken by|NewConnectionError|ConnectTimeout|Max retries exceeded|name resolution",
    re.IGNORECASE,
)


class SetupError(Exception):
    """What went wrong and the remedy, in one line."""


def say(text: str) -> None:
    print(f"mcast: {text}", file=sys.stderr, flush=True)


def stamp() -> bytes:
    return os.fsencode(ROOT) + b"\n" + (ROOT / "pyproject.toml").read_bytes()


def ready_file(kind: str) -> Path:
    return VENV / f".ready-{kind}"


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def is_ready(kind: str) -> bool:
    return not UNFINISHED.exists() and PYTHON.exists() and read(ready_file(kind)) == stamp()


@contextmanager
def lock() -> Iterator[int]:
    """Yield the descriptor that holds the checkout's lock; the kernel frees it when its last holder ends."""
    import fcntl

    with open(ROOT / ".venv.lock", "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up of this checkout to end")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def run(command: list[str], holding: int | None = None) -> None:
    """Run a command in the checkout; its output is kept for the error line.

    A child inherits the lock: when set-up is killed, the next one waits until pip has ended too.
    """
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_USER": "0"}
    result = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=() if holding is None else (holding,),
    )
    if result.returncode:
        raise SetupError(explain(result.stdout, offline="--no-index" in command))


def explain(output: str, *, offline: bool) -> str:
    """Return one line that says why pip failed and what to do."""
    missing = re.search(r"No matching distribution found for (.+)", output)
    if offline and missing:
        return (
            f"the bundle lacks {missing[1]} for Python {version()} on this system: "
            "make it with scripts/bundle on a machine of the same kind, with the same Python"
        )
    if NO_NETWORK.search(output):
        return (
            "the package index cannot be reached: connect this machine to it, or make a folder of wheels "
            f"with scripts/bundle on a machine that is connected and put it at {ROOT / 'bundle'}"
        )
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.upper().startswith("ERROR")] or lines[-1:] or ["no output"]
    return (
        f"installation failed: {errors[-1]} (try again, or see all of it: {PYTHON} -m pip install -e {ROOT})"
    )


def version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def bundle() -> Path | None:
    """Return the folder of wheels to install from; None is the package index, as is an empty MCAST_BUNDLE."""
    named = os.environ.get("MCAST_BUNDLE")
    folder = ROOT / "bundle" if named is None else Path(named)
    if named and not folder.is_dir():
        raise SetupError(
            f"MCAST_BUNDLE names {folder}, which is not a folder: make it with scripts/bundle {folder}"
        )
    return folder.absolute() if named != "" and folder.is_dir() else None


def require_venv_module() -> None:
    try:
        import ensurepip  # noqa: F401 - Debian packs it apart from Python
        import venv  # noqa: F401 - as above
    except ImportError:
        raise SetupError(
            f"Python {version()} at {sys.executable} lacks the venv module: install it "
            f"(Debian, Ubuntu: apt install python{version()}-venv), or name another: PYTHON=/path/to/python3"
        ) from None


def make_venv(holding: int) -> None:
    say(f"setting up {VENV} with Python {version()}, once")
    VENV.mkdir(exist_ok=True)
    UNFINISHED.touch()
    # The real path carries the version (python3.11), so that .venv does not follow python3 to the next one.
    run([os.path.realpath(sys.executable), "-m", "venv", str(VENV)], holding)


def remove_what_cannot_be_kept() -> None:
    """Remove a .venv that a killed set-up left, that was moved here, or whose Python has gone."""
    if not VENV.is_dir() or not any(VENV.iterdir()):
        return
    places = {read(ready_file(kind)).partition(b"\n")[0] for kind in TARGETS} - {b""}
    if not places and not UNFINISHED.exists():
        raise SetupError(f"{VENV} was not made by scripts/mcast: remove it, or run mcast from it")
    if UNFINISHED.exists() or not PYTHON.exists() or places != {os.fsencode(ROOT)}:
        # The mark first: a removal that is killed leaves no .venv that looks like a stranger's.
        UNFINISHED.touch()
        for entry in VENV.iterdir():
            if entry != UNFINISHED:
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def install(kind: str, holding: int) -> None:
    remove_what_cannot_be_kept()
    made_from = stamp()
    # The bundle holds no tools of the tests.
    wheels = bundle() if kind == "run" else None
    is_new = not PYTHON.exists()
    if is_new:
        require_venv_module()
        make_venv(holding)
    source = ["--no-index", "--find-links", str(wheels)] if wheels else ["--retries", "2"]
    say(f"installing into {VENV} from {wheels or 'the package index'}")
    UNFINISHED.touch()
    try:
        run([str(PYTHON), "-m", "pip", "install", "--no-compile", *source, "-e", TARGETS[kind]], holding)
    except SetupError:
        # pip undoes what it began: the .venv that was there still serves, and its stamp is still out of date.
        if not is_new:
            UNFINISHED.unlink()
        raise
    for done in ("run", kind):
        ready_file(done).write_bytes(made_from)
    UNFINISHED.unlink()


def ensure(kind: str) -> None:
    with lock() as holding:
        if not is_ready(kind):
            install(kind, holding)
            say("ready")


def make_bundle(folder: Path) -> None:
    """Build or fetch every wheel, those that build mcast in place included, and put them into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    builders = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    say("collecting wheels")
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        run([str(PYTHON), "-m", "pip", "wheel", "--wheel-dir", fresh, ".", *builders, IN_PLACE])
        for stale in folder.glob("mcast_lan-*.whl"):
            stale.unlink()
        wheels = [wheel.rename(folder / wheel.name) for wheel in Path(fresh).glob("*.whl")]
    say(f"{len(wheels)} wheels in {folder}, for Python {version()} on {sys.platform} {os.uname().machine}")


def main(arguments: list[str]) -> int:
    try:
        if arguments[0] == "bundle":
            make_bundle(Path(arguments[1]).absolute())
        else:
            ensure(arguments[0])
    except SetupError as error:
        say(str(error))
    except OSError as error:
        say(f"{error.filename or ROOT}: {error.strerror}: is there room, and may you write there?")
    except KeyboardInterrupt:
        say("set-up interrupted; the next run begins it again")
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
