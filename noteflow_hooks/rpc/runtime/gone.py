"""What gRPC logs of an answer that it can't send, because its caller went away: not a fault of this server's.

gRPC leaves that out of the log itself where it knows already that the call is over. But a call whose deadline passes
while its answer is on its way out fails first, and only then is gRPC told that it is over.
"""

from __future__ import annotations

import logging
from typing import Final

_UNSENT: Final = "ExecuteBatchError raised in core by servicer method "
_GRPC: Final = logging.getLogger("grpc._cython.cygrpc")


def expect_gone_callers() -> None:
    """From now on log answers that can't be sent as one line each, at INFO."""
    _GRPC.addFilter(_as_gone)


def _as_gone(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    if message.startswith(_UNSENT):
        record.msg, record.args = (
            "an answer was not sent, since its call was over: %s",
            (message.removeprefix(_UNSENT),),
        )
        record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
        record.exc_info = record.exc_text = None
    # What was an error passed the logger's own level; as what it is now it might not.
    return _GRPC.isEnabledFor(record.levelno)
