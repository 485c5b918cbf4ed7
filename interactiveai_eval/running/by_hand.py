"""A run of a data set's item by hand: the caller's own code inside a span, in a trace that is linked to the item."""
from __future__ import annotations

from ..errors import ApiError, TransportError
from ..tracing.spans import CurrentSpan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..service.datasets import DatasetItemClient
    from ..tracing.spans import Span, Tracer
    from .delivery import ClientDelivery


def run_by_hand(
    item: DatasetItemClient,
    tracer: Tracer,
    delivery: ClientDelivery,
    *,
    run_name: str,
    run_metadata: Any,
    run_description: str | None,
) -> CurrentSpan:
    """What opens the span on entry, and links it before any code of the caller's runs; a link that fails is raised."""

    def open_span() -> Span:
        name = f"Dataset run: {run_name}"
        span = tracer.start(name, trace_context={"trace_id": tracer.ids.trace_id()}, input=item.input)
        where = {"dataset_item_id": item.id, "run_name": run_name, "dataset_id": item.dataset_id}
        span.update_trace(name=name, metadata=where)
        link = {
            "runName": run_name,
            "runDescription": tracer.masked(run_description),
            "metadata": tracer.masked(run_metadata),
            "datasetItemId": item.id,
            "traceId": span.trace_id,
        }
        try:
            delivery.send_link({name: value for name, value in link.items() if value is not None})
        except (ApiError, TransportError) as error:
            span.record_error(error)
            span.end()
            raise
        return span

    return CurrentSpan(open_span)
