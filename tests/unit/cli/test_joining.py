"""The options of commands that join: declared once, and given to each command as a place and a person."""

from collections.abc import Sequence
from typing import Any

import typer
from typer.testing import CliRunner

from mcast.cli import options
from mcast.cli.joining import OPTIONS, joins
from mcast.cli.session import Network, Participant


def ran(command: Any, *words: str) -> str:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(command)
    result = CliRunner().invoke(app, [*words])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_command_gets_where_to_join_and_as_whom() -> None:
    got: list[Any] = []

    @joins()
    def command(
        text: str, *, network: Network, me: Participant, peers: Sequence[str], quiet: options.Quiet = False
    ) -> int:
        got.extend((text, network, me, peers, quiet))
        return 0

    words = (
        "-g",
        "230.0.0.2",
        "-i",
        "eth0",
        "-x",
        "eth1",
        "-6",
        "--ttl",
        "3",
        "--peer",
        "nas",
        "--peer",
        "pi",
    )
    ran(command, "hello", "-q", *words, "--name", "ada", "--profile", "work", "--room", "lab", "-p", "4000")
    text, network, me, peers, quiet = got
    assert (text, peers, quiet) == ("hello", ("nas", "pi"), True)
    assert me == Participant("work", "ada", "lab", None)
    context, *values = (getattr(network, name) for name in network.__struct_fields__)
    assert context.params["name"] == "ada"
    assert values == [["230.0.0.2"], "4000", ["eth0"], False, True, 3, (), ["eth1"]]


def test_a_command_may_do_without_some_and_have_its_own() -> None:
    got: list[Any] = []

    @joins("name", "peer", "ttl", profile=(options.Profile, "door"), source=(options.Sources, None))
    def command(peer: str, *, network: Network, me: Participant) -> int:
        got.extend((peer, network.sources, network.ttl, me.name, me.profile))
        return 0

    help_text = ran(command, "--help")
    assert not {"--name", "--peer", "--ttl"} & set(help_text.split())
    ran(command, "nas", "--source", "10.0.0.1")
    assert got == ["nas", ("10.0.0.1",), 1, None, "door"]


def test_the_options_stand_where_the_command_names_the_network() -> None:
    @joins()
    def command(*, first: bool = False, network: Network, last: bool = False) -> int:
        return 0

    help_text = ran(command, "--help")
    places = [help_text.index(flag) for flag in ("--first", "--group", "--peer", "--last")]
    assert places == sorted(places)
    assert len(OPTIONS) == 12
