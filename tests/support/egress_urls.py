"""The egress table's URLs: ways to write a host, a port and a scheme, odd ones among them."""

from __future__ import annotations

from typing import Final

from tests.support.egress_rows import PUBLIC_V6, EgressRow, disguised, refused, written

_NOT_FOUR: Final = "not written as four decimal numbers"
_NO_NAME: Final = "host name that is not valid"
_MALFORMED: Final = "is malformed"
_BLANK: Final = "spaces, control characters or backslashes"
_USER: Final = "user name or password"
_HTTPS: Final = "must start with https://"
_NO_HOST: Final = "must name a host"
_PERCENT: Final = "must not contain % in its host"
#: How strict the standard library is about brackets depends on its version; ours is the next check.
_BRACKETS: Final = "url: (is malformed|has an IPv6 address that is not valid|has something between|has a host name)"

_LABEL: Final = "a" * 63
#: 253 characters, the longest name there is.
_LONGEST: Final = f"{_LABEL}.{_LABEL}.{_LABEL}.{'b' * 53}.example"

WRITTEN: Final = (
    written("https://example.com", "example.com"),
    written("HtTpS://EXAMPLE.com/Hooks", "example.com"),
    written("https://example.com./", "example.com."),
    written("https://example.com:/", "example.com"),
    written("https://example.com:443/", "example.com"),
    written("https://example.com:00443/", "example.com"),
    written("https://example.com:8443/", "example.com", port=8443),
    written("https://example.com:65535/", "example.com", port=65535),
    written("https://93.184.216.34:8443/", "93.184.216.34", port=8443),
    written(f"https://[{PUBLIC_V6}]:8443/", PUBLIC_V6, port=8443),
    written("https://[2606:2800:0220:0001:0000:0000:0000:0001]/", PUBLIC_V6),
    written("https://[::FFFF:1.1.1.1]/", "::ffff:1.1.1.1"),
    written("https://under_score.example/", "under_score.example"),
    written(f"https://{_LABEL}.example/", f"{_LABEL}.example"),
    written(f"https://{_LONGEST}/", _LONGEST),
    written(f"https://{_LONGEST}./", f"{_LONGEST}."),
    written("https://1.1.1.1.example/", "1.1.1.1.example"),
    written("https://0x7f.example/", "0x7f.example"),
    written("https://08.example/", "08.example"),
    written("https://münchen.example/", "xn--mnchen-3ya.example"),
    written("https://xn--mnchen-3ya.example/", "xn--mnchen-3ya.example"),
    written("https://аррӏе.example/", "xn--80ak6aa92e.example"),  # noqa: RUF001 - all Cyrillic, a homograph of "apple"
    written("https://ｅｘａｍｐｌｅ．ｃｏｍ/", "example.com"),  # noqa: RUF001 - full-width letters and stop
    written("https://example。com/", "example.com"),
    written("https://example｡com/", "example.com"),
    written("https://①.1.1.1/", "1.1.1.1"),
    written("https://127.0.0.١/", "127.0.0.xn--9hb"),  # noqa: RUF001 - an Arabic-Indic digit
    written("https://example.com/@10.0.0.5", "example.com"),
    written("https://example.com?@10.0.0.5/", "example.com"),
    written("https://example.com//10.0.0.5/", "example.com"),
    written("https://example.com/?url=https://10.0.0.5/", "example.com"),
    written("https://example.com/%0d%0aHost:%2010.0.0.5", "example.com"),
    written("https://example.com/".ljust(2048, "a"), "example.com"),
)

