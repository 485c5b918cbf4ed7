"""The encoder: any value becomes strict JSON text; and what is taken from outside as JSON."""
from __future__ import annotations

import array
import collections
import contextlib
import dataclasses
import datetime
import decimal
import enum
import fractions
import io
import json
import os
import pathlib
import signal
import sys
import threading
import time
import types
import uuid

import pytest

from interactiveai_eval import Evaluation
from interactiveai_eval._strict_json import (
    JSONError,
    fields_to_json,
    from_json,
    to_attribute_text,
    to_json,
    to_plain,
    well_formed,
)

from .programs import run

UTC = datetime.timezone.utc
NAN, INFINITY = float("nan"), float("inf")
FUNNY = "\u00e9\u4e2d\U0001f600\x00\x1b\u2028\u202e\"\\\n"


def strict(text):
    """The value of `text`, read as strictly as the format allows: one writer's slip is another one's crash."""
    assert type(text) is str and text.isascii()

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    def unique(pairs):
        assert len(dict(pairs)) == len(pairs), "a key comes twice"
        return dict(pairs)

    value = json.loads(text, parse_constant=refuse, object_pairs_hook=unique)
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")  # halves of surrogate pairs fail here
    return value


@contextlib.contextmanager
def within(seconds):
    """Fail, instead of hanging, what takes more time of the processor."""
    if not hasattr(signal, "SIGPROF"):
        yield  # no alarms on this platform
        return

    def too_slow(*_):
        pytest.fail(f"took longer than {seconds} s")

    old = signal.signal(signal.SIGPROF, too_slow)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, old)


# -- the table of `to_plain` -------------------------------------------------------------------------------------------


class Color(enum.Enum):
    RED = "red"
    PAIR = (1, {2})


class Label(str, enum.Enum):
    GOOD = "good"


class Level(enum.IntEnum):
    HIGH = 3


class Access(enum.Flag):
    READ = 4


class Name(str):
    pass


class Count(int):
    pass


class Share(float):
    pass


class Config(dict):
    pass


Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Case:
    question: str
    weights: dict
    _private: int = 0


class Plain:
    def __init__(self):
        self.shown = {1, 2}
        self._hidden = 3


class Slotted:
    __slots__ = ("_hidden", "left", "right")

    def __init__(self):
        self.left, self._hidden = Point(1, 2), 0  # `right` stays unset


class Below(Slotted):
    __slots__ = "more"

    def __init__(self):
        super().__init__()
        self.more = 4


class Model:
    """As pydantic's models are."""

    def model_dump(self):
        return {"id": 1, "tags": {"a"}}


class Array:
    """As numpy's arrays are."""

    dtype = "float64"

    def tolist(self):
        return [[1.5, NAN], [2.5, INFINITY]]


class Scalar:
    """As numpy's scalars were before they had `tolist`."""

    dtype = "int64"

    def item(self):
        return 7


class Registry:
    """A mapping that is no dict."""

    def __len__(self):
        return 2

    def keys(self):
        return ["b", "a"]

    def __getitem__(self, key):
        return key * 2


class Window:
    """A sequence that is no list."""

    def __len__(self):
        return 2

    def __iter__(self):
        return iter([1, "x"])


def function():
    return 1


def generator():
    yield 1


async def coroutine():
    return 1


FOUR_THOUSAND_DIGITS = 10**4000

