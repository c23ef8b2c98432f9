"""Reading amounts with units and times of day out of short answers, and comparing them.

What is not one plain amount (a range, two numbers, a bound such as "at least 3") is not read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose

from auditdm.backends.judges import canonical

# dimension -> factor to its own base -> spellings; a plural s is taken off before looking
_UNITS: dict[str, dict[float, str]] = {
    "length": {0.001: "mm millimeter millimetre", 0.01: "cm centimeter centimetre", 1: "m meter metre",
               1000: "km kilometer kilometre", 0.0254: "inch inches", 0.3048: "ft foot feet", 0.9144: "yd yard",
               1609.344: "mi mile"},
    "mass": {0.001: "mg milligram", 1: "g gram gramme", 1000: "kg kilo kilogram", 1e6: "t ton tonne",
             28.3495: "oz ounce", 453.592: "lb lbs pound"},
    "volume": {0.001: "ml milliliter millilitre", 0.01: "cl", 1: "l liter litre", 3.78541: "gallon"},
    "duration": {1: "s sec second", 60: "min minute", 3600: "h hr hour", 86400: "day", 604800: "week"},
    "age": {1: "month", 12: "yr year"},
    "speed": {1: "kmh", 1.609344: "mph", 3.6: "mps"},
    "share": {0.01: "percent"},
    "dollar": {0.01: "cent", 1: "dollar usd buck"},
    "euro": {1: "euro eur"},
    "sterling": {1: "gbp"},
    "yen": {1: "yen jpy"},
    "celsius": {1: "c celsius centigrade"},
    "fahrenheit": {1: "f fahrenheit"},
}  # fmt: skip
_UNIT = {
    word: (kind, factor) for kind, sizes in _UNITS.items() for factor, words in sizes.items() for word in words.split()
}
_IMPERIAL = frozenset(
    [
        "inch",
        "inches",
        "ft",
        "foot",
        "feet",
        "yd",
        "yard",
        "mi",
        "mile",
        "oz",
        "ounce",
        "lb",
        "lbs",
        "pound",
        "gallon",
        "mph",
    ]
)
_UNRELATED = frozenset({frozenset({"duration", "age"}), frozenset({"mass", "sterling"})})  # a month in days; 5 pounds
_SCALE = {"hundred": 100, "thousand": 1000, "million": 10**6, "dozen": 12}
_FRACTION = {"half": 1 / 2, "quarter": 1 / 4, "quarters": 1 / 4}
_ABOUT = frozenset(["about", "around", "approximately", "roughly", "nearly", "almost", "circa"])
_BOUND = frozenset(
    [
        "least",
        "most",
        "more",
        "less",
        "over",
        "under",
        "than",
        "up",
        "fewer",
        "maximum",
        "minimum",
        "between",
        "to",
        "or",
    ]
)
_NUMBER = re.compile(r"-?\d+(\.\d+|/[1-9]\d*)?")
_SPELT = tuple(
    (re.compile(pattern), meaning)
    for pattern, meaning in (
        (r"\$ ?(\d[\d,.]*)", r"\1 dollar"),
        ("\u20ac ?(\\d[\\d,.]*)", r"\1 euro"),
        ("\u00a3 ?(\\d[\\d,.]*)", r"\1 gbp"),
        ("\u00a5 ?(\\d[\\d,.]*)", r"\1 yen"),
        ("\u20ac", " euro "),
        (r"\bkm ?/ ?h\b|\bkph\b|\bkilomet(?:er|re)s? (?:per|an) hour\b", " kmh "),
        (r"\bmiles? (?:per|an) hour\b", " mph "),
        (r"\bm ?/ ?s\b|\bmet(?:er|re)s? per second\b", " mps "),
        ("\u00b0|\u00ba|\\bdegrees?\\b", " "),
        (r"\b([ap])\. ?m\b\.?", r"\1m"),
        (r"(\d)(?!(?:st|nd|rd|th)\b)([a-z])", r"\1 \2"),
        (r"\b(\d+) in\b", r"\1 inch"),
    )
)
_CLOCK = (
    r"(?P<noon>noon|midday|midnight)"
    r"|(?:(?P<part>half|quarter|\d{1,2})(?: minutes?)? (?P<side>past|after|to|before) )?"
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d{2}))?(?: (?P<mark>oclock|am|pm))?"
)


@dataclass(frozen=True)
class Quantity:
    """One amount."""

    value: float  # in the base of its dimension
    dimension: str  # "" for a bare number
    imperial: bool = False
    rough: bool = False  # said to be about so much


@dataclass(frozen=True)
class Clock:
    """One time of day."""

    minute: int  # since twelve o'clock, 0 to 719
    half: str | None  # "am", "pm"; None: not said


def numbered(words: Sequence[str]) -> list[str]:
    """Put together what canonical words leave apart: hundreds, thousands, dozens and fractions.

    Example:
        >>> numbered("1 hundred and 20 dogs and 2 dozen eggs".split()), numbered(["half"])
        (['120', 'dogs', 'and', '24', 'eggs'], ['0.5'])
    """
    written: list[str] = []
    scale = 1  # of the number written last, below which an addition has to stay
    place = 0
    while place < len(words):
        word = words[place]
        follows = place + 1 < len(words) and words[place + 1].isdecimal()
        if word in _SCALE:
            times = written.pop() if written and written[-1].isdecimal() else "1"
            scale = _SCALE[word]
            written.append(str(int(times) * scale))
        elif word in _FRACTION:
            times = written.pop() if written and written[-1].isdecimal() else "1"
            written.append(f"{int(times) * _FRACTION[word]:g}")
            scale = 1
        elif scale > 12 and word == "and" and follows and int(words[place + 1]) < scale:
            pass
        elif scale > 12 and word.isdecimal() and int(word) < scale:
            written[-1] = str(int(written[-1]) + int(word))
            scale = 1
        else:
            written.append(word)
            scale = 1
        place += 1
    return written


def unit_asked(question: str) -> str | None:
    """The unit in which a question wants its answer, or None if it names none.

    Example:
        >>> unit_asked("How high is it in cm?"), unit_asked("How old is he?"), unit_asked("How high is it?")
        ('cm', 'year', None)
    """
    plain = question.casefold()
    if re.search(r"\bpercent|%|\bwhat (?:share|fraction|proportion|part)\b", plain):
        return "percent"
    if re.search(r"\bhow old\b|\bwhat age\b|\bage of\b", plain):
        return "year"
    named = re.search(r"\b(?:in|how many) ([a-z]+)\b", plain)
    word = _singular(named[1]) if named else ""
    return word if len(word) > 1 and word in _UNIT else None


def read_quantity(text: str, asked: str | None = None, price: bool = False) -> tuple[Quantity, list[str]] | None:
    """Read the one amount of an answer.

    Args:
        text: An answer.
        asked: The unit of a bare number, from `unit_asked`.
        price: Pounds are money.

    Returns:
        The amount, and the words that are not part of it; None where there is not exactly one amount.

    Example:
        >>> read_quantity("It is 15cm long.")
        (Quantity(value=0.15, dimension='length', imperial=False, rough=False), ['it', 'is', 'long'])
        >>> read_quantity("3 or 4") is None
        True
    """
    words = numbered(_spelt(text))
    places = [place for place, word in enumerate(words) if _NUMBER.fullmatch(word)]
    if len(places) != 1 or _BOUND & set(words):
        return None
    number = words.pop(places[0])
    over, _, under = number.partition("/")
    value = float(over) / float(under or 1)
    unit = asked
    if places[0] < len(words) and _singular(words[places[0]]) in _UNIT:
        unit = _singular(words.pop(places[0]))
    rough = bool(_ABOUT & set(words))
    words = [word for word in words if word not in _ABOUT]
    if unit is None:
        return Quantity(value, "", rough=rough), words
    dimension, factor = _UNIT[unit]
    if price and unit in ("pound", "lb", "lbs"):
        dimension, factor = "sterling", 1
    if unit == asked == "percent" and 0 < value < 1:
        factor = 1  # 0.5 of what is asked in percent is a half
    return Quantity(value * factor, dimension, unit in _IMPERIAL, rough), words


def same_quantity(one: Quantity, other: Quantity) -> bool | None:
    """Compare two amounts; None where a unit is missing on one side, or "about" leaves room.

    Metric and imperial sizes are the same within 1% (6 feet and 1.83 m), and unlike beyond 5%.

    Example:
        >>> two_m, cm = Quantity(2, "length"), Quantity(0.02, "length")
        >>> same_quantity(two_m, Quantity(200 * 0.01, "length")), same_quantity(two_m, cm)
        (True, False)
        >>> same_quantity(two_m, Quantity(2, "")) is None
        True
    """
    kinds = frozenset({one.dimension, other.dimension})
    if kinds == {"celsius", "fahrenheit"}:
        scales = (one.value, other.value) if one.dimension == "celsius" else (other.value, one.value)
        return abs(scales[0] - (scales[1] - 32) / 1.8) <= 0.6
    if len(kinds) == 2:
        return None if "" in kinds or kinds in _UNRELATED else False
    tolerance = 0.01 if one.imperial != other.imperial else 1e-6
    if isclose(one.value, other.value, rel_tol=tolerance):
        return True
    close = isclose(one.value, other.value, rel_tol=0.05)
    return None if one.rough or other.rough or (one.imperial != other.imperial and close) else False


def read_time(text: str) -> tuple[Clock, list[str]] | None:
    """Read the one time of day of an answer.

    Returns:
        The time, and the words that are not part of it; None where there is not exactly one time.

    Example:
        >>> read_time("It's half past 3"), read_time("15:30")
        ((Clock(minute=210, half=None), ['its']), (Clock(minute=210, half='pm'), []))
    """
    plain = " ".join(_spelt(text))
    times = list(re.finditer(rf"(?<!\S)(?:{_CLOCK})(?!\S)", plain))
    if len(times) != 1:
        return None
    found = times[0]
    rest = (plain[: found.start()] + plain[found.end() :]).split()
    if found["noon"]:
        return Clock(0, "am" if found["noon"] == "midnight" else "pm"), rest
    hour, minute, half = int(found["hour"]), int(found["minute"] or 0), found["mark"]
    if hour > 24 or minute > 59:
        return None
    if half == "oclock":
        half = None
    if hour > 12 or (hour == 0 and half is None):
        half = "pm" if 12 < hour < 24 else "am"
    minute += 60 * hour
    if part := found["part"]:
        shift = {"half": 30, "quarter": 15}.get(part) or int(part)
        minute += shift if found["side"] in ("past", "after") else -shift
    return Clock(minute % 720, half), rest


def same_time(one: Clock, other: Clock) -> bool:
    """Compare two times of day; morning and evening differ only where both are said.

    Example:
        >>> same_time(Clock(210, None), Clock(210, "pm")), same_time(Clock(210, "am"), Clock(210, "pm"))
        (True, False)
    """
    return one.minute == other.minute and (one.half == other.half or None in (one.half, other.half))


def _spelt(text: str) -> list[str]:
    """The canonical words, after signs and compound units are words of their own."""
    plain = text.casefold()
    for pattern, meaning in _SPELT:
        plain = pattern.sub(meaning, plain)
    return canonical(plain).split()


def _singular(word: str) -> str:
    return word[:-1] if word not in _UNIT and len(word) > 2 and word.endswith("s") else word
