"""The pages of docs/reference say all that there is, and nothing that there is not, as the sources have it now."""

from __future__ import annotations

import re
import runpy
from typing import TYPE_CHECKING, Final

import click
import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.domain.events import WebhookEventType
from noteflow_hooks.errors import Reason
from noteflow_hooks.rpc.interceptors.scopes import SCOPES
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.settings import CallerSettings, Settings, TraceSettings
from tests.quality.sources import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from noteflow_hooks.settings.variables import Variables

FOLDER: Final = ROOT / "docs" / "reference"
#: Scripts are run, and not imported.
generate: Callable[[], dict[Path, str]] = runpy.run_path(str(ROOT / "scripts" / "generate_reference.py"))["generate"]
meanings: Callable[[type[Variables]], dict[str, str]] = runpy.run_path(
    str(ROOT / "scripts" / "reference" / "settings.py")
)["meanings"]

#: Everything behind a heading of that level, up to the next one of it or above.
_SECTION: Final = r"^{marks} (.+)\n((?:(?!^#{{2,{level}}} )(?:.*\n))*)"


def sections(name: str, level: int = 2) -> dict[str, str]:
    """Return the sections of a page, by their headings."""
    text = (FOLDER / f"{name}.md").read_text("utf-8")
    return dict(re.findall(_SECTION.format(marks="#" * level, level=level), text, re.MULTILINE))


def first_cells(text: str) -> list[str]:
    """Return what stands in the first cell of each row of a text's tables."""
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


def commands(command: click.Command, *above: str) -> Iterator[tuple[str, click.Command]]:
    """Yield each command by its whole name."""
    yield " ".join(above) or "noteflow-hooks", command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, *above, name)


COMMANDS: Final = dict(commands(root))


def flags(text: str) -> set[str]:
    """Return the flags that a command's section lists, the connection's among them."""
    items = " ".join(re.findall(r"^(?:- `([^`]+)`|And the \[connection options\].*)", text, re.MULTILINE))
    named = " ".join(re.findall(r"^And the \[connection options\]\S* (.*)", text, re.MULTILINE))
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", f"{items} {named}"))


def test_no_page_is_stale() -> None:
    """Whoever changes a source makes the pages anew: `make reference`."""
    made = generate()
    assert {path.name for path in made} == {path.name for path in FOLDER.iterdir()}
    assert [path.name for path, text in made.items() if path.read_text("utf-8") != text] == []


def test_every_command_is_there_and_no_other() -> None:
    """Each has a section, and a row in the list of all."""
    found = sections("commands")
    assert found.keys() - {"Connection options"} == COMMANDS.keys()
    rows = re.findall(r"^\| \[`([^`]+)`\]", (FOLDER / "commands.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(COMMANDS.keys() - {"noteflow-hooks"})


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_of_a_command_is_there_and_no_other(name: str) -> None:
    """By all of its names; `--help` is each one's, and stands above."""
    options = [each for each in COMMANDS[name].params if isinstance(each, click.Option) and not each.hidden]
    assert flags(sections("commands")[name]) == {
        flag for each in options for flag in (*each.opts, *each.secondary_opts)
    }


def test_every_argument_of_a_command_is_there() -> None:
    """In the line that says how it is called."""
    for name, text in sections("commands").items():
        if name in COMMANDS:
            [usage] = re.findall(r"^```text\n(.*)\n```", text, re.MULTILINE)
            arguments = [each for each in COMMANDS[name].params if isinstance(each, click.Argument)]
            assert all(each.make_metavar(click.Context(COMMANDS[name])) in usage for each in arguments), name


def test_every_setting_is_there_and_no_other() -> None:
    """With what it decides."""
    wanted = [
        *(name.upper() for kind in (Settings, CallerSettings) for name in kind.model_fields),
        *(f"OTEL_{name.upper()}" for name in TraceSettings.model_fields),
    ]
    assert first_cells((FOLDER / "settings.md").read_text("utf-8")) == wanted
    silent = [
        name for kind in (Settings, CallerSettings, TraceSettings) for name, text in meanings(kind).items() if not text
    ]
    assert silent == []


def test_every_event_type_is_there_and_no_other() -> None:
    """With each field of its payload."""
    found = sections("events")
    assert found.keys() - {"Headers"} == {str(each) for each in WebhookEventType}
    assert all("`timestamp`" in text and "```json" in text for name, text in found.items() if name != "Headers")


def test_every_call_is_there_with_its_scope_and_no_other() -> None:
    """In its service's table, and in a section of its own."""
    services = [name for name in sections("api") if name.endswith("Service")]
    assert services == list(pb.DESCRIPTOR.services_by_name)
    rows = {
        (service, *row)
        for service in services
        for row in re.findall(r"^\| \[`(\w+)`\]\(#\w+\) \| (.+) \|$", sections("api")[service], re.MULTILINE)
    }
    wanted = {
        (*method.removeprefix("/noteflow.v1.").split("/"), "any token" if scope is None else f"`{scope}`")
        for method, scope in SCOPES.items()
    }
    assert rows == wanted
    assert all(name in sections("api", 3) for _, name, _ in wanted)


def test_every_message_and_field_is_there_and_no_other() -> None:
    """Each message has a section, each field a row."""
    found = sections("api", 3)
    messages = pb.DESCRIPTOR.message_types_by_name
    assert found.keys() - {name.rpartition("/")[2] for name in SCOPES} == set(messages.keys())
    for name, message in messages.items():
        assert first_cells(found[name]) == [field.name for field in message.fields], name


def test_every_error_reason_is_there_and_no_other() -> None:
    """As the errors have them."""
    assert sorted(first_cells(sections("api")["Error reasons"])) == sorted(Reason)
