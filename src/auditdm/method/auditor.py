"""The auditor: what it is asked, and how its reply is read.

Source: arXiv:2512.16921, prompts p_q, p_c, p_e. Differs: the words of the prompts and the form of the reply are ours;
one call writes both the change of the picture and the question on it, where the paper asks again on the changed
picture.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import get_args

import yaml

from auditdm.errors import ConfigError, MalformedProposal
from auditdm.types import Action, Proposal

PROMPT_NAMES = ("question", "caption", "edit", "caption_for", "edit_for")
ABOUT = "question_about"  # a prompt that may be left out: it asks for questions of which a description holds
ACTIONS: tuple[Action, ...] = get_args(Action)
MAX_CHARACTERS = 400  # in one part of a reply; more is no question that a person would read
_PART = re.compile(r"<(question|caption|edit)>(.*?)</\1>", re.DOTALL)
_TAG = re.compile(r"</?(question|caption|edit)>")


def read_prompts(text: str | None = None, where: str = "prompts") -> Mapping[str, str]:
    """Read the prompts from YAML text, or the package's own.

    Args:
        text: The content of a file; None for the package's own prompts.
        where: Names the origin in messages.

    Returns:
        By name, the keys of `PROMPT_NAMES`, and `question_about` where it is there; none is blank.

    Raises:
        ConfigError: Not YAML, a prompt is missing, unknown or no text, one of the two `_for` prompts lacks
            `{question}`, or `question_about` lacks `{name}`.

    Example:
        >>> read_prompts()["edit_for"].split(". ")[0]
        'You examine vision-language models'
    """
    if text is None:
        text = resources.files(__package__).joinpath("prompts.yaml").read_text("utf-8")
    try:
        said = yaml.safe_load(text)
    except yaml.YAMLError as problem:
        raise ConfigError(f"{where}: is not YAML: {problem}") from problem
    if not isinstance(said, dict) or set(said) - {ABOUT} != set(PROMPT_NAMES):
        found = ", ".join(map(str, said)) if isinstance(said, dict) else "nothing" if said is None else repr(said)[:80]
        raise ConfigError(f"{where}: found {found}; a file of prompts has exactly the keys {', '.join(PROMPT_NAMES)}.")
    for name, prompt in said.items():
        if not isinstance(prompt, str) or not prompt.strip():
            raise ConfigError(f"{where}: {name} is {prompt!r}; a prompt is a text that is not blank.")
    for name in ("caption_for", "edit_for"):
        if "{question}" not in said[name]:
            raise ConfigError(f"{where}: {name} has to contain {{question}}, where the pool's own question goes.")
    if "{name}" not in said.get(ABOUT, "{name}"):
        raise ConfigError(f"{where}: {ABOUT} has to contain {{name}}, where what is to be asked about goes.")
    return {name: said[name].strip() for name in (*PROMPT_NAMES, ABOUT) if name in said}


def prompt_for(
    prompts: Mapping[str, str], action: Action, given_question: str | None = None, about: str | None = None
) -> str:
    """Choose the words for one row: write a question, or change the picture.

    Args:
        prompts: Those of `read_prompts`.
        action: What the auditor is to write.
        given_question: The question that came with the picture and is to stay; None: the auditor writes its own.
            "question" has no use for it.
        about: What a question is to be about, in words; only where the prompts have `question_about`.

    Returns:
        The prompt, with the given question in its place.

    Example:
        >>> print(prompt_for({"edit_for": "Make it hard: {question}"}, "edit", "How many dogs?"))
        Make it hard: How many dogs?
    """
    if action == "question" and about is not None:
        return prompts[ABOUT].replace("{name}", about)
    if given_question is None or action == "question":
        return prompts[action]
    return prompts[f"{action}_for"].replace("{question}", given_question)


def parse(reply: str, source_id: str, action: Action, given_question: str | None = None) -> Proposal:
    """Read the auditor's reply strictly: the parts that were asked for, each once, in any order, and nothing else.

    Args:
        reply: The auditor's words.
        source_id: The picture that it was shown.
        action: What it was asked to write.
        given_question: The question that it was told to keep, as in `prompt_for`.

    Returns:
        The proposal; white space within its parts is single spaces, at most 400 characters are in each.

    Raises:
        MalformedProposal: Says what is missing, doubled, blank, not closed, too long or left over.

    Source: ours.

    Example:
        >>> read = parse("<edit> remove the dog </edit> <question> How many dogs? </question>", "picture-1", "edit")
        >>> read.instruction, read.question, read.pairing
        ('remove the dog', 'How many dogs?', 'Q*,I*')
        >>> parse("How many dogs?", "picture-1", "question")
        Traceback (most recent call last):
        auditdm.errors.MalformedProposal: 0 <question>...</question>, one is wanted, in 'How many dogs?'
    """
    own_question = given_question is None
    wanted = ([] if action == "question" else [action]) + (["question"] if own_question else [])
    found = _PART.findall(reply)
    parts = {name: " ".join(text.split()) for name, text in found}
    for name in wanted:
        count = sum(n == name for n, _ in found)
        if count != 1:
            raise MalformedProposal(f"{count} <{name}>...</{name}>, one is wanted, in {reply[:80]!r}")
        if not parts[name]:
            raise MalformedProposal(f"<{name}> is blank in {reply[:80]!r}")
        if tag := _TAG.search(parts[name]):
            raise MalformedProposal(f"<{name}> has {tag[0]} inside it in {reply[:80]!r}")
        if len(parts[name]) > MAX_CHARACTERS:
            raise MalformedProposal(f"<{name}> has {len(parts[name])} characters, at most {MAX_CHARACTERS} are read")
    if len(found) > len(wanted):
        raise MalformedProposal(f"more than was asked for ({', '.join(wanted)}) in {reply[:80]!r}")
    if rest := _PART.sub("", reply).strip():
        raise MalformedProposal(f"words outside the tags: {rest[:80]!r}")
    question = parts["question"] if given_question is None else given_question
    instruction = None if action == "question" else parts[action]
    return Proposal(
        source_id=source_id, action=action, question=question, instruction=instruction, given_question=not own_question
    )


def written(proposal: Proposal) -> str:
    """Write the reply that `parse` reads as this proposal.

    Example:
        >>> from auditdm.backends.fakes import fake_probe
        >>> written(fake_probe("How many dogs?", "edit").proposal)
        '<edit> edit for How many dogs? </edit> <question> How many dogs? </question>'
    """
    change = "" if proposal.instruction is None else f"<{proposal.action}> {proposal.instruction} </{proposal.action}>"
    question = "" if proposal.given_question else f"<question> {proposal.question} </question>"
    return f"{change} {question}".strip()
