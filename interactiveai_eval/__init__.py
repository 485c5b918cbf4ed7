"""Run experiments and batch evaluations of LLM applications: the InteractiveAI SDK's contract, standard library only.

`Interactive.local()` needs no server and no keys. Names are loaded when they are first used.
"""
from __future__ import annotations

from ._version import __version__ as __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .at_hand import get_client as get_client
    from .at_hand import observe as observe
    from .batch_model import BatchEvaluationResumeToken as BatchEvaluationResumeToken
    from .batch_model import BatchItemFailure as BatchItemFailure
    from .batch_model import EvaluatorInputs as EvaluatorInputs
    from .batch_result import BatchEvaluationResult as BatchEvaluationResult
    from .client import Interactive as Interactive
    from .client import InteractiveAI as InteractiveAI
    from .errors import AccessDeniedError as AccessDeniedError
    from .errors import ApiError as ApiError
    from .errors import ArgumentError as ArgumentError
    from .errors import CheckpointError as CheckpointError
    from .errors import ClosedError as ClosedError
    from .errors import ConfigError as ConfigError
    from .errors import DataError as DataError
    from .errors import EvalError as EvalError
    from .errors import FeatureUnavailable as FeatureUnavailable
    from .errors import MethodNotAllowedError as MethodNotAllowedError
    from .errors import NotFoundError as NotFoundError
    from .errors import RegressionError as RegressionError
    from .errors import ReplayError as ReplayError
    from .errors import RunStopped as RunStopped
    from .errors import StoreError as StoreError
    from .errors import TooManyFailuresError as TooManyFailuresError
    from .errors import TransportError as TransportError
    from .errors import UnauthorizedError as UnauthorizedError
    from .item_result import ExperimentItemResult as ExperimentItemResult
    from .model import DeliveryProblem as DeliveryProblem
    from .model import DeliveryReport as DeliveryReport
    from .model import Evaluation as Evaluation
    from .model import EvaluatorFailure as EvaluatorFailure
    from .model import EvaluatorStats as EvaluatorStats
    from .model import ItemFailure as ItemFailure
    from .rescoring import rescore as rescore
    from .result import ExperimentResult as ExperimentResult
    from .runner_context import RunnerContext as RunnerContext
    from .running.progress import ProgressDetails as ProgressDetails
    from .running.scoring import create_evaluator_from_autoevals as create_evaluator_from_autoevals
    from .service.datasets import DatasetClient as DatasetClient
    from .service.datasets import DatasetItemClient as DatasetItemClient
    from .tracing.propagation import propagate_attributes as propagate_attributes
    from .tracing.spans import Span as Span
    from .transports.base import Request as Request
    from .transports.base import Response as Response
    from .transports.base import Transport as Transport
    from .transports.fake import FakeTransport as FakeTransport
    from .transports.fault import FaultTransport as FaultTransport
    from .transports.local import LocalTransport as LocalTransport
    from .transports.record import RecordTransport as RecordTransport
    from .transports.record import ReplayTransport as ReplayTransport
    from .transports.remote import HTTPTransport as HTTPTransport
    from .transports.retry import RetryTransport as RetryTransport
    from .transports.server import LocalServer as LocalServer
    from .types import CompositeEvaluatorFunction as CompositeEvaluatorFunction
    from .types import EvaluatorFunction as EvaluatorFunction
    from .types import EvaluatorReturn as EvaluatorReturn
    from .types import ExperimentData as ExperimentData
    from .types import ExperimentItem as ExperimentItem
    from .types import LocalExperimentItem as LocalExperimentItem
    from .types import MapperFunction as MapperFunction
    from .types import MaskFunction as MaskFunction
    from .types import ObservationType as ObservationType
    from .types import RunEvaluatorFunction as RunEvaluatorFunction
    from .types import ScoreDataType as ScoreDataType
    from .types import SpanLevel as SpanLevel
    from .types import TaskFunction as TaskFunction
    from .types import TraceContext as TraceContext

