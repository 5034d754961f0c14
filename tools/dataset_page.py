"""The report of tools/check_dataset.py as one HTML page without anything from outside."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

from dataset_sheet import Card

from paddleseg.data.check.findings import Finding, Severity, printable
from paddleseg.data.check.report import Report, SplitReport, flow

__all__ = ["page_of"]

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .15rem .8rem .15rem 0; text-align: right; }
td:first-child, th:first-child { text-align: left; }
code { overflow-wrap: anywhere; } ul { margin: .3rem 0; }
.finding { border-left: 5px solid #999; margin: .7rem 0; padding: .1rem .8rem; }
.error { border-color: #c62828; } .warning { border-color: #e69500; } .note { border-color: #3b78c4; }
.bar { background: #3b78c4; display: inline-block; height: .7em; margin-right: .5em; }
.colour { border: 1px solid #888; display: inline-block; height: .8em; margin-right: .5em; width: .8em; }
.sheet { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(21rem, 1fr)); }
figure { margin: 0; } figure img { max-width: 100%; }
figcaption { font-size: .85em; overflow-wrap: anywhere; }
figcaption b.error { color: #c62828; } figcaption b.warning { color: #b26a00; }
"""
_LEGEND = (
    "<p>The findings first, then samples at random. Ignored pixels are black, values that are no class "
    "magenta; what cannot be read is grey.</p>"
)
_LONGEST_BAR = 140  # pixels
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def page_of(report: Report, cards: Sequence[Card], palette: Sequence[Sequence[int]] | None = None) -> str:
    """Writes the page.

    Args:
        report: What was found.
        cards: The contact sheet.
        palette: Colours (r, g, b) of the classes, for the table.
    """
    parts = [f"<h1>Data set: {_text(report.source)}</h1>", f"<p>{_text(report.summary())}</p>"]
    parts += ["<h2>Findings</h2>"]
    parts += [_finding(one) for one in report.findings] or ["<p>Nothing was found.</p>"]
    parts += [_figures(report), _classes(report.splits, palette or []), _weights(report.splits)]
    if cards:
        parts += ["<h2>Samples</h2>", _LEGEND]
        parts += ['<div class="sheet">', *map(_card, cards), "</div>"]
    title = _text(f"Data set: {report.source}")
    return _PAGE.format(title=title, style=_STYLE, body="\n".join(part for part in parts if part))


def _text(text: object) -> str:
    return html.escape(printable(str(text)))


def _finding(finding: Finding) -> str:
    examples = "".join(f"<li><code>{_text(one.text)}</code></li>" for one in finding.examples)
    more = finding.count - len(finding.examples)
    if examples and more > 0:
        examples += f"<li>… and {more} more</li>"
    fix = f"<div>→ {_text(finding.fix)}</div>" if finding.fix else ""
    head = f"<b>{finding.severity.value}</b>, {_text(finding.split)}: {_text(finding.message)}"
    shown = f"<details><summary>Examples</summary><ul>{examples}</ul></details>" if examples else ""
    return f'<div class="finding {finding.severity.value}">{head}{fix}{shown}</div>'


def _figures(report: Report) -> str:
    rows = [
        ("pairs", [one.pairs for one in report.splits]),
        ("looked at", [one.looked_at for one in report.splits]),
        ("sizes", [_sizes(one) for one in report.splits]),
        ("mean (Normalize)", [flow(one.pictures.mean) if one.pictures else "" for one in report.splits]),
        ("std (Normalize)", [flow(one.pictures.std) if one.pictures else "" for one in report.splits]),
        ("ignored pixels", [f"{one.ignored:.1%}" if one.classes else "" for one in report.splits]),
        ("crop", [_crop(one) for one in report.splits]),
    ]
    head = "".join(f"<th>{_text(one.split)}</th>" for one in report.splits)
    body = "".join(
        f"<tr><td>{name}</td>{''.join(f'<td>{_text(cell)}</td>' for cell in cells)}</tr>"
        for name, cells in rows
        if any(cell != "" for cell in cells)
    )
    return f"<h2>Figures</h2>\n<table><tr><th></th>{head}</tr>{body}</table>"


def _sizes(split: SplitReport) -> str:
    images = split.pictures
    if images is None:
        return ""
    if images.sizes == 1:
        return "{}×{}".format(*images.median)
    return "{}×{} to {}×{}, median {}×{}".format(*images.smallest, *images.largest, *images.median)


def _crop(split: SplitReport) -> str:
    crop = split.crop
    if crop is None:
        return ""
    return f"{crop.crop[0]}×{crop.crop[1]}: {crop.padding:.0%} padding, shows {crop.seen:.0%} of an image"


def _classes(splits: Sequence[SplitReport], palette: Sequence[Sequence[int]]) -> str:
    shown = [one for one in splits if one.classes]
    if not shown:
        return ""
    most = max(row.share for one in shown for row in one.classes) or 1.0
    head = "".join(f"<th>{_text(one.split)} pixels</th><th>images</th>" for one in shown)
    lines = []
    for place, row in enumerate(shown[0].classes):
        colour = "#{:02x}{:02x}{:02x}".format(*palette[place]) if place < len(palette) else "#000"
        name = f"{row.id} {row.name}" if row.name != str(row.id) else row.name
        cells = "".join(
            f'<td><span class="bar" style="width:{_LONGEST_BAR * here.share / most:.0f}px"></span>'
            f"{here.share:.3%}</td><td>{here.labels}</td>"
            for here in (one.classes[place] for one in shown if place < len(one.classes))
        )
        swatch = f'<span class="colour" style="background:{colour}"></span>'
        lines.append(f"<tr><td>{swatch}{_text(name)}</td>{cells}</tr>")
    return f"<h2>Classes</h2>\n<table><tr><th>class</th>{head}</tr>{''.join(lines)}</table>"


def _weights(splits: Sequence[SplitReport]) -> str:
    train = next((one for one in splits if one.split == "train" and one.enet_weights), None)
    if train is None:
        return ""
    return (
        "<h2>Class weights that would balance them</h2>\n"
        "<p>For the loss, <code>loss.types[0].weight</code>. ENet: 1 / ln(1.02 + share of the pixels).</p>"
        f"<p><code>weight: {flow(train.enet_weights)}</code></p>"
        "<p>Median frequency: median(f) / f, f being the share of the pixels in images with the class.</p>"
        f"<p><code>weight: {flow(train.median_frequency_weights)}</code></p>"
    )


def _card(card: Card) -> str:
    mark = ""
    if card.finding is not None:
        kind = card.finding.severity
        mark = f'<b class="{kind.value}">{_text(card.finding.code)}</b> ' if kind is not Severity.NOTE else ""
    picture = base64.b64encode(card.jpeg).decode("ascii")
    caption = f"<figcaption>{mark}{_text(card.caption)}</figcaption>"
    return f'<figure><img alt="" src="data:image/jpeg;base64,{picture}">{caption}</figure>'
