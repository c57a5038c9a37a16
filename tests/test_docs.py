import re
import tomllib

import pytest
import yaml

import mnv1
from mnv1.report.includes import refreshed
from mnv1.report.render import RenderError
from tests.conftest import ROOT


def test_an_include_has_what_its_file_has(tmp_path):
    (tmp_path / "table.md").write_text("| a |\n")
    page = "before\n<!-- include: table.md -->\nold\n<!-- end -->\nafter\n"
    fresh = "before\n<!-- include: table.md -->\n\n| a |\n\n<!-- end -->\nafter\n"
    assert refreshed(page, tmp_path) == fresh
    assert refreshed(fresh, tmp_path) == fresh


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RenderError, match=r"table.md: cannot be included: No such file"):
        refreshed("<!-- include: table.md -->\n<!-- end -->", tmp_path)


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_documentation_has_the_committed_tables(page):
    text = page.read_text()
    assert refreshed(text, ROOT) == text


PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))


def prose(text):
    """A page without its code: what looks like a link or a heading there is none."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf8"), flags=re.MULTILINE | re.DOTALL)
    found = []
    for heading in re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.append(f"{slug}-{found.count(slug)}" if slug in found else slug)
    return found


def broken_links(page):
    """The relative links of a page whose file or heading does not exist."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text(encoding="utf8"))):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(page):
    assert broken_links(page) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "other.md").write_text("# A `title`, of two words\n\n```sh\n# no heading\n```\n")
    page = tmp_path / "page.md"
    links = ("other.md", "other.md#a-title-of-two-words", "#here", "https://example.org/x", "gone.md")
    links += ("other.md#no-heading", "#there", "../gone.svg")
    page.write_text("## Here\n\n" + "".join(f"[x]({link})\n" for link in links) + "`[x](code.md)`\n")
    assert broken_links(page) == ["gone.md", "other.md#no-heading", "#there", "../gone.svg"]


def test_the_index_leads_to_every_page():
    index = ROOT / "docs" / "README.md"
    linked = re.findall(r"\]\(([\w-]+\.md)", index.read_text(encoding="utf8"))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {index.name} == set(linked)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf8").splitlines()) < 150


def test_the_promised_imports_are_those_that_the_package_offers():
    promised = (ROOT / "docs" / "README.md").read_text(encoding="utf8").partition("**Imports**")[2].partition(";")[0]
    assert set(re.findall(r"`(\w+)`", promised)) == set(mnv1.__all__)


def test_the_citation_is_of_this_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf8"))
    assert citation["cff-version"] == "1.2.0"
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert f"Version {project['version']} is" in (ROOT / "CHANGELOG.md").read_text(encoding="utf8")
