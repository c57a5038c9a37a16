"""The report page in a real browser: a script at its end clicks and types, and writes down what it saw."""

import json
import re
import shutil
import subprocess

import pytest

from mnv1.report.render import render
from tests.conftest import results_of, speedup_facts

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium on the PATH (Debian: apt install chromium)")

PROBE = """
<script>
const seen = {};
const section = document.querySelector("#layer_times-cpu");
const table = section.querySelector("table[data-label]");
const column = [...table.tHead.rows[0].cells].findIndex((one) => one.textContent === "latency");
const keys = () => [...table.tBodies[0].rows].map((row) => Number(row.cells[column].dataset.key));
table.tHead.rows[0].cells[column].firstElementChild.click();
seen.up = keys();
seen.sort = table.tHead.rows[0].cells[column].getAttribute("aria-sort");
table.tHead.rows[0].cells[column].firstElementChild.click();
seen.down = keys();
const kind = [...table.tHead.rows[0].cells].findIndex((one) => one.textContent === "kind");
table.tHead.rows[0].cells[kind].firstElementChild.click();
seen.kinds = [...table.tBodies[0].rows].map((row) => row.cells[kind].textContent);
const input = section.querySelector("input");
input.value = "depthwise AMP";
input.dispatchEvent(new Event("input"));
seen.filtered = [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.textContent);
seen.count = section.querySelector("output").textContent;
input.value = "";
input.dispatchEvent(new Event("input"));
seen.all = [...table.tBodies[0].rows].filter((row) => !row.hidden).length;
seen.images = [...document.images].map((image) => image.complete && image.naturalWidth > 0);
seen.requests = performance.getEntriesByType("resource").map((one) => one.name.slice(0, 30));
seen.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
window.dispatchEvent(new Event("beforeprint"));
seen.closed = [...document.querySelectorAll("details")].filter((one) => !one.open).length;
document.title = "probed";
const out = document.createElement("pre");
out.id = "seen";
out.textContent = JSON.stringify(seen);
document.body.append(out);
</script>
"""


def browse(page, *arguments):
    """What Chromium prints about a page on disk, and what it logs."""
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    command += ["--virtual-time-budget=5000", *arguments, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def probed(page, folder, *arguments):
    text = page.read_text()
    page = folder / "probed.html"
    page.write_text(text.replace("</body>", f"{PROBE}</body>"))
    dom, console = browse(page, *arguments)
    found = re.search(r'<pre id="seen">(.*?)</pre>', dom, re.DOTALL)
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")), console


@pytest.fixture(scope="module", params=[(1200, 900), (390, 844)], ids=["desktop", "phone"])
def seen(request, whole_page, tmp_path_factory):
    width, height = request.param
    return probed(whole_page, tmp_path_factory.mktemp("probed"), f"--window-size={width},{height}")


def test_tables_sort_by_value(seen):
    (found, _) = seen
    assert len(found["up"]) > 10
    assert found["up"] == sorted(found["up"])
    assert found["down"] == sorted(found["down"], reverse=True)
    assert found["sort"] == "ascending"
    assert found["kinds"] == sorted(found["kinds"])


def test_filters_keep_rows_with_every_word(seen):
    (found, _) = seen
    assert found["filtered"]
    assert all("depthwise" in row and "amp" in row for row in found["filtered"])
    assert found["count"] == f"{len(found['filtered'])} of {found['all']} rows"
    assert found["all"] == len(found["up"])


def test_nothing_is_requested_and_nothing_complains(seen):
    found, console = seen
    assert not [name for name in found["requests"] if not name.startswith("data:")]
    assert not console


def test_figures_show_and_the_page_is_no_wider_than_the_window(seen):
    (found, _) = seen
    assert found["images"]
    assert all(found["images"])
    assert found["overflow"] <= 0


def test_tables_are_unfolded_for_paper(seen):
    (found, _) = seen
    assert found["closed"] == 0


def test_markup_in_results_does_not_run(tmp_path):
    evil = "<script>document.body.innerHTML = 'owned'</script>"
    results = results_of([speedup_facts(), speedup_facts(subject="layer", shape=evil)])
    render(results, tmp_path / "rendered", ("svg",), tmp_path / "report.html")
    dom, console = browse(tmp_path / "report.html")
    assert "Measured on" in dom
    assert "&lt;script&gt;document.body" in dom
    assert not console
