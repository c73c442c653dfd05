"""``compose.yaml`` read as Docker Compose reads it, as far as ours goes: variables, anchors, the order of starting."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).parents[2]

#: What Compose puts a variable's value for: ``$$``, ``$NAME``, ``${NAME}``, ``${NAME:-default}``, ``${NAME:?message}``,
#: and ``${NAME:+replacement}``.
VARIABLE: Final = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<plain>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?:(?P<how>:?[-?+])(?P<rest>[^}]*))?\})"
)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours"}


class MissingVariableError(Exception):
    """A variable is needed and not set; Compose says its name and the file's message, and starts nothing."""


@dataclass(frozen=True, slots=True)
class Service:
    """What the file says of one service."""

    name: str
    spec: dict[str, Any]

    @property
    def command(self) -> list[str]:
        """The command's words; a string would go through a shell, which keeps signals to itself."""
        words = self.spec["command"]
        assert isinstance(words, list), f"{self.name}: write the command as a list"
        return [str(word) for word in words]

    @property
    def environment(self) -> dict[str, str]:
        """The variables it is given; YAML's numbers and booleans would reach Compose in YAML's spelling."""
        variables: dict[str, str] = self.spec.get("environment", {})
        assert all(isinstance(value, str) for value in variables.values()), f"{self.name}: quote the values"
        return variables

    @property
    def waits_for(self) -> dict[str, str]:
        """The services that come before it, each with the condition that it has to meet."""
        return {name: each["condition"] for name, each in self.spec.get("depends_on", {}).items()}

    @property
    def health_command(self) -> list[str]:
        """The words of its health check, empty where it has none."""
        kind, *words = self.spec.get("healthcheck", {}).get("test", ["NONE"])
        return ["sh", "-c", *words] if kind == "CMD-SHELL" else list(words)

    @property
    def grace(self) -> timedelta:
        """How long it may take to end."""
        found = re.fullmatch(r"(\d+)([smh])", self.spec.get("stop_grace_period", "10s"))
        assert found, f"{self.name}: one number and one unit"
        return timedelta(**{_UNITS[found[2]]: int(found[1])})

    @property
    def is_ours(self) -> bool:
        """Whether it runs our code."""
        return "build" in self.spec


@dataclass(frozen=True, slots=True)
class ComposeFile:
    """The whole file."""

    spec: dict[str, Any]

    @property
    def services(self) -> dict[str, Service]:
        """Each service by its name."""
        return {name: Service(name, spec) for name, spec in self.spec["services"].items()}

    @property
    def ours(self) -> list[Service]:
        """The services that run our code, each after those that it waits for; without profiles'."""
        services = self.services
        order = TopologicalSorter({name: each.waits_for for name, each in services.items()}).static_order()
        return [services[name] for name in order if services[name].is_ours and "profiles" not in services[name].spec]


def read(variables: Mapping[str, str], *, path: Path = ROOT / "compose.yaml") -> ComposeFile:
    """Read the file with these variables; raise MissingVariableError where it needs one that is not among them."""
    return ComposeFile(_filled(yaml.safe_load(path.read_text()), variables))


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Put values in the place of variables."""

    def value(found: re.Match[str]) -> str:
        if found["dollar"]:
            return "$"
        name, how, rest = found["plain"] or found["name"], found["how"] or "-", found["rest"] or ""
        held = variables.get(name)
        # A colon has an empty value count as none.
        if held is not None and (held or not how.startswith(":")):
            return rest if how.endswith("+") else held
        if how.endswith("+"):
            return ""
        if how.endswith("?"):
            raise MissingVariableError(f"required variable {name} is missing a value: {rest}")
        return rest

    return VARIABLE.sub(value, text)


def _filled(node: Any, variables: Mapping[str, str]) -> Any:  # noqa: ANN401 - whatever YAML holds
    if isinstance(node, dict):
        return {key: _filled(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, variables) for value in node]
    return interpolate(node, variables) if isinstance(node, str) else node
