"""The method, in the order of the paper, pure: no torch, no network, no clock.

auditor (prompts, replies) -> probe (pictures and questions) -> verdict (who stands alone) -> reward (what the auditor
is paid) -> modes (failures that look alike) -> trainset (failures become lessons).
"""
