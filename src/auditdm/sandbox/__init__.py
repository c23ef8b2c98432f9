"""A small world with exact truth, so that an auditor can itself be audited.

Scenes, their pictures, a language of questions, captions and edit commands, an oracle, and a zoo of tiny real models. It
stands behind the same protocols as the real world: of the other packages only `backends.specs`, which finds models and tools
by name, and the door import it.
"""
