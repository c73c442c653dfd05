"""The store in PostgreSQL, through SQLAlchemy."""
