"""From how the system does to what GetSystemState answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from noteflow_hooks.domain.system_state import Part


def part_message(part: Part) -> pb.SystemPart:
    """Return how a part does."""
    message = pb.SystemPart(name=part.name, state=part.state, reason=part.reason)
    if part.last_at is not None:
        message.last_at.FromDatetime(part.last_at)
    return message
