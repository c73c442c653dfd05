"""The logs of `up` are rotated while their processes write on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noteflow_hooks.local.stack.rotation import KEPT, Rotation

if TYPE_CHECKING:
    from pathlib import Path


def test_a_log_that_has_grown_is_copied_aside_and_goes_on_empty(tmp_path: Path) -> None:
    """The process keeps its open file, and appends; the oldest copies go."""
    log, now = tmp_path / "worker-1.log", [0.0]
    rotation = Rotation(tmp_path, large=100, monotonic=lambda: now[0])
    with log.open("ab", buffering=0) as process:
        for number in range(KEPT + 2):
            process.write(b"%d" % number * 100)
            now[0] += 10
            rotation.look()
            process.write(b"next\n")
            assert log.read_bytes() == b"next\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "worker-1.log",
        *(f"worker-1.log.{number}" for number in range(1, KEPT + 1)),
    ]
    assert (tmp_path / "worker-1.log.1").read_bytes() == b"next\n" + b"4" * 100


def test_a_small_one_is_left_alone_and_none_is_looked_at_all_the_time(tmp_path: Path) -> None:
    """Looks are seconds apart."""
    log, now = tmp_path / "beat.log", [10.0]
    rotation = Rotation(tmp_path, large=100, monotonic=lambda: now[0])
    log.write_bytes(b"x" * 99)
    rotation.look()
    log.write_bytes(b"x" * 100)
    rotation.look()
    assert log.stat().st_size == 100
    now[0] += 10
    rotation.look()
    assert log.stat().st_size == 0
