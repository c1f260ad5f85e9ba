"""The verbs of ``python -m training``: parse, call, print."""
