"""The boxes that PaliGemma writes, as the words that other models write them in."""

from __future__ import annotations

import re

_BINS = 1023  # the last of 1024 places along a side
_BOX = re.compile(r"<loc(\d{4})>" * 4)


def box_in_words(reply: str) -> str:
    """Turn the first box of a reply from PaliGemma's tokens into "[left, top, right, bottom]", each in [0, 1].

    PaliGemma writes `<loc####>` four times, top before left and bottom before right, from 0000 to 1023. What follows (a
    mask, the phrase, further boxes) is dropped; a reply without a whole box stays as it is.

    Source: big_vision, the preparation of PaliGemma's segmentation data.

    Example:
        >>> box_in_words("<loc0000><loc0341><loc1023><loc0682> cat")
        '[0.3333, 0.0000, 0.6667, 1.0000]'
        >>> box_in_words("no cat")
        'no cat'
    """
    found = _BOX.search(reply)
    if found is None:
        return reply
    top, left, bottom, right = (int(place) / _BINS for place in found.groups())
    return f"[{left:.4f}, {top:.4f}, {right:.4f}, {bottom:.4f}]"
