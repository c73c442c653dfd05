"""An endpoint's contact, between its columns and the domain's value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from noteflow_hooks.domain.contacts import Contact, Digest

if TYPE_CHECKING:
    from sqlalchemy import Row

    from noteflow_hooks.persistence.sql.endpoint_row import EndpointRow
    from noteflow_hooks.persistence.sql.orm import WebhookConfigRow


def contact_of(row: WebhookConfigRow | EndpointRow | Row[Any]) -> Contact | None:
    """Return the endpoint's contact; None where it has none."""
    if row.contact is None or row.contact_asked_at is None:
        return None
    return Contact(
        address=row.contact,
        # A word that we don't know, in a row that somebody has changed by hand, is no digest.
        digest=Digest.WEEKLY if row.digest == Digest.WEEKLY else Digest.NONE,
        asked_at=row.contact_asked_at,
        confirmed_at=row.contact_confirmed_at,
        digest_at=row.digest_at,
    )


def contact_columns(contact: Contact | None) -> dict[str, Any]:
    """Return the columns to write."""
    return {
        "contact": None if contact is None else contact.address,
        "digest": Digest.NONE.value if contact is None else contact.digest.value,
        "contact_asked_at": None if contact is None else contact.asked_at,
        "contact_confirmed_at": None if contact is None else contact.confirmed_at,
        "digest_at": None if contact is None else contact.digest_at,
    }
