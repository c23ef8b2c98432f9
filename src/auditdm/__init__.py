"""Audit a vision-language model: a picture goes in, a claim about the model comes out, and a stranger can check it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from auditdm.errors import AuditError, ConfigError, MalformedProposal, ModelError, StoreError
from auditdm.types import (
    Answer,
    FailureMode,
    ImageEditor,
    ImageGenerator,
    Judge,
    Model,
    Probe,
    Proposal,
    Source,
    Verdict,
)

if TYPE_CHECKING:
    from auditdm.backends.pools import read_pool
    from auditdm.backends.specs import listing
    from auditdm.config import AuditConfig, load_config, parse_config
    from auditdm.runs.auditing import audit
    from auditdm.runs.benchmarks import run_benchmarks
    from auditdm.runs.checkups import doctor
    from auditdm.runs.evaluation import evaluate
    from auditdm.runs.planning import plan
    from auditdm.runs.rectification import rectify
    from auditdm.runs.replaying import replay
    from auditdm.runs.reporting import report
    from auditdm.sandbox.demo import demo
    from auditdm.sandbox.selftest import selftest
    from auditdm.stats import Rate, paired_difference
    from auditdm.store import Run

_ON_FIRST_USE = {
    "AuditConfig": "auditdm.config",
    "Rate": "auditdm.stats",
    "Run": "auditdm.store",
    "audit": "auditdm.runs.auditing",
    "demo": "auditdm.sandbox.demo",
    "doctor": "auditdm.runs.checkups",
    "evaluate": "auditdm.runs.evaluation",
    "listing": "auditdm.backends.specs",
    "load_config": "auditdm.config",
    "paired_difference": "auditdm.stats",
    "parse_config": "auditdm.config",
    "plan": "auditdm.runs.planning",
    "read_pool": "auditdm.backends.pools",
    "rectify": "auditdm.runs.rectification",
    "replay": "auditdm.runs.replaying",
    "report": "auditdm.runs.reporting",
    "run_benchmarks": "auditdm.runs.benchmarks",
    "selftest": "auditdm.sandbox.selftest",
}

__all__ = [
    "Answer",
    "AuditConfig",
    "AuditError",
    "ConfigError",
    "FailureMode",
    "ImageEditor",
    "ImageGenerator",
    "Judge",
    "MalformedProposal",
    "Model",
    "ModelError",
    "Probe",
    "Proposal",
    "Rate",
    "Run",
    "Source",
    "StoreError",
    "Verdict",
    "audit",
    "demo",
    "doctor",
    "evaluate",
    "listing",
    "load_config",
    "paired_difference",
    "parse_config",
    "plan",
    "read_pool",
    "rectify",
    "replay",
    "report",
    "run_benchmarks",
    "selftest",
]


def __getattr__(name: str) -> Any:
    """Load a name with its module when it is first used, so that `import auditdm` stays light."""
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module 'auditdm' has no attribute {name!r}")
    return getattr(import_module(_ON_FIRST_USE[name]), name)


def __dir__() -> list[str]:
    return __all__
