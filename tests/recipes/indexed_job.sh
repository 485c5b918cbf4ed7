# One process of an indexed job (Kubernetes sets JOB_COMPLETION_INDEX; Slurm has SLURM_ARRAY_TASK_ID, AWS Batch
# AWS_BATCH_JOB_ARRAY_INDEX). RUN is the same text in all of them and new for each job. A pod that is started again
# does its part again: ids are derived from RUN and the item, so it all lands once.
exec python3 -m interactiveai_eval run judges.py:answer --data items.jsonl --evaluator judges.py:right \
    --experiment-id "$RUN" --shard JOB_COMPLETION_INDEX/4 --output "part-$JOB_COMPLETION_INDEX.json"
