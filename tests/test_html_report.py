"""The HTML report: one file that needs nothing else, whose structure the data cannot change.

What its script does is tested in a browser, see test_html_browser.py.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from interactiveai_eval.item_result import ExperimentItemResult
from interactiveai_eval.model import (
    DeliveryReport,
    Evaluation,
    EvaluatorFailure,
    EvaluatorStats,
    ItemFailure,
)
from interactiveai_eval.reporting.html import Page, render_html, render_page
from interactiveai_eval.reporting.html_script import SCRIPT
from interactiveai_eval.reporting.html_style import STYLE
from interactiveai_eval.reporting.report import report_of
from interactiveai_eval.result import ExperimentResult
from interactiveai_eval.tally import RunTally


def result_of(text="plain", *, label="good", url="https://example.test/run", **fields):
    """A result in which every text from outside is `text`, and every place of the report is filled."""
    item = {"input": text, "expected_output": {text: text}}
    failure = EvaluatorFailure(evaluator=text, error_type=text, message=text, traceback=text)
    known = {
        "name": text,
        "run_name": text,
        "description": text,
        "item_results": [
            ExperimentItemResult(
                index=0,
                item=item,
                output=text,
                evaluations=[
                    Evaluation(name=text, value=True, comment=text),
                    Evaluation(name=text + "2", value=text or "-"),
                    Evaluation(name="length", value=2.5),
                ],
                trace_id=text,
                dataset_run_id=None,
                item_id=text,
                evaluator_failures=[failure],
            )
        ],
        "item_failures": [
            ItemFailure(index=1, item=item, stage="task", error_type=text, message=text, traceback=text, attempts=2)
        ],
        "run_evaluations": [Evaluation(name=text, value=label, comment=text)],
        "run_evaluator_failures": [failure],
        "evaluator_stats": [EvaluatorStats(name=text, total_runs=2, failed_runs=1)],
        "delivery": DeliveryReport(by_kind={"scores": {"rejected": 1}}),
        "dataset_run_url": url,
        "completed": False,
    }
    return ExperimentResult(**{**known, **fields})


def page(*results, **settings):
    return "".join(render_html([report_of(result, **settings) for result in results]))


def data_in(text):
    """The JSON blocks of a page, read."""
    blocks = re.findall(r'<script type="application/json" class="run-data" data-name="[^"]*">(.*?)</script>', text, re.DOTALL)
    return [json.loads(block) for block in blocks]


class Skeleton(HTMLParser):
    """The elements of a page with the names of their attributes; and apart from these its texts and values."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements = []
        self.texts = []
        self.values = {}
        self.feed(text.replace(SCRIPT, "").replace(STYLE, ""))  # ours, and most of the text
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, tuple(name for name, _ in attributes)))
        for name, value in attributes:
            self.values.setdefault(name, []).append(value)

    def handle_endtag(self, tag):
        self.elements.append(("/" + tag, ()))

    def handle_data(self, data):
        self.texts.append(data)

    def handle_comment(self, data):
        self.elements.append(("comment", ()))

    def handle_decl(self, decl):
        self.elements.append(("declaration", ()))

    def handle_pi(self, data):
        self.elements.append(("instruction", ()))

    def unknown_decl(self, data):
        self.elements.append(("unknown declaration", ()))


BREAKOUTS = [
    "",
    "'",
    '"',
    "'>",
    '">',
    "</div>",
    "</td></tr></table>",
    "</title>",
    "</style>",
    "-->",
    "]]>",
    "&quot;>",
    "\x00>",
]
PAYLOADS = [
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.test/x.js></sCrIpT>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<style>@import '//evil.test/x.css';</style>",
    "<link rel=stylesheet href=//evil.test/x.css>",
    "<base href=//evil.test/>",
    "<meta http-equiv=refresh content='0;url=//evil.test'>",
    "<form action=//evil.test><input name=a autofocus></form>",
    "<a href='javascript:alert(1)'>x</a>",
    "<details open ontoggle=alert(1)>",
    "<math><mi xlink:href='data:x'></math>",
    "<template><b></template>",
    "<plaintext>",
    "<textarea><noscript><xmp>",
    "<!-- <b>",
    "<![CDATA[<b>",
    "<?php echo 1 ?>",
    "<!doctype x>",
    " onmouseover=alert(1) x=",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;b&#62;",
]


