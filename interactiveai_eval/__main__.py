"""`python -m interactiveai_eval`; see `cli`."""
from __future__ import annotations

import sys


def _main() -> int:
    try:
        from .cli import main

        return main()
    except KeyboardInterrupt:
        # Before there was anything to stop: nobody wants to see where in our imports that was.
        if sys.stderr is not None:
            sys.stderr.write("error: interrupted\n")
        return 3


if __name__ == "__main__":
    sys.exit(_main())
