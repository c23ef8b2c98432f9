"""The command line: one verb per thing that a user can have done, each also a Python function of the same name."""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

import auditdm
from auditdm.errors import AuditError

app = typer.Typer(
    name="auditdm",
    help="Audit a vision-language model: find what it fails, see it, and repair it from what was found.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON and nothing else on standard output.")]
RunFolder = Annotated[Path, typer.Argument(help="A run folder, such as runs/demo.")]


@app.command()
def demo(
    run: Annotated[Path, typer.Option(help="Where the run goes; an interrupted one is resumed there.")] = Path(
        "runs/demo"
    ),
    seed: Annotated[int, typer.Option(help="Of pictures, questions and training.")] = 0,
    as_json: Json = False,
) -> None:
    """The whole loop on the embedded sandbox, on a CPU, in minutes; ends with an HTML report."""
    from auditdm.sandbox.demo import demo_config
    from auditdm.terminal import Terminal

    with Terminal(quiet=as_json) as terminal:
        summary = auditdm.demo(run, config=demo_config(seed), tell=terminal.tell)
    terminal.close_with(run, summary, as_json)


@app.command()
def audit(
    config: Annotated[Path, typer.Argument(help="A YAML file; configs/sandbox.yaml is one.")],
    run: Annotated[Path | None, typer.Option(help="The run folder; else the file's `run`, else runs/audit.")] = None,
    as_json: Json = False,
) -> None:
    """Train the auditor against the target, discover failures, group them, and report."""
    from auditdm.terminal import Terminal

    told = auditdm.load_config(config)
    with Terminal(quiet=as_json) as terminal:
        folder = auditdm.audit(told, run, tell=terminal.tell).path
        page = auditdm.report(folder)
    print(json.dumps({"run": str(folder)}) if as_json else f"Run: {folder}\nReport: {page}")


@app.command()
def rectify(
    run: RunFolder,
    control: Annotated[bool, typer.Option(help="Also train on as many random, unaudited rows.")] = True,
    as_json: Json = False,
) -> None:
    """Fine-tune the target on the failures of a run, beside an equally large random control."""
    from auditdm.terminal import Terminal

    with Terminal(quiet=as_json) as terminal:
        folders = auditdm.rectify(run, control=control, tell=terminal.tell)
    told = {name: str(folder) for name, folder in folders.items()}
    print(json.dumps(told) if as_json else "\n".join(f"{name}: {folder}" for name, folder in told.items()))


@app.command()
def report(run: RunFolder) -> None:
    """Write the static report of a run; it opens offline."""
    print(auditdm.report(run))


def main() -> None:
    """Run the command line: 0 done, 1 an error that is said in words, 2 a wrong call, 130 interrupted."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore", module=r"(trl|transformers|torch|accelerate|datasets)\b.*")
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    os.environ.setdefault("TQDM_DISABLE", "1")  # our own terminal tells how far it is
    try:
        app()
    except AuditError as problem:
        print(f"auditdm: {problem}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        words = " ".join(["auditdm", *sys.argv[1:]])
        print(f"\nStopped; what was done is kept. The same command goes on from there:\n  {words}", file=sys.stderr)
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
