"""What a row of the egress table is: a URL, what its name resolves to, what the operator set, and what comes of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: A public address, one of each family, that stands for any endpoint.
PUBLIC: Final = "93.184.216.34"
PUBLIC_V6: Final = "2606:2800:220:1::1"


class Fate(StrEnum):
    """What comes of a URL, at registration and at an attempt."""

    #: Registered; the addresses of ``dials`` are dialled in their order, and nothing else is.
    ALLOWED = auto()
    #: Refused with "address not allowed", and no more; nothing is dialled.
    FORBIDDEN = auto()
    #: Refused by the parser, before any look-up.
    MALFORMED = auto()
    #: Registered, since a name may come later; an attempt ends as a failed look-up.
    NAMELESS = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRow:
    """One row. Addresses and networks are text, as an operator or a name server writes them."""

    url: str
    fate: Fate
    #: The name that is looked up as it is sent to the resolver; empty where no look-up is made.
    asks: str = ""
    answers: tuple[str, ...] = ()
    dials: tuple[str, ...] = ()
    port: int = 443
    #: A part of what a refused URL's owner is told.
    says: str = ""
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


def literal(address: str, fate: Fate, *, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> EgressRow:
    """Make the row of an address that stands in the URL itself."""
    host = f"[{address}]" if ":" in address else address
    dials = (address,) if fate is Fate.ALLOWED else ()
    return EgressRow(url=f"https://{host}/hooks", fate=fate, dials=dials, allow=tuple(allow), deny=tuple(deny))


def named(address: str, fate: Fate) -> EgressRow:
    """Make the row of a name with that one address; the name tells which."""
    return resolved(f"a{re.sub('[^0-9a-z]', '-', address.lower())}a", fate, [address])


def resolved(
    label: str, fate: Fate, answers: Sequence[str], *, allow: Iterable[str] = (), deny: Iterable[str] = ()
) -> EgressRow:
    """Make the row of the name ``<label>.example`` with those answers; at most eight addresses are tried."""
    name = f"{label}.example"
    dials = tuple(dict.fromkeys(answers))[:8] if fate is Fate.ALLOWED else ()
    return EgressRow(
        url=f"https://{name}/hooks",
        fate=fate,
        asks=name,
        answers=tuple(answers),
        dials=dials,
        allow=tuple(allow),
        deny=tuple(deny),
    )


def refused(url: str, says: str) -> EgressRow:
    """Make the row of a URL that the parser refuses."""
    return EgressRow(url=url, fate=Fate.MALFORMED, says=says)


def written(url: str, host: str, *, port: int = 443, answer: str = PUBLIC) -> EgressRow:
    """Make the row of a URL in some notation that names ``host``, an address or a name with that one answer."""
    is_address = ":" in host or host.rpartition(".")[2].isdigit()
    if is_address:
        return EgressRow(url=url, fate=Fate.ALLOWED, dials=(host,), port=port)
    return EgressRow(url=url, fate=Fate.ALLOWED, asks=host, answers=(answer,), dials=(answer,), port=port)


def disguised(url: str, asks: str = "", answer: str = "127.0.0.1") -> EgressRow:
    """Make the row of a URL in some notation for a forbidden address, or for a name that resolves to one."""
    return EgressRow(url=url, fate=Fate.FORBIDDEN, asks=asks, answers=(answer,) if asks else ())
