"""The demonstration's judge, on real solutions: it agrees with every published verdict."""

from __future__ import annotations

import gzip
import json
import os

import pytest

from interactiveai_eval.demo.gsm8k import accuracy, final_number, run_demo, sample
from interactiveai_eval.demo.gsm8k_sample import MODELS

RECORDED = os.path.join(os.path.dirname(__file__), "data", "gsm8k_model_solutions.jsonl.gz")


@pytest.fixture(scope="module")
def problems():
    with gzip.open(RECORDED, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def test_the_judge_agrees_with_all_published_verdicts(problems):
    """1,319 problems, four models; source: data/README.md."""
    right = dict.fromkeys(MODELS, 0)
    disagreements = []
    for number, problem in enumerate(problems):
        for model in MODELS:
            recorded = problem[model]
            verdict = accuracy(output=recorded["solution"], expected_output=problem["ground_truth"]).value
            right[model] += verdict
            if verdict is not recorded["is_correct"]:
                disagreements.append((number, model))

    assert len(problems) == 1319
    assert disagreements == []
    assert right == {"6b_finetuning": 286, "6b_verification": 515, "175b_finetuning": 458, "175b_verification": 742}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("So it takes 2+1=3 bolts\nA: 3", "3"),
        ("A: 5,600", "5600"),
        ("A: $5,600.00", "5600"),
        ("answer:\t-$2.50", "-2.5"),
        ("#### 1,234,567", "1234567"),
        ("A: 3\nA: 4\n", "4"),
        ("5600", "5600"),
        (" 007 ", "7"),
        (18, "18"),
        (7.0, "7"),
        ("A: 50%", "50"),
        ("A: \u20ac.5", "0.5"),
        ("A: -0.0", "0"),
        ("A: 12.", "12"),
        ("The sum is 3 + 4 = 7 apples", None),
        ("33 + x = 3x so x =", None),
        ("A: 10+John's age", None),
        ("A: -1.8 billion", None),
        ("A: 1/5", None),
        ("A: 1,45", None),
        ("A: --5", None),
        ("A: .", None),
        ("A:", None),
        ("", None),
        (None, None),
        ("A: 3\nA: none", None),
    ],
)
def test_the_final_number_of_a_text(text, number):
    assert final_number(text) == number


def test_a_wrong_answer_says_why():
    wrong = accuracy(input="?", output="A: 26", expected_output="A: 18", metadata=None)
    silent = accuracy(output="I give up", expected_output="18")

    assert (wrong.name, wrong.value, wrong.comment) == ("accuracy", False, "26 instead of 18")
    assert (silent.value, silent.comment) == (False, "no final number")
    assert accuracy(output="no", expected_output="no").value is False, "nothing agrees with nothing"


def test_a_long_text_is_searched_in_linear_time():
    """A quadratic search would take minutes here."""
    assert final_number("A: " + "1" * 2_000_000 + "x") is None
    assert final_number("\t" * 2_000_000) is None
    assert final_number("A: " + "1," * 1_000_000) is None


def test_the_sample_is_every_33rd_problem_as_published(problems):
    chosen = problems[18::33]

    assert len(chosen) == 40
    assert [
        {
            "number": 18 + 33 * place,
            "question": problem["question"],
            "answer": problem["ground_truth"].rpartition("A: ")[2],
            "solutions": {model: problem[model]["solution"] for model in MODELS},
        }
        for place, problem in enumerate(chosen)
    ] == sample()
    assert sample(2) == sample()[:2]


@pytest.mark.needs("sources")
def test_the_sample_comes_with_its_licence_and_stays_small():
    import interactiveai_eval.demo.gsm8k_sample as module

    folder = os.path.dirname(module.__file__)
    with open(os.path.join(folder, "gsm8k_LICENSE.txt"), encoding="utf-8") as licence:
        assert licence.read().startswith("MIT License\n\nCopyright (c) 2021 OpenAI\n")
    assert "gsm8k_LICENSE.txt" in module.__doc__
    assert os.path.getsize(os.path.join(folder, "gsm8k_sample.py")) < 60_000


def test_the_demonstration_runs_four_experiments_into_the_store():
    from interactiveai_eval.client import Interactive

    with Interactive.local() as client:
        results = list(run_demo(client))

    assert [str(result) for result in results] == [
        "6b_finetuning: 40 items, accuracy 0.225",
        "6b_verification: 40 items, accuracy 0.400",
        "175b_finetuning: 40 items, accuracy 0.350",
        "175b_verification: 40 items, accuracy 0.550",
    ]
