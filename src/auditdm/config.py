"""One configuration for three doors: YAML, command line and Python reach the same frozen object.

`load_config` reads a YAML file, `parse_config` takes the mapping that such a file would hold. Options of other
libraries (`training.grpo`, `rectify.options`, `lora`, a model's `options`) are handed through and checked by their
owners. Relative paths mean the folder in which the command is given. Secrets are used and never saved: the JSON form of
a configuration holds the `${VAR}` they were written as.
"""

from __future__ import annotations

import difflib
import json
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import ErrorDetails

from auditdm.errors import ConfigError
from auditdm.types import Action
from auditdm.variables import UnsetVariableError, Written, concealed, expanded

Text = Annotated[str, Field(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, protected_namespaces=())


class Price(_Section):
    """What an endpoint asks for a million tokens, in US dollars."""

    input: float = Field(ge=0.0)  # of prompt, pictures included
    output: float = Field(ge=0.0)  # of reply


class ModelSpec(_Section):
    """Which model fills a role, and how it is asked. A bare string is its `model`."""

    model: Text  # hf/google/gemma-3-4b-it, sandbox/target-small, a local folder, or an import path my_mod:MyModel
    batch: int = Field(default=64, ge=1)  # (picture, question) pairs per call
    max_new_tokens: int = Field(default=32, ge=1)  # of a reply; an auditor's may have 96 at least
    temperature: float = Field(default=0.0, ge=0.0)  # 0: greedy
    device: str = "auto"
    dtype: str = "auto"
    options: dict[str, Any] = Field(default_factory=dict)  # handed through to whatever builds the model
    price: Price | None = None  # of a model behind an endpoint; None: its cost is not reckoned
    throughput: float | None = Field(default=None, gt=0.0)  # replies a second on one GPU, for --dry-run; None: assumed

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, found: Any) -> Any:
        return {"model": found} if isinstance(found, str) else found

    @property
    def identity(self) -> str:
        """Equal for two specs of the same weights, whatever their batch, temperature or device."""
        folder = Path(self.model).expanduser()
        name = str(folder.resolve()) if folder.is_dir() else self.model
        return json.dumps([name, self.options], sort_keys=True, default=str)


class ToolSpec(_Section):
    """What draws, edits or judges. A bare string is its `name`."""

    name: Text  # a kind such as sandbox, exact or diffusers/ID, or an import path my_mod:MyClass
    options: dict[str, Any] = Field(default_factory=dict)  # handed to whatever builds it
    throughput: float | None = Field(default=None, gt=0.0)  # pictures a second on one GPU, for --dry-run; None: assumed

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, found: Any) -> Any:
        return {"name": found} if isinstance(found, str) else found


class ImagePool(_Section):
    """The pictures an audit starts from. A bare string is its `path`."""

    path: Text  # a folder of pictures, or a spec such as sandbox/pictures
    limit: int | None = Field(default=None, ge=1)  # at most so many pictures; None: all
    holdout: float = Field(default=0.5, gt=0.0, lt=1.0)  # share of pictures kept from training, for discovery
    confirmation: float = Field(default=0.5, gt=0.0, lt=1.0)  # share of those that discovery never sees either

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, found: Any) -> Any:
        return {"path": found} if isinstance(found, str) else found