TABLE = [
    # JSON itself
    (None, None),
    (True, True),
    (5, 5),
    (1.5, 1.5),
    (-0.0, -0.0),
    ("text", "text"),
    (FUNNY, FUNNY),
    ({"b": [1, {"a": None}], "a": {}}, {"b": [1, {"a": None}], "a": {}}),
    # numbers
    (2**53 - 1, 9007199254740991),
    (2**53, "9007199254740992"),
    (-(2**53), "-9007199254740992"),
    (10**400, "1" + "0" * 400),
    (FOUR_THOUSAND_DIGITS, "<integer of 13288 bits>"),
    (Count(5), 5),
    (Count(2**60), "1152921504606846976"),
    (NAN, "NaN"),
    (INFINITY, "Infinity"),
    (-INFINITY, "-Infinity"),
    (Share(0.5), 0.5),
    (Share("nan"), "NaN"),
    (decimal.Decimal("1.10"), "1.10"),
    (decimal.Decimal("NaN"), "NaN"),
    (fractions.Fraction(1, 3), "1/3"),
    (complex(1, -2), "(1-2j)"),
    # texts and bytes
    ("a\ud800b", "a\ufffdb"),
    ("\ud83d\ude00", "\U0001f600"),
    (Name("n\udcff"), "n\ufffd"),
    (b"caf\xc3\xa9", "caf\u00e9"),
    (b"\xff\x00", "base64:/wA="),
    (bytearray(b"ab"), "ab"),
    (memoryview(b"ab"), "ab"),
    # containers
    ((1, (2,)), [1, [2]]),
    (Point(1, NAN), [1, "NaN"]),
    (range(3), [0, 1, 2]),
    (collections.deque([1, 2]), [1, 2]),
    (array.array("d", [1.0, NAN]), [1.0, "NaN"]),
    ({3, 1, 2}, [1, 2, 3]),
    (frozenset(["b", "a", 1, None]), ["a", "b", 1, None]),
    ({(2, "b"), (1, "a")}, [[1, "a"], [2, "b"]]),
    ({}.keys(), []),
    ({"a": 1}.items(), [["a", 1]]),
    (Window(), [1, "x"]),
    (Config(b=1, a={2}), {"b": 1, "a": [2]}),
    (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    (types.MappingProxyType({"a": {1}}), {"a": [1]}),
    (collections.UserDict({"a": {1}}), {"a": [1]}),
    (collections.ChainMap({"a": {1}}), {"a": [1]}),
    (Registry(), {"b": "bb", "a": "aa"}),
    # keys
    ({1: "a", "1": "b"}, {"1": "a", "1#2": "b"}),
    ({"1": "a", 1: "b", "1#2": "c"}, {"1": "a", "1#2": "b", "1#2#2": "c"}),
    ({None: 1, True: 2, 1.5: 3, "null": 4}, {"null": 1, "true": 2, "1.5": 3, "null#2": 4}),
    ({(1, "a"): 1, frozenset([2]): 2}, {'[1, "a"]': 1, "[2]": 2}),
    ({datetime.date(2026, 1, 2): 1, b"k": 2, Color.RED: 3}, {"2026-01-02": 1, "k": 2, "red": 3}),
    ({NAN: 1, 2**60: 2}, {"NaN": 1, "1152921504606846976": 2}),
    (dict([("\ud800", 1), ("\ud801", 2)]), {"\ufffd": 1, "\ufffd#2": 2}),
    ({Name("n"): 1}, {"n": 1}),
    # time
    (datetime.datetime(2026, 1, 2, 3, 4, 5, 678900, UTC), "2026-01-02T03:04:05.678900Z"),
    (
        datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.timezone(datetime.timedelta(hours=5))),
        "2026-01-02T03:04:00+05:00",
    ),
    (datetime.date(2026, 1, 2), "2026-01-02"),
    (datetime.time(3, 4, 5), "03:04:05"),
    (datetime.timedelta(days=1, milliseconds=5), 86400.005),
    # names of things
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (pathlib.PurePosixPath("a/b"), "a/b"),
    (pathlib.PurePosixPath("a\udcff"), "a\ufffd"),
    (Color.RED, "red"),
    (Color.PAIR, [1, [2]]),
    (Label.GOOD, "good"),
    (Level.HIGH, 3),
    (Access.READ, 4),
    # objects
    (Case("q", {1: NAN}), {"question": "q", "weights": {"1": "NaN"}}),
    (Plain(), {"shown": [1, 2]}),
    (Slotted(), {"left": [1, 2]}),
    (Below(), {"left": [1, 2], "more": 4}),
    (types.SimpleNamespace(a=1), {"a": 1}),
    (Model(), {"id": 1, "tags": ["a"]}),
    (Array(), [[1.5, "NaN"], [2.5, "Infinity"]]),
    (Scalar(), 7),
    (
        Evaluation(name="e", value=1, comment="c"),
        {"name": "e", "value": 1, "comment": "c", "metadata": None, "data_type": None, "config_id": None},
    ),
    # what has no text of its own
    (ValueError("boo"), "ValueError: boo"),
    (KeyboardInterrupt(), "KeyboardInterrupt: "),
    (function, "<function>"),
    (Plain, "<Plain>"),
    (len, "<len>"),
    ([].append, "<append>"),
    (json, "<module>"),
    (generator(), "<generator>"),
    (iter([1]), "<list_iterator>"),
    (threading.Lock(), "<lock>"),
    (io.StringIO("x"), "<StringIO>"),
    (object(), "<object>"),
    (..., "<ellipsis>"),
]


