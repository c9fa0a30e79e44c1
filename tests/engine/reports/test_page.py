"""The page of every report: one file, one style, and every text on it is text, whoever wrote it."""

from __future__ import annotations

import base64
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clnf_engine.diagnostics.finding import Table
from clnf_engine.reports.page import Figure, Section, page_html

from ..html_tools import Page

HOSTILE = [
    "<script>alert(1)</script>",
    "</title><h1>x</h1></style></pre></details>",
    "\"><img src=x onerror='alert(1)'>",
    "&lt;b&gt; &amp; &#60;",
    "{{ 7 * 7 }}{% raw %}{# #}",
    "\x00\x07\x1b[31m\x7f\x85",
    "a name that is not UTF-8: \udcff",
    "\ufffe \uffff",
    "javascript:alert(1)",
]


def shown(text: str) -> str:
    """What a reader should see of a text: all of it, with what no page can hold written out."""

    def legal(character: str) -> bool:
        code = ord(character)
        return character in "\t\n" or not (unicodedata.category(character) in ("Cc", "Cs") or code in (0xFFFE, 0xFFFF))

    return "".join(c if legal(c) else c.encode("unicode_escape").decode() for c in text)


def everywhere(text: str) -> Page:
    """A page that holds a text at every place where there is one."""
    table = Table(text, (text, "number"), ((text, 1.0),))
    section = Section(
        text, "name", text, text, (Figure(text, b"png", marks=(("x", "red", text),)),), (table,), text, text
    )
    page = page_html(text, [text], [section])
    page.encode()
    return Page(page)


PLAIN = everywhere("plain")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_does_nothing(text: str) -> None:
    page = everywhere(text)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in PLAIN.tags]
    assert [sorted(attributes) for _, attributes in page.tags] == [sorted(attributes) for _, attributes in PLAIN.tags]
    assert page.by_tag.keys() == PLAIN.by_tag.keys()
    places = [(tag, k) for tag, texts in PLAIN.by_tag.items() for k, t in enumerate(texts) if "plain" in t]
    assert {tag for tag, _ in places} == {
        "title", "h1", "p", "a", "td", "th", "h2", "h3", "figcaption", "pre",
    }  # fmt: skip
    for tag, k in places:
        assert page.by_tag[tag][k] == PLAIN.by_tag[tag][k].replace("plain", shown(text))
    assert page.values("alt") == [shown(text)]
    assert page.values("href") == ["#name"]


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_any_text_reads_back(text: str) -> None:
    page = everywhere(text)
    assert "".join(page.by_tag.get("h1", [])) == shown(text)
    assert page.values("alt") == [shown(text)]


@pytest.mark.parametrize(
    ("cell", "text"), [(0.000123456, "0.0001235"), (123456.0, "1.235e+05"), (7, "7"), (True, "yes"), (None, "-")]
)
def test_numbers_have_four_digits(cell: float | bool | None, text: str) -> None:
    page = Page(page_html("title", [], [Section("s", tables=(Table("t", ("a",), ((cell,),)),))]))
    assert page.by_tag["td"] == [text]


def test_columns_of_numbers_stand_to_the_right() -> None:
    table = Table("t", ("number", "text"), ((1.0, "a"), (None, 2)))
    page = Page(page_html("title", [], [Section("s", tables=(table,))]))
    kinds = [attributes.get("class") for tag, attributes in page.tags if tag in ("th", "td")]
    assert kinds == ["number", None] * 3


def test_the_row_one_looks_at_is_highlighted_and_in_sight() -> None:
    rows = tuple((k,) for k in range(30))
    here, other = (Table(name, ("a",), rows, tuple(range(start, start + 30))) for name, start in (("x", 0), ("y", 50)))
    plain = Table("z", ("a",), rows)
    page = Page(page_html("title", [], [Section("s", tables=(here, other, plain))], here=7))
    marked = [k for k, (_, attributes) in enumerate(t for t in page.tags if t[0] == "tr") if attributes]
    assert marked == [8]  # below the headings
    assert ["open" in attributes for tag, attributes in page.tags if tag == "details"] == [True, False, False]


def test_rows_about_nothing_are_not_highlighted() -> None:
    tables = (Table("x", ("a",), ((1,),), (None,)), Table("y", ("a",), ((1,),)))
    page = Page(page_html("title", [], [Section("s", tables=tables)]))
    assert "here" not in page.values("class")


def test_a_long_table_without_a_title_is_not_folded() -> None:
    page = Page(page_html("title", [], [Section("s", tables=(Table("", ("a",), tuple((k,) for k in range(30))),))]))
    assert not {"details", "h3"} & {tag for tag, _ in page.tags}


def test_pictures_are_inside_the_page() -> None:
    png = bytes(range(256))
    (source,) = Page(page_html("title", [], [Section("s", figures=(Figure("f", png),))])).values("src")
    assert base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True) == png
