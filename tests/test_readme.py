"""What the README shows is there: commands, options, files, and the YAML is a configuration."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

import auditdm
from auditdm.cli import app
from auditdm.config import parse_config

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
README = PAGES[0].read_text("utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    shlex.split(line, comments=True)
    for kind, block in BLOCKS
    if not kind
    for line in block.splitlines()
    if line.startswith("auditdm ")
]


def test_the_yaml_is_a_configuration():
    [shown] = [block for kind, block in BLOCKS if kind == "yaml"]
    config = parse_config(yaml.safe_load(shown))
    assert config.turns
    assert len(config.references) == 3


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_command_is_one_that_exists_with_its_options(words):
    verb = typer.main.get_command(app).commands[words[1]]
    known = {option for parameter in verb.params for option in parameter.opts}
    assert {word for word in words[2:] if word.startswith("--")} <= known


def test_the_python_block_names_what_the_package_has():
    [shown] = [block for kind, block in BLOCKS if kind == "python"]
    compile(shown, "README.md", "exec")
    named = set(re.findall(r"auditdm\.(\w+)", shown))
    assert named
    assert named <= set(auditdm.__all__)


def test_each_make_target_is_there():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)", " ".join(block for kind, block in BLOCKS if not kind))) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_link_leads_nowhere(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_each_file_in_the_table_of_the_code_is_there():
    table = README[README.index("| folder | what is in it |") : README.index("## The sandbox and its zoo")]
    runs = next(line for line in table.splitlines() if line.startswith("| `src/auditdm/runs/`"))
    for name in re.findall(r"`(\w+)`", runs.split("|")[2]):
        assert (ROOT / "src/auditdm/runs" / f"{name}.py").exists(), name