@pytest.mark.parametrize("value, plain", TABLE, ids=[repr(value)[:60] for value, _ in TABLE])
def test_every_value_has_its_place_in_the_table(value, plain):
    """Alone, in a list, as a member of an object and of a tuple: the reference forgets some of these (D67)."""
    assert strict(to_json(value)) == plain
    assert strict(to_json([value, {"k": (value,)}])) == [plain, {"k": [plain]}]


def test_json_values_are_written_in_order_with_the_usual_separators():
    assert to_json({"b": [1, 2.5, None], "a": "\u00e9"}) == '{"b": [1, 2.5, null], "a": "\\u00e9"}'


def test_minus_zero_and_small_numbers_are_kept():
    assert to_json([-0.0, 1e-300, 5e-324]) == "[-0.0, 1e-300, 5e-324]"


def test_a_naive_datetime_is_local_time():
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5)

    assert datetime.datetime.fromisoformat(strict(to_json(moment)).replace("Z", "+00:00")) == moment.astimezone()


@pytest.mark.parametrize("moment", [datetime.datetime.min, datetime.datetime.max])
def test_the_ends_of_the_calendar_keep_their_text(moment):
    """Local time has no offset there, so `astimezone` raises."""
    assert strict(to_json(moment))[:19] in ("0001-01-01T00:00:00", "9999-12-31T23:59:59")


def test_an_open_file_is_a_tag(tmp_path):
    with open(tmp_path / "f", "w+") as file:
        file.write("content")

        assert to_json({"f": file}) == '{"f": "<TextIOWrapper>"}'


def test_a_coroutine_is_a_tag_and_is_not_run():
    waiting = coroutine()

    assert to_json(waiting) == '"<coroutine>"'
    waiting.close()


def test_sets_come_out_alike_in_every_process():
    """Texts hash differently in every process, so the order of a set does too."""
    names = {f"name {i}" for i in range(50)}

    assert strict(to_json(names)) == sorted(names)


# -- texts -------------------------------------------------------------------------------------------------------------


def test_a_string_is_attribute_text_as_it_is_and_everything_else_as_json():
    assert to_attribute_text("a") == "a"
    assert to_attribute_text("7") == "7" and to_attribute_text(7) == "7"
    assert to_attribute_text("a\ud800") == "a\ufffd"
    assert to_attribute_text(Name("a")) == "a" and to_attribute_text(Label.GOOD) == "good"
    assert to_attribute_text([1, "a"]) == '[1, "a"]'


@pytest.mark.parametrize(
    "text, expected",
    [
        ("plain", "plain"),
        ("\u00e9", "\u00e9"),
        ("\ud800", "\ufffd"),
        ("\udc00\ud800", "\ufffd\ufffd"),
        ("a\ud83d\ude00b", "a\U0001f600b"),
        ("\U0001f600\ud83d", "\U0001f600\ufffd"),
    ],
)
def test_lone_surrogates_are_replaced_and_split_pairs_joined(text, expected):
    assert well_formed(text) == expected


def test_a_text_that_looks_like_an_escape_is_no_surrogate():
    assert to_json(["\\ud800", "\U0001f600"]) == '["\\\\ud800", "\\ud83d\\ude00"]'


# -- sizes -------------------------------------------------------------------------------------------------------------


def nested(levels, wrap):
    value = "core"
    for _ in range(levels):
        value = wrap(value)
    return value


@pytest.mark.parametrize(
    "wrap",
    [lambda v: [v], lambda v: (v,), lambda v: {"k": v}, lambda v: types.SimpleNamespace(k=v), lambda v: Config(k=v)],
)
def test_values_a_hundred_thousand_levels_deep_are_cut(wrap):
    """`repr`, `deepcopy` and `json.dumps` all raise RecursionError on these."""
    with within(2):
        text = to_json(nested(100_000, wrap))

    assert "<too deep>" in text and len(text) < 3000
    strict(text)


def test_a_hundred_levels_are_kept_whole():
    assert strict(to_json(nested(98, lambda v: [v]))) == nested(98, lambda v: [v])
    assert "core" in to_json(nested(98, lambda v: (v,))) and "core" not in to_json(nested(101, lambda v: [v]))


