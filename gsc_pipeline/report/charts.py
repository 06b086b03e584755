"""Charts as inline SVG without scripts, in the page's own colours and type.

Belongs here: drawing. Does not: what is drawn. Colours are names that become the page's CSS variables, so a
chart follows light, dark and print; text stays text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

# Colours that nothing else has: the drawing knows no CSS, so they are replaced in its text.
_VARIABLES = {
    "#0a0b01": "var(--ink)",
    "#0a0b02": "var(--faint)",
    "#0a0b03": "var(--clicks)",
    "#0a0b04": "var(--impressions)",
    "#0a0b05": "var(--provisional)",
}
_INK, _FAINT, _CLICKS, _IMPRESSIONS, _PROVISIONAL = _VARIABLES
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 11,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
WIDE, NARROW = (9.2, 3.4), (4.0, 3.4)
"""Sizes in inches of 72 points: for a page, and for a telephone."""


@dataclass(frozen=True, slots=True)
class Series:
    """Clicks and impressions at days; from `provisional_from` on they may still change."""

    days: Sequence[date]
    clicks: Sequence[float]
    impressions: Sequence[float]
    provisional_from: date | None = None


def over_time(series: Series, size: tuple[float, float], *, name: str) -> str:
    """Clicks above impressions over the same days. `name` is the chart's own on the page."""
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=size)
        width, height = size
        # In inches, with room for the longest label; measuring each text takes as long as all the drawing.
        figure.subplots_adjust(
            left=0.56 / width, right=1 - 0.1 / width, bottom=0.3 / height, top=1 - 0.3 / height, hspace=0.34
        )
        axes = figure.subplots(2, 1, sharex=True)
        for place, (label, values, colour) in enumerate(
            (
                ("Clicks", series.clicks, _CLICKS),
                ("Impressions", series.impressions, _IMPRESSIONS),
            )
        ):
            _panel(axes[place], series, values, label, colour)
        axes[1].xaxis.set_major_formatter(_dates(axes[1], 8 if size[0] > 6 else 4))
        return _svg(figure, name)


_COLOURS = {
    "var(--ink)": "#5a6675",
    "var(--faint)": "#c3cad3",
    "var(--clicks)": "#1f6feb",
    "var(--impressions)": "#8250c4",
    "var(--provisional)": "#d9a92b33",
}
"""For a chart that stands alone: readable on a light and on a dark ground."""


def as_image(svg: str) -> str:
    """The chart as a file of its own: with a size, a font and colours that need no page around it."""
    for variable, colour in _COLOURS.items():
        svg = svg.replace(variable, colour)
    view = re.match(r'<svg viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert view is not None
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    own = f'<svg {spaces} width="{view[1]}" height="{view[2]}" font-family="sans-serif" '
    return svg.replace("<svg ", own, 1)


def _panel(axes: Axes, series: Series, values: Sequence[float], label: str, colour: str) -> None:
    split = len(series.days)
    if series.provisional_from is not None:
        split = sum(day < series.provisional_from for day in series.days)
        axes.axvspan(series.days[max(split - 1, 0)], series.days[-1], color=_PROVISIONAL, linewidth=0)  # type: ignore[arg-type]
    final, rest = slice(0, split), slice(max(split - 1, 0), None)
    axes.fill_between(series.days[final], values[final], color=colour, alpha=0.14, linewidth=0)  # type: ignore[arg-type]
    axes.plot(series.days[final], values[final], color=colour, linewidth=1.8)  # type: ignore[arg-type]
    if split < len(series.days):
        axes.plot(series.days[rest], values[rest], color=colour, linewidth=1.6, linestyle=(0, (2, 2)))  # type: ignore[arg-type]
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.grid(axis="y", color=_FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.set_title(label, loc="left", fontsize=11, color=colour, fontweight="bold")


def short(value: float) -> str:
    """A number as an axis shows it: 950, 1.2k, 30k, 4.5M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.1f}".removesuffix(".0") + unit
    return f"{value:.0f}"


def _dates(axes: Axes, most: int) -> ConciseDateFormatter:
    locator = AutoDateLocator(minticks=2, maxticks=most)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    return ConciseDateFormatter(locator, show_offset=False)  # type: ignore[no-untyped-call]


def _svg(figure: Figure, name: str) -> str:
    """The drawing alone: no prolog, no metadata, no size or font of its own, ids that no other chart has."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    FigureCanvasSVG(figure).print_svg(file, metadata=nothing)  # type: ignore[no-untyped-call]
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(
        r'<svg [^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', text, count=1
    )
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    text = re.sub(r'\b(id="|url\(#|href="#)', rf"\1{name}-", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    return text
