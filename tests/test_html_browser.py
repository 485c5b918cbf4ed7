"""What the report's script does, in a real browser. Skipped where there is no chromium with its driver."""

from __future__ import annotations

import re

import pytest

from interactiveai_eval._atomic import write_atomically
from interactiveai_eval.item_result import ExperimentItemResult
from interactiveai_eval.model import Evaluation, EvaluatorFailure, ItemFailure
from interactiveai_eval.reporting.html import Page, render_html, render_page
from interactiveai_eval.reporting.report import report_of
from interactiveai_eval.result import ExperimentResult
from interactiveai_eval.tally import RunTally

from .browser import Browser, find_programs

pytestmark = pytest.mark.skipif(find_programs() is None, reason="there is no chromium with chromedriver here")

HOSTILE = (
    "</script><script>document.title='owned'</script><!--<script> \u2028\u202e\x00 "
    "<img src=http://127.0.0.1:9/x onerror=\"document.title='owned'\"> javascript:alert(1)"
)


@pytest.fixture(scope="module")
def browser():
    with Browser() as made:
        yield made


def item(index, output, right, score, **fields):
    evaluations = [
        Evaluation(name="right", value=right, comment=f"comment {index}"),
        Evaluation(name="score", value=score),
    ]
    known = {
        "index": index,
        "item_id": f"item-{index}",
        "item": {"input": f"question {index}", "expected_output": "the quick brown fox", "metadata": {"n": index}},
        "output": output,
        "evaluations": evaluations,
        "trace_id": f"trace-{index}",
        "dataset_run_id": None,
        "duration_seconds": 0.5 + index,
    }
    return ExperimentItemResult(**{**known, **fields})


def failure(index):
    return ItemFailure(
        index=index,
        item_id=f"item-{index}",
        item={"input": f"question {index}"},
        stage="task",
        error_type="KeyError",
        message="no such model",
        traceback="Traceback of item",
        attempts=3,
    )


def run(name, results, failures=()):
    return ExperimentResult(
        name=name, run_name=name, item_results=list(results), item_failures=list(failures), run_evaluations=[]
    )


def candidate():
    broken = EvaluatorFailure(evaluator="judge", error_type="ValueError", message="odd", traceback="judge's traceback")
    results = [
        item(0, "the quick brown fox", True, 0.9),
        item(1, "the quick red fox", False, 0.4),
        item(2, "a slow red fox", False, None, evaluator_failures=[broken]),
        item(4, "the quick brown dog", False, 0.7),
    ]
    return run("candidate", results, [failure(3)])


def baseline():
    results = [
        item(0, "the quick brown fox", True, 0.9),
        item(1, "the quick brown fox", True, 0.8),
        item(2, "a slow red fox", False, 0.1),
        item(3, "the quick brown fox", True, 1.0),
        item(4, "the lazy brown dog", False, 0.5),
    ]
    return run("baseline", results)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The report of one run."""
    path = tmp_path_factory.mktemp("alone") / "report.html"
    spans = {"trace-1": [("root", "SPAN", 0, 0.0, 100.0, ""), ("inner", "TOOL", 1, 25.0, 75.0, "it broke")]}
    write_atomically(str(path), render_page(Page([report_of(candidate())], spans=spans)))
    return path


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The report of a run and its baseline."""
    path = tmp_path_factory.mktemp("pair") / "report.html"
    write_atomically(str(path), render_html([report_of(candidate(), baseline=baseline())]))
    return path


NUMBERS = "tr.item .opener"


def column(name):
    return f'th[data-column="{name}"] button'


def mode(name):
    return f'[data-mode="{name}"]'


def fragment(browser):
    return browser.run("return location.hash.slice(1)")


def test_columns_sort_down_and_up_and_not_at_all(browser, alone):
    """Values of a metric begin with the highest, texts with A; what has no value comes last either way."""
    browser.open(alone)
    orders = []
    for _ in range(3):
        browser.click(column("m2"))
        orders.append((browser.texts(NUMBERS), browser.run("return document.querySelector('[aria-sort]')?.ariaSort")))

    assert orders == [
        (["1", "5", "2", "3", "4"], "descending"),
        (["2", "5", "1", "3", "4"], "ascending"),
        (["1", "2", "3", "4", "5"], None),
    ]
    browser.click(column("output"))
    assert browser.texts(NUMBERS) == ["3", "5", "1", "2", "4"]
    assert fragment(browser) == "sort=output"


