"""How pages are written: escaping, unseen characters spelled out, and the formats of numbers.

Words of models are untrusted. Autoescaping and `visible` hold for every expression of every template, so that no
template can forget them.
"""

from __future__ import annotations

import unicodedata

import jinja2


def page_templates() -> jinja2.Environment:
    """The templates of `auditdm/report`; a name that a template uses and nobody gave is an error."""
    pages = jinja2.Environment(
        loader=jinja2.PackageLoader("auditdm", "report"),
        autoescape=True,
        finalize=visible,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {
        "percent": _percent,
        "number": "{:,}".format,
        "points": "{:+.1f}".format,
        "duration": _duration,
        "chance": _chance,
        "figure": _figure,
    }
    return pages


def visible(value: object) -> object:
    """Spell out control, bidi and other unseen characters of a text as [U+XXXX]; leave everything else alone.

    New lines and tabs stay: the page shows them.
    """
    if type(value) is not str:  # numbers; and Markup, which is ours and escaped already
        return value
    return "".join(
        f"[U+{ord(char):04X}]"
        if char not in "\n\t" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        else char
        for char in value
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _chance(p: float) -> str:
    """A p- or q-value; how far it is below one in a thousand decides nothing."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _figure(value: float) -> str:
    """A figure of whatever unit: whole where it is whole, else to three places that count."""
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:.3g}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
