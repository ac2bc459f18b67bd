"""What OpenTelemetry's conventions for generative AI call things: one table, since they still move.

As of semantic conventions 1.37; `vivace.…` is what they have no name for.
"""

from __future__ import annotations

__all__ = ["CHAT", "GEN_AI", "RUN_TOOL"]

CHAT, RUN_TOOL = "chat", "execute_tool"

GEN_AI = {
    "operation": "gen_ai.operation.name",
    "provider": "gen_ai.provider.name",
    "model": "gen_ai.request.model",
    "agent": "gen_ai.agent.name",
    "conversation": "gen_ai.conversation.id",
    "input_tokens": "gen_ai.usage.input_tokens",
    "reused_tokens": "gen_ai.usage.cache_read.input_tokens",
    "first_token_s": "gen_ai.response.time_to_first_chunk",
    "tool": "gen_ai.tool.name",
    "tool_type": "gen_ai.tool.type",
}
