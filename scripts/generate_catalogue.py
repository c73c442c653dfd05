"""Generate the catalogue's files from the payload classes; with ``--check`` only exit with status 1 if one is stale.

These are ``schemas/<event type>.<version>.json``, ``asyncapi.yaml`` and ``openapi.yaml``, and the test kit's samples:
the payloads for Python, and signed for other languages ``conformance/samples.json``. With ``--release`` the schemas are
also copied to ``schemas/released/``, by which a test sees that only additions were made since the release.
"""

from __future__ import annotations

import argparse
import base64
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from noteflow_hooks import __version__
from noteflow_hooks.domain.catalogue import CATALOGUE, EventType
from noteflow_hooks.signing import DEFAULT_TOLERANCE_S
from noteflow_hooks.testing import PRIVATE_KEY, PUBLIC_KEY, SECRET
from noteflow_hooks.testing.samples import signed

ROOT: Final = Path(__file__).resolve().parent.parent
SCHEMAS: Final = ROOT / "schemas"
RELEASED: Final = SCHEMAS / "released"
PAYLOADS: Final = ROOT / "noteflow_hooks" / "testing" / "payloads.json"
SAMPLES: Final = ROOT / "conformance" / "samples.json"
#: The samples' ids and moment, which every receiver may fix its clock to.
_EVENT_ID: Final = "0192f3c1-5b1e-7c42-9d0a-3f6e1c2b7a91"
_DELIVERY_ID: Final = "0192f3c1-5b1e-7c42-9d0a-3f6e1c2b7a92"
_SIGNED_AT: Final = 1769860800
_INFO: Final = {
    "title": "NoteFlow Hooks",
    "version": __version__,
    "description": (
        "What NoteFlow Hooks posts to the endpoints of a workspace, one event a request, in the format noteflow. Others"
        " are in docs/formats.md, batches in docs/batches.md. Generated: see docs/events.md."
    ),
}
#: What every request has, in the order in which it is sent; the value is its description and its JSON Schema.
HEADERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "X-NoteFlow-Event": ("The event's type.", {"type": "string"}),
    "X-NoteFlow-Payload-Version": ("The version of the payload.", {"type": "integer", "minimum": 1}),
    "X-NoteFlow-Delivery": ("The delivery's id, the same on every attempt.", {"type": "string", "format": "uuid"}),
    "webhook-id": ("The event's id, the same on every attempt and at every endpoint.", {"type": "string"}),
    "webhook-timestamp": ("When this attempt was made, in Unix seconds.", {"type": "integer"}),
    "X-NoteFlow-Sequence": (
        "The event's number among its meeting's events; absent where it is about none.",
        {"type": "integer", "minimum": 1},
    ),
    "X-NoteFlow-Gap": (
        "With an order: how many earlier ones of the meeting were given up since the last one that was sent.",
        {"type": "integer", "minimum": 1},
    ),
    "X-NoteFlow-Out-Of-Order": (
        "With an order: true where a later one of the meeting has been sent before.",
        {"type": "string", "const": "true"},
    ),
    "X-NoteFlow-Signature": (
        "sha256= and the HMAC-SHA256 of the body; absent where no secret signs.",
        {"type": "string"},
    ),
    "webhook-signature": (
        "By Standard Webhooks: v1, and base64 for each live secret, v1a, and base64 for each live key pair.",
        {"type": "string"},
    ),
}
#: Not every request has these.
OPTIONAL_HEADERS: Final = (
    "X-NoteFlow-Sequence",
    "X-NoteFlow-Gap",
    "X-NoteFlow-Out-Of-Order",
    "X-NoteFlow-Signature",
    "webhook-signature",
)


def generate() -> dict[Path, str]:
    """Return the text of every generated file, by its path."""
    schemas = {
        SCHEMAS / _file(kind, version): json.dumps(kind.schema(version), indent=2, ensure_ascii=False) + "\n"
        for kind in CATALOGUE.values()
        for version in kind.versions
    }
    documents = {ROOT / "asyncapi.yaml": _yaml(asyncapi()), ROOT / "openapi.yaml": _yaml(openapi())}
    return schemas | documents | {PAYLOADS: _json(payloads()), SAMPLES: _json(signed_samples())}


def payloads() -> dict[str, dict[str, str]]:
    """Return every type's example as it is sent, by the version of its payload."""
    return {
        str(kind.name): {str(version): kind.example_text(version) for version in kind.versions}
        for kind in CATALOGUE.values()
    }


def signed_samples() -> dict[str, Any]:
    """Return a request for each example, as receivers in any language are tested with: by a secret, by a key pair."""
    vectors = [
        vector
        for name, versions in payloads().items()
        for version, text in versions.items()
        for vector in (
            _vector(name, version, text, signed_by=SECRET, verified_by=SECRET, scheme="both"),
            _vector(name, version, text, signed_by=PRIVATE_KEY, verified_by=PUBLIC_KEY, scheme="standard"),
        )
    ]
    return {"about": "Made by scripts/generate_catalogue.py; docs/testing.md says how it is read.", "vectors": vectors}


