"""The nouns of a batch evaluation; above all the resume token, which must hold anywhere and lie nowhere."""
from __future__ import annotations

import functools
import json

import pytest

from interactiveai_eval import ArgumentError, BatchEvaluationResumeToken, DataError, EvaluatorInputs
from interactiveai_eval._ids import item_digest
from interactiveai_eval.batch_model import MAX_FAILED_BYTES, MAX_TOKEN_BYTES

TEN, ELEVEN = "2026-11-20T10:00:00.000000Z", "2026-11-20T11:00:00.000000Z"
TRACE = "{:032x}".format


def token(**fields):
    """A token at the beginning of a run."""
    known = {
        "scope": "traces",
        "filter": None,
        "last_processed_timestamp": "",
        "last_processed_id": "",
        "items_processed": 0,
    }
    return BatchEvaluationResumeToken(**{**known, **fields})


def everything():
    """A token with something in every field."""
    return token(
        filter='[{"type":"arrayOptions","column":"tags","operator":"all of","value":["caf\u00e9"]}]',
        last_processed_timestamp=TEN,
        last_processed_id="t2",
        items_processed=2,
        run_id="run",
        upper=ELEVEN,
        direction="desc",
        position={"time": TEN, "ids": [item_digest("t1"), item_digest("t2")]},
        failed_ids=["t1"],
        only_failed=True,
        counts={"fetched": 2, "failed": 1},
        evaluators_fingerprint="abc",
        shard=(0, 4),
        dataset_run=("data", "run 1"),
    )


TEXT = (
    '{"schema": "interactiveai_eval/resume-token", "schema_version": 1, "scope": "traces", "filter": '
    '"[{\\"type\\":\\"arrayOptions\\",\\"column\\":\\"tags\\",\\"operator\\":\\"all of\\",\\"value\\":[\\"caf\\u00e9\\"]}]"'
    ', "last_processed_timestamp": "2026-11-20T10:00:00.000000Z", "last_processed_id": "t2", "items_processed": 2, '
    '"run_id": "run", "upper": "2026-11-20T11:00:00.000000Z", "direction": "desc", "position": {"time": '
    '"2026-11-20T10:00:00.000000Z", "ids": "YotJ2W3N6XxER0A41Fnk"}, "failed_ids": ["t1"], "only_failed": true, "counts": '
    '{"fetched": 2, "failed": 1}, "evaluators_fingerprint": "abc", "shard": [0, 4], "dataset_run": ["data", "run 1"], '
    '"checksum": "961029d402757d45"}'
)


# -- what mappers return -----------------------------------------------------------------------------------------------


def test_evaluator_inputs_are_made_as_on_the_page():
    inputs = EvaluatorInputs(input={"q": 1}, output="a", expected_output="b", metadata={"k": 1})

    assert (inputs.input, inputs.output, inputs.expected_output, inputs.metadata) == ({"q": 1}, "a", "b", {"k": 1})
    assert EvaluatorInputs(input=1, output=2) == EvaluatorInputs(input=1, output=2, expected_output=None, metadata=None)


def test_a_mapper_may_return_a_mapping_with_the_same_keys():
    """CONTRACT section 2; TRAPS D28."""
    inputs = EvaluatorInputs(input=1, output=None, metadata={"k": 1})

    assert EvaluatorInputs.of(inputs) is inputs
    assert EvaluatorInputs.of({"input": 1, "output": None, "metadata": {"k": 1}}) == inputs
    assert EvaluatorInputs.of(dict(inputs)) == inputs


@pytest.mark.parametrize(
    "returned, message",
    [
        (None, r"the mapper returned None \(NoneType\); return EvaluatorInputs or a dict with 'input' and 'output'"),
        ("text", r"the mapper returned 'text' \(str\)"),
        ((1, 2), r"the mapper returned \(1, 2\) \(tuple\)"),
        ({"input": 1}, r"a mapping with no key 'output': \{'input': 1\}; evaluator inputs have input, output, expected"),
        ({}, "a mapping with no key 'input'"),
        ({"input": 1, "output": 2, "expected": 3}, "a mapping with unknown key 'expected'"),
    ],
)
def test_what_else_a_mapper_returns_is_refused_with_what_it_was(returned, message):
    with pytest.raises(TypeError, match=message):
        EvaluatorInputs.of(returned)


# -- tokens as values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "", 5, -1, ["x"], {"a": 1}, "nonsense"])
@pytest.mark.parametrize(
    "name", ["scope", "filter", "last_processed_timestamp", "last_processed_id", "items_processed"]
)
def test_the_five_of_the_reference_are_handed_back_as_they_were_given(name, value):
    """CONTRACT section 4: they are judged when they are used, not here."""
    made = token(**{name: value})

    assert made[name] is value
    assert BatchEvaluationResumeToken.from_json(made.to_json()) == made


