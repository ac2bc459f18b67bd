"""The outside world of models, one file each.

The embedded ones are loaded with `Name.load()`; their weights come from the model store
(`vivace models pull`). Importing this package loads none of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vivace.models.gemini import Gemini
    from vivace.models.hibari import Hibari
    from vivace.models.llama import Llama
    from vivace.models.openai import OpenAI
    from vivace.models.scripted import Scripted
    from vivace.models.silero import Silero
    from vivace.models.smart_turn import SmartTurn
    from vivace.models.whisper import Whisper

__all__ = [
    "Gemini",
    "Hibari",
    "Llama",
    "OpenAI",
    "Scripted",
    "Silero",
    "SmartTurn",
    "Whisper",
]

_HOME = {"SmartTurn": "smart_turn"}


if not TYPE_CHECKING:  # which would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'vivace.models' has no attribute {name!r}")
        home = importlib.import_module(f"vivace.models.{_HOME.get(name, name.lower())}")
        value = getattr(home, name)
        globals()[name] = value
        return value
