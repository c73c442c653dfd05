"""The Celery side: ``celery -A workers.app worker`` delivers, ``… beat`` keeps time for the relay and the sweep."""
