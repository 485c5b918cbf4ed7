"""The context that a continuous-integration runner hands to `experiment(context)`: a client, and defaults for the run.

The names are those of the CI action of the Langfuse family, whose scripts work with this package's context too.
"""
from __future__ import annotations

from .client import Interactive
from .errors import ArgumentError, DataError
from .model import ExperimentRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FunctionType
    from typing import Any

    from .result import ExperimentResult


class RunnerContext:
    """A client with the data, names and metadata of this run: what the call says itself wins.

    `dataset_version` goes into the run's metadata, where there is one.
    """

    def __init__(
        self,
        *,
        client: Interactive,
        data: Any = None,
        dataset_version: Any = None,
        metadata: Mapping[str, Any] | None = None,
        name: str | None = None,
        run_name: str | None = None,
    ) -> None:
        self.client = client
        self.data = data
        self.dataset_version = dataset_version
        self.metadata = metadata
        self.name = name
        self.run_name = run_name

    def run_experiment(self, *, task: Callable[..., Any], **settings: Any) -> ExperimentResult:
        """`Interactive.run_experiment` with its parameters; metadata is merged key by key.

        Raises ArgumentError (a ValueError) that names `data` or `name` where neither call nor context has it.
        """
        return self.client.run_experiment(task=task, **self._filled(settings))

    async def run_experiment_async(self, *, task: Callable[..., Any], **settings: Any) -> ExperimentResult:
        """Like `run_experiment`, awaited."""
        return await self.client.run_experiment_async(task=task, **self._filled(settings))

    def _filled(self, settings: dict[str, Any]) -> dict[str, Any]:
        version = settings.pop("_dataset_version", None)
        version = self.dataset_version if version is None else version
        filled = {**settings}
        for name in ("name", "run_name", "data"):
            if filled.get(name) is None:
                filled[name] = getattr(self, name)
        for name in ("name", "data"):
            if filled[name] is None:
                raise ArgumentError(name, None, f"give {name}= in the call, or to the RunnerContext")
        metadata = {**(self.metadata or {}), **(filled.get("metadata") or {})}
        if version is not None:
            moment = version.isoformat() if hasattr(version, "isoformat") else str(version)
            metadata.setdefault("dataset_version", moment)
        filled["metadata"] = metadata or None
        return filled


def _with_defaults(function: FunctionType, *names: str) -> FunctionType:
    """What `inspect.signature` shows: the same parameters, with a default for what the context fills in."""
    shown = type(function)(function.__code__, function.__globals__, function.__name__)
    shown.__kwdefaults__ = {**(function.__kwdefaults__ or {}), **dict.fromkeys(names)}
    shown.__annotations__ = function.__annotations__
    return shown


for _method in (RunnerContext.run_experiment, RunnerContext.run_experiment_async):
    _method.__wrapped__ = _with_defaults(Interactive.run_experiment, "name", "data")  # type: ignore


class ToldContext(RunnerContext):
    """The context of a command line, whose `options` it was made of: an experiment that passes over one is refused.

    One that looks at what the context has may well make its own of it, such as a name with something added.
    """

    def __init__(self, options: Mapping[str, Any], **given: Any) -> None:
        self._options = options
        self._seen: set[str] = set()
        super().__init__(**given)

    def __getattribute__(self, name: str) -> Any:
        if name in ("name", "run_name", "data", "metadata"):
            self._seen.add(name)
        return super().__getattribute__(name)

    def passed_over(self) -> list[ArgumentError]:
        """What there is to say, at the end, of options that neither the experiment nor its call has looked at."""
        return [self._problem(name, "had no effect: experiment(context) did not ask for it") for name in self._unseen()]

    def _filled(self, settings: dict[str, Any]) -> dict[str, Any]:
        for name in self._unseen():
            if settings.get(name) is not None and name != "metadata":  # to which the call's own is added
                raise self._problem(name, "experiment(context) says this itself, in its call")
        return super()._filled(settings)

    def _unseen(self) -> list[str]:
        return [name for name, told in self._options.items() if told is not None and name not in self._seen]

    def _problem(self, name: str, fix: str) -> ArgumentError:
        return ArgumentError("--" + name.replace("_", "-"), self._options[name], fix)


def run_with_context(experiment: Callable[..., Any], context: RunnerContext) -> Any:
    """The result of `experiment(context)`, plain or async.

    Raises DataError where it gives back no result, ArgumentError where its call says what an option says.
    """
    result = experiment(context=context)
    if hasattr(result, "__await__"):
        import asyncio

        async def finished() -> Any:
            return await result

        result = asyncio.run(finished())
    if not isinstance(result, ExperimentRecord):
        kind = type(result).__name__
        raise DataError(f"experiment(context) gave back {kind}; it must return the result of context.run_experiment")
    return result
