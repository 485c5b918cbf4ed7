"""Clients: built from the environment and from arguments, looked up, flushed, shut down."""
import os

from interactiveai import Interactive, get_client

client = Interactive()
assert client.auth_check() is True
assert get_client() is not None

seeded = client.create_trace_id(seed="order-17")
assert seeded == Interactive.create_trace_id(seed="order-17") and len(seeded) == 32
assert client.get_trace_url(trace_id=seeded).endswith(f"/traces/{seeded}")
assert client.get_current_trace_id() is None and client.get_current_observation_id() is None

with client.start_as_current_span(name="seeded", trace_context={"trace_id": seeded}, input="in") as span:
    assert client.get_current_trace_id() == seeded == span.trace_id
    assert client.get_current_observation_id() == span.id
    span.update(output="out")
client.create_score(name="numeric", value=0.25, trace_id=seeded, comment="by hand", metadata={"who": "me"})
client.create_score(name="category", value="good", trace_id=seeded, data_type="CATEGORICAL")
client.create_score(name="flag", value=1, trace_id=seeded, data_type="BOOLEAN", score_id="chosen-id")
client.create_score(name="of a session", value=2, session_id="session-1")
client.flush()

staging = Interactive(
    public_key=os.environ["INTERACTIVEAI_PUBLIC_KEY"],
    secret_key=os.environ["INTERACTIVEAI_SECRET_KEY"],
    base_url=os.environ["INTERACTIVEAI_BASE_URL"],
    timeout=10,
)
with staging.start_as_current_span(name="second client"):
    staging.score_current_trace(name="on trace", value=1.0)
    staging.score_current_span(name="on span", value=0.0, comment="c")
staging.flush()
client.shutdown()
