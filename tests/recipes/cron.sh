# A line of a crontab, every few minutes until the exit code is 0. The checkpoint says what is done, also after a kill;
# a second one that starts while the first still runs finds it locked and ends with exit code 2.
exec python3 -m interactiveai_eval run judges.py:answer --data items.jsonl --evaluator judges.py:right \
    --checkpoint run.journal --rate-limit 20 --time-budget 1 --output result.json
