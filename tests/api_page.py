"""docs/api.md: the public names and what their docstrings say. `python -m tests.api_page` writes it anew."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any

PAGE = Path(__file__).parent.parent / "docs" / "api.md"
MODULES = ("mcast", "mcast.aio", "mcast.simulation", "mcast.multicast", "mcast.interfaces")
LEFT_OUT = {"mcast": {"aio", "multicast", "settings"}}
"""Modules that are attributes of another one."""
HEAD = """# API

All public names of the library, made from their docstrings by `python -m tests.api_page`.
[Python](python.md) shows how they are used.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    shown: dict[int, str] = {}
    for name in MODULES:
        module = importlib.import_module(name)
        parts.append(f"## {name}\n\n{described(first_paragraph(module))}")
        for public in public_names(module):
            parts.extend(of_name(name, public, getattr(module, public), shown))
    return "\n".join(part.rstrip() + "\n" for part in parts)


def public_names(module: ModuleType) -> list[str]:
    """The names to show: those of __all__, or those that the module itself defines."""
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]
    hidden = LEFT_OUT.get(module.__name__, set())
    return sorted(name for name in names if not name.startswith("_") and name not in hidden)


def of_name(module: str, name: str, value: Any, shown: dict[int, str]) -> Iterator[str]:
    """What the page says of a name; what another module has, too, is told once."""
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        if isinstance(value, str | int | float | tuple):
            yield f"### {module}.{name}\n\n`{value!r}`"
        elif isinstance(value, UnionType):
            kinds = ", ".join(f"`{getattr(kind, '__name__', kind)}`" for kind in value.__args__)
            yield f"### {module}.{name}\n\nOne of {kinds}."
        return
    if id(value) in shown:
        other = shown[id(value)]
        yield f"### {module}.{name}\n\nThe same as [`{other}`](#{other.replace('.', '').lower()})."
        return
    shown[id(value)] = f"{module}.{name}"
    if inspect.isclass(value):
        yield from of_class(module, name, value)
    else:
        yield f"### {module}.{name}\n\n```text\n{name}{signature(value)}\n```"
        yield described(inspect.getdoc(value))


def of_class(module: str, name: str, value: type) -> Iterator[str]:
    """A class with its methods and properties."""
    fields = getattr(value, "__struct_fields__", ())
    yield f"### {module}.{name}\n\n{described(inspect.getdoc(value))}"
    if fields:
        yield "Fields: " + ", ".join(f"`{field}`" for field in fields) + "."
    for member, attribute in sorted(members_of(value).items()):
        if isinstance(attribute, property):
            yield f"**`{member}`** · {described(inspect.getdoc(attribute))}"
        else:
            kind = "async " if inspect.iscoroutinefunction(attribute) else ""
            yield f"**`{kind}{member}{signature(attribute)}`**\n\n{described(inspect.getdoc(attribute))}"


def members_of(value: type) -> dict[str, Any]:
    """The public methods and properties with a docstring, those of mcast's base classes too."""
    found: dict[str, Any] = {}
    for base in reversed(value.__mro__):
        if base.__module__.startswith("mcast"):
            found |= {name: member for name, member in vars(base).items() if not name.startswith("_")}
    return {
        name: member
        for name, member in found.items()
        if (inspect.isroutine(member) or isinstance(member, property)) and inspect.getdoc(member)
    }


def signature(value: Any) -> str:
    """The arguments, with annotations as they are written."""
    function = getattr(value, "__func__", value)
    made = inspect.signature(function, eval_str=False)
    arguments = [one for one in made.parameters.values() if one.name not in ("self", "cls")]
    text = str(made.replace(parameters=arguments))
    return re.sub(r"'([^']*)'(?=[,)\] =]|$)", r"\1", text)


def first_paragraph(module: ModuleType) -> str:
    return (inspect.getdoc(module) or "").partition("\n\n")[0]


def described(text: str | None) -> str:
    """A docstring as Markdown: what is indented in it becomes a list or a block."""
    lines = (text or "").splitlines()
    made: list[str] = []
    for line in lines:
        if match := re.match(r"(\w[\w, ]*): (.*)", line) if made and not line.startswith(" ") else None:
            if made[-1] and not made[-1].startswith(("- ", "  ")):
                made.append("")
            made.append(f"- `{match[1]}`: {match[2]}")
        elif made and made[-1].startswith(("- ", "  ")) and line and not line.startswith(" "):
            made += ["", line]
        elif line.startswith("    ") and made and made[-1].startswith(("- ", "  ")):
            made.append(f"  {line.strip()}")
        else:
            made.append(line)
    return "\n".join(made)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
