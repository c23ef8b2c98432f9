"""Probes: a proposal becomes exactly what every model is shown.

Source: arXiv:2512.16921: I_g = G(C), I_e = Edit(I, E).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL.Image import Image

from auditdm.types import ImageEditor, ImageGenerator, Probe, Proposal, content_id, picture_id


def draw(
    proposals: Sequence[Proposal],
    pictures: Mapping[str, Image],
    generator: ImageGenerator | None,
    editor: ImageEditor | None,
) -> list[Probe | str]:
    """Make each proposal's picture, by drawing its caption or by the edit it commands.

    Args:
        proposals: N proposals.
        pictures: The pool's pictures by source id, RGB of any size.
        generator: Draws captions; None if no proposal has one.
        editor: Changes pictures; None if no proposal wants it.

    Returns:
        N probes in order; where there is none, the reason: the generator or editor declined, or the edit changed
        nothing.

    Raises:
        ValueError: The generator or editor gave another number of pictures than it was asked for.

    Source: arXiv:2512.16921, I_g and I_e.

    Cost: one drawing or edit per proposal that changes its picture; each picture that is shown or edited is decoded
        once.

    Example:
        >>> from auditdm.backends.fakes import FakeImageEditor, fake_picture
        >>> wanted = Proposal(source_id="one", action="edit", question="How many dogs?", instruction="add a dog")
        >>> [probe] = draw([wanted], {"one": fake_picture()}, None, FakeImageEditor())
        >>> probe.question, probe.id == probe_id(probe.image, "How many dogs?")
        ('How many dogs?', True)
        >>> draw([wanted], {"one": fake_picture()}, None, FakeImageEditor(declined=["add a dog"]))
        ['the editor declined']
    """
    captions = [n for n, p in enumerate(proposals) if p.action == "caption"]
    edits = [n for n, p in enumerate(proposals) if p.action == "edit"]
    assert generator is not None or not captions, "captions need a generator"
    assert editor is not None or not edits, "edit commands need an editor"
    sources = {i: pictures[i] for i in dict.fromkeys(p.source_id for p in proposals if p.action != "caption")}
    shown: dict[int, Image | None] = {
        n: sources[p.source_id] for n, p in enumerate(proposals) if p.action == "question"
    }
    if generator and captions:
        drawn = generator.generate([str(proposals[n].instruction) for n in captions])
        shown |= zip(captions, drawn, strict=True)
    if editor and edits:
        changed = editor.edit([(sources[proposals[n].source_id], str(proposals[n].instruction)) for n in edits])
        shown |= zip(edits, changed, strict=True)
    return [_probe(p, shown[n], sources.get(p.source_id)) for n, p in enumerate(proposals)]


def _probe(proposal: Proposal, image: Image | None, source: Image | None) -> Probe | str:
    if image is None:
        return f"the {'generator' if proposal.action == 'caption' else 'editor'} declined"
    if proposal.action == "edit" and source is not None and picture_id(image) == picture_id(source):
        return "the editor changed nothing"
    return Probe(id=probe_id(image, proposal.question), proposal=proposal, image=image)


def probe_id(image: Image, question: str) -> str:
    """Name a probe by its picture and its question, so the same probe has the same id on every machine."""
    return content_id("probe", picture_id(image), question)
