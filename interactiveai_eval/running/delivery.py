"""How a client delivers: one outbox for what belongs to no run, emptied at the end of the interpreter at the latest."""
from __future__ import annotations

import os
from _weakref import ref

from .._log import warn
from .._version import __version__
from ..errors import ApiError, TransportError
from ..model import DeliveryReport
from ..tracing.otlp import CONTENT_TYPE, encode_export, encode_span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from .._clock import Clock
    from ..config import Config
    from ..service.api import Api, Rejection
    from ..tracing.spans import Span
    from .outbox import Outbox
    from .spool import Spool

SDK_NAME = "interactiveai-sdk"
# How long the end of the interpreter waits for what is still to be delivered.
EXIT_SECONDS = 5.0


class ClientDelivery:
    """Takes and delivers the spans and scores of one client that belong to no run, and makes the outboxes of its runs.

    It does not know the client: a span or the thread that sends keep this alive, and no client that nobody holds.
    """

    def __init__(self, config: Config, api: Api, clock: Clock) -> None:
        self._config = config
        self._api = api
        self._clock = clock
        from . import loops, outbox, parcels  # noqa: F401  (by now: what ends in a garbage collection must not import)

        self._outboxes: dict[int, Outbox] = {}  # by the process that it and its threads belong to: this one's alone
        self._closed = False
        self._warned = False
        self._about = {"environment": config.environment, "release": config.release}  # what spans say of their origin
        self._spool: Spool | None = None
        if config.spool is not None:
            from .spool import Spool

            self._spool = Spool(config.spool, {"server": config.base_url, **self._about}, clock)

    def add_span(self, span: Span) -> None:
        """Take a span that has ended."""
        self._add("spans", span.id, span.trace_id, spans=[(span.id, encode_span(span))])

    def add_score(self, body: dict[str, Any]) -> None:
        """Take the body of a score."""
        self._add("scores", body["id"], body.get("traceId"), scores=[body])

    def skip_score(self, id: str, reason: str) -> None:
        """Take note of a score that is never sent."""
        self._queue().count("scores", "skipped", id, reason)

    def flush(self, deadline: float | None) -> DeliveryReport:
        """Deliver what waits, until `deadline`; what became of everything so far."""
        outbox = self._own_outbox()
        return DeliveryReport() if outbox is None else outbox.flush(deadline)

    def close(self, deadline: float) -> DeliveryReport:
        """`flush`, and take nothing any more."""
        self._closed = True
        outbox = self._own_outbox()
        return DeliveryReport() if outbox is None else outbox.close(deadline)

    def silence(self, trace_id: str | None) -> str:
        """Why what belongs to this trace, or to none, is not sent; "" where it is."""
        if not self._config.tracing_enabled:
            return "tracing is off"
        return "" if trace_id is None or self._is_sampled(trace_id) else "the trace is not sampled"

    def _is_sampled(self, trace_id: str) -> bool:
        """Decided by the trace's id, so that all its parts agree."""
        rate = self._config.sample_rate
        if rate >= 1.0:
            return True
        try:
            return int(trace_id[16:], 16) < rate * 2**64
        except ValueError:
            return True  # a score on a trace of somebody else's, which is there or not without our doing

    def outbox_of_run(self) -> Outbox:
        """An outbox for a run: what is pending at its end passes to the client's own, which tries it again."""
        return self.new_outbox(heir=self._queue)

    def new_outbox(
        self, about: Mapping[str, Any] | None = None, *, heir: Callable[[], Outbox] | None = None
    ) -> Outbox:
        """An outbox that sends to this client's server.

        `about` says what comes from a spool, of another process; what of it is left stays where it was.
        """
        from .flushing import End
        from .outbox import Outbox

        origin = self._about if about is None else about
        end = End(self._clock)
        api = self._api.used_by(end.moment)
        outbox = Outbox(
            lambda spans: self._send_spans(api, spans, origin),
            api.send_scores,
            lambda bodies: api.send_links(bodies, outbox.note_link),
            self._clock,
            end=end,
            send_each_score=None if api.batches_scores else api.send_each_score,
            scores_a_request=None if api.batches_scores else 1,
            flush_at=self._config.flush_at,
            flush_interval_seconds=self._config.flush_interval_seconds,
            max_bytes=self._config.max_batch_bytes,
            spool=self._spool if about is None else None,
            heir=heir,
        )
        return outbox

    def flush_at_exit(self) -> None:
        """At the end of the interpreter: deliver what nobody has delivered, in bounded time."""
        if not self._closed:
            report = self.flush(self._clock.monotonic() + EXIT_SECONDS)
            if report.pending:
                what = f"{self._config.base_url}: {report.pending} scores and spans"
                warn(f"{what} could not be delivered before the interpreter ended{self.whereabouts(report)}")

    @staticmethod
    def whereabouts(report: DeliveryReport) -> str:
        """Where what is pending is, as the end of a sentence."""
        _, found, spool = report.problems[-1].reason.rpartition("; kept in the spool ")
        return f"; they are in the spool {spool}" if found else ""

    def _add(self, kind: str, id: str, trace_id: str | None, **content: Any) -> None:
        from threading import main_thread

        from .loops import running_loop
        from .outbox import warn_of_end
        from .parcels import Parcel

        if self._closed:
            warn_of_end(kind, id)
            return
        queue, reason = self._queue(), self.silence(trace_id)
        if reason:
            self.warn_of_silence()
            queue.count(kind, "skipped", id, reason)
        else:
            queue.put(Parcel(**content), may_wait=running_loop() is None)
            if not main_thread().is_alive():  # the interpreter ends, and `_flush_at_exit` may have been called
                queue.flush(self._clock.monotonic() + EXIT_SECONDS)
        if self._closed:  # meanwhile, and perhaps before there was a queue
            queue.close(self._clock.monotonic() + EXIT_SECONDS)

    def send_link(self, body: Mapping[str, Any]) -> None:
        """Link an item to a trace now, unless its trace is not sent; what becomes of the link is counted."""
        trace_id, item_id, counts = body["traceId"], body["datasetItemId"], self._queue().counts
        reason = self.silence(trace_id)
        if reason:
            self._queue().count("links", "skipped", trace_id, reason, item_id)
            return
        try:
            self._api.create_dataset_run_item(body)
        except (ApiError, TransportError) as error:
            counts.problem("links", "rejected", trace_id, str(error), item_id)
            raise
        counts.add("links", "acknowledged")

    def warn_of_silence(self) -> None:
        """Say, once for a client, that tracing is off, if it is."""
        if not (self._config.tracing_enabled or self._warned):
            self._warned = True
            warn("tracing is disabled: spans, links and scores of this client are not sent, only counted as skipped")

    def _own_outbox(self) -> Outbox | None:
        """The outbox, save in a forked child: its thread is not there, and what is in it the parent delivers."""
        return self._outboxes.get(os.getpid())

    def _queue(self) -> Outbox:
        """The outbox of this process; without a lock, as an `Entrance` has none: the first that is there is taken."""
        outbox = self._own_outbox()
        if outbox is None:
            import atexit

            made = self.new_outbox()
            outbox = self._outboxes.setdefault(os.getpid(), made)
            if outbox is made:
                self._outboxes = {os.getpid(): made}  # what a child has of its parent's goes
                atexit.register(_flush_at_exit, ref(self))
                _at_end_of_worker(ref(self))
        return outbox

    def _send_spans(self, api: Api, spans: list[bytes], origin: Mapping[str, Any]) -> list[Rejection]:
        resource = {
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": "interactiveai_eval",
            "telemetry.sdk.version": __version__,
            "service.name": "unknown_service:python",
            "langfuse.environment": origin.get("environment"),
            "langfuse.release": origin.get("release"),
        }
        export = encode_export(
            spans,
            resource=resource,
            scope_name=SDK_NAME,
            scope_version=__version__,
            scope_attributes={"public_key": self._config.public_key},
        )
        return api.send_spans(export, CONTENT_TYPE, len(spans))


def _at_end_of_worker(sink: ref[ClientDelivery]) -> None:
    """Have a worker process of multiprocessing deliver too: such processes end without their `atexit` functions."""
    import sys

    process, util = sys.modules.get("multiprocessing.process"), sys.modules.get("multiprocessing.util")
    if process is not None and util is not None and process.parent_process() is not None:
        util.Finalize(None, _flush_at_exit, args=(sink,), exitpriority=10)


def _flush_at_exit(sink: ref[ClientDelivery]) -> None:
    found = sink()
    if found is not None:
        found.flush_at_exit()