def _vector(name: str, version: str, text: str, *, signed_by: str, verified_by: str, scheme: str) -> dict[str, Any]:
    made = signed(name, text.encode(), version=int(version), signed_by=(signed_by,), now=_SIGNED_AT)
    event = dataclasses.replace(made, id=_EVENT_ID, delivery_id=_DELIVERY_ID)
    return {
        "name": f"{name}, version {version}, by {'a secret' if scheme == 'both' else 'a key pair'}",
        "event_type": name,
        "secrets": [verified_by],
        "scheme": scheme,
        "now": _SIGNED_AT,
        "tolerance_s": DEFAULT_TOLERANCE_S,
        "headers": event.headers,
        "body_base64": base64.b64encode(event.body).decode(),
        "expected": "ok",
    }


def _json(document: object) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3 document: one channel, and a message of each type that NoteFlow sends on it."""
    messages = {
        str(kind.name): {
            "name": str(kind.name),
            "summary": kind.description,
            "contentType": "application/json",
            "headers": {"$ref": "#/components/schemas/headers"},
            "payload": _payload(kind),
        }
        for kind in CATALOGUE.values()
    }
    operations = {
        _name(kind): {
            "action": "send",
            "channel": {"$ref": "#/channels/endpoint"},
            "summary": kind.description,
            "messages": [{"$ref": f"#/channels/endpoint/messages/{kind.name}"}],
            "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
        }
        for kind in CATALOGUE.values()
    }
    headers = {name: {"description": words} | schema for name, (words, schema) in HEADERS.items()}
    required = [name for name in HEADERS if name not in OPTIONAL_HEADERS]
    return {
        "asyncapi": "3.0.0",
        "info": _INFO,
        "defaultContentType": "application/json",
        "channels": {
            "endpoint": {
                "description": "An endpoint that a workspace has registered; its URL is the address.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": {"headers": {"type": "object", "properties": headers, "required": required}},
        },
    }


def openapi() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document, which has webhooks and no paths."""
    parameters = {
        name: {
            "name": name,
            "in": "header",
            "description": words,
            "required": name not in OPTIONAL_HEADERS,
            "schema": schema,
        }
        for name, (words, schema) in HEADERS.items()
    }
    return {
        "openapi": "3.1.0",
        "info": _INFO,
        "webhooks": {str(kind.name): {"post": _operation(kind)} for kind in CATALOGUE.values()},
        "components": {
            "parameters": parameters,
            "responses": {
                "taken": {"description": "The event is taken: it is not sent again."},
                "gone": {"description": "The endpoint wants nothing any more, and is disabled."},
                "failed": {"description": "Whatever else, a redirect too: the event is sent again later."},
            },
        },
    }


def main() -> int:
    """Write the generated files, or compare them; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something is out of date")
    parser.add_argument("--release", action="store_true", help="the schemas are a release's from now on")
    options = parser.parse_args()
    wanted = generate()
    if options.release:
        wanted |= {RELEASED / path.name: text for path, text in wanted.items() if path.parent == SCHEMAS}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], "utf-8")
        print(f"{path.relative_to(ROOT)}: {'out of date; run make catalogue' if options.check else 'written'}")
    return 1 if options.check and stale else 0


def _operation(kind: EventType) -> dict[str, Any]:
    answers = {"2XX": "taken", "410": "gone", "default": "failed"}
    return {
        "operationId": _name(kind),
        "summary": kind.description,
        **({"deprecated": True} if kind.deprecated else {}),
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in HEADERS],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _payload(kind)}}},
        "responses": {code: {"$ref": f"#/components/responses/{name}"} for code, name in answers.items()},
    }


def _payload(kind: EventType) -> dict[str, Any]:
    """Return what names the payload's schema, or its schemas where it has several versions."""
    places = [{"$ref": f"schemas/{_file(kind, version)}"} for version in reversed(kind.versions)]
    return places[0] if len(places) == 1 else {"oneOf": places}


def _file(kind: EventType, version: int) -> str:
    return f"{kind.name}.{version}.json"


def _name(kind: EventType) -> str:
    return str(kind.name).replace(".", "_")


class _Dumper(yaml.SafeDumper):
    """Writes each value where it stands: no anchors, and lists below their names."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        """Return True: what stands twice is written twice."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - PyYAML's signature
        """Indent lists, too."""
        super().increase_indent(flow, indentless=False)


def _yaml(document: dict[str, Any]) -> str:
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return f"# Generated by scripts/generate_catalogue.py from the payload classes.\n{text}"


if __name__ == "__main__":
    sys.exit(main())
