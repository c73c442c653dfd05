"""`bench`: measures the whole system against a bare loop and an obvious Celery app, in ratios within one run.

On a machine that also does other things, only ratios between measurements made one after the other mean anything.
"""
