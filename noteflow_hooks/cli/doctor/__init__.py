"""`doctor`: whether what deliveries need is there. It changes nothing, and nothing that hangs holds it up."""

from noteflow_hooks.cli.doctor.command import doctor

__all__ = ["doctor"]
