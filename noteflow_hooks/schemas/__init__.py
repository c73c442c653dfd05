"""Checks payloads by JSON Schema: the one place that imports the library behind :class:`SchemaChecker`."""

from noteflow_hooks.schemas.checker import JsonSchemaChecker

__all__ = ["JsonSchemaChecker"]
