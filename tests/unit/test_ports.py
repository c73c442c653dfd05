"""Each adapter inherits its port, and implements all of it: an ellipsis out of a Protocol is no implementation."""

from __future__ import annotations

import inspect
from importlib import import_module
from pkgutil import walk_packages

import pytest

from noteflow_hooks import persistence
from noteflow_hooks.domain import ports
from noteflow_hooks.domain.ports.certificates import CertificateReader
from noteflow_hooks.domain.ports.filters import FilterEvaluator
from noteflow_hooks.domain.ports.mails import Connection, ContactCodes, MailServer
from noteflow_hooks.domain.ports.previews import Previewer
from noteflow_hooks.domain.ports.schemas import SchemaChecker
from noteflow_hooks.persistence.sql.delivery.traced_store import TracedDeliveryStore


def _classes(package: object) -> set[type]:
    path, name = package.__path__, package.__name__  # type: ignore[attr-defined]  # it is a package
    modules = [import_module(each.name) for each in walk_packages(path, f"{name}.")]
    return {
        each
        for module in modules
        for each in vars(module).values()
        if isinstance(each, type) and each.__module__ == module.__name__
    }


#: Those of the stores. What checks schemas, evaluates filters, reads certificates, shows requests or sends mails has
#: one adapter.
PORTS = {each for each in _classes(ports) if getattr(each, "_is_protocol", False)} - {
    CertificateReader,
    Connection,
    ContactCodes,
    FilterEvaluator,
    MailServer,
    Previewer,
    SchemaChecker,
}
ADAPTERS = sorted(
    ((each, port) for each in _classes(persistence) for port in PORTS if port in each.__mro__),
    key=lambda pair: f"{pair[0].__module__}.{pair[0].__name__}",
)


def _members(port: type) -> set[str]:
    return {name for name, each in vars(port).items() if inspect.isfunction(each) or isinstance(each, property)} - {
        "__init__",
        "__subclasshook__",
    }


def _function(member: object) -> object:
    return member.fget if isinstance(member, property) else member


def test_every_port_has_an_adapter_in_each_store() -> None:
    """Two for each port: a store that left one out would be found where it is wired at the earliest."""
    # The one that traces is PostgreSQL's own with other statements.
    adapters = [(each, own) for each, own in ADAPTERS if each is not TracedDeliveryStore]
    found = {port: sorted(each.__name__ for each, own in adapters if own is port) for port in PORTS}
    expected = {port: [f"InMemory{port.__name__}", f"SqlAlchemy{port.__name__}"] for port in PORTS}
    assert found == expected


@pytest.mark.parametrize(("adapter", "port"), ADAPTERS, ids=lambda each: each.__name__)
def test_no_method_of_an_adapter_is_the_ports_own(adapter: type, port: type) -> None:
    """What is inherited from a port has no body, and would return None to whoever calls it."""
    assert _members(port)
    missing = {name for name in _members(port) if getattr(adapter, name) is getattr(port, name)}
    assert missing == set()
    assert "__init__" in vars(adapter), "a Protocol's own would take no arguments"


@pytest.mark.parametrize(("adapter", "port"), ADAPTERS, ids=lambda each: each.__name__)
def test_each_implementing_method_says_so_and_repeats_no_words_of_the_port(adapter: type, port: type) -> None:
    """``@override`` is what the type checker, and whoever reads the method, goes by."""
    own = {name: _function(vars(adapter)[name]) for name in _members(port) & set(vars(adapter))}
    assert {name for name, each in own.items() if not getattr(each, "__override__", False)} == set()
    said = {name: inspect.cleandoc(each.__doc__) for name, each in own.items() if each.__doc__}
    assert said == {}
