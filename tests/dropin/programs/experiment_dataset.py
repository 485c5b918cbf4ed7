"""Experiments over data sets: linked items, scores on items and on the run, spans of the task, a failing item."""
from interactiveai import Evaluation, Interactive, observe

client = Interactive()
client.create_dataset(name="capitals", metadata={"source": "atlas"})
for number, (country, capital) in enumerate([("France", "Paris"), ("Spain", "Madrid"), ("Nowhere", "None")]):
    client.create_dataset_item(
        dataset_name="capitals", id=f"c-{number}", input={"country": country}, expected_output=capital,
        metadata={"row": number, "nested": {"deep": [1, 2]}, "share": 0.5, "sure": True, "missing": None},
    )  # fmt: skip


@observe(as_type="generation", name="model call")
def ask(country):
    client.update_current_generation(
        model="tiny-1", model_parameters={"temperature": 0.5}, usage_details={"input": 7, "output": 3},
        cost_details={"total": 0.001},
    )  # fmt: skip
    return {"France": "Paris", "Spain": "Barcelona"}[country]


def task(*, item, **kwargs):
    return ask(item.input["country"])


def exact(*, input, output, expected_output, metadata, **kwargs):
    assert metadata["sure"] is True
    return Evaluation(name="exact", value=float(output == expected_output), metadata={"row": metadata["row"]})


def rate(*, item_results, **kwargs):
    return Evaluation(name="rate", value=len([each for each in item_results if each.evaluations[0].value]) / 3)


dataset = client.get_dataset("capitals")
result = dataset.run_experiment(
    name="capitals", run_name="baseline \u00e9", description="the first", task=task, evaluators=[exact],
    run_evaluators=[rate], max_concurrency=1, metadata={"model": "tiny-1"},
)  # fmt: skip
assert result.dataset_run_id and result.dataset_run_url.endswith(f"/runs/{result.dataset_run_id}")
assert {each.output for each in result.item_results} == {"Paris", "Barcelona"}

again = client.run_experiment(name="capitals", run_name="second", data=dataset.items[1:], task=task, evaluators=[exact])
assert len(again.item_results) == 2 and again.dataset_run_id != result.dataset_run_id
client.flush()

runs = client.get_dataset_runs(dataset_name="capitals", page=1, limit=10)
assert {run.name for run in runs.data} == {"baseline \u00e9", "second"}
assert len(client.get_dataset_run(dataset_name="capitals", run_name="second").dataset_run_items) == 2
client.shutdown()
