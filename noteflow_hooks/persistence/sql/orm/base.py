"""The declarative base of the tables, their schema, and the columns that many of them have."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, DateTime, Float, ForeignKey, LargeBinary, MetaData, Text, Uuid, cast, text
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

SCHEMA = "noteflow"
#: The moment at which the transaction began, by the database's clock.
NOW = text("now()")


class ExactJson(UserDefinedType[str]):
    """PostgreSQL's ``json``, in and out as the very text: that text is what gets signed and sent."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
        """Return the column's type."""
        return "JSON"

    def bind_expression(self, bindvalue: Any) -> ColumnElement[Any]:  # noqa: ANN401 - SQLAlchemy's signature
        """Send text and let PostgreSQL check that it is JSON."""
        return cast(cast(bindvalue, Text), JSON)

    def column_expression(self, colexpr: Any) -> ColumnElement[Any]:  # noqa: ANN401 - SQLAlchemy's signature
        """Read the stored text, unparsed."""
        return cast(colexpr, Text)


class Base(DeclarativeBase):
    """The declarative base: one schema, constraints with names that migrations can rely on."""

    metadata = MetaData(
        schema=SCHEMA,
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        },
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        datetime: DateTime(timezone=True),
        uuid.UUID: Uuid(),
        str: Text(),
        bytes: LargeBinary(),
        float: Float(),
    }


def key() -> Mapped[uuid.UUID]:
    """Return the column of a random id that the database gives where none is given."""
    return mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))


def ordered_key() -> Mapped[uuid.UUID]:
    """Return the column of an id that grows with time."""
    return mapped_column(primary_key=True, server_default=text("noteflow.ordered_id()"))


def belongs_to(target: str, **options: Any) -> Mapped[Any]:  # noqa: ANN401 - handed on as they are
    """Return the column that names a row of ``target`` and goes with it."""
    return mapped_column(ForeignKey(f"{SCHEMA}.{target}", ondelete="CASCADE"), **options)
