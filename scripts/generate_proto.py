"""Generate the gRPC code from the proto; with ``--check`` only exit with status 1 if it is out of date.

protoc writes imports from its own root (``from noteflow.v1 import …``). They are rewritten to the modules' place in the
package, while the proto keeps the file name under which it is registered.
"""

from __future__ import annotations

import argparse
import sys
import sysconfig
import tempfile
from importlib.resources import files
from pathlib import Path

from google.rpc import status_pb2
from grpc_tools import protoc  # type: ignore[import-untyped]  # it has no types

ROOT = Path(__file__).resolve().parent.parent
PROTO_PATH = ROOT / "noteflow_hooks" / "rpc" / "proto"
PROTO = "noteflow/v1/noteflow.proto"
#: The only import of our own modules in the generated code.
IMPORT = "from noteflow.v1 import "


def generate() -> dict[Path, str]:
    """Return the text of every generated file, by its path."""
    with tempfile.TemporaryDirectory() as folder:
        scripts = Path(sysconfig.get_path("scripts"))
        status = protoc.main(
            [
                "protoc",
                f"--proto_path={PROTO_PATH}",
                f"--proto_path={files('grpc_tools') / '_proto'}",
                # google/rpc/status.proto, which comes with its generated code.
                f"--proto_path={Path(status_pb2.__file__).parents[2]}",
                f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
                f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
                f"--python_out={folder}",
                f"--grpc_python_out={folder}",
                f"--mypy_out=quiet:{folder}",
                f"--mypy_grpc_out=quiet:{folder}",
                PROTO,
            ]
        )
        if status != 0:
            raise SystemExit(f"protoc failed with status {status}")
        made = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        return {PROTO_PATH / path.relative_to(folder): _relocated(path.read_text("utf-8")) for path in made}


def main() -> int:
    """Write the generated files, or compare them; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something is out of date")
    check = parser.parse_args().check
    wanted = generate()
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        if not check:
            path.write_text(wanted[path], "utf-8")
        print(f"{path.relative_to(ROOT)}: {'out of date; run make proto' if check else 'written'}")
    return 1 if check and stale else 0


def _relocated(text: str) -> str:
    return text.replace(IMPORT, IMPORT.replace("noteflow.v1", "noteflow_hooks.rpc.proto.noteflow.v1"))


if __name__ == "__main__":
    sys.exit(main())
