"""A turn model from one line of text, as on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

from vivace.errors import ModelSpec
from vivace.flow.processor import Processor

__all__ = ["FORMS", "told_of", "turn_model"]

FORMS = (
    ("smollm2", "the small language model that runs on this machine (the default)"),
    ("gguf:PATH", "any GGUF file, on this machine"),
    ("openai:BASE_URL#MODEL", "any server that speaks OpenAI's chat completions"),
    ("gemini:MODEL", "Gemini; the key comes from GEMINI_API_KEY"),
    ("script:FILE", "canned answers, one a line"),
)
"""What may be written, and what it means."""


def turn_model(spec: str) -> Processor:
    """The turn model that `spec` names, loaded and ready: this may block for seconds.

    Raises ModelSpec if it cannot be understood, ModelMissing and ModelError as the model does.
    """
    kind, _, rest = spec.strip().partition(":")
    build = _BUILDERS.get(kind)
    if build is None:
        raise _wrong(spec, f"{kind!r} is no kind of model")
    return build(spec, rest)


class _Calls(Protocol):
    def with_tools(self, tools: Sequence[Mapping[str, Any]]) -> Processor: ...


def told_of(tools: Sequence[Mapping[str, Any]], model: Processor, spec: str) -> Processor:
    """`model`, made from `spec`, able to call these tools. Raises ModelSpec if it can call none."""
    if not tools:
        return model
    if not hasattr(model, "with_tools"):
        names = ", ".join(str(tool["name"]) for tool in tools)
        raise ModelSpec(
            f"the model {spec!r} cannot call functions, and so not {names}; leave tools out, "
            "or use a model that can: openai: or gemini:"
        )
    return cast("_Calls", model).with_tools(tools)


def _smollm2(spec: str, rest: str) -> Processor:
    if rest or ":" in spec:
        raise _wrong(spec, "smollm2 takes nothing after it; for a file of your own use gguf:")
    from vivace.models.llama import Llama

    return Llama.load()


def _gguf(spec: str, rest: str) -> Processor:
    if not rest:
        raise _wrong(spec, "the path is missing")
    from vivace.models.llama import Llama

    return Llama.load(rest)


def _openai(spec: str, rest: str) -> Processor:
    base_url, _, model = rest.partition("#")
    if not base_url.startswith(("http://", "https://")):
        raise _wrong(spec, f"the address {base_url!r} does not begin with http:// or https://")
    if not model:
        raise _wrong(spec, "the model's name is missing after '#'")
    from vivace.models.openai import OpenAI

    return OpenAI(base_url, model)


def _gemini(spec: str, rest: str) -> Processor:
    if not rest:
        raise _wrong(spec, "the model's name is missing")
    from vivace.models.gemini import Gemini

    return Gemini(rest)


def _script(spec: str, rest: str) -> Processor:
    if not rest:
        raise _wrong(spec, "the file is missing")
    from vivace.models.scripted import Scripted

    return Scripted.load(rest)


# The imports inside are for whoever chooses another model: an SDK takes up to a second to import.
_BUILDERS: dict[str, Callable[[str, str], Processor]] = {
    "smollm2": _smollm2,
    "gguf": _gguf,
    "openai": _openai,
    "gemini": _gemini,
    "script": _script,
}


def _wrong(spec: str, why: str) -> ModelSpec:
    forms = ", ".join(form for form, _ in FORMS)
    return ModelSpec(f"the model {spec!r} cannot be understood: {why}; expected one of: {forms}")
