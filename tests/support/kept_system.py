"""A whole system that the files of tests share, one after the other: a start takes five seconds of processor time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.support.system_rig import SystemRig, retry_while_unavailable

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    import psutil

#: First what others lean on.
_ORDER: Final = ("postgres", "valkey")


class KeptSystem(SystemRig):
    """One that is frozen while nobody uses it, so that it takes nothing from the tests of others."""

    def __init__(self, folder: Path, **settings: Any) -> None:  # noqa: ANN401 - settings of any type
        super().__init__(folder, **settings)
        self._resting: list[psutil.Process] = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.resume()
        super().__exit__(kind, error, trace)

    def rest(self) -> None:
        """Freeze all its processes."""
        names = sorted(self.system.processes, key=lambda name: name in _ORDER)
        self._resting = [process for name in names for process in self.family(name)]
        for each in self._resting:
            each.suspend()

    def resume(self) -> None:
        """Let them go on, and wait for an answer."""
        for each in reversed(self._resting):
            each.resume()
        self._resting = []
        retry_while_unavailable(lambda: self.client.webhooks.ListWebhooks(pb.ListWebhooksRequest()))
