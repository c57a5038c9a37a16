"""The report page: what is in it, and that nothing from a result file is taken for markup."""

import base64
import re
from html.parser import HTMLParser

import pytest

from mnv1.net.published import claims
from mnv1.report.page import Beside, environment_rows
from mnv1.report.render import render
from mnv1.report.views import VIEWS
from tests.conftest import results_of, section_of, speedup_facts


class Page(HTMLParser):
    """Tags, ids, links and text of a page; complains about tags that are not closed."""

    VOID = frozenset({"meta", "img", "input", "link", "br"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.sources, self.open, self.text = [], [], [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if "href" in found else []
        self.sources += [found["src"]] if "src" in found else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def text(whole_page):
    return whole_page.read_text()


def test_page_has_a_section_with_a_figure_and_a_table_for_each_view(text):
    page = Page(text)
    assert {name for name in page.ids if name.endswith(("-cpu", "-cuda"))} == {section_of(view) for view in VIEWS}
    of_host = [name for name in map(section_of, VIEWS) if name.endswith("-cpu")]
    assert [name for name in page.ids if name.endswith("-cpu")] == of_host
    assert page.tags.count("img") == len(VIEWS)
    assert page.tags.count("details") == len(VIEWS) + 1 + 3  # the contents, and the claims
    assert len(set(page.ids)) == len(page.ids)


def test_page_has_every_published_claim_with_its_verdict(text):
    page, every = Page(text), claims()
    assert "claims" in page.ids
    assert {claim.id for claim in every} <= set(page.text)
    assert any(words.startswith(f"Of {len(every)} published figures") for words in page.text)


def test_the_figures_come_first_and_the_contents_are_folded_away(text):
    assert re.search(r"<section[^>]*>", text)[0] == '<section id="verdict" class="verdict">'
    opening = Page(text[text.index("<main>") : text.index("<figure>")] + "</section></main>")
    assert "4.00×" in opening.text
    assert not opening.links
    said = [part for part in opening.text if "this many times as fast" in part]
    assert said[0].startswith("MobileNetV1 (α 1, 224 px) is this many times as fast as its standard-convolution twin;")
    nav = re.search(r"<nav.*?</nav>", text, re.DOTALL)[0]
    assert nav.count("<a ") > len(VIEWS)
    assert "<details>" in nav


def test_headings_stand_once(tmp_path):
    """A plot on disk has its title; in the page, below a heading, it begins beneath it."""
    render(results_of([speedup_facts()]), tmp_path / "rendered", ("svg",), tmp_path / "report.html")
    on_disk = (tmp_path / "rendered" / "verdict-cpu.svg").read_text()
    embedded = re.search(r"id=\"verdict-cpu\".*?base64,([^\"]+)", (tmp_path / "report.html").read_text(), re.DOTALL)[1]
    shown = base64.b64decode(embedded).decode()
    whole, part = (
        [float(number) for number in re.search(r'viewBox="([^"]+)"', svg)[1].split()] for svg in (on_disk, shown)
    )
    assert whole[:2] == [0, 0]
    assert 8 < part[1] < 25  # points, at a title of 11
    assert part[1] + part[3] == pytest.approx(whole[3], abs=0.1)
    assert part[2] == whole[2]


def test_claims_that_differ_come_first_and_what_is_needed_last(text):
    claims_part = text[text.index('<section id="claims">') :]
    folds = re.findall(r"<details class=\"rows\"( open)?>\s*<summary>(.*?) \(\d+ rows\)", claims_part)
    assert folds == [(" open", "Differs or measured"), ("", "Reproduced"), ("", "Needs what is not here")]


def test_nothing_is_loaded_from_elsewhere(text):
    page = Page(text)
    assert all(source.startswith("data:image/svg+xml;base64,") for source in page.sources)
    assert "default-src 'none'" in text
    assert not re.findall(r"(?:https?:)?//[^\s\"'<>]+\.(?:js|css|png|svg|woff2?)", text)
    assert "@import" not in text
    assert "url(" not in text


def test_links_lead_to_sections_or_to_csv_files(text):
    page = Page(text)
    for link in page.links:
        assert (
            link.removeprefix("#") in page.ids
            if link.startswith("#")
            else re.fullmatch(r"rendered/\w+-(cpu|cuda)\.csv", link)
        )


def test_what_comes_from_result_files_is_escaped(tmp_path):
    evil = "<script>alert(1)</script>"
    quote = '"><img src=x onerror=alert(2)>'
    results = results_of([speedup_facts(shape=evil, subject="layer", stopped=quote), speedup_facts(stopped=evil)])
    results.environment["cpu"] = evil
    results.environment[quote] = evil
    results.cases["machine"] = evil
    results.cases["commit"] = quote
    render(results, tmp_path / "rendered", ("svg",), tmp_path / "report.html", beside=Beside("Another run", (results,)))
    page = Page((tmp_path / "report.html").read_text())
    assert page.tags.count("script") == 1  # the page's own
    assert all(source.startswith("data:") for source in page.sources)
    assert any(evil in text for text in page.text)


def test_environments_side_by_side():
    here, there = {"cpu": "A", "threads": 2, "gpu": "H100"}, {"cpu": "B", "threads": 2, "virtualised": True}
    rows = {row.name: (row.here, row.there, row.differs) for row in environment_rows(here, [there])}
    assert rows == {
        "cpu": ("A", ("B",), True),
        "threads": ("2", ("2",), False),
        "gpu": ("H100", ("",), True),
        "virtualised": ("", ("yes",), True),
    }
    assert not any(row.differs for row in environment_rows(here))
    third = next(row for row in environment_rows(here, [here, there]) if row.name == "cpu")
    assert (third.there, third.differs) == (("A", "B"), True)


def test_a_page_without_pairs_says_so(tmp_path):
    from tests.conftest import latency_facts

    render(results_of([latency_facts()]), tmp_path / "rendered", ("svg",), tmp_path / "report.html")
    assert "so there is no speedup to report" in (tmp_path / "report.html").read_text()