def test_all_five_must_be_given():
    with pytest.raises(TypeError, match="last_processed_id"):
        BatchEvaluationResumeToken(scope="traces", filter=None, last_processed_timestamp="", items_processed=0)


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("run_id", 5, "run_id=5: must be a text or None"),
        ("upper", 5, "upper=5: must be a text or None"),
        ("evaluators_fingerprint", [], r"evaluators_fingerprint=\[\]: must be a text"),
        ("direction", "up", "direction='up': must be 'asc', 'desc' or None"),
        ("direction", ["asc"], "direction="),
        ("position", TEN, "position=.*must be {'time': text, 'ids': "),
        ("position", {"time": TEN}, "position="),
        ("position", {"time": 5, "ids": []}, "position="),
        ("position", {"time": TEN, "ids": ["t1"]}, "position="),
        ("position", {"time": TEN, "ids": "t1"}, "position="),
        ("position", {"time": TEN, "ids": [], "more": 1}, "position="),
        ("failed_ids", "t1", "failed_ids='t1': must be a list of texts"),
        ("failed_ids", [1], "failed_ids="),
        ("failed_ids", None, "failed_ids="),
        ("only_failed", 1, "only_failed=1: must be True or False"),
        ("counts", {"failed": -1}, "counts=.*must be a dict of texts and whole numbers from 0"),
        ("counts", {"failed": 0.5}, "counts="),
        ("counts", {"failed": True}, "counts="),
        ("counts", {1: 1}, "counts="),
        ("counts", [1], "counts="),
        ("shard", (4, 4), r"shard=\(4, 4\): must be \(k, n\)"),
        ("shard", (0, 1, 2), "shard="),
        ("shard", (-1, 2), "shard="),
        ("shard", (0.0, 2), "shard="),
        ("shard", 5, "shard="),
        ("dataset_run", "ab", r"dataset_run='ab': must be \(data set name, run name\)"),
        ("dataset_run", ("a", None), "dataset_run="),
    ],
)
def test_our_own_fields_are_checked_wherever_a_token_is_made(field, value, message):
    with pytest.raises(ArgumentError, match=message):
        token(**{field: value})
    with pytest.raises(ArgumentError, match=message):
        token().replaced(**{field: value})


def test_a_token_owns_its_lists_and_dicts():
    failed, counts, position = ["t1"], {"failed": 1}, {"time": TEN, "ids": [item_digest("t1")]}
    made = token(failed_ids=failed, counts=counts, position=position)

    failed.clear()
    counts.clear()
    position["ids"].clear()

    assert made == token(
        failed_ids=["t1"], counts={"failed": 1}, position={"time": TEN, "ids": [item_digest("t1")]}
    )


def test_the_repr_of_a_token_makes_it_again():
    assert eval(repr(everything())) == everything()
    assert repr(token()) == (
        "BatchEvaluationResumeToken(scope='traces', filter=None, last_processed_timestamp='', last_processed_id='', "
        "items_processed=0)"
    )


# -- tokens as text ----------------------------------------------------------------------------------------------------


def test_a_token_is_written_as_one_small_object():
    """The format: tokens that users have kept must be read by later versions."""
    assert everything().to_json() == TEXT
    assert json.loads(TEXT) == everything().to_dict()
    assert token().to_dict() == {
        "schema": "interactiveai_eval/resume-token",
        "schema_version": 1,
        "scope": "traces",
        "filter": None,
        "last_processed_timestamp": "",
        "last_processed_id": "",
        "items_processed": 0,
        "checksum": "c7132366dbfbd015",
    }


@pytest.mark.parametrize("made", [token(), everything(), everything().replaced(position={"time": TEN, "ids": []})])
def test_a_token_that_is_read_is_the_one_that_was_written(made):
    text = made.to_json()

    for read in (
        BatchEvaluationResumeToken.from_json(text),
        BatchEvaluationResumeToken.from_json(text.encode()),
        BatchEvaluationResumeToken.from_dict(made.to_dict()),
    ):
        assert read == made and repr(read) == repr(made) and read.to_json() == text
    stored = json.dumps(json.loads(text), indent=2, sort_keys=True)  # as a store may give it back
    assert BatchEvaluationResumeToken.from_json(stored) == made


