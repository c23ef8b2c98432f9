"""The command line: one verb per thing that a user can have done; what they do is in functions of the package."""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
import warnings
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

import auditdm
from auditdm.errors import AuditError

if TYPE_CHECKING:
    from auditdm.runs.searching import Effort

_LIBRARIES = ("accelerate", "datasets", "huggingface_hub", "peft", "torch", "transformers", "trl")
_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class _InWords(TyperGroup):
    """Ends a command with words instead of a traceback, where the user can mend what happened or has stopped it."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AuditError as problem:
            print(f"auditdm: {problem}", file=sys.stderr)
            raise typer.Exit(1) from None
        except ModuleNotFoundError as problem:
            if problem.name not in _LIBRARIES:
                raise
            print(
                f"auditdm: {problem.name} is not installed. Install it, in the checkout: "
                "pip install -e '.[local]' -c constraints.txt",
                file=sys.stderr,
            )
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            again = shlex.join(["auditdm", *sys.argv[1:]])
            print(f"\nStopped; what was done is kept. The same command goes on from there:\n  {again}", file=sys.stderr)
            raise typer.Exit(_INTERRUPTED) from None


app = typer.Typer(
    cls=_InWords,
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only resolve everything and count the calls.")] = False,
    as_json: Json = False,
) -> None:
    """Train the auditor against the target, discover failures, name them, put each name to the test, and report."""
    from auditdm.terminal import Terminal, show_audit, show_plan

    told = auditdm.load_config(config)
    if dry_run:
        return show_plan(auditdm.plan(told), as_json)
    with Terminal(quiet=as_json) as terminal:
        finished = auditdm.audit(told, run, tell=terminal.tell)
        page = auditdm.report(finished.path)
    show_audit(finished, page, as_json)


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
def init(
    config: Annotated[Path, typer.Argument(help="The file to write; one that is there is left as it is.")] = Path(
        "my-audit.yaml"
    ),
) -> None:
    """Write a commented YAML file of an audit, to be filled in."""
    text = resources.files("auditdm").joinpath("starter.yaml").read_text("utf-8").replace("{name}", str(config))
    try:
        with config.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise AuditError(f"{config} is there already; give another name, or remove it.") from None
    except OSError as problem:
        raise AuditError(f"{config} cannot be written: {problem}.") from problem
    print(f"Wrote {config}. Edit it, then: auditdm audit {config} --dry-run")


@app.command()
def doctor(
    model: Annotated[
        str | None, typer.Argument(help="A model spec, such as sandbox/target-small; none: this machine.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what this machine can run and what is missing, or try a model in every role."""
    from auditdm.terminal import show_checkup

    show_checkup(auditdm.doctor(model), as_json)


@app.command("list")
def listing(
    what: Annotated[str, typer.Argument(help="models, endpoints, generators, editors, judges or pools.")] = "models",
    as_json: Json = False,
) -> None:
    """List what is tested against the protocols (models), or the kinds of specs that a role takes."""
    rows = auditdm.listing(what)
    columns = ("role", "name", "kind", "example", "reason")
    told = ["  ".join(str(row[column]) for column in columns if row.get(column)) for row in rows]
    print(json.dumps(rows) if as_json else "\n".join(told))