def test_the_filter_takes_words_and_metrics(browser, alone):
    browser.open(alone)
    found = {}
    for text in ("red fox", "RED quick", "comment 4", "no such model", "right=false", "score>=0.7", "seconds<2", "zebra"):
        browser.run("const s = document.querySelector('#filter'); s.value = ''; s.focus();")
        browser.press(*text)
        found[text] = browser.texts(NUMBERS)

    assert found == {
        "red fox": ["2", "3"],
        "RED quick": ["2", "3"],
        "comment 4": ["5"],
        "no such model": ["4"],
        "right=false": ["2", "3", "5"],
        "score>=0.7": ["1", "5"],
        "seconds<2": ["1", "2", "4"],
        "zebra": [],
    }
    assert browser.texts("#count") == ["0 of 5 items"]


def test_modes_show_what_failed_and_what_changed_with_counts(browser, pair):
    browser.open(pair)
    rows = {}
    for name in ("failed", "errors", "changed", "regressed", "all"):
        browser.click(mode(name))
        rows[name] = browser.texts(NUMBERS)

    assert rows == {
        "failed": ["2", "3", "4", "5"],
        "errors": ["3", "4"],
        "changed": ["2", "3", "4", "5"],
        "regressed": ["2", "4"],
        "all": ["1", "2", "3", "4", "5"],
    }
    assert browser.texts(".mode") == ["All 5", "Not passed 4", "Errors 2", "Changed 4", "Regressed 2"]


def test_without_another_run_there_is_nothing_to_compare(browser, alone):
    browser.open(alone, "mode=regressed")

    assert browser.texts(".mode") == ["All 5", "Not passed 4", "Errors 2"]
    assert len(browser.texts(NUMBERS)) == 5


def test_a_row_opens_to_all_that_is_known_of_it(browser, alone):
    browser.open(alone)
    browser.click('tr.item[data-at="1"] .output')

    assert browser.texts(".detail h4") == ["Input", "Expected", "Output", "Metrics", "Spans", "Metadata"]
    assert browser.texts(".detail .metrics tr") == ["right\tFalse\tcomment 1", "score\t0.400\t"]
    assert browser.texts(".detail .facts div") == ["Item\nitem-1", "Trace\ntrace-1", "Time\n1.5 s", "Attempts\n1"]
    assert browser.texts(".spans li") == ["root\nspan\n100 ms", "inner\ntool\n50 ms\nit broke"]
    bars = "return [...document.querySelectorAll('.lane i')].map(i => [i.style.marginLeft, i.style.width])"
    assert browser.run(bars) == [["0%", "max(2px, 100%)"], ["25%", "max(2px, 50%)"]]
    browser.click('tr.item[data-at="1"] .output')
    assert browser.texts(".detail") == []


def test_failures_open_to_their_traceback(browser, alone):
    browser.open(alone, "open=3.4")
    browser.run("for (const each of document.querySelectorAll('.detail details')) each.open = true;")

    assert browser.texts(".detail .problem .error") == ["judge ValueError", "task KeyError"]
    assert browser.texts(".detail .problem details .value") == ["judge's traceback", "Traceback of item"]
    assert "Attempts\n3" in browser.texts(".detail .facts div")


DIFF = "return [...document.querySelectorAll('.detail ins, .detail del')].map(e => [e.tagName, e.textContent])"


def test_texts_that_are_alike_are_shown_with_their_word_differences(browser, alone):
    browser.open(alone, "open=2")

    assert browser.run(DIFF) == [["DEL", "brown"], ["INS", "red"]]
    browser.click(".view")
    assert browser.run(DIFF) == []
    assert browser.texts(".detail .texts .box:last-child .value") == ["the quick red fox"]


