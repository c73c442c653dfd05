"""The same command as ``python -m noteflow_hooks.cli``, for where the script is not on the path."""

from __future__ import annotations

from noteflow_hooks.cli import main

if __name__ == "__main__":
    main()
