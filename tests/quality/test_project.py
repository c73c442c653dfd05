"""What stands where and what tools look at: the package's root, its wheel, mypy's files, the layers, generated code."""

from __future__ import annotations

import re
import runpy
import tomllib
from typing import TYPE_CHECKING, Any, Final

import pytest
from hatchling.builders.wheel import WheelBuilder

from noteflow_hooks import __version__
from tests.quality.sources import ROOT, check_none, paths, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

#: What stands in the package's root beside packages: all else has a room of its own.
_ROOT_FILES: Final = frozenset(
    f"{name}.py"
    for name in (
        "__init__",
        "bootstrap",
        "crypto",
        "errors",
        "key_pairs",
        "logs",
        "parts",
        "printable",
        "pytest_plugin",
        "redis_url",
        "setting_values",
        "signing",
    )
) | {"py.typed"}
#: Where the picture of the layers stands in `docs/architecture.md`.
_PICTURE: Final = re.compile(r"^## Who may import whom\n.*?^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)


def strangers(package: Path) -> Iterator[str]:
    """Yield what stands in a package's root and is neither a package nor one of those files."""
    for each in sorted(package.iterdir()):
        is_room = each.is_dir() and (each / "__init__.py").exists()
        if not is_room and each.name not in _ROOT_FILES | {"__pycache__"}:
            yield each.name


def unseen(files: Iterable[str], settings: dict[str, Any]) -> Iterator[str]:
    """Yield what is written in Python and mypy does not look at, by its settings; what is generated it need not."""
    for path in files:
        is_named = any(path == each or path.startswith(f"{each}/") for each in settings["files"])
        is_left_out = any(re.search(each, path) for each in settings.get("exclude", ()))
        if path.endswith(".py") and "_pb2" not in path and (is_left_out or not is_named):
            yield path


def leniencies(settings: dict[str, Any]) -> Iterator[str]:
    """Yield each setting by which mypy would look less closely at some of what is ours."""
    if settings.get("strict") is not True:
        yield "strict"
    for override in settings.get("overrides", ()):
        is_ours = any(name.split(".")[0] in settings["files"] for name in _names(override["module"]))
        if is_ours or override.keys() - {"module", "ignore_missing_imports"}:
            yield f"overrides of {override['module']}"


def _names(module: str | list[str]) -> list[str]:
    return [module] if isinstance(module, str) else module


def drawn(page: str) -> list[str]:
    """Return the layers of the picture, top down: the first column of its lines."""
    found = _PICTURE.search(page)
    assert found, "no picture"
    return [re.split(r"\s{2,}", line)[0] for line in found[1].splitlines()]


def _settings() -> dict[str, Any]:
    settings: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    return settings


def _layers() -> list[str]:
    contracts = {contract["id"]: contract for contract in _settings()["importlinter"]["contracts"]}
    layers: list[str] = [*contracts["packages"]["layers"][:-1], *contracts["layers"]["layers"]]
    return layers


def test_the_packages_root_holds_what_all_of_it_needs_and_rooms() -> None:
    """Whatever else there is belongs into one of them."""
    assert list(strangers(ROOT / "noteflow_hooks")) == []
    assert {each.name for each in (ROOT / "noteflow_hooks").iterdir()} >= _ROOT_FILES


def _packed(project: Path) -> set[str]:
    """Return the paths of what the project's wheel has."""
    return {str(file.distribution_path) for file in WheelBuilder(str(project)).recurse_included_files()}


def test_the_wheels_have_the_whole_package_between_them_and_nothing_twice() -> None:
    """Both go into one folder: what stood in both, one would take away from the other."""
    system, client = _packed(ROOT), _packed(ROOT / "client")
    assert system & client == set()
    packed = {each for each in system | client if each.startswith("noteflow_hooks/")}
    # Migrations stand elsewhere in the checkout.
    of_the_package = {each for each in packed if "/_migrations/" not in each}
    assert of_the_package == {each for each in paths(ROOT) if each.startswith("noteflow_hooks/")}


def test_the_client_s_wheel_says_that_it_has_types() -> None:
    """And so does the system's, which needs it: otherwise who builds on it sees none of them (PEP 561)."""
    assert "noteflow_hooks/py.typed" in _packed(ROOT / "client")


def test_both_wheels_are_of_one_version_and_the_system_s_needs_the_client_s() -> None:
    """A later one of either would find the other's files as they were."""
    system, client = (_project(ROOT / place) for place in ("", "client"))
    assert system["version"] == client["version"] == __version__
    assert f"{client['name']}=={client['version']}" in system["dependencies"]
    assert set(client["dependencies"]) <= set(system["dependencies"])


def _project(folder: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    return project


def test_mypy_sees_all_that_is_ours() -> None:
    """Strictly, and nothing is left out but what is generated."""
    settings = _settings()["mypy"]
    check_none(unseen(paths(ROOT), settings))
    check_none(leniencies(settings))


def test_the_picture_shows_the_layers_that_import_linter_keeps() -> None:
    """Line by line, from the entry points down."""
    assert drawn((ROOT / "docs" / "architecture.md").read_text("utf-8")) == _layers()


def test_generated_code_is_what_the_proto_makes() -> None:
    """Whoever changes one has made the other anew."""
    generate: Callable[[], dict[Path, str]] = runpy.run_path(str(ROOT / "scripts" / "generate_proto.py"))["generate"]
    made = generate()
    assert {path.name for path in made} >= {"noteflow_pb2.py", "noteflow_pb2_grpc.py", "noteflow_pb2.pyi"}
    check_none(stale(made))


def stale(made: dict[Path, str]) -> Iterator[str]:
    """Yield each generated file that is not there, or not as it was just made."""
    return (path.name for path, text in made.items() if not path.exists() or path.read_text("utf-8") != text)


def test_a_stranger_in_the_root_is_found(tmp_path: Path) -> None:
    """A module as well as a folder that is no package."""
    write(tmp_path, errors="", room____init__="", helpers="", heap__module="")
    assert list(strangers(tmp_path)) == ["heap", "helpers.py"]


def test_a_file_that_mypy_does_not_see_is_found() -> None:
    """Because nothing names it, or because something leaves it out."""
    settings = {"files": ["noteflow_hooks", "tests"], "exclude": ["_pb2", "tests/old"]}
    files = ["noteflow_hooks/a.py", "noteflow_hooks/x_pb2.py", "noteflow_hooks/py.typed", "tests/old_a.py", "tool/b.py"]
    assert list(unseen(files, settings)) == ["tests/old_a.py", "tool/b.py"]


@pytest.mark.parametrize(
    "settings",
    [
        {"files": ["tests"]},
        {"files": ["tests"], "strict": True, "overrides": [{"module": "tests.unit.*", "ignore_missing_imports": True}]},
        {"files": ["tests"], "strict": True, "overrides": [{"module": ["flower.*"], "ignore_errors": True}]},
    ],
)
def test_a_setting_that_makes_mypy_lenient_is_found(settings: dict[str, Any]) -> None:
    """Only a library without types may be excused, of which it knows nothing."""
    assert len(list(leniencies(settings))) == 1


def test_a_picture_that_shows_other_layers_differs() -> None:
    """What stands behind two blanks is only said of a layer."""
    page = "## Who may import whom\n\nText.\n\n```text\nworkers\nb | c      two of them\nd\n```\n"
    assert drawn(page) == ["workers", "b | c", "d"]


def test_generated_code_that_is_old_or_missing_is_found(tmp_path: Path) -> None:
    """By its text."""
    root = write(tmp_path, fresh="x = 1\n", old="x = 0\n")
    made = {root / f"{name}.py": "x = 1\n" for name in ("fresh", "old", "missing")}
    assert list(stale(made)) == ["old.py", "missing.py"]
