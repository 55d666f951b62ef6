"""One self-contained page of HTML: no script, nothing fetched, whatever it is given is text.

The markup is well-formed XML too, and forbids itself everything but its own style, so that
a file can't make it do anything, wherever it is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import Final

from farsight.documents.facts import Fact

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"

STYLE: Final = """
:root { color-scheme: light; }
body { max-width: 48rem; margin: 2.5rem auto; padding: 0 1.5rem; color: #1c2024; background: #fff;
  font: 16px/1.5 system-ui, "Segoe UI", "Noto Sans", "Noto Sans CJK JP", sans-serif; }
h1 { font-size: 1.65rem; line-height: 1.25; font-weight: 600; margin: 0 0 1.25rem; }
h2, h3, h4, h5, h6 { line-height: 1.3; font-weight: 600; margin: 1.5rem 0 .4rem; }
h2 { font-size: 1.25rem; } h3 { font-size: 1.08rem; } h4, h5, h6 { font-size: 1rem; }
header { border-bottom: 1px solid #c9ced4; padding-bottom: 1.25rem; margin-bottom: 1.5rem; }
dl.facts { display: grid; grid-template-columns: 11rem 1fr; gap: .1rem 1rem; margin: 0 0 1rem; }
dt, .concept { color: #5b6570; }
dd { margin: 0; overflow-wrap: anywhere; }
.alert { font-weight: 600; color: #9a3412; }
section section { padding-left: min(1rem, 2%); border-left: 2px solid #e4e7eb; margin: 1rem 0; }
section section > :is(h2, h3, h4, h5, h6):first-child { margin-top: 0; }
.item { margin: .3rem 0; }
.line { display: grid; grid-template-columns: 11rem 1fr; gap: 0 1rem; }
.relationship { display: block; font-size: .78rem; color: #7a8490; }
.value { white-space: pre-wrap; overflow-wrap: anywhere; }
.aside, .details { font-size: .85rem; color: #5b6570; }
.details { display: block; overflow-wrap: anywhere; }
.below { margin: .2rem 0 .5rem .35rem; padding-left: .9rem; border-left: 2px solid #e4e7eb; }
.notice { border-left: 3px solid #9a3412; padding-left: .75rem; color: #9a3412; }
table { border-collapse: collapse; margin: .5rem 0; font-size: .9rem; }
td, th { border: 1px solid #c9ced4; padding: .2rem .6rem; text-align: left; }
a { color: inherit; }
@media (max-width: 36rem) { dl.facts, .line { grid-template-columns: 1fr; } }
@media print { body { margin: 0; max-width: none; font-size: 10.5pt; }
  h1, h2, h3, h4, h5, h6 { break-after: avoid; } .line, tr { break-inside: avoid; } }
"""


def page(title: str, body: Iterable[str]) -> str:
    """The whole document; `title` is text, `body` is markup."""
    return "".join(
        (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"/>',
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
            f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n",
            *body,
            "</body></html>\n",
        )
    )


def fact_list(facts: Iterable[Fact]) -> Iterator[str]:
    """Labels and texts side by side."""
    yield '<dl class="facts">'
    for fact in facts:
        mark = ' class="alert"' if fact.alert else ""
        yield f'<dt>{escape(fact.label)}</dt><dd{mark} dir="auto">{escape(fact.text)}</dd>\n'
    yield "</dl>\n"
