"""One step of a state machine: state in, state out; `token` is null when this shard is done.

The machine maps it over the shards and repeats each while there is a token; `run` is the machine's own id, so that a
step that is tried again lands once.
"""
import json
import sys

from judges import inputs, is_even

from interactiveai_eval import BatchEvaluationResumeToken, Interactive

state = json.load(sys.stdin)
token = state.get("token")
with Interactive() as client:
    result = client.run_batched_evaluation(
        scope="traces",
        mapper=inputs,
        evaluators=[is_even],
        max_items=5,  # in the cloud: time_budget=context.get_remaining_time_in_millis
        run_id=state["run"],
        shard=tuple(state["shard"]),
        resume_from=token and BatchEvaluationResumeToken.from_dict(token),
    )
left = result.resume_token
json.dump({**state, "token": left and left.to_dict()}, sys.stdout)
