"""What runs when all processes of the indexed job are done: their parts become one result, which is judged as one."""
from glob import glob

from judges import share

from interactiveai_eval import ExperimentResult, Interactive, rescore

with Interactive() as client:
    parts = map(ExperimentResult.load, glob("part-*.json"))
    result = rescore(ExperimentResult.merge(parts), None, run_evaluators=[share], client=client)
result.save("result.json")
