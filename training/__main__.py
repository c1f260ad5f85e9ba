"""``sim-perception``, also ``python -m training``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run a verb; Ctrl-C while it is being imported is a sentence, too."""
    try:
        from training.commands.cli import main as run

        run()
    except KeyboardInterrupt:
        print('stopped before it began', file=sys.stderr)
        sys.exit(130)


if __name__ == '__main__':
    main()
