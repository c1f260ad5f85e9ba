"""What a verb says before its bars move: lines on stderr."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sim_perception.extras import two_opencvs

logger = logging.getLogger('sim_perception')


class _Lines(logging.Handler):
    """Prints messages; rich's bars move aside for what goes to ``sys.stderr``."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message."""
        print(self.format(record), file=sys.stderr, flush=True)


@contextmanager
def telling(verb: str) -> Iterator[None]:
    """Say that a verb begins, and what the package says of what takes long."""
    handler, level = _Lines(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        logger.info('%s: loading ...', verb)
        if clash := two_opencvs():
            logger.warning('warning: %s', clash)
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