class TrainingConfig(_Section):
    """How the auditor is trained."""

    steps: int = Field(default=100, ge=0)
    batch: int = Field(default=64, ge=2)  # completions per step, not pictures
    group: int = Field(default=8, ge=2)  # completions per picture and action; divides batch
    lora: dict[str, Any] | None = None  # handed through to peft.LoraConfig; None: all weights are trained
    checkpoint_every: int = Field(default=20, ge=1)  # steps
    grpo: dict[str, Any] = Field(default_factory=dict)  # handed through to trl.GRPOConfig
    fair: float = Field(default=0.2, gt=0.0, le=1.0)  # share of the hits up to which one way of asking is paid in full
    side_by_side: bool = False  # the arm of `compare` that is trained too goes at the same time, in a second process
    confirmed_in: Path | None = None  # run folder of an earlier audit: what it confirmed pays the auditor nothing
    vllm_server: str | None = None  # address of the vLLM server that writes the replies of training; None: written here

    @field_validator("vllm_server")
    @classmethod
    def _is_address(cls, found: str | None) -> str | None:
        parts = urlsplit(found) if found is not None else None
        if parts is not None and (parts.scheme not in ("http", "https") or not parts.hostname or parts.username):
            raise ValueError("this is no plain address of a server. Write it like http://localhost:8000")
        return found

    @model_validator(mode="after")
    def _server_alone_decides(self) -> Self:
        ours = [key for key in ("use_vllm", "vllm_mode", "vllm_server_base_url") if key in self.grpo]
        if self.vllm_server is not None and ours:
            raise ValueError(f"grpo.{ours[0]} is set by vllm_server; remove one of them")
        return self

    @model_validator(mode="after")
    def _group_divides_batch(self) -> Self:
        if self.batch % self.group:
            whole = [self.batch // self.group * self.group, (self.batch // self.group + 1) * self.group]
            near = " or ".join(str(size) for size in whole if size)
            raise ValueError(
                f"batch is {self.batch} and group is {self.group}; group must divide batch. Use batch: {near}"
            )
        return self


class DiscoveryConfig(_Section):
    """How failures are looked for after training."""

    probes: int = Field(default=1000, ge=1)
    temperature: float = Field(default=1.0, gt=0.0)  # of the auditor's replies
    batch: int = Field(default=64, ge=1)


DESCRIBE = (
    "Name everything that can be seen in this picture, as one plain list divided by commas. "
    "Say the colour, the size and the place of each thing, and any text on it. Reply with the list and nothing else."
)


class SmallestConfig(_Section):
    """The least failure mode that is worth hearing of: the search goes on until it would have been seen."""

    prevalence: float = Field(default=0.005, gt=0.0, le=1.0)  # share of the auditor's own probes that lie in it
    rate: float = Field(default=0.3, gt=0.0, le=1.0)  # of them that the target fails on


class ConfirmationConfig(_Section):
    """How failure modes are named and put to the test on fresh pictures, after discovery."""

    budget: int = Field(default=4000, ge=0)  # calls of the target; 0: no mode is named or tested
    fresh: int = Field(default=80, ge=64)  # probes inside a mode that test it, and as many beside it
    smallest: SmallestConfig = Field(default_factory=SmallestConfig)  # before the budget is spent, it ends only here
    pairs: int = Field(default=24, ge=0)  # edits of each kind that look for a finding's cause; 0, or no editor: none
    describe: Text = DESCRIBE  # asked of the first reference, so that pictures can be spoken of
    proposer: ModelSpec | None = None  # writes sentences that say what fails; None: findings have their predicate alone
    ranker: ModelSpec | None = None  # says of which probes such a sentence holds; None: the proposer


class RectifyConfig(_Section):
    """How the target is repaired from what was found."""

    lora: dict[str, Any] | None = None  # handed through to peft.LoraConfig; None: all weights are trained
    images: ImagePool | None = None  # fresh pictures to practise on; None: those that the audit was trained on
    # failures wanted, on fresh pictures, of each way of asking of a mode and its right answer; 0: none are looked for
    per_mode: int = Field(default=32, ge=0)
    rows: int | None = Field(default=None, ge=1)  # so many failures, if there are; None: all, repeats included
    replay: float = Field(default=2.0, ge=0.0)  # agreements replayed per failure, against forgetting
    keep: float = Field(default=1.0, ge=0.0)  # weight of the target's own probabilities where it was right; 0: not kept
    repeats: int = Field(default=4, ge=1)  # how often a failure of a rare mode may stand in the training set
    side_by_side: bool = False  # repair and control are fine-tuned at the same time, in two processes on one device
    options: dict[str, Any] = Field(default_factory=dict)  # handed through to the trainer
    labelled: ImagePool | None = None  # a training set with pictures, questions and answers: one new probe for each row
    checkpoints: int = Field(default=0, ge=0)  # saved auditors, evenly spaced, that join the untrained one
    probes: int = Field(default=0, ge=0)  # of each of these auditors, for the training set

    @model_validator(mode="after")
    def _checkpoints_ask(self) -> Self:
        if self.checkpoints and not self.probes:
            raise ValueError(
                f"checkpoints is {self.checkpoints} and probes is 0; an auditor that joins needs probes to write. "
                "Set probes: 1000, or remove checkpoints"
            )
        return self


def _quorum(told: object) -> object:
    if told == "auto" or (isinstance(told, int | float) and 0.5 < told <= 1):
        return told
    raise ValueError(
        f"{told!r} should be greater than 0.5 and at most 1, or auto. Change it, or remove the key for the default, 1.0"
    )


class AuditConfig(_Section):
    """Everything that decides an audit."""

    seed: int = 0
    turns: bool = False  # local models take turns on the device; those that wait are in the computer's memory
    run: Path | None = None  # the run folder; None: named by the command
    images: ImagePool
    auditor: ModelSpec
    target: ModelSpec
    references: tuple[ModelSpec, ...]
    judge: ToolSpec = ToolSpec(name="exact")
    generator: ToolSpec | None = None  # draws captions
    editor: ToolSpec | None = None  # changes pictures by command
    prompts: Path | None = None  # the auditor's prompts; None: those of the package
    actions: dict[Action, Annotated[float, Field(ge=0.0)]] = Field(default_factory=dict)  # relative weights; see below
    # share of references that must agree to be believed; auto: chosen from what they say to the pool's own questions
    quorum: Annotated[float | Literal["auto"], PlainValidator(_quorum)] = 1.0
    wordings: tuple[Text, ...] = Field(default=("{question}",), min_length=1)  # would-be failures: again in the others
    reward: Literal["gated", "gated_only", "paper"] = "gated"  # gated_only: without novelty
    compare: tuple[Literal["prompt_only", "paper_reward"], ...] = ("prompt_only",)  # baselines at as many probes
    training: TrainingConfig = TrainingConfig()
    discovery: DiscoveryConfig = DiscoveryConfig()
    confirmation: ConfirmationConfig = ConfirmationConfig()
    rectify: RectifyConfig = RectifyConfig()
    _written: Written = PrivateAttr(default_factory=dict)  # what stands in the file for each secret

    @model_serializer(mode="wrap")
    def _without_secrets(self, dump: SerializerFunctionWrapHandler, told: SerializationInfo) -> dict[str, Any]:
        """The JSON form, which is what gets saved, holds no secret."""
        plain = dump(self)
        told_plainly: dict[str, Any] = concealed(plain, self._written) if told.mode == "json" else plain
        return told_plainly

    @model_validator(mode="before")
    @classmethod
    def _default_actions(cls, found: Any) -> Any:
        """Without `actions`: every action that the configuration can perform, equally often."""
        if not isinstance(found, Mapping) or found.get("actions"):
            return found
        drawn = {"caption": "generator", "edit": "editor"}
        return {**found, "actions": {"question": 1.0} | {act: 1.0 for act, role in drawn.items() if found.get(role)}}

    @model_validator(mode="after")
    def _roles_fit(self) -> Self:
        if not self.references:
            raise ValueError(
                "references is empty; an audit compares the target with at least one other model. "
                "Add one under references:, such as hf/google/gemma-3-12b-it; three unlike ones are better"
            )
        taken = {self.target.identity: "target"}
        for number, reference in enumerate(self.references):
            name = f"references[{number}]"
            if reference.identity in taken:
                raise ValueError(
                    f"{name} is {reference.model!r}, the same model as {taken[reference.identity]}; "
                    "a model cannot testify twice. Name another one"
                )
            taken[reference.identity] = name
        return self

    @model_validator(mode="after")
    def _auditor_samples(self) -> Self:
        if self.auditor.temperature:
            raise ValueError(
                f"auditor.temperature is {self.auditor.temperature}, but an auditor samples its proposals at "
                "discovery.temperature, and in training at training.grpo.temperature. Set these, and remove it"
            )
        return self

    @model_validator(mode="after")
    def _checkpoints_there(self) -> Self:
        saved = self.training.steps // self.training.checkpoint_every
        if self.rectify.checkpoints > saved:
            raise ValueError(
                f"rectify.checkpoints is {self.rectify.checkpoints}, but training.steps {self.training.steps} with "
                f"training.checkpoint_every {self.training.checkpoint_every} saves {saved}. Lower one of them"
            )
        return self

    @model_validator(mode="after")
    def _actions_possible(self) -> Self:
        if not any(self.actions.values()):
            raise ValueError(
                f"actions is {self.actions}; at least one weight must be above 0. Set actions: {{question: 1}}"
            )
        for action, role, maker in (("caption", "generator", self.generator), ("edit", "editor", self.editor)):
            if self.actions.get(typing.cast(Action, action)) and maker is None:
                raise ValueError(
                    f"actions.{action} is {self.actions[typing.cast(Action, action)]} and {role} is absent; "
                    f"{action} needs a model that makes the picture. Name one under {role}:, or remove actions.{action}"
                )
        return self

    @model_validator(mode="after")
    def _wordings_ask(self) -> Self:
        for number, wording in enumerate(self.wordings):
            if "{question}" not in wording:
                raise ValueError(
                    f"wordings[{number}] is {wording!r}; a wording holds {{question}} where the question goes. "
                    "Such as: 'Answer in one word. {question}'"
                )
        return self


def load_config(path: str | Path) -> AuditConfig:
    """Read a YAML file, with `${VAR}` and `${VAR:-default}` replaced from the environment.

    Raises:
        ConfigError: The file is missing, not YAML, or not a configuration: one readable line per mistake.
    """
    path = Path(path)
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError as problem:
        raise ConfigError(f"{path}: no such file. Give the path of a YAML file such as those in configs/.") from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path}: cannot be read: {problem}.") from problem
    except yaml.YAMLError as problem:
        raise ConfigError(f"{path}: is not YAML: {problem}") from problem
    if not isinstance(found, dict):
        kind = "empty" if found is None else f"a {type(found).__name__}"
        raise ConfigError(f"{path}: is {kind}; a configuration is a mapping of keys such as target: and references:.")
    return parse_config(found, str(path))


