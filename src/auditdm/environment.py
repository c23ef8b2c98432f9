"""What a run was made with: versions, machine and commit, read without loading any of the libraries."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from auditdm.variables import without_secrets

PACKAGES = (
    "auditdm",
    "accelerate",
    "datasets",
    "diffusers",
    "duckdb",
    "lmms-eval",
    "numpy",
    "openai",
    "peft",
    "pillow",
    "pyarrow",
    "ray",
    "scikit-learn",
    "scipy",
    "statsmodels",
    "tokenizers",
    "torch",
    "transformers",
    "trl",
    "vllm",
)


def environment() -> dict[str, Any]:
    """Describe this machine and installation, as plain JSON values.

    Returns:
        `command` (sys.argv, without secrets), `python`, `platform`, `cpu` (name, cores, memory_gib), `gpus` (names),
        `packages` (name -> version; one that is not installed is absent), `commit` and `uncommitted` (both None unless
        the package runs from its own checkout).
    """
    commit, uncommitted = _git()
    return {
        "command": without_secrets(sys.argv),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": {"name": _cpu_name(), "cores": _cores(), "memory_gib": _memory_gib()},
        "gpus": _gpu_names(),
        "packages": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        "commit": commit,
        "uncommitted": uncommitted,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu_name() -> str:
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(encoding="utf-8", errors="replace").splitlines() if listing.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory_gib() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def _gpu_names() -> list[str]:
    """Names of NVIDIA cards as the Linux driver lists them; other cards are not looked for."""
    lines = [
        line
        for listing in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines()
    ]
    return [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]


def _git() -> tuple[str | None, bool | None]:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():  # installed somewhere, perhaps inside another project's checkout
        return None, None
    try:
        commit = _git_says(root, "rev-parse", "HEAD")
        return commit, bool(_git_says(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def _git_says(root: Path, *words: str) -> str:
    answer = subprocess.run(
        ["git", "-C", str(root), *words],
        check=True,
        capture_output=True,
        text=True,
        timeout=10,
        stdin=subprocess.DEVNULL,
    )
    return answer.stdout.strip()