def compared(text, *, label):
    """A page with everything in it: a candidate, its baseline, checks."""
    candidate, baseline = result_of(text, label=label), result_of(text, label=label)
    return page(candidate, baseline=baseline, checks=["failure_rate < 1%"])


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_the_data_says_does_not_change_the_structure(payload):
    """SECURITY_CASES S38: 312 hostile texts in every place of the page, against a harmless one."""
    plain = Skeleton(compared("plain", label="good"))

    for breakout in BREAKOUTS:
        hostile = Skeleton(compared(breakout + payload, label=breakout + payload))
        assert hostile.elements == plain.elements
        assert hostile.values["class"] == plain.values["class"]
        assert hostile.values["href"] == plain.values["href"]


def test_texts_arrive_as_they_are():
    text = "<b>1 < 2 && \"3\" > '2'</b> &amp;"
    shown = page(result_of(text))

    assert Skeleton(shown).texts.count(text) >= 8
    [run] = data_in(shown)
    assert run["rows"][0][4:7] == [text, json.dumps({text: text}, indent=2), text]


def test_nothing_in_a_data_block_means_anything_to_a_browser():
    nasty = "</script><!--<script>\u2028\u2029 & \ud800"
    blocks = re.findall(r'class="run-data"[^>]*>(.*?)</script>', page(result_of(nasty)), re.DOTALL)

    assert len(blocks) == 1
    assert not re.search("[<>&\u2028\u2029\ud800]", blocks[0])
    assert json.loads(blocks[0])["rows"][0][6] == "</script><!--<script><U+2028><U+2029> & <U+D800>"


def test_the_policy_allows_the_one_style_sheet_and_the_one_script_and_nothing_else():
    text = page(result_of())
    digests = []
    for element in ("script", "style"):
        [content] = re.findall(f"<{element}>(.*?)</{element}>", text, re.DOTALL)
        digests.append(base64.b64encode(hashlib.sha256(content.encode()).digest()).decode())

    assert (
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        f"script-src 'sha256-{digests[0]}'; style-src 'sha256-{digests[1]}'; base-uri 'none'; form-action 'none'\">"
    ) in text
    assert text.index("Content-Security-Policy") < text.index("<title>") < text.index("<style>") < text.index("<script")


def test_there_is_nothing_to_fetch_and_no_handler_in_an_attribute():
    text = page(result_of(), result_of())
    skeleton = Skeleton(text)
    names = {name for _, attributes in skeleton.elements for name in attributes}

    assert {tag for tag, _ in skeleton.elements} & {"link", "img", "iframe", "object", "form", "base"} == set()
    assert [name for name in names if name.startswith("on") or name in ("style", "src", "srcset", "action")] == []
    assert "url(" not in text and "@import" not in text
    assert not re.search(r"fetch\(|XMLHttpRequest|WebSocket|sendBeacon|import\(|innerHTML|eval\(", text)


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JAVASCRIPT:alert(1)",
        " javascript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "//x.test",
    ],
)
def test_only_addresses_of_the_web_become_links(url):
    """SECURITY_CASES S40: `javascript:` survives escaping."""
    skeleton = Skeleton(page(result_of(url=url)))

    assert skeleton.values["href"] == ["#run-1-failure"]
    assert url.strip() in skeleton.texts


def test_the_link_to_the_server_gives_nothing_away():
    link = '<a href="https://example.test/run" rel="noopener noreferrer">https://example.test/run</a>'

    assert link in page(result_of())


def test_control_and_invisible_characters_are_shown_as_marks():
    nasty = "\u202e\u2066\u200b\ufeff\x1b\x00\x85\u2028\U000e0041\ud800"
    text = page(result_of(nasty))

    assert [sign for sign in nasty if sign in text] == []
    assert (
        "&lt;U+202E&gt;&lt;U+2066&gt;&lt;U+200B&gt;&lt;U+FEFF&gt;&lt;U+001B&gt;&lt;U+0000&gt;&lt;U+0085&gt;"
        "&lt;U+2028&gt;&lt;U+E0041&gt;&lt;U+D800&gt;"
    ) in text
    assert text.encode("utf-8")