def test_a_value_near_the_callers_recursion_limit_is_encoded_all_the_same():
    def descend(levels):
        return descend(levels - 1) if levels else to_json({"a": {1, 2}, "b": [[[Plain()]]]})

    found = set()
    for levels in range(sys.getrecursionlimit() - 250, sys.getrecursionlimit()):
        with contextlib.suppress(RecursionError):
            found.add(descend(levels))

    assert '{"a": [1, 2], "b": [[[{"shown": [1, 2]}]]]}' in found
    for text in found:
        strict(text)


def test_cycles_are_marked():
    ring = [1]
    ring.append(ring)
    person = types.SimpleNamespace(name="ada")
    person.friend = types.SimpleNamespace(name="bob", friend=person)
    own = {}
    own["me"] = own

    assert to_json(ring) == '[1, "<cycle>"]'
    assert strict(to_json(person)) == {"name": "ada", "friend": {"name": "bob", "friend": "<cycle>"}}
    assert to_json(own) == '{"me": "<cycle>"}'


def test_what_is_merely_there_twice_is_no_cycle():
    shared = {1}

    assert to_json([shared, shared]) == "[[1], [1]]"


def test_a_list_that_holds_itself_a_thousand_times_is_looked_at_once():
    crowd = []
    crowd.extend([crowd] * 1000)

    with within(2):
        assert strict(to_json(crowd)) == ["<cycle>"] * 1000


def test_shared_lists_that_double_at_every_level_are_cut():
    """Sixty levels of these would have 10**18 members; the quarter of a million that are kept take half a second."""
    value = [1]
    for _ in range(60):
        value = [value, value]

    with within(2):
        text = to_json(value)

    assert "<too large>" in text
    strict(text)


def test_a_million_numbers_are_written_whole_and_ten_million_are_cut():
    """Twelve million numbers take their time."""
    with within(4):
        assert len(strict(to_json(list(range(1_000_000))))) == 1_000_000
        cut = to_json([0] * 10_000_000)

    assert cut.endswith('0, "<too large>"]') and len(cut) < 7_000_000


def test_a_dict_of_a_hundred_thousand_keys_is_whole():
    value = {f"key {i}": i for i in range(100_000)}

    with within(2):
        assert strict(to_json(value)) == value


def test_ten_thousand_keys_of_the_same_text_get_numbers_at_once():
    """One search for a free name each would take minutes."""
    with within(2):
        found = strict(to_json({object(): i for i in range(10_000)}))

    assert list(found.items())[:3] == [("<object>", 0), ("<object>#2", 1), ("<object>#3", 2)] and len(found) == 10_000


@pytest.mark.parametrize("piece", ["0123456789", "\x00" * 10, "\u4e2d" * 10, "123456789\ud800"])
def test_ten_megabytes_of_text_are_whole(piece):
    """Sixty megabytes as escapes, read back, take their time."""
    with within(4):
        assert len(strict(to_json({"out": piece * 1_000_000}))["out"]) == 10_000_000


def test_an_endless_iterable_that_claims_a_length_is_cut():
    """At a quarter of a million objects, which take half a second."""

    class Endless:
        def __len__(self):
            return 3

        def __iter__(self):
            while True:
                yield {1}

    with within(2):
        assert to_json(Endless()).endswith('"<too large>"]')


def test_an_array_that_turns_into_itself_is_cut():
    class Hostile:
        def tolist(self):
            return [Hostile()]

    with within(2):
        assert "<too deep>" in to_json(Hostile())


def test_an_integer_longer_than_the_program_allows_is_a_tag():
    """An application may allow fewer digits than Python's own default."""
    if not hasattr(sys, "set_int_max_str_digits"):
        pytest.skip("this Python has no such limit")
    allowed = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        assert to_json({"n": 10**1000, "m": [10**100]}) == (
            '{"n": "<integer of 3322 bits>", "m": ["1%s"]}' % ("0" * 100)
        )
    finally:
        sys.set_int_max_str_digits(allowed)


# -- hostile objects ---------------------------------------------------------------------------------------------------


class Raising:
    """Every special method that might be asked raises."""

    def _raise(self, *args):
        raise OSError("no")

    __len__ = __iter__ = __eq__ = __bool__ = __repr__ = __str__ = __getitem__ = __contains__ = __index__ = _raise
    __call__ = __reduce_ex__ = _raise

    def __hash__(self):
        return 1


class AlwaysAnswers:
    """As a proxy or a mock does."""

    def __getattr__(self, name):
        return AlwaysAnswers()


