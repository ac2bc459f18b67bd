"""Live multimodal agents: processors over streams of parts, correct under interruption.

Nothing heavy is loaded before it is used: the names below are looked up when they are first asked
for, and models are imported from `vivace.models`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vivace.audio import AudioFormat, slice_pcm
    from vivace.errors import VivaceError
    from vivace.flow.combine import concat, merge
    from vivace.flow.drive import drive
    from vivace.flow.hooks import add_hook, observe, remove_hook
    from vivace.flow.part_processor import (
        PASSTHROUGH_ALWAYS,
        PASSTHROUGH_FALLBACK,
        PartProcessor,
        parallel,
        part_processor,
    )
    from vivace.flow.pressure import Pressure, pressure_level
    from vivace.flow.processor import Processor, chain, processor
    from vivace.flow.source import source
    from vivace.flow.split import split
    from vivace.flow.stream import Stream
    from vivace.flow.switch import pass_through, switch
    from vivace.live.live_model import LiveModelProcessor
    from vivace.live.live_processor import LiveProcessor
    from vivace.live.reply import AudioTriggerMode
    from vivace.live.rolling_prompt import RollingPrompt
    from vivace.machines.confirm import ConfirmRules, Inhibit, Transition
    from vivace.machines.detection_counts import DetectionReport
    from vivace.machines.floor import FloorRules
    from vivace.machines.interrupt import Interrupt, Overlap
    from vivace.machines.pacing_counts import PacingReport
    from vivace.machines.policy import KeepAll, LastTurns, MaxAge, TokenBudget
    from vivace.machines.pressure import PressureRules
    from vivace.machines.prompt_records import PromptStatistics
    from vivace.machines.retention import Keywords
    from vivace.machines.sighting import Sighting
    from vivace.metrics.collect import RealTimeMetrics
    from vivace.metrics.export import (
        as_json,
        as_table,
        export_to_opentelemetry,
        export_to_prometheus,
    )
    from vivace.metrics.log import TurnLog
    from vivace.metrics.spans import Spans
    from vivace.metrics.trace import Trace, trace
    from vivace.metrics.turn_spans import TurnSpans
    from vivace.part import (
        Ask,
        Audio,
        Call,
        Data,
        Event,
        Held,
        Image,
        InputEnded,
        Interrupted,
        Part,
        Played,
        PlayedTo,
        Playing,
        Reset,
        Response,
        Resumed,
        Say,
        Signal,
        SpeechEnded,
        SpeechStarted,
        TurnComplete,
        TurnEnded,
    )
    from vivace.processors.audio_file import microphone, read_audio, write_wav
    from vivace.processors.buffer import buffer
    from vivace.processors.cache import Cached, CacheStatistics
    from vivace.processors.detect_events import EventProcessor
    from vivace.processors.detect_images import MotionDetector, SceneDetector
    from vivace.processors.detect_sound import SoundDetector, SpeechSignals
    from vivace.processors.detect_speech import DetectSpeech
    from vivace.processors.detect_turn import DetectTurn
    from vivace.processors.detect_with_model import ModelDetector
    from vivace.processors.detect_words import KeywordDetector, WakePhraseDetector
    from vivace.processors.detector import Detector
    from vivace.processors.filter import filter_parts, map_parts
    from vivace.processors.genai import from_genai_processor, to_genai_processor
    from vivace.processors.genai_parts import from_genai_part, to_genai_part
    from vivace.processors.mcp import McpServer
    from vivace.processors.rate_limit import AudioRateLimiter
    from vivace.processors.resample import Resample
    from vivace.processors.speak import Speak
    from vivace.processors.tool import Tool, Toolbox, tool
    from vivace.processors.tools import Tools
    from vivace.processors.transcribe import Transcribe
    from vivace.processors.video import camera, film, screen
    from vivace.processors.window import window

__version__ = "0.1.0"

__all__ = [
    # parts
    "Part",
    "Audio",
    "AudioFormat",
    "Image",
    "Data",
    "Call",
    "Response",
    "Event",
    "Signal",
    "SpeechStarted",
    "SpeechEnded",
    "TurnEnded",
    "TurnComplete",
    "InputEnded",
    "Interrupted",
    "Reset",
    "Held",
    "Resumed",
    "Playing",
    "Played",
    "Say",
    "Ask",
    "PlayedTo",
    "VivaceError",
    "slice_pcm",
    # composing
    "Processor",
    "PartProcessor",
    "Stream",
    "processor",
    "part_processor",
    "chain",
    "parallel",
    "PASSTHROUGH_ALWAYS",
    "PASSTHROUGH_FALLBACK",
    "drive",
    "merge",
    "concat",
    "split",
    "switch",
    "pass_through",
    "source",
    # processors
    "DetectSpeech",
    "Transcribe",
    "DetectTurn",
    "Speak",
    "AudioRateLimiter",
    "PacingReport",
    "Resample",
    "buffer",
    "Cached",
    "CacheStatistics",
    "window",
    "filter_parts",
    "map_parts",
    "microphone",
    "read_audio",
    "write_wav",
    "film",
    "camera",
    "screen",
    # events
    "EventProcessor",
    "Detector",
    "Sighting",
    "KeywordDetector",
    "WakePhraseDetector",
    "SoundDetector",
    "SpeechSignals",
    "SceneDetector",
    "MotionDetector",
    "ModelDetector",
    "ConfirmRules",
    "Transition",
    "Inhibit",
    "DetectionReport",
    # tools
    "tool",
    "Tool",
    "Toolbox",
    "Tools",
    "McpServer",
    # genai-processors
    "from_genai_processor",
    "to_genai_processor",
    "from_genai_part",
    "to_genai_part",
    # conversations
    "LiveModelProcessor",
    "LiveProcessor",
    "AudioTriggerMode",
    "Interrupt",
    "Overlap",
    "FloorRules",
    "RollingPrompt",
    "PromptStatistics",
    "LastTurns",
    "MaxAge",
    "TokenBudget",
    "KeepAll",
    "Keywords",
    # watching runs
    "observe",
    "add_hook",
    "remove_hook",
    "trace",
    "Trace",
    "Spans",
    # numbers, and doing less
    "RealTimeMetrics",
    "TurnSpans",
    "TurnLog",
    "as_table",
    "as_json",
    "export_to_prometheus",
    "export_to_opentelemetry",
    "Pressure",
    "PressureRules",
    "pressure_level",
    "__version__",
]

_HOMES = {
    "vivace.part": "Part Audio Image Data Call Response Event Signal SpeechStarted SpeechEnded "
    "TurnEnded TurnComplete InputEnded Interrupted Reset Held Resumed Playing Played PlayedTo Say "
    "Ask",
    "vivace.audio": "AudioFormat slice_pcm",
    "vivace.errors": "VivaceError",
    "vivace.flow.processor": "Processor processor chain",
    "vivace.flow.part_processor": "PartProcessor part_processor parallel "
    "PASSTHROUGH_ALWAYS PASSTHROUGH_FALLBACK",
    "vivace.flow.stream": "Stream",
    "vivace.flow.drive": "drive",
    "vivace.flow.hooks": "observe add_hook remove_hook",
    "vivace.flow.combine": "merge concat",
    "vivace.flow.split": "split",
    "vivace.flow.switch": "switch pass_through",
    "vivace.flow.source": "source",
    "vivace.processors.detect_speech": "DetectSpeech",
    "vivace.processors.transcribe": "Transcribe",
    "vivace.processors.detect_turn": "DetectTurn",
    "vivace.processors.speak": "Speak",
    "vivace.processors.rate_limit": "AudioRateLimiter",
    "vivace.machines.pacing_counts": "PacingReport",
    "vivace.processors.resample": "Resample",
    "vivace.processors.buffer": "buffer",
    "vivace.processors.window": "window",
    "vivace.processors.filter": "filter_parts map_parts",
    "vivace.processors.audio_file": "microphone read_audio write_wav",
    "vivace.processors.video": "film camera screen",
    "vivace.processors.detect_events": "EventProcessor",
    "vivace.processors.detector": "Detector",
    "vivace.processors.detect_words": "KeywordDetector WakePhraseDetector",
    "vivace.processors.detect_sound": "SoundDetector SpeechSignals",
    "vivace.processors.detect_images": "SceneDetector MotionDetector",
    "vivace.processors.detect_with_model": "ModelDetector",
    "vivace.machines.sighting": "Sighting",
    "vivace.machines.confirm": "ConfirmRules Transition Inhibit",
    "vivace.machines.detection_counts": "DetectionReport",
    "vivace.processors.tool": "tool Tool Toolbox",
    "vivace.processors.tools": "Tools",
    "vivace.processors.mcp": "McpServer",
    "vivace.processors.genai": "from_genai_processor to_genai_processor",
    "vivace.processors.genai_parts": "from_genai_part to_genai_part",
    "vivace.live.live_model": "LiveModelProcessor",
    "vivace.live.live_processor": "LiveProcessor",
    "vivace.live.reply": "AudioTriggerMode",
    "vivace.live.rolling_prompt": "RollingPrompt",
    "vivace.machines.floor": "FloorRules",
    "vivace.machines.interrupt": "Interrupt Overlap",
    "vivace.machines.policy": "KeepAll LastTurns MaxAge TokenBudget",
    "vivace.machines.prompt_records": "PromptStatistics",
    "vivace.machines.retention": "Keywords",
    "vivace.metrics.trace": "trace Trace",
    "vivace.metrics.spans": "Spans",
    "vivace.metrics.collect": "RealTimeMetrics",
    "vivace.metrics.turn_spans": "TurnSpans",
    "vivace.metrics.log": "TurnLog",
    "vivace.metrics.export": "as_table as_json export_to_prometheus export_to_opentelemetry",
    "vivace.flow.pressure": "Pressure pressure_level",
    "vivace.machines.pressure": "PressureRules",
    "vivace.processors.cache": "Cached CacheStatistics",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}


if not TYPE_CHECKING:  # which would take any name for one of ours

    def __getattr__(name: str) -> object:
        home = _HOME.get(name)
        if home is None:
            raise AttributeError(f"module 'vivace' has no attribute {name!r}")
        value = getattr(importlib.import_module(home), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
