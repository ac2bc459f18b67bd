"""Everything that Vivace raises.

    VivaceError
    ├── PartError            a value that cannot be a part, or a part without what was asked for
    │   ├── AudioError       audio of a wrong shape: odd bytes, unknown format, no audio file
    │   └── VideoError       no film, camera or screen there, or one without pictures
    ├── FlowError            streams, channels and runs
    │   ├── Closed           this side was closed by its owner; nothing more will come or go
    │   ├── PromptChanged    what was read of a prompt is not the prompt any more
    │   └── StageError       a stage was built or composed wrongly
    ├── ExtraMissing         an optional package is not there; the message names the command
    ├── NotAllowed           a machine was given an event that its state does not allow
    ├── MetricsError         a number that cannot be measured, or a window that holds nothing
    ├── ToolError            a tool has no result: the model is told the message
    └── ModelError           a model failed while it ran
        ├── ModelMissing     weights or a package are not there; the message names the command
        ├── ModelSpec        a `--model` that cannot be understood
        ├── ModelUnreachable a model's server cannot be reached, or refused
        └── StoreError       the model store: no network, wrong hash, full or read-only cache

Every message says what came, why it is wrong, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable


class VivaceError(Exception):
    """The root of all errors that Vivace raises on purpose."""


class PartError(VivaceError, ValueError):
    """A value cannot be made into a part, or a part does not hold what was asked for."""


class AudioError(PartError):
    """Audio of a wrong shape: odd bytes, an unknown format, a file that is no audio."""


class VideoError(PartError):
    """A film, a camera or a screen that is not there, or has no pictures."""


class FlowError(VivaceError, RuntimeError):
    """Something is wrong with a stream, a channel or a run."""


class Closed(FlowError):
    """You closed it: nothing more comes out of or goes into this end."""


class PromptChanged(FlowError):
    """What was read of a growing prompt is not the prompt any more: begin to read anew."""


class StageError(FlowError):
    """A stage was built or composed wrongly."""


class ExtraMissing(VivaceError, ImportError):
    """An optional package is not installed. The message names the command that installs it."""


class NotAllowed(VivaceError, RuntimeError):
    """A machine was given an event that its state does not allow."""


class MetricsError(VivaceError, ValueError):
    """A number that cannot be measured, or a window that holds nothing."""


class ToolError(VivaceError):
    """A tool has no result. The message is for the model that called it."""


class ModelError(VivaceError):
    """A model failed while it ran."""


class ModelMissing(ModelError):
    """Weights or a package are not there. The message names the command that fetches them."""


class ModelSpec(ModelError, ValueError):
    """A model was named in a way that cannot be understood."""


class ModelUnreachable(ModelError):
    """A model's server cannot be reached, or refused the request."""


class StoreError(ModelError):
    """The model store could not fetch, check or keep a file."""


def not_known(name: str, value: object, known: Iterable[object]) -> StageError:
    """To be raised for an option that is none of those there are."""
    return StageError(
        f"{name}={value!r} is not known; use {' or '.join(repr(str(it)) for it in known)}"
    )
