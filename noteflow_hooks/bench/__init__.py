"""`bench`: the whole system measured against a bare loop and against the obvious Celery app, in ratios of one run.

Only ratios between measurements that lie side by side mean anything on a machine that does other things too.
"""