def parse_config(mapping: Mapping[str, Any], where: str = "configuration") -> AuditConfig:
    """Turn plain values into the frozen configuration.

    Args:
        mapping: What a YAML file would hold.
        where: Names the origin in messages.

    Raises:
        ConfigError: One readable line per mistake.
    """
    try:
        plain, written = expanded(dict(mapping), _typed)
    except UnsetVariableError as unset:
        raise ConfigError(
            f"{where}: {_dotted(unset.place)} uses ${{{unset.name}}}, which is not set. "
            f"Set it (export {unset.name}=...) or give a default: ${{{unset.name}:-value}}."
        ) from unset
    try:
        config = AuditConfig.model_validate(plain)
    except ValidationError as problem:  # not chained: it quotes what it found, and that may be secret
        lines = "\n".join(f"{where}: {_line(error, written)}" for error in problem.errors())
    else:
        config._written = written
        return config
    raise ConfigError(lines)


# --- messages


_PLAIN = {  # pydantic speaks Python here; a YAML file has lists and mappings
    "dict_type": "should be a mapping of keys to values",
    "model_type": "should be a text, or a mapping of keys to values",
    "tuple_type": "should be a list",
    "path_type": "should be a path",
    "too_short": "should not be empty",
}


def _line(error: ErrorDetails, written: Written) -> str:
    """One mistake: the key, what was found, what is allowed, what to do."""
    where = _dotted(error["loc"])
    if error["type"] == "value_error":  # our own sentences, complete
        text = str(error["ctx"]["error"])
        return f"{where}: {text}." if where else f"{text}."
    section = _section(error["loc"][:-1])
    if error["type"] == "extra_forbidden":
        return _unknown_key(where, str(error["loc"][-1]), section)
    if error["type"] == "missing":
        return f"{where} is missing. Add it; {_example(str(error['loc'][-1]))}."
    if error["type"] == "literal_error" and error["loc"][-1] == "[key]":  # a key of `actions`
        return f"{_dotted(error['loc'][:-2])} has no {error['input']!r}. Known: {error['ctx']['expected']}."
    allowed = _PLAIN.get(error["type"]) or error["msg"].removeprefix("Input ").removeprefix("Value ")
    text = f"{where} is {concealed(error['input'], written, error['loc'])!r}; it {allowed}."
    field = section.model_fields.get(str(error["loc"][-1])) if section else None
    if (
        field is None
        or field.is_required()
        or field.default_factory is not None
        or isinstance(field.default, BaseModel)
    ):
        return f"{text} Change it."
    return f"{text} Change it, or remove the key for the default, {field.default!r}."


