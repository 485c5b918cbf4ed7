"""The static site over a store: small files that need nothing but each other's names."""

from __future__ import annotations

import json
import re
import stat

import pytest

from interactiveai_eval import Interactive
from interactiveai_eval.cli import main
from interactiveai_eval.stores.run_browser import write_site
from interactiveai_eval.testing import CountingIds, ManualClock

from .browser import Browser, find_programs

HOSTILE = "</script><b onclick=x>../../etc\u202e"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with three experiments, one of them of a hostile name, and two runs of a data set."""
    path = tmp_path_factory.mktemp("store") / "eval.db"
    clock = ManualClock("2026-01-01T00:00:00Z")
    with Interactive.local(str(path), clock=clock, ids=CountingIds()) as client:
        for number, name in enumerate(["sums", "sums", HOSTILE]):
            clock.advance(60)
            client.run_experiment(
                name=name,
                run_name=f"{name[:20]} {number}",
                data=[{"id": f"i{i}", "input": i, "expected_output": str(i * 2)} for i in range(4)],
                task=lambda item, number=number: str(item["input"] * 2 + (item["input"] > number)),
                evaluators=[right],
            )
        client.create_dataset(name="capitals")
        client.create_dataset_item(dataset_name="capitals", id="fr", input="France", expected_output="Paris")
        for name, answer in (("v1", "Lyon"), ("v2", "Paris")):
            clock.advance(60)
            client.get_dataset("capitals").run_experiment(
                name="cap", run_name=name, task=lambda item, answer=answer: answer, evaluators=[right]
            )
    return path


def right(*, output, expected_output):
    return output == expected_output


@pytest.fixture(scope="module")
def site(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "runs"
    with Interactive.local(str(store)) as client:
        write_site(client.api, str(folder))
    return folder


def test_there_is_a_list_a_page_for_each_run_and_one_that_compares(site):
    names = sorted(path.name for path in site.iterdir())

    assert len(names) == 7
    assert names[:2] == ["compare.html", "index.html"]
    assert all(re.fullmatch(r"run-[0-9a-f]{24}\.html", name) for name in names[2:])


def test_files_are_for_the_user_alone(site):
    """SECURITY_CASES S51."""
    assert {stat.S_IMODE(path.stat().st_mode) for path in site.iterdir()} == {0o600}
    assert stat.S_IMODE(site.stat().st_mode) == 0o700


def test_the_list_groups_runs_newest_first_with_their_figures(site):
    index = (site / "index.html").read_text("utf-8")
    rows = re.findall(r'<th scope="row"><a href="([^"]+)">([^<]+)</a></th><td class="n">(\d+)</td>', index)
    known = {path.name for path in site.iterdir()}

    assert re.findall("<h2>([^<]+)</h2>", index) == ["Data set capitals", "Experiments"]
    assert [(label, items) for _, label, items in rows] == [
        ("v2", "1"),
        ("v1", "1"),
        ("&lt;/script&gt;&lt;b onclick=x&gt;../../etc&lt;U+202E&gt;", "4"),
        ("sums 1", "4"),
        ("sums 0", "4"),
    ]
    assert {address for address, _, _ in rows} < known
    assert re.findall(r'href="compare.html#([^"]+)">compare', index) == [
        "run=1&amp;base=2",
        "run=3&amp;base=4",
        "run=4&amp;base=5",
    ]


def test_links_lead_to_files_that_are_there_and_nowhere_else(site):
    known = {path.name for path in site.iterdir()} | {""}
    for path in site.iterdir():
        addresses = re.findall(r'href="([^"]*)"', path.read_text("utf-8"))
        assert {address.partition("#")[0] for address in addresses} <= known


def test_the_same_store_gives_the_same_files_and_others_are_left_alone(store, site):
    before = {path.name: path.read_bytes() for path in site.iterdir()}
    (site / "notes.txt").write_text("mine")
    with Interactive.local(str(store)) as client:
        told = write_site(client.api, str(site))
    (site / "notes.txt").unlink()

    assert {path.name: path.read_bytes() for path in site.iterdir()} == before
    assert told == {
        "folder": str(site),
        "runs": 5,
        "files": 7,
        "bytes": sum(map(len, before.values())),
    }


def test_the_command_writes_the_site(store, tmp_path, capsys):
    assert main(["report", "--store", str(store), "--output", str(tmp_path / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)

    assert (told["runs"], told["files"]) == (5, 7)
    assert main(["report", "--store", str(store), "--output", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"5 runs: {tmp_path / 'out' / 'index.html'}\n"


def test_what_cannot_be_used_is_said_and_nothing_is_written(store, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    missing = ["report", "--store", str(tmp_path / "no.db"), "--output", str(tmp_path / "out")]
    taken = ["report", "--store", str(store), "--output", str(tmp_path / "file")]

    assert main(missing) == 2
    assert "there is no such file" in capsys.readouterr().err
    assert main(taken) == 2
    assert "is no folder and cannot be made one" in capsys.readouterr().err
    for more in (["x.json"], ["--check", "right > 0"], ["--output", "second"]):
        assert main(["report", "--store", str(store), "--output", str(tmp_path / "out"), *more]) == 2
    assert "must name one folder" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["report", "--output", "x.html"])
    assert stop.value.code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("page", ["index.html", "compare.html", "run"])
def test_pages_of_somebody_else_are_not_replaced(store, site, tmp_path, capsys, page):
    """A folder with a site of the user's lost its index.html. Pages of ours are replaced, whatever they show."""
    name = next(path.name for path in site.iterdir() if path.name.startswith(page))
    (tmp_path / name).write_text("<!doctype html>\n<html><title>mine</title></html>\n")

    assert main(["report", "--store", str(store), "--output", str(tmp_path)]) == 2
    told = f"--output={str(tmp_path)!r}: has a page {name} that is none of ours; name another folder"
    assert capsys.readouterr().err == f"error: {told}\n"
    assert [path.name for path in tmp_path.iterdir()] == [name] and "mine" in (tmp_path / name).read_text()

    (tmp_path / name).write_bytes((site / "compare.html").read_bytes())
    assert main(["report", "--store", str(store), "--output", str(tmp_path)]) == 0