def test_scripts_that_need_joiners_keep_them():
    for text in (
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "caf\u00e9",
    ):
        shown = page(result_of(text))
        assert text in Skeleton(shown).texts
        assert data_in(shown)[0]["rows"][0][4] == text


def test_long_values_are_cut_with_a_mark():
    """SECURITY_CASES S42: an output of 10 MB."""
    text = page(result_of(item_results=[result_of().item_results[0].replaced(output="x" * 10_000_000)]))

    assert "xxx \u2026 [9,999,000 more characters]</div>" in text
    assert data_in(text)[0]["rows"][0][6].endswith("xxx \u2026 [9,996,000 more characters]")
    assert len(text) < 100_000


def test_numbers_that_json_cannot_say_are_shown_as_texts():
    values = [float("nan"), float("inf"), 10**400, 2**60, 7, 0.25, True, None]
    results = [
        result_of().item_results[0].replaced(index=index, evaluations=[Evaluation(name="m", value=value)])
        for index, value in enumerate(values)
    ]
    [run] = data_in(page(result_of(item_results=results, item_failures=[])))

    assert [row[7][0][1] for row in run["rows"]] == ["nan", "inf", "1e400", "1.15e+18", 7, 0.25, True, None]


def test_failures_stand_in_their_place_with_their_traceback():
    failure = ItemFailure(
        index=0,
        item={"input": "Atlantis"},
        stage="task",
        error_type="KeyError",
        message="'x'",
        traceback="Trace",
        attempts=3,
    )
    text = page(result_of(item_failures=[failure]))

    assert '<a href="#run-1-failure"><b class="bad">1</b></a>' in text
    assert (
        '<tr id="run-1-failure" class="failed"><th class="place" scope="row">1</th>'
        '<td data-label="Input"><div class="value">Atlantis</div></td>'
        '<td data-label="Expected"><div class="value"></div></td>'
        '<td data-label="Output"><div class="problem"><p class="error"><b>task</b> KeyError</p>'
        '<div class="value">&#39;x&#39;</div>'
        '<details><summary>Traceback</summary><div class="value">Trace</div></details></div></td>'
        '<td data-label="Metrics"><span class="bad">failed after 3 attempts</span></td></tr>'
    ) in text
    assert data_in(text)[0]["rows"][0] == [
        "1", "0", None, "task", "Atlantis", None, None, None, 0.0, 3, None, [["task", "KeyError", "'x'", "Trace"]],
    ]  # fmt: skip


def test_one_result_is_shown_with_its_verdict_its_figures_and_its_items():
    text = page(result_of("Cities"))

    assert "<title>Cities</title>" in text
    assert "<h1>Cities</h1>" in text
    assert '<p class="verdict poor">Stopped after 2 items, 1 of 2 items failed, 2 evaluator calls failed, 1 not ' in text
    assert '<div><b>2</b><span>items</span></div>' in text
    assert "<dt>length</dt><dd><b>2.500</b><svg" in text
    assert '<span class="note">0.207\u20131.000</span>' in text
    assert "<h3>2 items</h3>" in text


def test_several_results_begin_with_a_table_of_all():
    first = result_of("a", item_failures=[], item_results=result_of().item_results[:1])
    text = page(first, result_of("b"))

    assert "<h1>2 experiments</h1>" in text
    assert '<th scope="row"><a href="#run-1">a</a></th><td class="n">1</td><td class="n">0</td>' in text
    assert '<th scope="row"><a href="#run-2">b</a></th><td class="n">2</td><td class="n bad">1</td>' in text
    assert text.count('<section class="run"') == 2
    assert [run["name"] for run in data_in(text)] == ["a", "b"]


def score_results(name, values):
    items = [
        result_of().item_results[0].replaced(
            index=index, item_id=f"i{index}", evaluations=[Evaluation(name="score", value=value)], evaluator_failures=[]
        )
        for index, value in enumerate(values)
    ]
    clean = {"evaluator_stats": [], "run_evaluator_failures": [], "delivery": None, "completed": True}
    return result_of(name, item_results=items, item_failures=[], **clean)


