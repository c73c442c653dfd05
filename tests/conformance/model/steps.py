"""Steps of a machine: methods of whose arguments Hypothesis makes up the values, more of some than of others.

Hypothesis's own rules are all as frequent as each other, and about half of them sit out each run: few runs would come
to where deliveries fail, wait, and are sent again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Method = TypeVar("Method", bound="Callable[..., None]")
#: A step's name, and its arguments.
Chosen: TypeAlias = "tuple[str, dict[str, Any]]"


@dataclass(frozen=True)
class Step:
    """How a method is chosen."""

    weight: int
    when: Callable[[Any], object]
    arguments: Mapping[str, st.SearchStrategy[Any]]


def step(
    *, weight: int = 1, when: Callable[[Any], object] = lambda _: True, **arguments: st.SearchStrategy[Any]
) -> Callable[[Method], Method]:
    """Make a method a step, so many times as frequent as others; passed over unless ``when`` allows it."""

    def mark(method: Method) -> Method:
        method.__dict__["step"] = Step(weight, when, arguments)
        return method

    return mark


def _steps(machine: type[SteppedMachine]) -> dict[str, Step]:
    found = {name: getattr(getattr(machine, name), "step", None) for name in dir(machine)}
    return {name: each for name, each in found.items() if isinstance(each, Step)}


def _chosen(machine: SteppedMachine) -> st.SearchStrategy[Chosen]:
    """Return what makes up steps; it must not look at what they do, or a run could not be repeated."""
    steps = _steps(type(machine))
    return st.sampled_from([name for name, each in steps.items() for _ in range(each.weight)]).flatmap(
        lambda name: st.tuples(st.just(name), st.fixed_dictionaries(dict(steps[name].arguments)))
    )


class SteppedMachine(RuleBasedStateMachine):
    """A machine whose steps are chosen by their weights."""

    @rule(chosen=st.runner().flatmap(_chosen))
    def then(self, chosen: Chosen) -> None:
        """Take one step, and check what it left behind."""
        name, arguments = chosen
        method = getattr(self, name)
        if method.step.when(self):
            method(**arguments)
            self.check()

    def check(self) -> None:
        """Check what must be so after each step."""
        raise NotImplementedError
