"""docs/recipes.md is true: each script of it runs as it stands there, and does what it says."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
from collections.abc import Callable, Iterator

import pytest

from tests import lab
from tests.cli import test_scripts
from tests.cli.test_readme import IDENTITY, Scene, of_kind

PAGE = lab.REPOSITORY / "docs" / "recipes.md"

pytestmark = pytest.mark.lan


def recipes() -> dict[str, str]:
    """The scripts by their headings."""
    sections = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    return {
        section.partition("\n")[0]: re.findall(r"^```bash\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[0]
        for section in sections
    }


RECIPES = recipes()


@pytest.fixture(scope="module")
def made() -> Iterator[Scene]:
    if lacking := lab.missing():
        pytest.skip("a LAN in namespaces needs " + ", ".join(lacking))
    with lab.Lan(3) as lan:
        yield Scene(lan)


@pytest.fixture
def scene(made: Scene) -> Iterator[Scene]:
    """The scene; what the test started in it ends with the test."""
    before = len(made.lan.running)
    yield made
    for process in made.lan.running[before:]:
        if process.poll() is None:
            process.signal(signal.SIGCONT)
            process.signal(signal.SIGTERM, group=True)
        with contextlib.suppress(lab.LabTimeout):
            process.wait(5.0)  # it says goodbye: the next script does not find it
        process.close()
    del made.lan.running[before:]


def start(scene: Scene, heading: str) -> lab.Process:
    """Run the script of a recipe, as a script should be written."""
    return scene.start(f"set -euo pipefail\n{RECIPES[heading]}")


def waits(scene: Scene, heading: str) -> None:
    script = start(scene, heading)
    script.wait_for("browsing", stream="stderr")
    scene.joined("announce", "--name", "nas")
    assert (script.wait(), script.stdout) == (0, "the NAS is up\n")


def greets(scene: Scene, heading: str) -> None:
    start(scene, heading).wait_for("browsing", stream="stderr")
    scene.joined("announce", "--name", "late; date")
    visitors = scene.directory / "visitors.txt"
    said = re.compile(r"^late; date \([0-9a-f]{16}\) is here$", re.MULTILINE)
    lab.until(lambda: visitors.exists() and said.search(visitors.read_text()) is not None)


def tells_who_has_gone(scene: Scene, heading: str) -> None:
    script = start(scene, heading)
    script.wait_for("browsing", stream="stderr")
    web = scene.joined("announce", "--name", "web 1")
    lab.snapshot(scene.reader.mcast, "browse", "-t", complete=lambda seen: "web 1" in seen.stdout)
    web.interrupt()
    script.wait_for("web 1 has gone", stream="stdout")


def acts_with_two(scene: Scene, heading: str) -> None:
    scene.joined("chat", "--name", "carl")
    lab.snapshot(scene.reader.mcast, "browse", "-t", complete=lambda seen: "carl" in seen.stdout)
    script = start(scene, heading)
    assert (script.wait(), script.stdout) == (0, "rotating\n"), script.stderr


def tells_one(scene: Scene, heading: str) -> None:
    nas = scene.joined("chat", "--name", "nas")
    script = start(scene, heading)
    nas.wait_for("power fails in five minutes", stream="stdout")
    assert (script.wait(), script.stderr) == (0, "")


def asks_all(scene: Scene, heading: str) -> None:
    scene.joined("reply", "--name", "nas", "--command", "echo 42 GB")
    web = scene.third.mcast("reply", "--name", "web", "--profile", "web", "--echo")
    web.wait_for("answering in", stream="stderr")
    both = r"(?s)\+\tnas.*\+\tweb|\+\tweb.*\+\tnas"
    lab.snapshot(scene.reader.mcast, "browse", "-t", complete=lambda seen: re.search(both, seen.stdout))
    web.signal(signal.SIGSTOP)
    script = start(scene, heading)
    assert script.wait() == 0
    assert re.fullmatch(r"nas·[0-9a-f]{4}\t42 GB\n", script.stdout)
    assert re.search(rf"1 of 2 answered; silent: web{IDENTITY}\n$", script.stderr)


def publishes(scene: Scene, heading: str) -> None:
    test_scripts.write_command(scene.directory / "bin" / "python3", f'exec {sys.executable} "$@"')
    start(scene, heading).wait_for("Serving HTTP", timeout=60)
    lab.snapshot(scene.third.mcast, "browse", "-t", complete=lambda seen: "\t8000\t" in seen.stdout)


def finds(scene: Scene, heading: str) -> None:
    scene.joined("announce", "--name", "web", "--service", "_http._tcp:8000")
    script = start(scene, heading)
    assert (script.wait(), script.stdout) == (0, "open http://10.9.0.3:8000/\n")


def lists(scene: Scene, heading: str) -> None:
    scene.joined("announce", "--name", 'the "printer"', "--tag", "host=p1")
    row = re.compile(r'^"the ""printer""","[0-9a-f]{16}","p1","10\.9\.0\.3:\d+"$', re.MULTILINE)
    lab.snapshot(lambda *_: start(scene, heading), complete=lambda script: row.search(script.stdout))


def records(scene: Scene, heading: str) -> None:
    archive = scene.joined("listen", "--room", "archive", "-C", "3")
    script = start(scene, heading)
    script.wait_for("listening to", stream="stderr")
    for word in ("one", "two", "three"):
        scene.bob.write(f"{word}\n")
    assert script.wait(60) == 0
    assert archive.wait() == 0
    assert archive.lines() == ["one", "two", "three"]
    assert [line.split("\t")[1:] for line in script.lines()] == [["bob", word] for word in archive.lines()]


CASES: dict[str, Callable[[Scene, str], None]] = {
    "Wait until the NAS is up": waits,
    "Run a command on every join": greets,
    "Tell when a host has gone": tells_who_has_gone,
    "Act only if two others know": acts_with_two,
    "Tell one host, and be sure": tells_one,
    "Ask all, and learn who did not answer": asks_all,
    "Publish a server while it runs": publishes,
    "Find that server": finds,
    "Make an inventory": lists,
    "Record a meeting and replay it": records,
}


def test_every_recipe_has_a_case() -> None:
    assert list(CASES) == list(RECIPES)
    assert len(of_kind(PAGE, "bash")) == len(RECIPES) == 10


@pytest.mark.timeout(240)
@pytest.mark.parametrize("heading", RECIPES)
def test_a_recipe(scene: Scene, heading: str) -> None:
    CASES[heading](scene, heading)
