"""Which one scope each RPC needs, if any. One that is missing here is not served, so a new one is never open to all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.access import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What an RPC needs that any valid token may call.
ANY: Final = None

_BY_SERVICE: Final[dict[str, dict[str, Scope | None]]] = {
    "MeetingService": {
        "CreateMeeting": Scope.PUBLISH,
        "GetMeeting": Scope.READ,
        "ListMeetings": Scope.READ,
        "StopMeeting": Scope.PUBLISH,
        "GenerateSummary": Scope.PUBLISH,
        "StreamAudioSegments": Scope.PUBLISH,
    },
    "WebhookService": {
        "RegisterWebhook": Scope.MANAGE,
        "GetWebhook": Scope.READ,
        "ListWebhooks": Scope.READ,
        "UpdateWebhook": Scope.MANAGE,
        "DeleteWebhook": Scope.MANAGE,
        "RotateWebhookSecret": Scope.MANAGE,
        "TestWebhook": Scope.MANAGE,
        "PreviewPayload": Scope.MANAGE,
        "VerifyWebhook": Scope.MANAGE,
        "ConfirmContact": Scope.MANAGE,
        "ListDeliveries": Scope.READ,
        "WatchDeliveries": Scope.READ,
        "GetDelivery": Scope.READ,
        "ListUndelivered": Scope.READ,
        "PreviewFilter": Scope.READ,
        "RedeliverDelivery": Scope.MANAGE,
        "SkipDelivery": Scope.MANAGE,
        "ReplayDeliveries": Scope.MANAGE,
        "GetReplay": Scope.READ,
        "ListReplays": Scope.READ,
        "CancelReplay": Scope.MANAGE,
        "WhoAmI": ANY,
        "GetSystemState": Scope.READ,
        "GetStats": Scope.READ,
    },
    "EventService": {
        "PublishEvent": Scope.PUBLISH,
        "PublishEvents": Scope.PUBLISH,
        "ListEvents": Scope.READ,
        "GetEvent": Scope.READ,
        "WatchEvents": Scope.READ,
        "EraseMeetingPayloads": Scope.MANAGE,
        "ListEventTypes": Scope.READ,
        "GetEventType": Scope.READ,
        "PutEventType": Scope.MANAGE,
        "DeleteEventType": Scope.MANAGE,
    },
    "AuditService": {
        "ListAuditEntries": Scope.MANAGE,
    },
}

#: By the full name of the method, as a call names it: ``/noteflow.v1.EventService/ListEvents``.
SCOPES: Final[Mapping[str, Scope | None]] = {
    f"/noteflow.v1.{service}/{method}": scope
    for service, methods in _BY_SERVICE.items()
    for method, scope in methods.items()
}

#: The methods that return pages of a list: they read much, and can wait.
LISTS: Final = frozenset(method for method in SCOPES if method.rpartition("/")[2].startswith("List"))
#: The methods that answer with a stream: what they read is read like a list.
WATCHES: Final = frozenset(method for method in SCOPES if method.rpartition("/")[2].startswith("Watch"))