class AnswersForItsClass(type):
    def __getattr__(cls, name):
        return lambda *args: AskedThroughItsClass()


class AskedThroughItsClass(metaclass=AnswersForItsClass):
    pass


class NeverAnswers:
    def __getattribute__(self, name):
        raise OSError("no")


class NamelessFunction:
    def __call__(self):
        return 1

    @property
    def __name__(self):
        raise OSError("no")


class NamelessClass(type):
    @property
    def __name__(cls):
        raise OSError("no")


class OfNamelessClass(metaclass=NamelessClass):
    __slots__ = ()


class Pretender:
    """Says that it is a dict, and is none."""

    @property
    def __class__(self):
        return dict


class Unlike:
    @property
    def __class__(self):
        raise OSError("no")


class UnreadableDict(dict):
    def __iter__(self):
        raise OSError("no")

    items = keys = __len__ = __iter__


class UnreadableList(list):
    def __iter__(self):
        raise OSError("no")


class BrokenModel:
    def model_dump(self):
        raise OSError("no")


class BrokenArray:
    dtype = "float64"

    def tolist(self):
        raise MemoryError


class UnprintableError(Exception):
    def __str__(self):
        raise OSError("no")


class OddText(str):
    def __str__(self):
        raise OSError("no")

    encode = isascii = __iter__ = __len__ = __str__


class OddNumber(int):
    def __index__(self):
        raise OSError("no")

    __int__ = __str__ = __repr__ = __index__


def odd_name():
    return 1


odd_name.__name__ = "odd\ud800"


HOSTILE = [
    (Raising(), "<Raising>"),
    (AlwaysAnswers(), "<AlwaysAnswers>"),
    (NeverAnswers(), "<NeverAnswers>"),
    (NamelessFunction(), "<NamelessFunction>"),
    (OfNamelessClass(), "<OfNamelessClass>"),
    (OfNamelessClass, "<NamelessClass>"),
    (Pretender(), "<Pretender>"),
    (Unlike(), "<Unlike>"),
    (UnreadableDict(a={1}), {"a": [1]}),
    (UnreadableList([1]), "<UnreadableList>"),
    (BrokenModel(), "<BrokenModel>"),
    (BrokenArray(), "<BrokenArray>"),
    (UnprintableError(), "<UnprintableError>"),
    (OddText("odd"), "odd"),
    (OddNumber(5), 5),
    (odd_name, "<odd\ufffd>"),
]


@pytest.mark.parametrize("value, plain", HOSTILE, ids=[type.__repr__(type(value)) for value, _ in HOSTILE])
def test_hostile_objects_become_tags(value, plain):
    with within(2):
        assert strict(to_json([value, {"k": value}])) == [plain, {"k": plain}]
        assert strict(to_json(value)) == plain


def test_a_class_that_always_answers_is_bounded():
    with within(2):
        assert strict(to_json(AskedThroughItsClass())) == "<AskedThroughItsClass>"


def test_hostile_keys_become_tags():
    assert strict(to_json({Raising(): 1, function: 2, (NeverAnswers(),): 3})) == {
        "<Raising>": 1,
        "<function>": 2,
        '["<NeverAnswers>"]': 3,
    }


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, pytest.fail.Exception])
def test_what_is_meant_for_the_program_passes_through(stop):
    class Stops:
        def model_dump(self):
            raise stop

    with pytest.raises(stop):
        to_json([Stops()])


@pytest.mark.parametrize("kind", [dict, list, set, Plain])
def test_values_that_another_thread_changes_are_encoded_without_an_error(kind):
    """Half a tenth of a second of changing and encoding; the thread switches at every chance."""
    holder = Plain()
    value = {dict: {}, list: [], set: set(), Plain: holder}[kind]
    members = vars(holder) if kind is Plain else value
    over = threading.Event()

    def change():
        number = 0
        while not over.is_set():
            number += 1
            if kind is list:
                members.append(number)
                if number % 50 == 0:
                    del members[:]
            elif kind is set:
                members.add(number)
                members.discard(number - 50)
            else:
                members[f"k{number}"] = number
                members.pop(f"k{number - 50}", None)

    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    changing = threading.Thread(target=change)
    changing.start()
    seen = set()
    try:
        deadline = time.perf_counter() + 0.05
        while time.perf_counter() < deadline:
            first, second = strict(to_json([value, {"k": value}]))
            assert type(first) is type(second["k"]) is (list if kind in (list, set) else dict)
            seen.add(str(first))
            strict(to_json([{0.5: 1}, value]))  # what is no JSON takes the other path
    finally:
        over.set()
        changing.join()
        sys.setswitchinterval(old)

    assert len(seen) > 1, "nothing was changed while it was encoded"