def test_every_change_of_a_token_is_noticed():
    """One character more, less or other, at any place, is refused; a wider run is never the answer."""
    noticed = 0
    for place, character in enumerate(TEXT):
        other = "1" if character != "1" else "2"
        for changed in (TEXT[:place] + other + TEXT[place + 1 :], TEXT[:place] + TEXT[place + 1 :], TEXT[:place]):
            try:
                same = json.loads(changed) == json.loads(TEXT)  # a space between two fields
            except ValueError:
                same = False
            if not same:
                with pytest.raises(DataError):
                    BatchEvaluationResumeToken.from_json(changed)
                noticed += 1

    assert noticed > 2.9 * len(TEXT)


def changed(**fields):
    document = {**everything().to_dict(), **fields}
    return {name: value for name, value in document.items() if value is not ...}


@pytest.mark.parametrize(
    "document, message",
    [
        (None, "not a resume token: None instead of an object"),
        ([], r"not a resume token: \[\] instead of an object"),
        (5, "not a resume token: 5 instead"),
        ({}, "not a resume token: schema is None instead of 'interactiveai_eval/resume-token'"),
        ({"scope": "traces", "last_timestamp": TEN}, "not a resume token: schema is None"),
        (changed(schema="interactiveai_eval/batch-result"), "not a resume token: schema is 'interactiveai_eval/batch-r"),
        (changed(schema_version=2), "it was made in version 2, this package reads up to 1; update the package"),
        (changed(schema_version="1"), "schema_version '1' is not a whole number from 1"),
        (changed(schema_version=True), "schema_version True is not a whole number"),
        (changed(schema_version=0), "schema_version 0 is not a whole number"),
        (changed(checksum=...), "it was changed or damaged, its checksum does not match"),
        (changed(checksum=None), "checksum does not match"),
        (changed(checksum=["x"]), "checksum does not match"),
        (changed(filter=None), "checksum does not match"),
        (changed(filter=...), "checksum does not match"),
        (changed(failed_ids=[]), "checksum does not match"),
        (changed(more={1: float("nan"), "x": {object()}}), "checksum does not match"),
    ],
)
def test_what_is_no_token_is_refused_with_the_reason(document, message):
    with pytest.raises(DataError, match=message):
        BatchEvaluationResumeToken.from_dict(document)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"scope": ...}, "resume token: scope is missing"),
        ({"position": {"time": TEN, "ids": "0123456789a"}}, "resume token: position="),
        ({"position": {"time": TEN, "ids": 5}}, "resume token: position="),
        ({"position": "x"}, "resume token: position="),
        ({"failed_ids": {"t1": 1}}, "resume token: failed_ids="),
        ({"shard": [4, 0]}, r"resume token: shard=\[4, 0\]: must be \(k, n\)"),
        ({"counts": {"failed": "1"}}, "resume token: counts="),
    ],
)
def test_a_token_of_another_program_is_still_checked_field_by_field(fields, message):
    """Its checksum fits, its fields do not."""
    document = changed(checksum=..., **fields)
    document["checksum"] = checksum_of(document)
    with pytest.raises(DataError, match=message):
        BatchEvaluationResumeToken.from_dict(document)


def test_a_field_that_a_reader_does_not_know_is_passed_over():
    document = changed(checksum=..., later={"x": 1})
    document["checksum"] = checksum_of(document)

    assert BatchEvaluationResumeToken.from_dict(document) == everything()


def checksum_of(document):
    import hashlib

    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    "text, message",
    [
        (None, "not a resume token: None instead of a JSON text"),
        ({}, r"not a resume token: \{\} instead of a JSON text"),
        ("", "not a resume token: Expecting value"),
        ("null", "not a resume token: None instead of an object"),
        ("[" * 100_000, "not a resume token: nested deeper"),
        (b"\xff\xfe{", "not a resume token: not UTF-8 at byte 0"),
        ("\ufeff" + TEXT, "not a resume token"),
        (TEXT + TEXT, "not a resume token: Extra data"),
        (TEXT.replace("2026", "NaN"), "resume token: it was changed or damaged"),
        (TEXT.replace('"items_processed": 2', '"items_processed": NaN'), "not a resume token: NaN is not JSON"),
        (TEXT.replace('"items_processed": 2', '"items_processed": 2.0'), "resume token: it was changed or damaged"),
    ],
    ids=range(11),  # the texts are long
)
def test_a_text_that_is_no_token_is_refused_with_the_reason(text, message):
    with pytest.raises(DataError, match=message):
        BatchEvaluationResumeToken.from_json(text)


# -- tokens that move --------------------------------------------------------------------------------------------------


digest = functools.lru_cache(None)(item_digest)


