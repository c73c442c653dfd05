"""Which ports a POST may reach: 80, 443 and the unprivileged ones, without those of well-known other services.

A TLS handshake and a POST are enough to disturb some of these services, and the way in which a connection fails tells
whether they are there. The operator's list, where there is one, replaces the built-in rule.
"""

from __future__ import annotations

import re
from typing import Final

from noteflow_hooks.errors import InvalidInputError

#: HTTP's own ports, the only ones below 1024 that are allowed.
_WEB: Final = frozenset({80, 443})
_UNPRIVILEGED: Final = range(1024, 65_536)
_HIGHEST: Final = 65_535
_RANGE: Final = re.compile(r"([0-9]{1,5})(?:\s*-\s*([0-9]{1,5}))?")

#: Services on well-known ports from 1024 on that take no webhooks. None is above 32767: from there on systems hand out
#: ephemeral ports. Ports that web servers use as well, such as 8080, 8443 and 9000, are not here.
_SERVICES: Final = {
    "SOCKS": (1080,),
    "Java RMI": (1098, 1099),
    "IBM MQ": (1414,),
    "SQL Server": (1433, 1434),
    "Oracle": (1521, 2483, 2484),
    "PPTP": (1723,),
    "MQTT": (1883, 8883),
    "NFS": (2049,),
    "ZooKeeper": (2181, 2281, 2888, 3888),
    "SSH": (2222,),
    "Docker": (2375, 2376, 2377, 4243, 7946),
    "etcd": (2379, 2380),
    "Firebird": (3050,),
    "HTTP proxies": (3128,),
    "iSCSI": (3260,),
    "LDAP": (3268, 3269),
    "Apple Remote Desktop": (3283,),
    "MySQL": (3306, 6033),
    "RDP": (3389,),
    "Subversion": (3690,),
    "ManageSieve": (4190,),
    "NATS": (4222, 6222, 8222),
    "Erlang": (4369,),
    "Nomad": (4646, 4647, 4648),
    "Radmin": (4899,),
    "Logstash": (5044,),
    "SIP": (5060, 5061),
    "XMPP": (5222, 5269),
    "PostgreSQL": (5432, 5433, 6432),
    "Redshift": (5439,),
    "Flower and adb": (5555,),
    "Kibana": (5601,),
    "pcAnywhere": (5631,),
    "AMQP": (5671, 5672, 15_671, 15_672, 25_672),
    "Hazelcast": (5701,),
    "VNC": (5800, 5900, 5901, 5902, 5903),
    "TeamViewer": (5938,),
    "CouchDB": (5984, 6984),
    "WinRM": (5985, 5986),
    "X11": tuple(range(6000, 6008)),
    "Spark": (6066, 7077),
    "Redis": (6379, 6380, 16_379, 26_379),
    "Kubernetes": (6443, 10_250, 10_255, 10_256, 10_257, 10_259, 16_443),
    "SANE": (6566,),
    "Pulsar": (6650, 6651),
    "IRC": (6665, 6666, 6667, 6668, 6669, 6697),
    "Cassandra": (7000, 7001, 7199, 9042, 9142, 9160),
    "Neo4j": (7473, 7474, 7687),
    "AJP": (8009,),
    "Hadoop": (8020, 9870),
    "InfluxDB": (8086,),
    "StatsD": (8125,),
    "ActiveMQ": (8161,),
    "Vault": (8200, 8201),
    "Consul": (8300, 8301, 8302, 8500, 8501, 8502, 8503, 8600),
    "ArangoDB": (8529,),
    "Solr": (8983,),
    "Tor": (9050, 9051),
    "Kafka": (9092, 9093, 9094),
    "printers and node exporters": (9100,),
    "Elasticsearch": (9200, 9300),
    "Git": (9418,),
    "Splunk": (9997,),
    "Amanda": (10_080,),
    "Ignite": (10_800,),
    "Memcached": (11_211,),
    "Beanstalk": (11_300,),
    "Milvus": (19_530,),
    "CockroachDB": (26_257,),
    "MongoDB": (27_017, 27_018, 27_019),
    "RethinkDB": (28_015, 29_015),
}
#: Each refused port, and what it is known for.
KNOWN_SERVICES: Final = {port: service for service, ports in _SERVICES.items() for port in ports}


class Ports:
    """The ports that may be dialled."""

    def __init__(self, text: str = "") -> None:
        """Take a list such as ``443,8443,9000-9100``; empty means the built-in rule.

        InvalidInputError names the first part that is wrong.
        """
        self._listed = tuple(_range(part.strip()) for part in text.split(",")) if text.strip() else None

    def permits(self, port: int) -> bool:
        """Tell whether the port may be dialled."""
        if self._listed is not None:
            return any(port in each for each in self._listed)
        return port in _WEB or (port in _UNPRIVILEGED and port not in KNOWN_SERVICES)

    def refusal(self, port: int) -> str:
        """Return one line for whoever asked for the port: that it may not be dialled, and which ports may."""
        service = KNOWN_SERVICES.get(port) if self._listed is None else None
        named = f"port {port} ({service})" if service is not None else f"port {port}"
        return f"{named} is not allowed; allowed are {self}"

    def __str__(self) -> str:
        """Return which ports are allowed, in words."""
        if self._listed is None:
            return "443, 80 and 1024 to 65535, without the ports of well-known other services"
        return ", ".join(str(each[0]) if len(each) == 1 else f"{each[0]}-{each[-1]}" for each in self._listed)


def _range(text: str) -> range:
    match = _RANGE.fullmatch(text)
    first = int(match[1]) if match is not None else 0
    last = int(match[2] or match[1]) if match is not None else 0
    if not 1 <= first <= last <= _HIGHEST:
        raise InvalidInputError("egress_ports", f"{text!r} is no port from 1 to 65535 and no range such as 9000-9100")
    return range(first, last + 1)