def test_changes_are_shown_as_few_pieces_and_texts_that_differ_are_shown_plain(browser, tmp_path):
    texts = {"it has a big, old dog here": "it has one small, new cat here", "seven eggs": "a completely other answer"}
    results = [
        item(place, new, False, 0, item={"input": "", "expected_output": old})
        for place, (old, new) in enumerate(texts.items())
    ]
    path = tmp_path / "texts.html"
    write_atomically(str(path), render_html([report_of(run("texts", results))]))
    browser.open(path, "open=1")
    browser.run("[...document.querySelectorAll('.view')].pop().click()")
    assert browser.run(DIFF) == [["DEL", "a big, old dog"], ["INS", "one small, new cat"]]

    browser.open(path, "open=2")
    assert browser.run(DIFF) == []


def test_an_output_is_compared_with_the_other_runs_too(browser, pair):
    browser.open(pair, "open=5")

    assert browser.texts(".view") == ["Text", "Against expected", "Against baseline"]
    assert browser.run("return document.querySelector('.view[aria-pressed=true]').textContent") == "Against baseline"
    assert browser.run(DIFF) == [["DEL", "lazy"], ["INS", "quick"]]


def test_two_runs_are_compared_in_figures_and_a_mark_for_each_changed_item(browser, pair):
    browser.open(pair)
    marks = "return [...document.querySelectorAll('.dots path:not(.axis)')].map(p => (p.getAttribute('d').match(/M/g) || []).length)"

    assert browser.texts(".pair h3") == ["Against baseline"]
    assert browser.run(marks) == [1, 0, 1, 1]  # right: one for the worse; score: one each way
    assert browser.texts('tr.item[data-at="1"] .delta') == ["▼", "▼ 0.400"]

    browser.run("const c = document.querySelector('#run-choice'); c.value = '2'; c.dispatchEvent(new Event('change'));")
    browser.run("const c = document.querySelector('#base-choice'); c.value = '1'; c.dispatchEvent(new Event('change'));")
    assert browser.texts("#pair .note") == ["Items: 5 in both, 1 recovered. Means over those in both."]
    assert browser.texts("#pair tbody tr")[1].split()[:6] == ["score", "0.733", "0.667", "▲", "+0.067", "1"]
    assert browser.run(marks)[-4:] == [0, 1, 1, 1]


def test_the_fragment_brings_back_what_was_seen(browser, pair):
    browser.open(pair)
    browser.click(column("m2"))
    browser.click(mode("changed"))
    browser.run("const s = document.querySelector('#filter'); s.value = 'fox right=false'; s.dispatchEvent(new Event('input'));")
    browser.click("tr.item .opener")
    browser.click("#theme")
    seen = (browser.texts("tr.item, tr.detail"), browser.texts("#count"), fragment(browser))
    assert seen[2] == "mode=changed&sort=-m2&q=fox+right%3Dfalse&open=5&theme=dark"

    browser.open(pair, seen[2])
    assert (browser.texts("tr.item, tr.detail"), browser.texts("#count"), fragment(browser)) == seen
    assert browser.run("return document.querySelector('#filter').value") == "fox right=false"


@pytest.mark.parametrize("nonsense", ["run=9&base=x&mode=__proto__&sort=m99&open=0.x.999&theme=pink", "%", "run-77", "sort=constructor"])
def test_a_fragment_that_means_nothing_shows_everything(browser, pair, nonsense):
    browser.open(pair, nonsense)

    assert browser.texts(NUMBERS) == ["1", "2", "3", "4", "5"]
    assert [line for line in browser.log("browser") if "favicon" not in line] == []


def test_everything_can_be_reached_by_keys(browser, alone):
    browser.open(alone)
    browser.press("/", *"fox")
    assert browser.run("return document.activeElement.id") == "filter"

    browser.press("ArrowDown", "ArrowDown", "Enter")
    assert (fragment(browser), browser.run("return document.activeElement.textContent")) == ("q=fox&open=2", "2")
    browser.press("Escape")
    assert (fragment(browser), browser.texts(".detail")) == ("q=fox", [])
    browser.press("ArrowDown", "Enter", "ArrowUp", "ArrowUp", "ArrowUp")
    assert (fragment(browser), browser.run("return document.activeElement.id")) == ("q=fox&open=3", "filter")
    browser.press("Escape")
    assert (fragment(browser), len(browser.texts(NUMBERS))) == ("open=3", 5)
    browser.press("Escape")
    assert browser.run("return document.activeElement.tagName") == "BODY"


