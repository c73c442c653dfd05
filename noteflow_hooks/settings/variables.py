"""Variables of the environment and of ``.env``, as all settings are read and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Self

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from noteflow_hooks.errors import SettingsError
from noteflow_hooks.mail.smtp_url import SmtpUrlError
from noteflow_hooks.redis_url import RedisUrlError

PREFIX: Final = "NOTEFLOW_HOOKS_"
#: It is looked for in the folder that a program runs in.
ENV_FILE: Final = Path(".env")


class Variables(BaseSettings):
    """Variables of the environment and of ``.env``. Each field's description says what it may hold.

    A field that may hold a password or a key has ``repr=False``: nothing shows its value, not even an error.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def load(cls, **overrides: Any) -> Self:  # noqa: ANN401 - any field's value
        """Read the environment and ``.env``; raise SettingsError with one line for the first bad value."""
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise SettingsError(cls._line(error)) from None
        except UnicodeDecodeError as error:
            raise not_text(error) from None

    @classmethod
    def problems(cls) -> list[str]:
        """Return a line for each bad value of the environment and ``.env``, and of what these name."""
        try:
            cls()
        except ValidationError as error:
            return [cls._line(error, place) for place in range(error.error_count())]
        try:
            cls.load()
        except SettingsError as error:
            return [str(error)]
        return []

    @classmethod
    def _line(cls, error: ValidationError, place: int = 0) -> str:
        first = error.errors()[place]
        name = str(first["loc"][0])
        field = cls.model_fields[name]
        value = repr(first["input"]) if field.repr else "a value that is not shown here"
        problem = first.get("ctx", {}).get("error")
        if isinstance(problem, RedisUrlError | SmtpUrlError):
            value = f"{value}: {problem}"
        return f"{cls.variable(name)} is {value}; it may hold {field.description}"

    @classmethod
    def variable(cls, name: str) -> str:
        """Return the variable's name that a field is read from."""
        return f"{cls.model_config['env_prefix']}{name.upper()}"


def not_text(error: UnicodeDecodeError) -> SettingsError:
    """Return what to raise for an ``.env`` that is not UTF-8."""
    return SettingsError(f"{ENV_FILE.absolute()} is not UTF-8 text: its byte {error.start} can't be read as such")