@app.command("eval")
def evaluation(
    models: Annotated[list[str], typer.Argument(help="Model specs; the others are compared with the first.")],
    benchmarks: Annotated[
        str, typer.Option(help="Names with commas between them, or all: the paper's sixteen, and chartqa-human.")
    ] = "all",
    data: Annotated[Path | None, typer.Option(help="A folder with each benchmark's rows; else the hub's.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="So many questions of each benchmark, the first.")] = None,
    out: Annotated[Path, typer.Option(help="The run folder of the scores; resumed there.")] = Path("runs/eval"),
    as_json: Json = False,
) -> None:
    """Measure models on benchmarks through lmms-eval, and their paired differences from the first."""
    from auditdm.runs.benchmarks import in_words, paper_benchmarks
    from auditdm.terminal import Terminal

    names = list(paper_benchmarks()) if benchmarks == "all" else benchmarks.split(",")
    with Terminal(quiet=as_json) as terminal:
        table = auditdm.run_benchmarks(
            {model: model for model in models}, names, out, rows=data, limit=limit, tell=terminal.tell
        )
    print(json.dumps([row.as_dict() for row in table]) if as_json else in_words(table))


@app.command()
def replay(
    run: RunFolder,
    target: Annotated[
        list[str], typer.Option(help="A model to put the findings to, such as sandbox/target-large; may be repeated.")
    ],
    limit: Annotated[int | None, typer.Option(min=1, help="So many probes inside each finding and beside it.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Ask anew what a model of this name has answered.")] = False,
    as_json: Json = False,
) -> None:
    """Put the confirmed findings of a run to other models: which weaknesses are shared, which are the target's own."""
    from auditdm.terminal import Terminal, show_replay

    with Terminal(quiet=as_json) as terminal:
        told = auditdm.replay(run, target, limit=limit, again=again, tell=terminal.tell)
    show_replay(told, as_json)


@app.command()
def selftest(
    gaps: Annotated[Path | None, typer.Option(help="A gap file (docs/gaps.md); else the one that is shipped.")] = None,
    budget: Annotated[int, typer.Option(help="Target calls of each audit, at most.")] = 20_000,
    seeds: Annotated[int, typer.Option(min=1, help="So many audits of each organism, each with other errors.")] = 1,
    auditor: Annotated[
        str, typer.Option(help="Who asks: a fast stand-in, or a model such as sandbox/auditor or sandbox/auditor-wide.")
    ] = "stand-in",
    prompt_only: Annotated[
        bool, typer.Option("--prompt-only", help="The baseline: names and confirms, but looks no closer.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write all figures there; `report` reads RUN/selftest.json.")] = None,
    as_json: Json = False,
) -> None:
    """Audit targets whose weaknesses were planted: how many the search finds, and how often it cries wolf."""
    from auditdm.runs.searching import Effort
    from auditdm.sandbox.gap_files import load_gaps
    from auditdm.sandbox.selftest import write
    from auditdm.sandbox.zoo_author import author_of
    from auditdm.terminal import Terminal, show_selftest

    effort = Effort(budget=budget, focus=not prompt_only)
    _check_selftest(effort, out)
    with resources.as_file(resources.files("auditdm.sandbox").joinpath("gaps.yaml")) as shipped:
        file = load_gaps(gaps or shipped)
    with Terminal(quiet=as_json) as terminal:
        terminal.tell("stage", {"name": f"self-test, {len(file.organisms) * seeds} audits"})
        author = None if auditor.replace("-", "") == "standin" else author_of(auditor, terminal.tell)
        found = auditdm.selftest(file, seeds=range(seeds), effort=effort, author=author, tell=terminal.tell)
    if out is not None:
        write(found, out)
    show_selftest(found, as_json)


def _check_selftest(effort: Effort, out: Path | None) -> None:
    """Say before minutes of audits what would only be seen after them."""
    confirming = effort.confirm + effort.beside_confirm + effort.least // 2
    if effort.budget < effort.chunk + confirming:
        raise AuditError(
            f"--budget is {effort.budget}; looking around takes {effort.chunk} calls and confirming a name up to "
            f"{confirming}, so nothing could be confirmed. Give {effort.chunk + confirming} or more."
        )
    if out is not None and out.is_dir():
        raise AuditError(f"--out is {out}, a folder. Give a file in it, such as {out / 'selftest.json'}.")
    if out is not None and not out.parent.is_dir():
        raise AuditError(f"--out is {out}, and there is no folder {out.parent}. Make it, or give another file.")


@app.command()
def report(run: RunFolder) -> None:
    """Write the static report of a run; it opens offline."""
    print(auditdm.report(run))


def main() -> None:
    """Run the command line: 0 done, 1 an error that is said in words, 2 a wrong call, 130 interrupted."""
    _silence_libraries()
    try:
        app()
    except SystemExit as end:
        if end.code == _INTERRUPTED:  # a thread may be waiting for a model, and would keep the process until it answers
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(_INTERRUPTED)
        raise


def _silence_libraries() -> None:
    """Keep progress bars, advice and warnings of the model libraries from the terminal, before any is imported.

    Their errors are still said. Who wants to hear more sets TRANSFORMERS_VERBOSITY or TQDM_DISABLE.
    """
    told = {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TQDM_DISABLE": "1"}
    for name, value in told.items():
        os.environ.setdefault(name, value)
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=rf"({'|'.join(_LIBRARIES)})\b.*")
    logging.basicConfig(stream=_StderrOfTheMoment(), level=logging.WARNING, format="%(message)s")


class _StderrOfTheMoment:
    """Lets warnings appear above a live table, which takes the place of sys.stderr while it is shown."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


if __name__ == "__main__":
    main()
