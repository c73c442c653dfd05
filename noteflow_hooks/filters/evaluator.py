"""The evaluator, on CEL's own library for C++ through cel-expr-python, which is imported at the first filter.

What one evaluation may take is counted before it (`cost.py`). The library is asked under a lock: it compiles and
evaluates in microseconds, and whether several threads may use one environment is promised nowhere.
"""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import dataclass
from typing import Any, Final

from typing_extensions import override

from noteflow_hooks.domain.filters import MATCHED, NOT_MATCHED, FilterAnswer, Verdict
from noteflow_hooks.domain.ports.filters import FilterEvaluator
from noteflow_hooks.errors import FiltersMissingError, InvalidInputError
from noteflow_hooks.filters.cost import BUDGET, Cost, count
from noteflow_hooks.filters.messages import failure, refusal
from noteflow_hooks.filters.tree import tree_of

log = logging.getLogger(__name__)

#: How many programs are kept: those of so many endpoints' versions, or of fewer where several have the same filter.
#: Each takes 20 to 90 kB.
KEPT: Final = 200
#: The library has a `type` of its own; what stands in the container is found before it.
_CONTAINER: Final = "noteflow"
_DATA: Final = f"{_CONTAINER}.data"
_TYPE: Final = f"{_CONTAINER}.type"
#: The largest payload.
_LARGEST: Final = 10_240
_TOO_MUCH: Final = "it would take too long over a payload like this: it compares or loops over too much"
_BOOL: Final = "BOOL"
_ERROR: Final = "ERROR"
#: A field of the payload may be a bool; what it is shows at the evaluation.
_BOOLS: Final = frozenset({_BOOL, "DYN"})
_ITERATIONS: Final = "Iteration budget"
#: What CEL's integers hold; what is beyond is a float, as JavaScript has it.
_INTEGERS: Final = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class _Program:
    expression: Any
    cost: Cost
    #: How many elements may be written out in the filter itself.
    elements: int

    def exceeds(self, payload: bytes) -> bool:
        """Tell whether it may take more than an evaluation is allowed to, over that payload."""
        elements = payload.count(b",") + self.elements
        return self.cost.of(size=len(payload), elements=elements) > BUDGET


class CelFilters(FilterEvaluator):
    """One for a process; any thread may ask."""

    def __init__(self) -> None:
        """Import nothing yet: without filters a process has no use for the library."""
        self._lock = threading.Lock()
        self._environment: Any = None
        #: Asks whether a regular expression is one.
        self._asks_pattern: Any = None
        #: By their texts, the longest unused first.
        self._programs: dict[str, _Program] = {}

    @override
    def check(self, text: str) -> None:
        with self._lock:
            program = self._program(text)
            if program.cost.of(size=_LARGEST, elements=program.elements) > BUDGET:
                raise InvalidInputError("filter", "would take too long over a large payload, even one without lists")

    @override
    def evaluate(self, text: str, *, event_type: str, payload: bytes) -> Verdict:
        try:
            data = json.loads(payload, parse_int=_number)
            with self._lock:
                program = self._program(text)
                if program.exceeds(payload):
                    return Verdict(FilterAnswer.ERROR, _TOO_MUCH)
                return self._evaluated(program.expression, text, {_DATA: data, _TYPE: event_type})
        except FiltersMissingError as error:
            return Verdict(FilterAnswer.UNAVAILABLE, str(error))
        except Exception as error:  # noqa: BLE001 - the boundary: whatever fails here is our own fault, and no verdict
            # What the library says may repeat a payload.
            log.error("a filter could not be evaluated: %s", type(error).__name__)  # noqa: TRY400 - as said
            return Verdict(FilterAnswer.UNAVAILABLE, "it is our own fault, and in the worker's log")

    def _program(self, text: str) -> _Program:
        """Return what the filter is compiled to; raise InvalidInputError where it is none."""
        found = self._programs.pop(text, None)
        if found is None:
            found = self._compiled(text)
            if len(self._programs) >= KEPT:
                del self._programs[next(iter(self._programs))]
        self._programs[text] = found
        return found

    def _compiled(self, text: str) -> _Program:
        environment = self._library()
        try:
            expression = environment.compile(text)
        except RuntimeError as error:
            raise refusal(str(error)) from None
        kind = expression.return_type().name()
        if kind not in _BOOLS:
            raise InvalidInputError("filter", f"is of type {kind.lower()[:100]}; a filter is of type bool")
        counted = count(tree_of(expression.serialize()))
        for pattern in counted.patterns:
            self._check_pattern(pattern)
        return _Program(expression, counted.cost, text.count(",") + 1)

    def _check_pattern(self, pattern: str) -> None:
        answer = self._asks_pattern.eval(data={_DATA: {"pattern": pattern}, _TYPE: ""})
        if answer.type().name() != _BOOL:
            raise InvalidInputError("filter", f"has a regular expression that RE2 doesn't take: {pattern[:100]!r}")

    def _evaluated(self, expression: Any, text: str, data: dict[str, Any]) -> Verdict:  # noqa: ANN401 - the library is optional
        try:
            result = expression.eval(data=data)
        except RuntimeError as error:
            if _ITERATIONS in str(error):
                return Verdict(FilterAnswer.ERROR, failure(_ITERATIONS, expression=text))
            raise
        kind = result.type().name()
        if kind == _BOOL:
            return MATCHED if result.value() else NOT_MATCHED
        if kind == _ERROR:
            return Verdict(FilterAnswer.ERROR, failure(str(result.value()), expression=text))
        return Verdict(FilterAnswer.ERROR, f"it gives no bool, but a value of type {kind.lower()[:100]}")

    def _library(self) -> Any:  # noqa: ANN401 - the library is optional
        if self._environment is None:
            try:
                from cel_expr_python import cel  # noqa: PLC0415 - 18 MB, for those alone that have filters
            except ImportError:
                raise FiltersMissingError from None
            variables = {_DATA: cel.Type.Map(cel.Type.STRING, cel.Type.DYN), _TYPE: cel.Type.STRING}
            environment = cel.NewEnv(variables=variables, container=_CONTAINER)
            self._asks_pattern = environment.compile("type.matches(data.pattern)")
            self._environment = environment
        return self._environment


def _number(digits: str) -> int | float:
    value = int(digits)
    return value if value in _INTEGERS else float(value)