def test_the_pages_go_to_a_folder_named_after_the_store_unless_one_is_named(store, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    assert main(["report", "--store", str(store)]) == 0
    assert capsys.readouterr().out == f"5 runs: {tmp_path / 'eval-runs' / 'index.html'}\n"
    assert len(list((tmp_path / "eval-runs").iterdir())) == 7


def test_an_empty_store_is_said_to_be_empty(tmp_path, client):
    assert write_site(client.api, str(tmp_path / "out"))["files"] == 1
    assert "This store has no runs yet." in (tmp_path / "out" / "index.html").read_text("utf-8")


@pytest.mark.skipif(find_programs() is None, reason="there is no chromium with chromedriver here")
def test_one_gets_from_the_list_to_a_comparison_and_to_an_item(site):
    with Browser() as browser:
        browser.open(site / "index.html")
        browser.click('a[href="compare.html#run=4&base=5"]')
        browser.until("document.querySelector('#pair h3')")
        assert browser.texts("#pair h3") == ["Against sums 0"]
        assert browser.texts("#pair tbody tr")[0].split()[:7] == ["right", "0.500", "0.250", "▲", "+0.250", "1", "0"]

        browser.click('[data-mode="changed"]')
        browser.click("tr.item .opener")
        browser.click(".detail a")
        browser.until("document.querySelector('.detail .spans')")
        assert browser.texts("h1") == ["sums 1"]
        assert browser.texts(".spans li .span-name") == ["experiment-item-run", "right"]
        browser.click("header a")
        browser.until("document.querySelector('h1').textContent === '5 runs'")

        assert {url.rpartition("/")[0] for url in browser.requested()} == {site.as_uri()}
        assert browser.log("browser") == []


def test_pages_of_data_set_runs_say_what_is_meant(site):
    """The list names runs by the run, labels are shown, and what the spans last is not called the run's duration."""
    pages = [path.read_text("utf-8") for path in site.iterdir() if path.name.startswith("run-")]

    assert all("<span>first to last span</span>" in page and "<span>duration</span>" not in page for page in pages)
    assert re.findall(r'id="run-\d"( data-base="\d")?', (site / "compare.html").read_text("utf-8")) == [
        ' data-base="2"', ' data-base="3"', ' data-base="4"', ' data-base="5"', ' data-base="4"',
    ]  # fmt: skip


def test_labels_stand_in_the_list_and_a_run_of_a_data_set_by_its_own_name(tmp_path, client):
    client.create_dataset(name="d")
    client.create_dataset_item(dataset_name="d", id="i", input=1)
    for answer in ("warm", "<cold>"):
        client.get_dataset("d").run_experiment(
            name=f"e {answer}", run_name=f"mine {answer}", task=lambda item: 1,
            evaluators=[lambda *, output, answer=answer: {"name": "tone", "value": answer}],
        )  # fmt: skip
    write_site(client.api, str(tmp_path / "out"))
    index = (tmp_path / "out" / "index.html").read_text("utf-8")

    assert '<td class="metric">warm 100%</td>' in index and '<td class="metric">&lt;cold&gt; 100%</td>' in index
    assert ">mine warm</a>" in index and ">e warm</a>" not in index


@pytest.mark.skipif(find_programs() is None, reason="there is no chromium with chromedriver here")
def test_a_list_with_three_metrics_fits_and_a_comparison_opens_with_the_two_newest_runs(tmp_path, client):
    evaluators = [
        lambda *, output, name=name, n=n: {"name": name, "value": output % n == 0}
        for n, name in enumerate(("accuracy", "relevance", "helpfulness"), 2)
    ]
    for n in (1, 2):
        client.run_experiment(
            name="sums of numbers", run_name=f"sums of numbers {n}", data=[{"input": i} for i in range(4)],
            task=lambda item: item["input"], evaluators=evaluators,
        )  # fmt: skip
    write_site(client.api, str(tmp_path / "out"))
    with Browser() as browser:
        browser.open(tmp_path / "out" / "index.html")
        room, needed = browser.run(
            "const box = document.querySelector('.wide'); return [box.clientWidth, box.scrollWidth]"
        )
        browser.open(tmp_path / "out" / "compare.html")
        browser.until("document.querySelector('#pair h3')")
        against = browser.texts("#pair h3")

    assert needed <= room
    assert len(against) == 1 and against[0].startswith("Against sums of numbers")
