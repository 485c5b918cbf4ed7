"""What the recipes evaluate: their own task and judges, as a user has them."""


def answer(*, item):
    return eval(item["input"])  # a stand-in for a model


def right(*, output, expected_output):
    return output == expected_output


def share(*, item_results):
    return {"name": "share", "value": sum(each.evaluations[0].value for each in item_results) / len(item_results)}


def inputs(item):
    return {"input": item.input, "output": item.output}


def is_even(*, output):
    return int(output) % 2 == 0
