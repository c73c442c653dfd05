"""Where things are kept: PostgreSQL through SQLAlchemy, and memory; both satisfy the ports of the domain."""