DISGUISED: Final = (
    disguised("https://１２７.０.０.１/"),  # noqa: RUF001 - full-width digits
    disguised("https://127。0。0。1/"),
    disguised("https://169．254．169．254/"),  # noqa: RUF001 - full-width stops
    disguised("https://𝟏𝟎.0.0.5/"),  # noqa: RUF001 - mathematical digits
    disguised("https://[0:0:0:0:0:0:0:1]/"),
    disguised("https://[0000:0000:0000:0000:0000:0000:0000:0000]/"),
    disguised("https://[::FFFF:10.0.0.5]/"),
    disguised("https://[0:0:0:0:0:ffff:a9fe:a9fe]:8443/"),
    disguised("https://169.254.169.254:8443/latest/meta-data/"),
    disguised("https://localhost/", "localhost"),
    disguised("https://LOCALHOST./", "localhost."),
    disguised("https://ｌｏｃａｌｈｏｓｔ/", "localhost"),  # noqa: RUF001 - full-width letters
    disguised("https://ⓛocalhost/", "localhost"),
    disguised("https://localhost.example/", "localhost.example"),
    disguised("https://10.0.0.5.example/", "10.0.0.5.example", "10.0.0.5"),
    disguised("https://metadata.google.internal/", "metadata.google.internal", "169.254.169.254"),
    disguised("https://kubernetes.default.svc/", "kubernetes.default.svc", "10.96.0.1"),
    disguised("https://host.docker.internal/", "host.docker.internal", "172.17.0.1"),
    disguised("https://рауоо.example./", "xn--80a2aafq.example.", "192.168.1.5"),  # noqa: RUF001 - Cyrillic
)

