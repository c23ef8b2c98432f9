"""From the words of a configuration to the thing itself: models, generators, editors, judges and pools.

A spec is `kind/name`, a local folder, or an import path `my_module:MyClass`; where a folder has the name of a kind,
`./` before it means the folder. What a kind needs is imported when it is asked for, so a configuration loads without
torch. This is the one module that knows `sandbox/...`.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from auditdm.errors import ConfigError
from auditdm.types import ImageEditor, ImageGenerator, Judge, Model, Source

Options = Mapping[str, Any]


def _hub_id(name: str) -> str | Path:
    return name


def _zoo_folder(name: str) -> str | Path:
    from auditdm.sandbox.zoo import model_folder

    return model_folder(name)


def _endpoint(spec: str, name: str, options: Options) -> Any:
    from auditdm.backends.endpoint import EndpointModel, with_address

    if spec.startswith(("google/gemma", "google/paligemma")):
        raise ConfigError(
            f"model '{spec}': Google's server has no open weights. A model of the hub is written 'hf/{spec}'."
        )
    handed = with_address(spec.partition("/")[0], dict(options.get("options") or {}))
    ours = {key: value for key, value in options.items() if key not in ("batch", "device", "dtype", "price", "options")}
    prices = dict(zip(("usd_per_million_in", "usd_per_million_out"), options.get("price") or (), strict=False))
    return _call(EndpointModel, spec, {"name": spec, **ours, **prices, **handed}, name)


def _sandbox_generator(spec: str, _: str, options: Options) -> Any:
    from auditdm.sandbox.pictures import SandboxGenerator

    return _call(SandboxGenerator, spec, _without(options, "seed"))


def _sandbox_editor(spec: str, _: str, options: Options) -> Any:
    from auditdm.sandbox.pictures import SandboxEditor

    return _call(SandboxEditor, spec, _without(options, "seed", "beside"))


def _exact_judge(spec: str, _: str, options: Options) -> Any:
    from auditdm.backends.judges import ExactJudge

    return _call(ExactJudge, spec, options)


def _diffusion_generator(spec: str, name: str, options: Options) -> Any:
    from auditdm.backends.diffusion import DiffusionGenerator

    return _call(DiffusionGenerator, spec, {"name": spec, **options}, name)


def _diffusion_editor(spec: str, name: str, options: Options) -> Any:
    from auditdm.backends.diffusion import DiffusionEditor, beside

    own = _without(options, "beside")
    parts = beside(options.get("beside"), name, own)
    handed = {"options": {**parts, **(own.get("options") or {})}} if parts else {}
    return _call(DiffusionEditor, spec, {"name": spec, **own, **handed}, name)


def _cascade_judge(spec: str, _: str, options: Options) -> Any:
    from auditdm.backends.cascade import CascadeJudge

    handed = dict(options)
    if (entailment := handed.pop("entailment", None)) is not None:
        from auditdm.backends.entailment import CrossEncoder

        handed["entails"] = CrossEncoder(model_location(entailment))
    if (model := handed.pop("model", None)) is not None:
        told: dict[str, Any] = {"model": model} if isinstance(model, str) else dict(model)
        prices = told.get("price")
        told |= {"price": (prices["input"], prices["output"])} if prices else {}
        handed["model"] = load_model(told.pop("model"), **told)
    return _call(CascadeJudge, spec, handed)


def _sandbox_pool(spec: str, name: str, options: Options) -> Any:
    from auditdm.sandbox.pictures import sandbox_pool

    return sandbox_pool(name, options["limit"])


def _record_pool(spec: str, _: str, options: Options) -> Any:
    from auditdm.backends.record_pools import read_records

    return read_records(spec, options["limit"])


def _vlm(spec: str, _: str, options: Options) -> Any:
    from auditdm.backends.local import TransformersModel

    if options.get("price"):
        raise ConfigError(f"model '{spec}': price is of a model behind an endpoint, and this one is here; remove it.")
    options = _without(options, "price")
    handed = dict(options.get("options") or {})
    lifted = {"adapter": handed.pop("adapter")} if "adapter" in handed else {}  # a configuration has one place for both
    given = {"name": spec, **options, **lifted, **({"options": handed} if "options" in options else {})}
    return _call(TransformersModel, spec, given, model_location(spec))


class _Kind(NamedTuple):
    make: Callable[[str, str, Options], Any]  # (spec, name, options)
    example: str  # with a "/" iff the kind takes a name


WEIGHTS: Mapping[str, Callable[[str], str | Path]] = {"hf": _hub_id, "sandbox": _zoo_folder}  # name -> id or folder
BACKENDS: Mapping[str, Mapping[str, _Kind]] = {
    "model": {
        "hf": _Kind(_vlm, "hf/google/gemma-3-4b-it"),
        "sandbox": _Kind(_vlm, "sandbox/target-small"),
        "openai-api": _Kind(_endpoint, "openai-api/my-model"),
        "openai": _Kind(_endpoint, "openai/gpt-4o"),
        "vllm": _Kind(_endpoint, "vllm/Qwen/Qwen3-VL-8B-Instruct"),
        "google": _Kind(_endpoint, "google/gemini-2.5-flash"),
        "anthropic": _Kind(_endpoint, "anthropic/claude-sonnet-4-5"),
    },
    "generator": {
        "sandbox": _Kind(_sandbox_generator, "sandbox"),
        "diffusers": _Kind(_diffusion_generator, "diffusers/black-forest-labs/FLUX.1-dev"),
    },
    "editor": {
        "sandbox": _Kind(_sandbox_editor, "sandbox"),
        "diffusers": _Kind(_diffusion_editor, "diffusers/black-forest-labs/FLUX.1-Kontext-dev"),
    },
    "judge": {"exact": _Kind(_exact_judge, "exact"), "cascade": _Kind(_cascade_judge, "cascade")},
    "pool": {
        "sandbox": _Kind(_sandbox_pool, "sandbox/0"),
        "hf-dataset": _Kind(_record_pool, "hf-dataset/owner/name:train"),
        "parquet": _Kind(_record_pool, "parquet/photos/*.parquet"),
        "webdataset": _Kind(_record_pool, "webdataset/shard-{000..099}.tar"),
        "coco": _Kind(_record_pool, "coco/questions.json"),
    },
}
_OTHER_MODELS = "a local model folder, or an import path my_module:MyClass"
_IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def load_model(spec: str, **options: Any) -> Model:
    """Build the model that a spec names.

    Args:
        spec: "hf/ID", "sandbox/NAME", a local model folder, or an import path "my_module:MyClass".
        options: Those of `TransformersModel` (batch, max_new_tokens, temperature, seed, device, dtype, adapter,
            options; the adapter may also stand in `options`), and of an endpoint the `price`, dollars for a million
            tokens of prompt and of reply. A class of your own gets those among them that it has a
            parameter for, and everything in `options` as arguments of its own.

    Returns:
        A model whose name is the spec; a class of your own names itself.

    Raises:
        ConfigError: Nothing is known under that spec, or an option is unknown; the message lists what is.
        ModelError: The model cannot be loaded.
    """
    if _IMPORT_PATH.fullmatch(spec):
        make = import_object(spec, "model")
        parameters = inspect.signature(make).parameters if callable(make) else {}
        asked = {key: value for key, value in options.items() if key in parameters and key != "options"}
        model: Model = _imported(make, "model", spec, Model, {**asked, **dict(options.get("options") or {})})
        return model
    model = _vlm(spec, "", options) if _is_folder(spec) else _made("model", spec, options, _OTHER_MODELS)
    return model


def model_location(spec: str) -> str | Path:
    """Where the weights of a model spec are: a folder, or a hub id. For whoever trains the model.

    Raises:
        ConfigError: Nothing is known under that spec, or it names a class of the user's, whose weights are its own.

    Example:
        >>> model_location("hf/google/gemma-3-4b-it")
        'google/gemma-3-4b-it'
    """
    if _IMPORT_PATH.fullmatch(spec):
        raise ConfigError(f"model '{spec}': a class of your own cannot be trained. Give hf/ID or a local model folder.")
    if _is_folder(spec):
        return Path(spec).expanduser()
    kind, name = _named("model", spec, _OTHER_MODELS)
    if kind not in WEIGHTS:
        raise ConfigError(
            f"model '{spec}': a model behind an endpoint cannot be trained. Give hf/ID or a local model folder."
        )
    return WEIGHTS[kind](name)


def is_endpoint(spec: str) -> bool:
    """Whether a model spec means a server, which is asked over HTTP."""
    kind = spec.partition("/")[0]
    return not _IMPORT_PATH.fullmatch(spec) and kind in BACKENDS["model"] and kind not in WEIGHTS


def weights_of(role: str, spec: str) -> str | Path | None:
    """Where the weights are that this machine would load for a spec: a folder or a hub id.

    Returns:
        None for an endpoint, a rule, and a class of the user's.

    Raises:
        ConfigError: Nothing is known under that spec.
    """
    if _IMPORT_PATH.fullmatch(spec) or is_endpoint(spec):
        return None
    if role == "model":
        return model_location(spec)
    kind, name = _named(role, spec, "an import path my_module:MyClass")
    return (local_path(name) or name) if kind == "diffusers" else None


def local_path(name: str) -> Path | None:
    """The folder of that name, if there is one."""
    path = Path(name).expanduser()
    return path if path.is_dir() else None


def listing(what: str) -> list[dict[str, Any]]:
    """List what can stand in a configuration.

    Args:
        what: "models" for whatever is tested against the protocols, each row with its `role`: "model" for local
            architectures, as `families.architectures`; "endpoint", "generator" and "editor" for kinds of servers and
            classes of pipelines. "generators", "editors", "judges", "pools" or "endpoints" for the kinds of specs.

    Raises:
        ConfigError: There is no such list; names those there are.

    Example:
        >>> listing("judges")
        [{'kind': 'exact', 'example': 'exact'}, {'kind': 'cascade', 'example': 'cascade'}]
    """
    if what == "models":
        return _tested()
    if what == "endpoints":
        kinds = _endpoints()
    elif what.removesuffix("s") in BACKENDS and what.endswith("s"):
        kinds = dict(BACKENDS[what.removesuffix("s")])
    else:
        lists = ", ".join(["models", "endpoints", *(f"{role}s" for role in BACKENDS if role != "model")])
        raise ConfigError(f"there is no list of {what!r}. Known: {lists}.")
    return [{"kind": kind, "example": one.example} for kind, one in kinds.items()]


def _endpoints() -> dict[str, _Kind]:
    return {kind: one for kind, one in BACKENDS["model"].items() if kind not in WEIGHTS}


def _tested() -> list[dict[str, Any]]:
    """What passes the contract tests, by role."""
    from auditdm.backends.drawing import EDITORS, GENERATORS
    from auditdm.backends.families import architectures

    return [
        *({"role": "model", **row} for row in architectures()),
        *({"role": "endpoint", "name": kind, "example": one.example} for kind, one in _endpoints().items()),
        *(
            {"role": role, "name": name, "example": "diffusers/ID"}
            for role, known in (("generator", GENERATORS), ("editor", EDITORS))
            for name in known
        ),
    ]


def resolved(role: str, spec: str) -> str:
    """Say what a spec of a role ("model", "generator", "editor", "judge") leads to, without loading it.

    Raises:
        ConfigError: Nothing is known under that spec, or a folder or import path is not there.

    Example:
        >>> resolved("model", "hf/google/gemma-3-4b-it")
        'google/gemma-3-4b-it on the hub, or in its cache'
    """
    if _IMPORT_PATH.fullmatch(spec):
        found = import_object(spec, role)
        return f"{getattr(found, '__module__', type(found).__module__)}, yours"
    if role == "model" and _is_folder(spec):
        return f"folder {Path(spec).expanduser()}"
    kind, name = _named(role, spec, _OTHER_MODELS if role == "model" else "an import path my_module:MyClass")
    if role != "model" or kind not in WEIGHTS:
        return spec
    where = WEIGHTS[kind](name)
    return f"folder {where}" if isinstance(where, Path) else f"{where} on the hub, or in its cache"


def load_generator(spec: str, **options: Any) -> ImageGenerator:
    """Build what draws captions: "sandbox", "diffusers/ID", or an import path. Options go to its constructor.

    Args:
        spec: As above.
        options: Among them `seed`, that of the run, which only what has such a parameter gets.

    Raises:
        ConfigError: Nothing is known under that spec, or an option is unknown.
    """
    generator: ImageGenerator = _tool("generator", spec, ImageGenerator, options)
    return generator


def load_editor(spec: str, **options: Any) -> ImageEditor:
    """Build what changes pictures by command: "sandbox", "diffusers/ID", or an import path. Options go to its constructor.

    Args:
        spec: As above.
        options: Among them `seed`, as for a generator, and `beside`, a generator that is in memory already: a pipeline
            that is loaded in the same way shares what is the same in both.

    Raises:
        ConfigError: Nothing is known under that spec, or an option is unknown.
    """
    editor: ImageEditor = _tool("editor", spec, ImageEditor, options)
    return editor


def load_judge(spec: str, **options: Any) -> Judge:
    """Build what compares answers: "exact", "cascade", or an import path. Options go to its constructor.

    Those of the cascade may name an `entailment` model ("hf/ID" or a folder) and a `model` for the rest: any model spec,
    or a mapping of `model`, `price` and what else `load_model` takes.

    Raises:
        ConfigError: Nothing is known under that spec, or an option is unknown.

    Example:
        >>> load_judge("exact", aliases={"grey": "gray"}).same([("What colour?", "Grey.", "gray")])
        [True]
    """
    judge: Judge = _tool("judge", spec, Judge, options)
    return judge


def load_pool(spec: str, limit: int | None = None) -> Sequence[Source]:
    """Open the pictures that an audit starts from.

    Args:
        spec: A folder of pictures; a kind and a name ("parquet/...", "webdataset/...", "hf-dataset/...", "coco/...",
            "sandbox/SEED"); or a file that ends in .parquet, .tar or .json.
        limit: At most so many; None: all there are.

    Raises:
        ConfigError: No such folder, no picture in it, or no name after the kind.
    """
    if spec.partition("/")[0] in BACKENDS["pool"]:
        pool: Sequence[Source] = _made("pool", spec, {"limit": limit}, "a folder of pictures")
        return pool
    if Path(spec.partition("?")[0]).suffix.lower() in (".parquet", ".tar", ".json"):
        records: Sequence[Source] = _record_pool(spec, "", {"limit": limit})
        return records
    from auditdm.backends.pools import read_pool

    return read_pool(spec, limit)


def import_object(path: str, role: str = "object") -> Any:
    """Import what "package.module:Name" names.

    Raises:
        ConfigError: No such module, no such name in it, or the module itself fails; says which.

    Example:
        >>> import_object("auditdm.backends.fakes:FakeJudge").__name__
        'FakeJudge'
    """
    module_name, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is None or not f"{module_name}.".startswith(f"{missing}."):
            raise ConfigError(f"{role} '{path}': importing {module_name} failed: {error}.") from error
        raise ConfigError(
            f"{role} '{path}': Python finds no module '{missing}'. "
            "Install it, or start with PYTHONPATH set to the folder that holds it."
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, dir(found), 1)
            meant = f" Did you mean '{near[0]}'?" if near else ""
            raise ConfigError(f"{role} '{path}': there is no '{part}' in {module_name}.{meant}")
        found = getattr(found, part)
    return found


def _tool(role: str, spec: str, protocol: Any, options: Options) -> Any:
    if _IMPORT_PATH.fullmatch(spec):
        made = import_object(spec, role)
        parameters = inspect.signature(made).parameters if callable(made) else {}
        ours = [key for key in ("seed", "beside") if key not in parameters]
        return _imported(made, role, spec, protocol, _without(options, *ours))
    return _made(role, spec, options, "an import path my_module:MyClass")


def _is_folder(spec: str) -> bool:
    return spec.partition("/")[0] not in BACKENDS["model"] and Path(spec).expanduser().is_dir()


def _made(role: str, spec: str, options: Options, or_else: str) -> Any:
    """What the kind of the spec makes."""
    kind, name = _named(role, spec, or_else)
    return BACKENDS[role][kind].make(spec, name, options)


def _named(role: str, spec: str, or_else: str) -> tuple[str, str]:
    """Kind and name of a spec, or an error that lists the kinds."""
    kinds = BACKENDS[role]
    kind, slash, name = spec.partition("/")
    known = f"Known: {', '.join(one.example for one in kinds.values())}, {or_else}."
    if kind in kinds:
        if ("/" in kinds[kind].example) != bool(name):
            raise ConfigError(f"{role} '{spec}': write it like '{kinds[kind].example}'.")
        return kind, name
    if kind in (".", "..", "~", ""):
        raise ConfigError(f"{role} '{spec}': there is no such folder. {known}")
    near = difflib.get_close_matches(kind, kinds, 1)
    if near:
        hint = f" Did you mean '{near[0]}{slash}{name}'?"
    else:
        hint = f" A model of the hub is written 'hf/{spec}'." if role == "model" and name else ""
    raise ConfigError(f"{role} '{spec}': no kind and no folder has this name.{hint} {known}")


def _imported(found: Any, role: str, spec: str, protocol: Any, options: Options) -> Any:
    """What a class or function of the user's makes, or an object as it is, if it obeys the protocol."""
    made = _call(found, spec, options) if callable(found) else found
    if not isinstance(made, protocol):
        lacks = [name for name in sorted(protocol.__annotations__ | vars(protocol)) if _public(name, made)]
        raise ConfigError(f"{role} '{spec}': a {type(made).__name__} is no {role}; it lacks: {', '.join(lacks)}.")
    return made


def _without(options: Options, *keys: str) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key not in keys}


def _public(name: str, made: Any) -> bool:
    return not name.startswith("_") and not hasattr(made, name)


def _call(make: Callable[..., Any], spec: str, options: Options, *given: Any, **named: Any) -> Any:
    """Call it with the options, or say which option it does not know."""
    signature = inspect.signature(make)
    try:
        signature.bind(*given, **named, **options)
    except TypeError as error:
        allowed = [key for key in signature.parameters if key not in named][len(given) :]
        raise ConfigError(f"'{spec}': {error}. Its options: {', '.join(allowed) or 'none'}.") from error
    return make(*given, **named, **options)
