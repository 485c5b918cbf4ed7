"""How a command ends: the exit codes, and what there is of a result when a run is stopped."""
from __future__ import annotations

from ..errors import RunStopped
from .console import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PASSED, CHECK_FAILED, USAGE, NOT_COMPLETED = 0, 1, 2, 3

EXIT_CODES = """\
exit codes:
  0  everything went through, and all checks passed
  1  a check failed, or an item or an evaluator did and no check says how many may; a run has no metric that
     --lower-is-better names, or an experiment(context) did not ask for an option
  2  the command line, a target, the data, the store or the checkpoint cannot be used (nothing was run), or no item is
     in the baseline, too
  3  could not complete: without checks an item or an evaluator failed, the run was stopped, something was not
     delivered, or a report or server could not be used
"""


def as_far_as_it_comes(run: Callable[..., Any], settings: dict[str, Any]) -> Any:
    """The result of `run(**settings)`, or as much of it as there is when the run is stopped."""
    try:
        return run(**settings)
    except (KeyboardInterrupt, SystemExit, RunStopped) as stop:
        result = getattr(stop, "result", None)
        if result is None:
            raise
        reason = "SIGTERM" if isinstance(stop, SystemExit) else str(stop) or type(stop).__name__
        say(f"error: the run was stopped ({reason}); this is what it has until then")
        return result.replaced(completed=False)
