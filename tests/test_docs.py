import pytest

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
