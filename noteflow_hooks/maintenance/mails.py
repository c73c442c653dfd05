"""Mails are sent: the sweep looks whether one is due, and a thread of its own talks to the mail server.

So no task ever waits for that server, and where it is away, nothing but mails does. A mail is committed as being sent
before any of it leaves: whoever dies then has sent it at most once.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.mails import MailKind, wait_after
from noteflow_hooks.domain.ports.mails import Letter
from noteflow_hooks.errors import (
    MailRefusedError,
    MailServerError,
    MailUnknownError,
    NoteFlowHooksError,
    SecretUnavailableError,
)
from noteflow_hooks.telemetry import counting
from noteflow_hooks.telemetry.metrics import MAILS

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.concurrency.outage import Outage
    from noteflow_hooks.domain.mails import Mail
    from noteflow_hooks.domain.ports.mails import Claimed, Connection, ContactCodes, MailServer, MailStore

log = logging.getLogger(__name__)

#: Longer than a mail can take that is answered at all: a few answers of twenty seconds each.
LEASE: Final = timedelta(minutes=5)
#: So many go over one connection.
_MOST: Final = 50
#: After a refusal of the server's as a whole, so long nothing is tried; each one after that doubles it.
_PAUSE_S: Final = 10.0
_LONGEST_PAUSE_S: Final = 600.0
#: How long the end of a process waits for the mail that is under way.
_GRACE_S: Final = 5.0


class MailRounds:
    """Sends what is due, in a thread that lives as long as that takes; one for each worker process."""

    def __init__(
        self,
        store: MailStore,
        server: MailServer,
        codes: ContactCodes,
        *,
        outage: Outage,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``outage`` is told how the server does."""
        self._store = store
        self._server = server
        self._codes = codes
        self._outage = outage
        self._monotonic = monotonic
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._quiet_until = -1.0
        self._pause_s = _PAUSE_S

    def look(self) -> bool:
        """Begin to send if something is due, and nothing is being sent here; return at once, whether it was begun."""
        is_busy = self._thread is not None and self._thread.is_alive()
        if is_busy or self._is_closed or self._monotonic() < self._quiet_until or not self._store.has_due():
            return False
        self._thread = threading.Thread(target=self._run, name="mails", daemon=True)
        self._thread.start()
        return True

    def send_due(self) -> int:
        """Send what is due, in this thread; return how many mails the server took."""
        claimed = self._claimed()
        if claimed is None:
            return 0
        try:
            connection = self._server.connect()
        except MailServerError as error:
            self._put_back(claimed.mail, str(error))
            return 0
        try:
            return self._send_all(connection, claimed)
        finally:
            connection.close()

    def close(self) -> None:
        """Begin no more; wait a little for the mail that is under way."""
        self._is_closed = True
        if self._thread is not None:
            self._thread.join(_GRACE_S)

    def _run(self) -> None:
        try:
            self.send_due()
        except NoteFlowHooksError as error:
            # As of the database, which tells of itself; the next sweep looks again.
            log.debug("mails wait: %s", error)
        except Exception:
            # The boundary of the thread: a mail that can't be written must not end in silence. Its lease ends it.
            log.exception("a mail could not be sent")

    def _send_all(self, connection: Connection, first: Claimed) -> int:
        sent, claimed = 0, first
        for _ in range(_MOST):
            is_sent, goes_on = self._send(connection, claimed)
            sent += is_sent
            following = self._claimed() if goes_on and not self._is_closed else None
            if following is None:
                break
            claimed = following
        return sent

    def _claimed(self) -> Claimed | None:
        claimed, given_up = self._store.claim(lease=LEASE)
        for each in given_up:
            _tell_given_up(each, str(each.error))
        return claimed

    def _send(self, connection: Connection, claimed: Claimed) -> tuple[bool, bool]:
        """Send one; return whether the server has taken it, and whether it may be asked to take another."""
        mail = claimed.mail
        try:
            connection.send(self._letter(claimed))
        except MailRefusedError as error:
            self._give_up(mail, str(error))
            return False, True
        except MailUnknownError as error:
            self._give_up(mail, f"it may have been sent: {error}", is_unknown=True)
            self._refused(str(error))
            return False, False
        except (MailServerError, SecretUnavailableError) as error:
            self._put_back(mail, str(error))
            return False, False
        self._store.note_sent(mail)
        counting.count(MAILS, "sent")
        log.info("mail %s sent: %s of webhook %s", mail.id, mail.kind, mail.webhook_id)
        self._pause_s = _PAUSE_S
        self._outage.answered()
        return True, True

    def _letter(self, claimed: Claimed) -> Letter:
        mail, contact = claimed
        if mail.kind is not MailKind.CONFIRMATION or contact.contact is None:
            return Letter(mail=mail, webhook=contact)
        asked = contact.contact
        code = self._codes.code(contact.id, asked.address, asked.asked_at)
        return Letter(mail=mail, webhook=contact, code=code, code_ends_at=asked.code_ends_at)

    def _put_back(self, mail: Mail, reason: str) -> None:
        self._store.put_back(mail, reason, wait=wait_after(mail.attempt_count))
        counting.count(MAILS, "refused")
        self._refused(reason)

    def _give_up(self, mail: Mail, reason: str, *, is_unknown: bool = False) -> None:
        if self._store.give_up(mail, reason, is_unknown=is_unknown):
            _tell_given_up(mail, reason)

    def _refused(self, reason: str) -> None:
        self._outage.refused(reason)
        self._quiet_until = self._monotonic() + self._pause_s
        self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2)


def _tell_given_up(mail: Mail, reason: str) -> None:
    counting.count(MAILS, "given_up")
    log.warning("mail %s is given up: %s of webhook %s: %s", mail.id, mail.kind, mail.webhook_id, reason)
