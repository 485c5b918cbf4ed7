"""What the results of both kinds of runs offer: figures, comparison, checks, reports.

The work is done in `reporting`; nothing of it is loaded before it is asked for.
"""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from os import PathLike
    from typing import Any

    from .model import ExperimentRecord
    from .reporting.checks import CheckReport
    from .reporting.comparison import Comparison
    from .reporting.summary import Summary


def _record_of(argument: str, result: Any) -> ExperimentRecord:
    if not isinstance(result, Judged):
        from .errors import ArgumentError

        raise ArgumentError(argument, result, "must be a result, of a run or loaded: ExperimentResult.load(path)")
    return result._record()


class Judged:
    """A result that can be judged; a class of results says with `_record` what there is to judge."""

    __slots__ = ()

    def _record(self) -> ExperimentRecord:
        raise TypeError(f"{type(self).__name__} must define _record()")

    def summary(self, *, reduce: str = "mean", interval: str = "t", seed: int = 0) -> Summary:
        """The run in figures: `.metrics` maps names to `Estimate` (mean or rate, 95 % interval, quantiles, shares).

        Values of an item's repetitions become one first, as `reduce` says: "mean", "median", "majority", "pass_at(k)"
        or "pass_all(k)". Rates have Wilson's interval, means Student's t, or interval="bootstrap", drawn by `seed`.
        """
        from .reporting.summary import summarize

        return summarize(self._record(), reduce=reduce, interval=interval, seed=seed)

    def compare(
        self,
        baseline: Judged,
        *,
        tolerance: float = 0.0,
        lower_is_better: Collection[str] = (),
        reduce: str = "mean",
        seed: int = 0,
    ) -> Comparison:
        """This run against `baseline`, paired by item id: deltas with intervals and p values, and each item's change.

        Values that differ by `tolerance` at most count as equal; `lower_is_better` names metrics such as a cost.
        """
        from .reporting.comparison import compare

        return compare(
            self._record(),
            _record_of("baseline", baseline),
            tolerance=tolerance,
            lower_is_better=lower_is_better,
            reduce=reduce,
            seed=seed,
        )

    def check(
        self,
        *checks: str,
        baseline: Judged | None = None,
        tolerance: float = 0.0,
        lower_is_better: Collection[str] = (),
        reduce: str = "mean",
    ) -> CheckReport:
        """Whether the run is good enough: `.passed`, and `.reasons` why not.

        A check is such as "accuracy >= 0.9", "accuracy.low > 80%", "accuracy.delta >= -0.02" (with a baseline),
        "tone[rude] <= 1%" or "failure_rate <= 0.01"; see `reporting/checks.py`. What cannot be found out fails.
        Raises ArgumentError for a check that cannot be read, before anything is counted, and for none.
        """
        from .reporting.checks import check

        return check(
            self._record(),
            checks,
            baseline=None if baseline is None else _record_of("baseline", baseline),
            tolerance=tolerance,
            lower_is_better=lower_is_better,
            reduce=reduce,
            result=self,
        )

    def raise_for_checks(self, *checks: str, baseline: Judged | None = None, **settings: Any) -> None:
        """Raise RegressionError, with this result, for the checks that fail; see `check`."""
        self.check(*checks, baseline=baseline, **settings).raise_for_checks()

    def save(
        self,
        path: str | PathLike[str],
        *,
        baseline: Judged | None = None,
        checks: Iterable[str] = (),
        raw: bool = False,
    ) -> None:
        """Write the result to a file, whose extension says how.

        `.json` (and `.jsonl`, for experiments) keep everything for `load`; `.csv` has one row for each item; `.html`,
        `.md`, `.txt` and `.xml` (JUnit) are reports, with the comparison and the checks that are asked for.
        `raw` leaves texts of a CSV as they are, also those that a spreadsheet program would take for formulas.
        The file appears in one step with mode 0600; an older one stays whole when anything fails.
        Raises ArgumentError for another extension and for checks that cannot be read, OSError.
        """
        from ._atomic import write_atomically
        from .reporting.checks import parse_checks
        from .reporting.files import format_for

        target, render = format_for(path)
        known = parse_checks(checks)
        before = None if baseline is None else _record_of("baseline", baseline)
        write_atomically(target, render([self._record()], baseline=before, checks=known, raw=raw))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from .reporting.notebook import render_notebook

        return render_notebook(self._record())