def test_rows_and_headers_say_what_they_are(browser, alone):
    browser.open(alone, "open=2&sort=-m2")
    opener = "document.querySelector('tr.open .opener')"

    assert browser.run(f"return [{opener}.ariaExpanded, {opener}.getAttribute('aria-label')]") == ["true", "Item 2"]
    assert browser.run(f"return document.getElementById({opener}.getAttribute('aria-controls')).className") == "detail"
    assert browser.run("return [...document.querySelectorAll('tr.item .opener')].filter(b => b.tabIndex === 0).length") == 1
    assert browser.run("return document.querySelectorAll('input:not([aria-label]), svg:not([aria-label])').length") == 0


def paper(browser):
    return browser.run("return getComputedStyle(document.body).backgroundColor")


def test_colours_follow_the_system_and_a_button(browser, alone):
    light, dark = "rgb(251, 251, 249)", "rgb(20, 22, 25)"
    shown = []
    for scheme in ("light", "dark"):
        browser.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        browser.open(alone)
        shown.append(paper(browser))
        browser.click("#theme")
        shown.append(paper(browser))
    browser.command("Emulation.setEmulatedMedia", features=[])

    assert shown == [light, dark, dark, light]


def contrast(browser, variable):
    """How a colour stands out from the paper, as the accessibility guidelines work it out."""

    def luminance(colour):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    script = "const p = document.createElement('p'); p.style.color = `var(${arguments[0]})`; document.body.append(p);"
    pair = luminance(browser.run(script + "return getComputedStyle(p).color", variable)), luminance(paper(browser))
    return (max(pair) + 0.05) / (min(pair) + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_colour_of_text_stands_out(browser, alone, theme):
    browser.open(alone, f"theme={theme}")

    assert [name for name in ("--ink", "--soft", "--accent", "--bad") if contrast(browser, name) < 4.5] == []


def test_many_items_are_drawn_as_they_are_scrolled_to(browser, tmp_path):
    path = tmp_path / "many.html"
    results = [item(index, f"output {index}", index % 2 == 0, index / 3000) for index in range(3000)]
    write_atomically(str(path), render_html([report_of(run("many", results))]))
    browser.resize(1200, 800)
    browser.open(path)
    rows = "document.querySelectorAll('tr.item').length"

    assert browser.run(f"return {rows}") == 100
    browser.run("scrollTo(0, document.body.scrollHeight)")
    browser.until(f"{rows} === 200")
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run(f"return {rows}") == 1000
    browser.open(path, "open=1500")
    assert browser.run(f"return {rows}") >= 1500
    assert browser.run("return Math.abs(document.querySelector('tr.open').getBoundingClientRect().top) < 400")
    browser.click(column("m2"))
    assert browser.texts(NUMBERS)[0] == "1500" or browser.texts(NUMBERS)[0] == "3000"


def test_a_run_whose_results_were_not_kept_has_no_empty_table(browser, tmp_path):
    path = tmp_path / "counts.html"
    tally = RunTally()
    tally.add_result([Evaluation(name="right", value=True)])
    write_atomically(str(path), render_html([report_of(run("counts", []).replaced(tally=tally))]))
    browser.open(path)

    assert browser.texts("#items, .items") == []
    assert browser.texts(".counts b")[0] == "1"


def test_many_metrics_leave_room_for_the_texts(browser, tmp_path):
    metrics = [Evaluation(name=f"metric {n}", value=n / 10) for n in range(9)]
    path = tmp_path / "wide.html"
    write_atomically(str(path), render_html([report_of(run("wide", [item(0, "text", True, 1, evaluations=metrics)]))]))
    browser.open(path, "open=1")

    assert browser.texts("thead th")[4:] == [*(f"metric {n}" for n in range(5)), "Time"]
    assert browser.texts("#count") == ["1 item, 4 more metrics in the opened rows"]
    assert len(browser.texts(".detail .metrics tr")) == 9
    assert browser.run("return document.querySelector('td.input').offsetWidth") > 150


def test_nothing_leaves_the_page(browser, pair):
    """SECURITY_CASES S39, S41: not a single request but for the file itself, whatever is done."""
    browser.log("performance")
    browser.open(pair, "open=1.2.3.4.5")
    for selector in (mode("changed"), column("m1"), "#theme", ".view"):
        browser.click(selector)

    assert {url.partition("#")[0] for url in browser.requested()} == {pair.as_uri()}


def test_hostile_content_is_inert(browser, tmp_path):
    """SECURITY_CASES S39: nothing of it runs, nothing is fetched, and all of it can be read."""
    hostile = item(0, HOSTILE, False, 0.1, item={"input": HOSTILE, "expected_output": HOSTILE}, item_id=HOSTILE)
    comment = Evaluation(name=HOSTILE, value=HOSTILE, comment=HOSTILE, metadata={HOSTILE: HOSTILE})
    results = [hostile.replaced(evaluations=[comment], trace_id=HOSTILE)]
    path = tmp_path / "hostile.html"
    fields = {"message": HOSTILE, "traceback": HOSTILE, "error_type": HOSTILE}
    result = run(HOSTILE, results, [failure(1).replaced(**fields)])
    write_atomically(str(path), render_html([report_of(result, baseline=run(HOSTILE, results))]))
    browser.log("performance")
    browser.log("browser")
    browser.open(path, "open=1.2")

    assert browser.run("return document.title").startswith("</script><script>document.title='owned'")
    assert browser.run("return document.querySelectorAll('img, iframe, link, base').length") == 0
    links = browser.run("return [...document.querySelectorAll('a')].map(a => a.getAttribute('href'))")
    assert [link for link in links if not link.startswith("#run-")] == []
    assert {url.partition("#")[0] for url in browser.requested()} == {path.as_uri()}
    assert browser.log("browser") == []
    shown = HOSTILE.replace("\u2028\u202e\x00", "<U+2028><U+202E><U+0000>")
    assert browser.texts(".detail .texts .value")[:2] == [shown, shown]


def test_a_script_that_gets_into_the_page_is_refused(browser, tmp_path, alone):
    """SECURITY_CASES S39: the policy is the second line of defence."""
    path = tmp_path / "injected.html"
    injected = (
        "<script>document.title='owned'</script><img src='http://127.0.0.1:9/x' onerror=\"document.title='owned'\">"
        "<style>body{display:none}</style><p style='color:red'>"
    )
    path.write_text(alone.read_text("utf-8").replace("<main>", "<main>" + injected), "utf-8")
    browser.log("browser")
    browser.open(path)

    assert browser.run("return [document.title, getComputedStyle(document.body).display]") == ["candidate", "block"]
    refusals = [line for line in browser.log("browser") if "Content Security Policy" in line]
    assert len(refusals) >= 4


def test_the_page_can_be_read_without_scripts(browser, pair):
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(pair)
    text = browser.command("Runtime.evaluate", expression="document.body.innerText")["result"]["value"]
    browser.command("Emulation.setScriptExecutionDisabled", value=False)

    for told in ("Stopped", "candidate", "4 items went through, 1 of 5 items failed", "Against baseline", "question 4", "a slow red fox", "no such model"):
        assert (told in text) == (told != "Stopped"), told


def test_a_narrow_window_has_no_sideways_scrolling(browser, alone):
    browser.resize(400, 800)
    browser.open(alone, "open=2")
    width = browser.run("return document.documentElement.scrollWidth")
    browser.resize(1200, 800)

    assert width == 400


def test_paper_shows_everything_and_no_buttons(browser, alone):
    browser.command("Emulation.setEmulatedMedia", media="print")
    browser.open(alone, "theme=dark")
    shown = browser.run("return ['.toolbar', '#theme', '.bars .bar'].map(s => getComputedStyle(document.querySelector(s)).display)")
    colour = paper(browser)
    browser.command("Emulation.setEmulatedMedia", media="")

    assert (shown, colour) == (["none", "none", "inline"], "rgb(255, 255, 255)")