def moved(start, time=TEN, done=("t1",), failed=(), **more):
    counts = {"fetched": 10**6, "processed": 10**6, "failed": 10**6, "scores": 10**7, "composite_scores": 10**7}
    known = {"last_id": done[-1] if done else "", "items_processed": 10**6, "counts": counts}
    position = {"time": time, "ids": [digest(each) for each in done]}
    return start.advanced(position=position, failed_ids=failed, **{**known, **more})


def test_a_token_moves_to_the_end_of_a_finished_stretch():
    start = token(filter="[]", run_id="run", upper=ELEVEN, direction="asc", shard=(1, 2))

    found = start.advanced(
        position={"time": TEN, "ids": [item_digest("t1")]},
        last_id="t2",
        items_processed=7,
        failed_ids=["t0"],
        counts={"processed": 7},
    )

    assert found == token(
        filter="[]",
        run_id="run",
        upper=ELEVEN,
        direction="asc",
        shard=(1, 2),
        last_processed_timestamp=TEN,
        last_processed_id="t2",
        items_processed=7,
        position={"time": TEN, "ids": [item_digest("t1")]},
        failed_ids=["t0"],
        counts={"processed": 7},
    )


def test_digests_tell_ids_apart():
    """Whatever characters an id has; 60 bits leave no collision in a hundred thousand."""
    assert [item_digest(each) for each in ("", "t1", "caf\u00e9", "\ud800")] == ["47DEQpj8HB", "YotJ2W3N6X", "hQ99xDkQ/4", "kaaBuZhVX7"]
    assert len({item_digest(TRACE(number)) for number in range(20_000)}) == 20_000


def test_a_token_keeps_to_4_kb_when_100_000_items_are_done_at_one_time():
    start = token(run_id=TRACE(0), upper=ELEVEN, direction="desc")
    ids = [TRACE(number) for number in range(100_000)]
    found = start
    for done in [*range(10, 1000, 10), *range(1000, 100_001, 1000)]:
        found = moved(found, done=ids[:done] if done < 1000 else ids)

    assert 3800 < len(found.to_json()) <= MAX_TOKEN_BYTES == 4096
    assert len(found.position["ids"]) == 350
    assert moved(found, done=ids) is found  # held back
    assert moved(found, time=ELEVEN, done=ids[:1]).position == {"time": ELEVEN, "ids": [item_digest(ids[0])]}


def test_a_token_keeps_to_4_kb_when_100_000_items_fail():
    """It stays before the first failure that it cannot name: that one is found again by reading on from there."""
    ids = [TRACE(number) for number in range(100_000)]
    found = token(run_id=TRACE(0), upper=ELEVEN, direction="desc")
    for failed in [*range(60), *range(1000, 100_001, 1000)]:
        found = moved(found, done=ids[failed : failed + 1], failed=ids[:failed], items_processed=failed)

    assert found.failed_ids == ids[:56] and found.items_processed == 56
    assert len(json.dumps(found.failed_ids)) <= MAX_FAILED_BYTES and len(found.to_json()) <= MAX_TOKEN_BYTES


def test_a_token_with_all_the_failures_it_may_hold_still_moves():
    ids = [TRACE(number) for number in range(1000)]
    full = moved(token(filter="x" * 1000, run_id="r"), done=ids[:1], failed=ids[:56])

    assert len(full.failed_ids) == 56
    assert len(moved(full, time=ELEVEN, done=ids[:30], failed=ids[:56]).position["ids"]) == 30
    assert moved(full, time=ELEVEN, done=ids[:60], failed=ids[:56]) is full


@pytest.mark.parametrize(
    "own", [{"filter": "x" * 100_000}, {"run_id": "\u00e9" * 5000}, {"dataset_run": ("d" * 5000, "r" * 5000)}]
)
def test_long_texts_of_the_caller_come_on_top(own):
    """They are in every token of the run from the first one; counted, they would keep it from ever moving."""
    start = token(**own)

    assert start.fits() and moved(start) is not start
    assert len(moved(start, done=[TRACE(number) for number in range(100)]).position["ids"]) == 100
    assert moved(start, done=[TRACE(number) for number in range(400)]) is start


def test_one_id_that_is_longer_than_a_token_holds_it_back():
    start = moved(token())

    assert moved(start, done=["x" * 5000]) is start
    assert moved(start, failed=["x" * 5000]) is start
    assert moved(start, done=["x" * 5000], last_id="x") is not start  # in the position it is a digest


def test_a_token_may_be_made_that_does_not_fit_and_says_so():
    assert not token(failed_ids=[TRACE(number) for number in range(60)]).fits()
    assert not token(last_processed_id="x" * 5000).fits()
    assert everything().fits()