def test_a_baseline_is_compared_in_figures_and_checks_are_listed():
    candidate, baseline = score_results("new", [0.5, 0.75, 1.0, 0.25]), score_results("old", [0.25, 0.5, 1.0, 0.5])
    text = page(candidate, baseline=baseline, checks=["score >= 0.6", "failures == 0"], lower_is_better=["score"])

    assert '<section class="run" id="run-1" data-base="2">' in text
    assert '<p class="verdict">2 checks passed.</p>' in text
    assert '<li><span class="yes"><span class="unseen">passed</span></span><span>score &gt;= 0.6: it is 0.625' in text
    assert '<div class="pair" data-pair="1-2">\n<h3>Against old</h3>\n<p class="note">4 items in both. ' in text
    line = text[text.index('<tr><th scope="row">score</th>') :]
    assert '<span class="delta worse">\u25b2 +0.062</span><div class="note">unclear</div></td>' in line
    assert '<span class="better">1</span></td><td class="value-column"><span class="worse">2</span>' in line
    assert [run["lower"] for run in data_in(text)] == [[True], [False]]


def test_results_that_were_not_kept_say_so():
    tally = RunTally()
    tally.add_result([Evaluation(name="accuracy", value=True)])

    text = page(result_of(item_results=[], item_failures=[], tally=tally))

    assert "The results of single items were not kept." in text
    assert '<div><b>1</b><span>items</span></div>' in text


def many(count, **changes):
    [result] = result_of().item_results
    return [result.replaced(index=index, **changes) for index in range(count)]


def test_without_the_script_a_part_of_many_items_is_there_and_failures_come_first():
    [failure] = result_of().item_failures
    text = page(result_of(item_results=many(2500), item_failures=[failure.replaced(index=2500)]))

    assert text.count("<tr") == 201
    assert text.count('class="failed"') == 1
    assert "Without its script this page shows 200 of them." in text
    assert len(data_in(text)[0]["rows"]) == 2501


@pytest.mark.needs("patience")
def test_a_page_says_how_large_it_is_and_what_is_cut():
    small, large = page(result_of()), page(result_of(item_results=many(3000, output="word " * 600)))

    assert "inputs and outputs are cut" not in small
    assert "To keep this file usable, inputs and outputs are cut at 2,000 characters." in large
    [told] = re.findall(r"One file of ([\d.]+) MB; it loads nothing and sends nothing.", large)
    assert abs(float(told) * 1e6 - len(large.encode())) < 60_000


@pytest.mark.needs("patience")
def test_a_run_of_more_items_than_a_page_takes_says_how_many_are_left_out():
    [result] = result_of().item_results
    bare = result.replaced(evaluations=[], evaluator_failures=[], item={}, output=None)
    [failure] = result_of().item_failures
    results = [bare.replaced(index=index) for index in range(20_010)]
    text = page(result_of(item_results=results, item_failures=[failure.replaced(index=20_010)]))

    assert "11 items of this run are not in this file: it takes 20,000, those that failed first." in text
    [run] = data_in(text)
    assert (len(run["rows"]), run["left_out"], run["rows"][-1][3]) == (20_000, 11, "task")


def test_many_labels_are_cut():
    rows = [
        result_of().item_results[0].replaced(evaluations=[Evaluation(name="label", value=f"l{n}")], index=n)
        for n in range(20)
    ]

    assert "<span>l7</span><b>1</b>" in page(result_of(item_results=rows))
    assert "<li>12 more</li></ul>" in page(result_of(item_results=rows))


def test_repetitions_and_equal_items_pair_by_their_order():
    results = many(3, item_id="same")
    [run] = data_in(page(result_of(item_results=results, item_failures=[])))

    assert [row[1] for row in run["rows"]] == ["same", "same#2", "same#3"]


def test_spans_are_in_the_data_of_their_item():
    spans = {"plain": [("step</script>", "SPAN", 1, 0.0, 12.5, "")]}
    text = "".join(render_page(Page([report_of(result_of())], spans=spans)))

    assert data_in(text)[0]["rows"][0][13] == [["step</script>", "SPAN", 1, 0.0, 12.5, ""]]


def test_an_address_that_no_browser_can_open_is_left_out():
    def page(url):
        return "".join(render_html([report_of(ExperimentResult(name="n", run_name="r", item_results=[], run_evaluations=[], dataset_run_url=url))]))

    assert "local:s.db/project" not in page("local:s.db/project/local/datasets/1/runs/2")
    assert "https://h.test/run" in page("https://h.test/run")
