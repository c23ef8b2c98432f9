"""A small world with exact truth, so that an auditor can itself be audited.

Scenes, their pictures, a language of questions, captions and edit commands, an oracle, and a zoo of tiny real models. No
stage, backend or run module imports this package: it stands behind the same protocols as the real world.
"""