# -- reading -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, value",
    [
        ("null", None),
        (b'{"a": [1, 2.5, "\\u00e9\\ud83d\\ude00", true]}', {"a": [1, 2.5, "\u00e9\U0001f600", True]}),
        (bytearray(b"[]"), []),
        (' \n{"a": "\u00e9"}\t', {"a": "\u00e9"}),
        ('"<too deep>"', "<too deep>"),
        ("9007199254740993", 9007199254740993),
        ('{"a": 1, "a": 2}', {"a": 2}),
    ],
)
def test_json_from_outside_is_read(text, value):
    assert from_json(text) == value


@pytest.mark.parametrize(
    "text, reason",
    [
        ("NaN", "NaN is not JSON"),
        ('{"a": [Infinity]}', "Infinity is not JSON"),
        ("-Infinity", "-Infinity is not JSON"),
        ("", "Expecting value"),
        (b"", "Expecting value"),
        ("{'a': 1}", "Expecting property name"),
        ("[1,]", ""),
        ("[1] x", "Extra data"),
        ("01", "Extra data"),
        ("nul", "Expecting value"),
        ('"a\nb"', "Invalid control character"),
        ('"\\x"', "Invalid \\escape"),
        ("\ufeff[]", "Expecting value"),
        (b"\xef\xbb\xbf[]", "Expecting value"),
        (b'["\xff"]', "not UTF-8 at byte 2"),
        (b'["\xed\xa0\x80"]', "not UTF-8 at byte 2"),
        ("[" * 100_000, "nested deeper than 200 levels"),
        ("[" * 201 + "]" * 201, "nested deeper than 200 levels"),
        ('{"a":' * 300 + "1" + "}" * 300, "nested deeper than 200 levels"),
        ('[{"a":' * 150 + "1" + "}]" * 150, "nested deeper than 200 levels"),
    ],
)
def test_what_is_no_json_is_refused_with_the_reason(text, reason):
    with pytest.raises(JSONError) as refused:
        from_json(text)

    assert reason in str(refused.value) and isinstance(refused.value, ValueError)


def test_brackets_in_texts_and_side_by_side_are_not_depth():
    value = {"text": "[" * 1000, "rows": [[i, {"a": "]"}] for i in range(500)]}

    assert from_json(json.dumps(value)) == value
    assert from_json("[" * 200 + "]" * 200) is not None


def test_unfinished_texts_are_refused_at_once():
    """A reader that looks for the end of every text again takes minutes for a megabyte of these."""
    with within(2), pytest.raises(JSONError):
        from_json("[" * 201 + '"' + '\\"' * 500_000)


def test_what_is_written_can_be_read():
    for value, _ in [*TABLE, *HOSTILE]:
        assert from_json(to_json(value)) == to_plain(value)


def test_a_path_of_odd_bytes_is_text():
    assert to_json(os.fsdecode(b"a\xff")) == '"a\\ufffd"'


def test_a_program_that_allows_endless_recursion_survives_deep_json():
    """The C parser of Python 3.11 and older runs over the end of the stack, and the process dies."""
    said = run(
        """
        import sys
        from interactiveai_eval._strict_json import JSONError, from_json

        sys.setrecursionlimit(10**6)
        try:
            from_json("[" * 100_000)
        except JSONError as refused:
            print(refused)
        print(len(from_json('["[[[", "\\\\\\\\", "\\\\"[", ' + "[{}], " * 300 + "1]")))
        """
    )

    assert said.splitlines() == ["nested deeper than 200 levels", "304"]


@pytest.mark.parametrize(
    "value",
    ["plain", "\u20ac\U0001f600", "\ud800", "\ud83d\ude00", '"\\\n', 0.1, -0.0, 1e300, float("nan"), float("inf"), 1, 2**60, True, None, [1], {"a": (1,)}],
)
def test_fields_one_by_one_are_written_as_the_whole_object_is(value):
    """The short way, for scores that go one by one."""
    assert fields_to_json({"a": value, "b": "x"}, {"a": '"a": ', "b": '"b": '}) == to_json({"a": value, "b": "x"})