def _unknown_key(where: str, key: str, section: type[BaseModel] | None) -> str:
    known = list(section.model_fields) if section else []
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    meant = f"Did you mean {near[0]!r}? " if near else ""
    return f"{where} is not a key. {meant}Known here: {', '.join(known)}."


def _example(key: str) -> str:
    examples = {
        "model": "such as model: hf/google/gemma-3-4b-it",
        "path": "such as path: photos/",
        "images": "a folder of pictures, such as images: photos/",
        "auditor": "the model that writes the probes, such as auditor: hf/google/gemma-3-4b-it",
        "target": "the model to audit, such as target: hf/google/paligemma2-3b-mix-448",
        "references": "the models to compare with, such as references: [hf/google/gemma-3-12b-it]",
    }
    return examples.get(key, f"such as {key}: ...")


def _section(location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The section of the configuration that a location lies in."""
    section: type[BaseModel] = AuditConfig
    for part in location:
        if isinstance(part, int):
            continue
        if part not in section.model_fields:
            return None
        annotation = section.model_fields[part].annotation
        inner = [kind for kind in (annotation, *typing.get_args(annotation)) if isinstance(kind, type)]
        sections = [kind for kind in inner if issubclass(kind, BaseModel)]
        if not sections:
            return None
        section = sections[0]
    return section


def _dotted(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


# --- YAML


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, but 1e-6 is a number (as in YAML 1.2) and a key given twice is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _typed(text: str) -> Any:
    """The text of a variable, as YAML would read it; a text where it would be a mapping or a list."""
    try:
        found = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        return text
    return text if isinstance(found, dict | list) else found