_HOMES = {
    "at_hand": ("get_client", "observe"),
    "batch_model": ("BatchEvaluationResumeToken", "BatchItemFailure", "EvaluatorInputs"),
    "batch_result": ("BatchEvaluationResult",),
    "client": ("Interactive", "InteractiveAI"),
    "errors": (
        "AccessDeniedError",
        "ApiError",
        "ArgumentError",
        "CheckpointError",
        "ClosedError",
        "ConfigError",
        "DataError",
        "EvalError",
        "FeatureUnavailable",
        "MethodNotAllowedError",
        "NotFoundError",
        "RegressionError",
        "ReplayError",
        "RunStopped",
        "StoreError",
        "TooManyFailuresError",
        "TransportError",
        "UnauthorizedError",
    ),
    "item_result": ("ExperimentItemResult",),
    "model": (
        "DeliveryProblem",
        "DeliveryReport",
        "Evaluation",
        "EvaluatorFailure",
        "EvaluatorStats",
        "ItemFailure",
    ),
    "rescoring": ("rescore",),
    "result": ("ExperimentResult",),
    "runner_context": ("RunnerContext",),
    "running.progress": ("ProgressDetails",),
    "running.scoring": ("create_evaluator_from_autoevals",),
    "service.datasets": ("DatasetClient", "DatasetItemClient"),
    "tracing.propagation": ("propagate_attributes",),
    "tracing.spans": ("Span",),
    "transports.base": ("Request", "Response", "Transport"),
    "transports.fake": ("FakeTransport",),
    "transports.fault": ("FaultTransport",),
    "transports.local": ("LocalTransport",),
    "transports.record": ("RecordTransport", "ReplayTransport"),
    "transports.remote": ("HTTPTransport",),
    "transports.retry": ("RetryTransport",),
    "transports.server": ("LocalServer",),
    "types": (
        "CompositeEvaluatorFunction",
        "EvaluatorFunction",
        "EvaluatorReturn",
        "ExperimentData",
        "ExperimentItem",
        "LocalExperimentItem",
        "MapperFunction",
        "MaskFunction",
        "ObservationType",
        "RunEvaluatorFunction",
        "ScoreDataType",
        "SpanLevel",
        "TaskFunction",
        "TraceContext",
    ),
}
_home_of = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted([*_home_of, "__version__"])


def _module(home: str) -> Any:
    """The module of that name; import statements stand in full, so that freezing tools see them."""
    if home == "at_hand":
        from . import at_hand as module
    elif home == "batch_model":
        from . import batch_model as module  # type: ignore[no-redef]
    elif home == "batch_result":
        from . import batch_result as module  # type: ignore[no-redef]
    elif home == "client":
        from . import client as module  # type: ignore[no-redef]
    elif home == "errors":
        from . import errors as module  # type: ignore[no-redef]
    elif home == "model":
        from . import model as module  # type: ignore[no-redef]
    elif home == "rescoring":
        from . import rescoring as module  # type: ignore[no-redef]
    elif home == "result":
        from . import result as module  # type: ignore[no-redef]
    elif home == "runner_context":
        from . import runner_context as module  # type: ignore[no-redef]
    elif home == "running.progress":
        from .running import progress as module  # type: ignore[no-redef]
    elif home == "running.scoring":
        from .running import scoring as module  # type: ignore[no-redef]
    elif home == "service.datasets":
        from .service import datasets as module  # type: ignore[no-redef]
    elif home == "tracing.propagation":
        from .tracing import propagation as module  # type: ignore[no-redef]
    elif home == "tracing.spans":
        from .tracing import spans as module  # type: ignore[no-redef]
    elif home == "transports.base":
        from .transports import base as module  # type: ignore[no-redef]
    elif home == "transports.fake":
        from .transports import fake as module  # type: ignore[no-redef]
    elif home == "transports.fault":
        from .transports import fault as module  # type: ignore[no-redef]
    elif home == "transports.record":
        from .transports import record as module  # type: ignore[no-redef]
    elif home == "transports.local":
        from .transports import local as module  # type: ignore[no-redef]
    elif home == "transports.remote":
        from .transports import remote as module  # type: ignore[no-redef]
    elif home == "transports.retry":
        from .transports import retry as module  # type: ignore[no-redef]
    elif home == "transports.server":
        from .transports import server as module  # type: ignore[no-redef]
    else:
        from . import types as module  # type: ignore[no-redef]
    return module


def __getattr__(name: str) -> Any:
    home = _home_of.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_home_of])
