"""Data sets: made, filled, changed, read page by page, run by hand, their runs read and deleted."""
from interactiveai import Interactive

client = Interactive()
made = client.create_dataset(name="qa set/1 \u00e9", description="questions", metadata={"owner": "team", "version": 2})
assert made.name == "qa set/1 \u00e9" and made.metadata == {"owner": "team", "version": 2}
for number in range(5):
    client.create_dataset_item(
        dataset_name="qa set/1 \u00e9",
        id=f"item-{number}",
        input={"question": f"What is {number} + {number}?"},
        expected_output=str(2 * number),
        metadata={"row": number, "kind": "even" if number % 2 == 0 else "odd"},
    )
client.create_dataset_item(dataset_name="qa set/1 \u00e9", id="plain", input="just text", source_trace_id="a" * 32)
client.create_dataset_item(dataset_name="qa set/1 \u00e9", id="item-4", input={"question": "changed"}, metadata={"row": 44})
client.create_dataset_item(dataset_name="qa set/1 \u00e9", id="archived", input="old", status="ARCHIVED")

dataset = client.get_dataset("qa set/1 \u00e9", fetch_items_page_size=2)
assert [item.id for item in dataset.items] == ["plain", "item-4", "item-3", "item-2", "item-1", "item-0"]
assert dataset.items[1].expected_output == 8 and dataset.items[1].input == {"question": "changed"}
assert dataset.items[0].dataset_name == "qa set/1 \u00e9" and dataset.items[0].source_trace_id == "a" * 32

for run_name in ("by hand", "to delete"):
    for item in dataset.items[:2]:
        with item.run(run_name=run_name, run_metadata={"model": "m"}, run_description="a run") as span:
            span.update(input=item.input, output="42")
            span.score_trace(name="exact", value=0.0)
client.flush()

runs = client.get_dataset_runs(dataset_name="qa set/1 \u00e9")
assert [run.name for run in runs.data] == ["to delete", "by hand"] and runs.meta.total_items == 2
run = client.get_dataset_run(dataset_name="qa set/1 \u00e9", run_name="by hand")
assert (run.description, run.metadata) == ("a run", {"model": "m"})
assert {each.dataset_item_id for each in run.dataset_run_items} == {"plain", "item-4"}
assert client.delete_dataset_run(dataset_name="qa set/1 \u00e9", run_name="to delete").message
client.shutdown()
