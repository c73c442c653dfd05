"""What takes as long as a message is large runs aside from the event loop, where every other call would wait for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

T = TypeVar("T")

#: What is smaller is read, checked or written within a millisecond.
LARGE_BYTES: Final = 4_096


async def aside(message: Message, work: Callable[[], T]) -> T:
    """Return what ``work`` makes of the message; in a thread, where the message is large."""
    return await aside_if(message.ByteSize() > LARGE_BYTES, work)


async def aside_if(is_large: bool, work: Callable[[], T]) -> T:  # noqa: FBT001 - the first argument is what it is about
    """Return what ``work`` returns; it runs in a thread where ``is_large``."""
    return await asyncio.to_thread(work) if is_large else work()
