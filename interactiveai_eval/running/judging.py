"""Evaluators of something that is there already: called side by side with copies of their own, outside of any span."""
from __future__ import annotations

from ..errors import is_a
from ..model import Evaluation, EvaluatorFailure
from ..tracing.context import current
from .calls import chosen, own_arguments
from .engine import CANCELLED, Call, Calls
from .failures import Failed, cancelled_failure, failure_of, overran, timeout_failure
from .measures import EvaluatorRun
from .scoring import evaluations_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextvars import Context
    from typing import Any

    from .calls import UserFunction
    from .groups import ItemCall


class Judges:
    """Calls user functions in copies of `context`; `stop(error)` is told of a KeyboardInterrupt out of one."""

    def __init__(
        self, context: Context, *, stop: Callable[[BaseException], None], timeout_seconds: float | None
    ) -> None:
        self._context = context.copy()  # changed here once instead of for each call: changing one costs most
        self._context.run(current.set, None)
        self._stop = stop
        self._timeout_seconds = timeout_seconds

    def call(
        self, function: UserFunction, values: Mapping[str, Any], *, stays_here: bool = False, copies: bool = True
    ) -> Call:
        """A call with copies of its own, unless nobody else has the values; in a context without a current span."""
        return Call(
            function.function,
            *(own_arguments if copies else chosen)(function, values),
            context=self._context.copy(),
            is_coroutine=function.is_coroutine,
            timeout_seconds=self._timeout_seconds,
            stays_here=stays_here,
        )

    async def ask(
        self,
        calls: Iterable[tuple[UserFunction, Call]],
        *,
        first: int = 0,
        made: ItemCall | None = None,
    ) -> list[tuple[EvaluatorRun, list[Evaluation], EvaluatorFailure | None]]:
        """What each of the calls comes to, those of evaluators at the positions from `first` on.

        `made` is the item call that has made them elsewhere, if one has.
        Raises Failed when the run was stopped meanwhile.
        """
        pairs, found = list(calls), []
        if made is None:
            await Calls([call for _, call in pairs])
        else:
            made.answer([call for _, call in pairs])
        for position, (function, call) in enumerate(pairs, first):
            if call.ending == CANCELLED:
                raise Failed("cancelled", cancelled_failure("its evaluators"))
            evaluations, failure = judged(function, call)
            if call.error is not None and is_a(call.error, KeyboardInterrupt):
                self._stop(call.error)
                raise Failed("cancelled", failure_of(call.error))
            found.append((EvaluatorRun(position, call.seconds, evaluations, failure), evaluations, failure))
        return found


def judged(function: UserFunction, call: Call) -> tuple[list[Evaluation], EvaluatorFailure | None]:
    """What a finished call of an evaluator amounts to: evaluations, or the failure of that evaluator."""
    if call.error is None and call.timeout_seconds is None and type(call.value) is Evaluation:  # as of most
        return [call.value], None
    if overran(call):
        failure = timeout_failure(function.name, call)
    elif call.ending == CANCELLED:
        failure = cancelled_failure(function.name)
    elif call.error is not None:
        failure = failure_of(call.error)
    else:
        try:
            return evaluations_from(call.value, function.name), None
        except BaseException as error:
            # Not ours to mend: what the evaluator returned is no evaluation, or its own code failed, whatever with.
            call.error = error
            failure = failure_of(error)
    return [], EvaluatorFailure(
        evaluator=function.name,
        error_type=failure.error_type,
        message=failure.message,
        traceback=failure.traceback,
    )
