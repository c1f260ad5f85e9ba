"""The verbs of ``python -m training``, one thin file each: parse, call, print."""
