"""The demonstration: recorded solutions of four models, judged by their final numbers, in four experiments."""
from __future__ import annotations

import re

from ..model import Evaluation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from ..client import Interactive
    from ..result import ExperimentResult

# An answer stands on a line of its own: "A: 18", "Answer: $1,200.50", or "#### 18" as in GSM8K's own solutions.
_answer_line = re.compile(r"^[ \t]*(?:a(?:nswer)?[ \t]*:|####)(.*)$", re.IGNORECASE | re.MULTILINE)
# One number: sign and currency in either order, digits with or without groups of three, decimals, a percent sign.
_number = re.compile(r"([-+]?)[$\u20ac\u00a3]?([-+]?)(\d{1,3}(?:,\d{3})+|\d*)(?:\.(\d*))?%?\.?")


def final_number(text: Any) -> str | None:
    """The number that `text` ends up with, in one spelling ("5600" for "A: $5,600.00"); None where there is none.

    It is what the last answer line says, or the whole text where that is a number. Numbers on the way are not answers.
    """
    text = str(text)
    answers = _answer_line.findall(text)
    found = _number.fullmatch((answers[-1] if answers else text).strip())
    if found is None:
        return None
    sign, second_sign, whole, decimals = found.groups()
    if not (whole or decimals) or (sign and second_sign):
        return None
    whole = whole.replace(",", "").lstrip("0") or "0"
    decimals = (decimals or "").rstrip("0")
    number = f"{whole}.{decimals}" if decimals else whole
    return f"-{number}" if "-" in sign + second_sign and number != "0" else number


def accuracy(*, output: Any, expected_output: Any, **_: Any) -> Evaluation:
    """Whether `output` and `expected_output` end up with the same number; a comment says why not."""
    given, wanted = final_number(output), final_number(expected_output)
    if given is not None and given == wanted:
        return Evaluation(name="accuracy", value=True)
    reason = "no final number" if given is None else f"{given} instead of {wanted}"
    return Evaluation(name="accuracy", value=False, comment=reason)


def sample(limit: int | None = None) -> list[dict[str, Any]]:
    """The first `limit` problems of the sample (all by default); `solutions` maps each model to its solution."""
    from .._strict_json import from_json
    from .gsm8k_sample import MODELS, PROBLEMS

    problems = []
    for line in PROBLEMS.strip().split("\n")[:limit]:
        number, question, answer, *solutions = from_json(line)
        recorded = dict(zip(MODELS, solutions))
        problems.append({"number": number, "question": question, "answer": answer, "solutions": recorded})
    return problems


def run_demo(client: Interactive, *, limit: int | None = None) -> Iterator[ExperimentResult]:
    """Run one experiment for each model in the client's store; a result is handed out as soon as it is there."""
    problems = sample(limit)
    for model in problems[0]["solutions"]:
        yield run_model(client, model, problems)


def run_model(client: Interactive, model: str, problems: Sequence[dict[str, Any]]) -> ExperimentResult:
    """One experiment: the model's recorded solutions are what the task gives back."""
    recorded = {problem["question"]: problem["solutions"][model] for problem in problems}

    def recorded_solution(*, item: dict[str, Any], **_: Any) -> str:
        solution: str = recorded[item["input"]]
        return solution

    return client.run_experiment(
        name=model,
        description="Recorded solutions of grade-school problems (GSM8K), judged by their final number.",
        data=[
            {
                "input": problem["question"],
                "expected_output": problem["answer"],
                "metadata": {"gsm8k_test_index": problem["number"]},
            }
            for problem in problems
        ],
        task=recorded_solution,
        evaluators=[accuracy],
    )
