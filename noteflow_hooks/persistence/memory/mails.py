"""The mails to endpoints' contacts, in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from typing_extensions import override

from noteflow_hooks.domain.mails import DAY, TOO_OLD, UNKNOWN, Counted, Mail, MailKind, MailState, choose, is_too_old
from noteflow_hooks.domain.ports.mails import Claimed, MailOutbox, MailStore
from noteflow_hooks.persistence.memory.tables import age, require

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.persistence.memory.store import MemoryStore, Session

_ENDED: Final[dict[str, Any]] = {"next_attempt_at": None, "lease_expires_at": None, "recipient": None}


def add_mail(session: Session, mail: Mail | None) -> None:
    """Store a mail, if there is one, due at once."""
    if mail is not None:
        require(session.tables.webhooks, mail.webhook_id, called="webhook")
        session.tables.mails[mail.id] = replace(mail, created_at=session.now(), next_attempt_at=session.now())


def forget_contact(session: Session, webhook_id: UUID) -> None:
    """End what waits for an endpoint's contact, since the endpoint is deleted."""
    for each in _of(session, webhook_id):
        if each.recipient is not None:
            _give_up(session, each, "the endpoint has this contact no more")


class InMemoryMailOutbox(MailOutbox):
    """The mails in memory."""

    def __init__(self, session: Session) -> None:
        """Work in this transaction."""
        self._session = session

    @override
    def add(self, mail: Mail) -> None:
        if mail.kind is MailKind.CONFIRMATION:
            for each in _of(self._session, mail.webhook_id):
                if each.kind is MailKind.CONFIRMATION and each.state is MailState.WAITING:
                    _give_up(self._session, each, "another one was asked for")
        add_mail(self._session, mail)

    @override
    def was_confirmation_given_up(self, webhook_id: UUID) -> bool:
        asked = [each for each in _of(self._session, webhook_id) if each.kind is MailKind.CONFIRMATION]
        return bool(asked) and asked[-1].state is MailState.GIVEN_UP

    @override
    def take_digests(self, *, limit: int) -> Sequence[WebhookConfig]:
        now, webhooks = self._session.now(), self._session.tables.webhooks
        due = [each for each in webhooks.values() if _has_digest_due(each, now)]
        taken = sorted(due, key=lambda each: cast("datetime", _digest_at(each)))[:limit]
        for each in taken:
            if each.contact is not None:
                webhooks[each.id] = replace(each, contact=each.contact.after_digest(now=now))
        return taken

    @override
    def list_of(self, webhook_id: UUID) -> Sequence[Mail]:
        return _of(self._session, webhook_id)


class InMemoryMailStore(MailStore):
    """The workers' half of the mails, in memory."""

    def __init__(self, store: MemoryStore) -> None:
        """Work on this store."""
        self._store = store

    @override
    def has_due(self) -> bool:
        with self._store.transaction() as session:
            now = session.now()
            return bool(_due(session, now)) or any(_is_lost(each, now) for each in session.tables.mails.values())

    @override
    def has_digests(self) -> bool:
        with self._store.transaction() as session:
            return any(_has_digest_due(each, session.now()) for each in session.tables.webhooks.values())

    @override
    def claim(self, *, lease: timedelta) -> tuple[Claimed | None, Sequence[Mail]]:
        given_up: list[Mail] = []
        with self._store.transaction() as session:
            now = session.now()
            for each in list(session.tables.mails.values()):
                if _is_lost(each, now):
                    given_up.append(_give_up(session, each, UNKNOWN))
                elif each.state is MailState.WAITING and is_too_old(each, now=now):
                    given_up.append(_give_up(session, each, each.error or TOO_OLD))
            for mail in _due(session, now):
                webhook = session.tables.webhooks.get(mail.webhook_id)
                chosen = choose(mail, webhook, _counted(session, mail, now), now=now)
                if chosen.given_up is not None:
                    given_up.append(_give_up(session, mail, chosen.given_up))
                elif chosen.until is not None:
                    session.tables.mails[mail.id] = replace(mail, next_attempt_at=chosen.until)
                elif webhook is not None:
                    return Claimed(_claimed(session, mail, now, lease), webhook), given_up
        return None, given_up

    @override
    def note_sent(self, mail: Mail) -> bool:
        return self._end(mail, state=MailState.SENT, error=None, **_ENDED)

    @override
    def put_back(self, mail: Mail, error: str, *, wait: timedelta) -> bool:
        again = self._store.now() + wait
        state = MailState.WAITING
        return self._end(mail, state=state, error=error, next_attempt_at=again, lease_expires_at=None, sent_at=None)

    @override
    def give_up(self, mail: Mail, error: str, *, is_unknown: bool) -> bool:
        sent_at = mail.sent_at if is_unknown else None
        return self._end(mail, state=MailState.GIVEN_UP, error=error, sent_at=sent_at, **_ENDED)

    def _end(self, mail: Mail, **changes: Any) -> bool:  # noqa: ANN401 - each field has its own type
        with self._store.transaction() as session:
            stored = session.tables.mails.get(mail.id)
            own = (MailState.SENDING, mail.attempt_count)
            if stored is None or (stored.state, stored.attempt_count) != own:
                return False
            if changes["state"] is not MailState.WAITING:
                changes["ended_at"] = session.now()
            session.tables.mails[mail.id] = replace(stored, **changes)
            return True


def _of(session: Session, webhook_id: UUID) -> list[Mail]:
    return sorted((each for each in session.tables.mails.values() if each.webhook_id == webhook_id), key=age)


def _due(session: Session, now: datetime) -> list[Mail]:
    waiting = [each for each in session.tables.mails.values() if each.state is MailState.WAITING]
    due = [(each.next_attempt_at, each.id, each) for each in waiting if each.next_attempt_at is not None]
    return [each for moment, _, each in sorted(due, key=lambda one: one[:2]) if moment <= now]


def _is_lost(mail: Mail, now: datetime) -> bool:
    return mail.state is MailState.SENDING and mail.lease_expires_at is not None and mail.lease_expires_at <= now


def _claimed(session: Session, mail: Mail, now: datetime, lease: timedelta) -> Mail:
    claimed = replace(
        mail,
        state=MailState.SENDING,
        attempt_count=mail.attempt_count + 1,
        sent_at=now,
        next_attempt_at=None,
        lease_expires_at=now + lease,
    )
    session.tables.mails[mail.id] = claimed
    return claimed


def _give_up(session: Session, mail: Mail, error: str) -> Mail:
    ended = replace(mail, state=MailState.GIVEN_UP, ended_at=session.now(), error=error, **_ENDED)
    session.tables.mails[mail.id] = ended
    return ended


def _counted(session: Session, mail: Mail, now: datetime) -> Counted:
    sent = [each for each in session.tables.mails.values() if each.sent_at is not None and each.sent_at > now - DAY]
    own = [each.sent_at for each in sent if each.recipient_digest == mail.recipient_digest]
    all_of_them = [each.sent_at for each in sent if each.workspace_id == mail.workspace_id]
    return Counted(
        len(own), min(filter(None, own), default=None), len(all_of_them), min(filter(None, all_of_them), default=None)
    )


def _digest_at(webhook: WebhookConfig) -> datetime | None:
    return None if webhook.contact is None else webhook.contact.digest_at


def _has_digest_due(webhook: WebhookConfig, now: datetime) -> bool:
    moment = _digest_at(webhook)
    return webhook.deleted_at is None and moment is not None and moment <= now
