"""Spans of every type, by context manager and by hand, with everything that can be said of them and of their trace."""
from datetime import datetime, timezone

from interactiveai import Interactive, propagate_attributes

client = Interactive(environment="staging", release="v7")

with client.start_as_current_span(
    name="root", input={"q": [1, 2.5, None, True]}, metadata={"k": "v", "n": 3, "f": 1.5, "deep": {"a": [1]}}, version="2"
) as root:
    root.update_trace(
        name="renamed", user_id="user-1", session_id="session-1", tags=["b", "a", "b"], metadata={"plan": "pro"},
        input={"trace": "in"}, output="trace out", public=True,
    )  # fmt: skip
    for kind in ("agent", "tool", "chain", "retriever", "evaluator", "guardrail", "embedding", "generation", "span"):
        with client.start_as_current_observation(name=f"a {kind}", as_type=kind, input=kind) as child:
            child.update(output={"of": kind}, level="DEBUG" if kind == "tool" else "DEFAULT")
    with root.start_as_current_generation(
        name="model", model="m-1", model_parameters={"temperature": 0.1, "stop": "x"}, input=[{"role": "user", "content": "hi"}]
    ) as generation:
        generation.update(
            output={"role": "assistant", "content": "yo"}, usage_details={"input": 3, "output": 5},
            cost_details={"input": 0.1, "output": 0.2}, completion_start_time=datetime.now(timezone.utc),
        )  # fmt: skip
        generation.score(name="fluency", value=0.9, comment="fine", metadata={"by": "me"})
    generation.score_trace(name="overall", value="good", data_type="CATEGORICAL")
    by_hand = root.start_span(name="by hand", input=b"bytes", metadata="not a dict")
    inner = by_hand.start_generation(name="inner", model="m-2")
    inner.update(output="7", level="WARNING", status_message="careful")
    inner.end()
    by_hand.update(output=["text", "{\"j\": 1}"])
    by_hand.end()
    root.update(output=datetime(2025, 1, 2, tzinfo=timezone.utc), level="ERROR", status_message="it went wrong")

try:
    with client.start_as_current_span(name="raises", input="x"):
        raise ValueError("inside a span")
except ValueError:
    pass

alone = client.start_span(name="alone")
alone.update(output="later")
alone.end()
client.start_generation(name="generation alone", model="m-3", input="p", output="o").end()
client.start_observation(name="observation alone", as_type="retriever", input="q").end()

given = "1234567890abcdef1234567890abcdef"
with client.start_as_current_span(name="joins", trace_context={"trace_id": given, "parent_span_id": "fedcba0987654321"}):
    client.update_current_trace(name="joined", tags=["late"])
    client.update_current_span(output="updated", metadata={"from": "outside"})

with client.start_as_current_span(name="propagating"):
    with propagate_attributes(user_id="user-2", session_id="session-2", metadata={"cohort": "x"}, tags=["t"], version="3"):
        with client.start_as_current_span(name="inside"):
            client.score_current_span(name="inner", value=1)
            client.score_current_trace(name="outer", value=0.5)
client.flush()
client.shutdown()
