"""The dashboard: what was delivered, in a browser. A client of the gRPC server: no database, no keys, no Celery."""
