"""Curves of the report as SVG that takes its colours from the page, so that they follow light and dark.

The one module that imports matplotlib.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from markupsafe import Markup

_INKS = {  # what matplotlib draws with -> what the page puts in its place
    "#010101": "var(--soft)",
    "#020202": "var(--line)",
    "#030301": "var(--arm-trained)",
    "#030302": "var(--arm-prompt-only)",
    "#030303": "var(--arm-paper-reward)",
}
_ARM_INK = {"confirmed": "#030301", "trained": "#030301", "prompt_only": "#030302", "paper_reward": "#030303"}
_DASHES = {"confirmed": "solid", "trained": "solid", "prompt_only": (0, (2, 2)), "paper_reward": (0, (6, 2))}
SMOOTHED_OVER = 10  # steps


def curve_svg(
    name: str,
    curves: Mapping[str, Sequence[tuple[float, float]]],
    *,
    x_label: str,
    share: bool,
    stairs: bool = False,
    size: tuple[float, float] = (3.4, 2.1),
) -> Markup:
    """Draw one line per arm.

    Args:
        name: Of the figure, unlike any other on the page.
        curves: arm -> points in order of x.
        x_label: What x counts.
        share: The values are shares; the axis then runs from 0% to 100%.
        stairs: The value holds until the next point, and is drawn as it is; otherwise single steps are drawn thin and
            their running mean over ten steps thick.
        size: Width and height in inches; the page scales it.

    Returns:
        An `<svg>` element without a text alternative: the page gives it one.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.edgecolor": "#020202",
        "axes.labelcolor": "#010101",
        "xtick.color": "#010101",
        "ytick.color": "#010101",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
    }
    with rc_context(cast(Any, settings)):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        for arm, points in curves.items():
            xs, ys = [x for x, _ in points], [y for _, y in points]
            ink, dashes = _ARM_INK.get(arm, "#010101"), _DASHES.get(arm, "dotted")
            if stairs:
                axes.step(xs, ys, where="post", color=ink, linestyle=dashes, linewidth=1.8)
            else:
                axes.plot(xs, ys, color=ink, linewidth=0.7, alpha=0.3)
                axes.plot(xs, running_mean(ys), color=ink, linestyle=dashes, linewidth=1.8)
        axes.grid(axis="y", color="#020202", linewidth=0.8)
        axes.tick_params(length=0)
        axes.set_xlabel(x_label)
        axes.margins(x=0.02)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        if share:
            axes.set_ylim(-0.02, 1.02)
            axes.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"])
        else:
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        canvas = io.StringIO()
        figure.savefig(canvas, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return Markup(_themed(canvas.getvalue()))


def running_mean(values: Sequence[float], over: int = SMOOTHED_OVER) -> list[float]:
    """Mean of each value and up to `over - 1` before it."""
    means = []
    for end in range(1, len(values) + 1):
        window = values[max(0, end - over) : end]
        means.append(sum(window) / len(window))
    return means


def _themed(svg: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)  # would style the whole page
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # the same in every plot
    svg = re.sub(r"font-family: [^;\"]*;?", "", svg)
    svg = re.sub(r' (?:width|height)="[0-9.]+pt"', "", svg, count=2)
    for drawn, variable in _INKS.items():
        svg = svg.replace(drawn, variable)
    return svg.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)