REFUSED: Final[tuple[EgressRow, ...]] = (
    # Addresses in the notations of inet_aton, which other programs read.
    refused("https://2130706433/", _NOT_FOUR),
    refused("https://4294967295/", _NOT_FOUR),
    refused("https://0/", _NOT_FOUR),
    refused("https://017700000001/", _NOT_FOUR),
    refused("https://0177.0.0.1/", _NOT_FOUR),
    refused("https://127.0.0.01/", _NOT_FOUR),
    refused("https://0x7f000001/", _NOT_FOUR),
    refused("https://0x7F.0.0.1/", _NOT_FOUR),
    refused("https://0xA9.0xFE.0xA9.0xFE/", _NOT_FOUR),
    refused("https://10.0x5/", _NOT_FOUR),
    refused("https://0x/", _NOT_FOUR),
    refused("https://127.1/", _NOT_FOUR),
    refused("https://127.0.1/", _NOT_FOUR),
    refused("https://169.16689662/", _NOT_FOUR),
    refused("https://169.0376.0xa9fe/", _NOT_FOUR),
    refused("https://127.0.0.256/", _NOT_FOUR),
    refused("https://127.0.0.1.0/", _NOT_FOUR),
    refused("https://example.123/", _NOT_FOUR),
    refused("https://127.0.0.1./", _NOT_FOUR),
    refused("https://169.254.169.254.:8443/", _NOT_FOUR),
    refused("https://93.184.216.34./", _NOT_FOUR),
    refused("https://127。0。0。1。/", _NOT_FOUR),
    refused("https://２１３０７０６４３３/", _NOT_FOUR),  # noqa: RUF001 - full-width digits
    refused("https://١٢٧.0.0.1/", _NOT_FOUR),
    refused("https://127..0.1/", _NO_NAME),
    # IPv6 and its brackets.
    refused("https://[fe80::1%25lo]/", _PERCENT),
    refused("https://[fe80::1%lo]/", _PERCENT),
    refused("https://[::1%251]/", _PERCENT),
    refused("https://[::1", _BRACKETS),
    refused("https://::1/", _BRACKETS),
    refused("https://[1::2::3]/", _BRACKETS),
    refused("https://[12345::1]/", _BRACKETS),
    refused("https://[::127.0.0.01]/", _BRACKETS),
    refused("https://[::ffff:0x7f.1]/", _BRACKETS),
    refused("https://[10.0.0.5]/", _BRACKETS),
    refused("https://[v1.fe80]/", _BRACKETS),
    refused("https://[]/", "url: "),
    refused("https://[::1].example/", _BRACKETS),
    refused("https://example.com[::1]/", _BRACKETS),
    refused("https://[::1]8443/", _BRACKETS),
    # What hides a host.
    refused("https://user@10.0.0.5/", _USER),
    refused("https://user:word@example.com/", _USER),
    refused("https://@example.com/", _USER),
    refused("https://:@example.com/", _USER),
    refused("https://example.com@10.0.0.5/", _USER),
    refused("https://example.com:443@10.0.0.5/", _USER),
    refused("https://a@b@example.com/", _USER),
    refused("https://example.com#@10.0.0.5/", "fragment"),
    refused("https://example.com/#", "fragment"),
    refused("https://example.com/#/hooks", "fragment"),
    refused("https://example.com\\@10.0.0.5/", _BLANK),
    refused("https:\\\\10.0.0.5\\", _BLANK),
    refused("https://example.com/\\..\\x", _BLANK),
    refused("https://10.0.0.5\t/", _BLANK),
    refused("https://exam\tple.com/", _BLANK),
    refused("ht\ntps://example.com/", _BLANK),
    refused("https://example.com/\r\nHost: 10.0.0.5", _BLANK),
    refused("\x00https://example.com/", _BLANK),
    refused(" https://example.com/", _BLANK),
    refused("https://example.com/ ", _BLANK),
    refused("https://example.com/\x7f", _BLANK),
    refused("https://example.com/\u0085", _BLANK),
    refused("https://example.com/\u2028", _BLANK),
    refused("https://exam\u00adple.com/", _BLANK),
    refused("https://exam\u200bple.com/", _BLANK),
    refused("https://example.com\u3000/", _BLANK),
    refused("https://%31%30.0.0.5/", _PERCENT),
    refused("https://%6cocalhost/", _PERCENT),
    refused("https://example.com%00.example/", _PERCENT),
    refused("https://example.com%2f@10.0.0.5/", _USER),
    refused("https://exam℀ple.com/", _MALFORMED),
    refused("https://example．com：443/", _MALFORMED),  # noqa: RUF001 - a full-width colon
    refused("https://faß.example/", "not all programs read alike"),
    refused("https://λόγος.example/", "not all programs read alike"),
    # Ports.
    refused("https://example.com:0/", "from 1 to 65535"),
    refused("https://example.com:00000/", "from 1 to 65535"),
    refused("https://example.com:65536/", _MALFORMED),
    refused("https://example.com:4294967739/", _MALFORMED),
    refused("https://example.com:+443/", _MALFORMED),
    refused("https://example.com:-443/", _MALFORMED),
    refused("https://example.com:4_43/", _MALFORMED),
    refused("https://example.com:https/", _MALFORMED),
    refused("https://example.com:0x1bb/", _MALFORMED),
    refused("https://example.com:４４３/", _MALFORMED),  # noqa: RUF001 - full-width digits
    refused("https://example.com:٤٤٣/", _MALFORMED),
    refused("https://example.com:443:80/", _MALFORMED),
    refused("https://example.com: 443/", _BLANK),
    # Schemes, and no host.
    refused("", _HTTPS),
    refused("example.com", _HTTPS),
    refused("//example.com/", _HTTPS),
    refused("http://example.com/", _HTTPS),
    refused("http://127.0.0.1/", _HTTPS),
    refused("http://localhost/", _HTTPS),
    refused("ftp://example.com/", _HTTPS),
    refused("file:///etc/passwd", _HTTPS),
    refused("gopher://127.0.0.1:6379/_FLUSHALL", _HTTPS),
    refused("httpss://example.com/", _HTTPS),
    refused("wss://example.com/", _HTTPS),
    refused("javascript:alert(1)", _HTTPS),
    refused("https", _HTTPS),
    refused("https:example.com", _NO_HOST),
    refused("https:/example.com/", _NO_HOST),
    refused("https:///example.com/", _NO_HOST),
    refused("https://:443/", _NO_HOST),
    refused("https://?example.com", _NO_HOST),
    # Names.
    refused("https://./", _NO_NAME),
    refused("https://example..com/", _NO_NAME),
    refused("https://.example.com/", _NO_NAME),
    refused("https://example.com../", _NO_NAME),
    refused("https://-a.example/", _NO_NAME),
    refused("https://a-.example/", _NO_NAME),
    refused("https://*.example/", _NO_NAME),
    refused("https://a;b.example/", _NO_NAME),
    refused("https://a,b.example/", _NO_NAME),
    refused("https://a'b.example/", _NO_NAME),
    refused("https://a b.example/", _BLANK),
    refused("https://xn--/", _NO_NAME),
    refused(f"https://{_LABEL}a.example/", _NO_NAME),
    refused(f"https://b{_LONGEST}/", _NO_NAME),
    refused(f"https://{'é' * 60}.example/", _NO_NAME),
    refused("https://example.com/".ljust(2049, "a"), "at most 2048"),
    refused("https://example.com/" + "é" * 400, "at most 2048"),
)

URLS: Final = WRITTEN + DISGUISED + REFUSED
