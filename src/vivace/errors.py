"""Everything that Vivace raises.

    VivaceError
    ├── PartError            a value cannot be made into a part, or a part does not hold what was asked for
    │   └── AudioError       audio of a wrong shape: odd bytes, unknown format, a file that is no audio
    ├── FlowError            streams, channels and runs
    │   ├── Closed           this side was closed by its owner; nothing more will come or go
    │   ├── Broken           the other side failed; `__cause__` is its error
    │   └── StageError       a stage was built or composed wrongly
    ├── NotAllowed           a machine was given an event that its state does not allow
    └── ModelError           a model failed while it ran
        ├── ModelMissing     a model's weights or its package are not there; the message names the command
        ├── ModelSpec        a `--model` that cannot be understood
        ├── ModelUnreachable a model's server cannot be reached, or refused
        └── StoreError       the model store: no network, a wrong hash, a full or read-only cache folder

Every message says what came, why it is wrong, and what to do.
"""


class VivaceError(Exception):
    """The root of all errors that Vivace raises on purpose."""


class PartError(VivaceError, ValueError):
    """A value cannot be made into a part, or a part does not hold what was asked for."""


class AudioError(PartError):
    """Audio of a wrong shape: odd bytes, an unknown format, a file that is no audio."""


class FlowError(VivaceError, RuntimeError):
    """Something is wrong with a stream, a channel or a run."""


class Closed(FlowError):
    """You closed it: nothing more comes out of or goes into this end."""


class Broken(FlowError):
    """They broke it: the other end failed. `__cause__` is what it failed with."""


class StageError(FlowError):
    """A stage was built or composed wrongly."""


class NotAllowed(VivaceError, RuntimeError):
    """A machine was given an event that its state does not allow."""


class ModelError(VivaceError):
    """A model failed while it ran."""


class ModelMissing(ModelError):
    """A model's weights or package are not there. The message names the command that fetches them."""


class ModelSpec(ModelError, ValueError):
    """A model was named in a way that cannot be understood."""


class ModelUnreachable(ModelError):
    """A model's server cannot be reached, or refused the request."""


class StoreError(ModelError):
    """The model store could not fetch, check or keep a file."""
