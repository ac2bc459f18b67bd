"""MCP servers as sources of tools, through the official `mcp` package.

This file owns what becomes of a server that is slow, dies, or sends rubbish: its calls answer with
an error, and nothing else is touched.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from vivace.errors import ExtraMissing, PartError, StageError, ToolError
from vivace.flow.clock import now
from vivace.flow.held import Held
from vivace.machines.json_text import json_text
from vivace.machines.tools import Scheduling, ToolRules
from vivace.processors.tool import Tool, When

__all__ = ["McpServer"]

_PAGES = 100  # of a list of tools; a server that always has one more does not hang us
_READ_S = 300.0  # how long a server may be silent in the middle of an answer; calls have limits


class McpServer:
    """The tools of an MCP server, for as long as the block lasts.

        async with McpServer.stdio("python", "server.py") as server:
            tools = Toolbox([*server, my_function])

    prefix: before the name of each tool, so that two servers may have one of the same name.
    scheduling, timeout_s, cancellable: of each tool, as for `@tool`. start_within_s: for the server
    to start and to list its tools.

    Made by `McpServer.stdio` or `McpServer.http`. Entering raises ToolError if the server does not
    start, ExtraMissing if `mcp` is not installed. Once entered, a server that dies or hangs is an
    error of the calls that need it. Leaving takes two seconds if the server does not end by itself,
    and four if it has to be killed.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[Any], tuple[Any, Any]],
        *,
        prefix: str = "",
        scheduling: When = "blocking",
        timeout_s: float = 30.0,
        cancellable: bool = False,
        start_within_s: float = 10.0,
    ) -> None:
        self.name = name
        self.tools: list[Tool] = []
        self._connect = connect
        self._prefix = prefix
        self._rules = ToolRules(Scheduling(scheduling), timeout_s, cancellable)
        self._start_within_s = start_within_s
        self._held: Held[Any] | None = None
        self._http: Any = None

    @classmethod
    def stdio(
        cls,
        command: str,
        *args: str,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> Self:
        """A server that is started as a process, and spoken to by its standard input and output.

        env: variables beside the few that it inherits, such as PATH. options: those of the class.
        """

        def connect(mcp: Any) -> tuple[Any, Any]:
            folder = None if cwd is None else os.fspath(cwd)
            given = dict(env) if env else None
            process = mcp.StdioServerParameters(
                command=command,
                args=list(args),
                env=given,
                cwd=folder,
                encoding_error_handler="replace",  # one wrong byte would end all that is read
            )
            return mcp.Client(process), None

        # Errors, which the model reads, name it; so not by its arguments, which may hold secrets.
        name = " ".join(Path(it).name for it in (command, *args[:1]) if not it.startswith("-"))
        return cls(name, connect, **options)

    @classmethod
    def http(cls, url: str, *, headers: Mapping[str, str] | None = None, **options: Any) -> Self:
        """A server that is there already, spoken to by streamable HTTP.

        headers: sent with each request, as `{"Authorization": "Bearer …"}`. options: those of the
        class.
        """

        def connect(mcp: Any) -> tuple[Any, Any]:
            httpx = importlib.import_module("httpx2")
            transport = importlib.import_module("mcp.client.streamable_http")
            http = httpx.AsyncClient(
                headers=dict(headers or {}), timeout=httpx.Timeout(30.0, read=_READ_S)
            )
            return mcp.Client(transport.streamable_http_client(url, http_client=http)), http

        at = urlsplit(url)
        return cls(f"{at.scheme}://{at.netloc.rpartition('@')[2]}{at.path}", connect, **options)

    async def __aenter__(self) -> Self:
        if self._held is not None:
            raise StageError(
                f"the MCP server {self.name} is in use already; make another McpServer"
            )
        client, self._http = self._connect(_package())
        self._held = Held(client, f"MCP server {self.name}")
        until = now() + self._start_within_s
        try:
            client = await self._held.open(self._start_within_s)
            async with asyncio.timeout_at(until):
                self.tools = [self._tool(client, told) for told in await self._list(client)]
        except BaseException as error:
            await self._leave()
            if not isinstance(error, Exception) or isinstance(error, StageError):
                raise
            raise ToolError(
                f"the MCP server {self.name} did not start ({_said(error)}); run it by hand to see "
                "what it says"
            ) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave()

    def __iter__(self) -> Iterator[Tool]:
        return iter(self.tools)

    async def _leave(self) -> None:
        held, self._held = self._held, None
        assert held is not None
        try:
            await held.close()
        except Exception:
            # What breaks once nobody needs it any more was told by the calls that it broke.
            pass
        finally:
            if self._http is not None:
                await self._http.aclose()

    async def _list(self, client: Any) -> list[Any]:
        tools: list[Any] = []
        cursor = None
        for _ in range(_PAGES):
            page = await client.list_tools(cursor=cursor)
            tools += page.tools
            cursor = page.next_cursor
            if cursor is None:
                break
        return tools

    def _tool(self, client: Any, told: Any) -> Tool:
        name = re.sub(r"[^a-zA-Z0-9_-]", "_", f"{self._prefix}{told.name}")[:64]
        description = told.description or told.title or ""
        do = partial(self._call, client, told.name)
        return Tool(name, description, told.input_schema, do, self._rules)

    async def _call(self, client: Any, name: str, args: Mapping[str, Any]) -> Any:
        if self._held is None:
            raise ToolError(f"the MCP server {self.name} was left; its tools work inside its block")
        try:
            json_text(dict(args))  # what cannot be written would break the connection
        except (PartError, TypeError, ValueError) as error:
            raise ToolError(f"these arguments cannot be sent: {error}") from error
        try:
            answer = await client.call_tool(name, dict(args))
        except Exception as error:
            raise ToolError(f"the MCP server {self.name} failed: {_said(error)}") from error
        if answer.is_error:
            raise ToolError(_error_of(answer))
        return _result_of(answer)


def _error_of(answer: Any) -> str:
    """What went wrong, in words if there are any: data beside them says what, and not why."""
    words = "\n".join(item.text for item in answer.content if item.type == "text")
    if words.strip():
        return words
    result = _result_of(answer)
    return json_text(result) if result else "it failed, and did not say why"


def _result_of(answer: Any) -> Any:
    """What the model is told: data where there is some, else text, else all that there is."""
    if answer.structured_content is not None:
        return answer.structured_content
    items = answer.content
    if all(item.type == "text" for item in items):
        return "\n".join(item.text for item in items)
    return [item.model_dump(mode="json", by_alias=True, exclude_none=True) for item in items]


def _said(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):  # of a task group inside
        error = error.exceptions[0]
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    return " ".join(str(getattr(error, "message", error) or type(error).__name__).split())[:200]


def _package() -> Any:
    try:
        return importlib.import_module("mcp")
    except ImportError as error:
        raise ExtraMissing(
            "the package mcp is not installed; run: pip install 'vivace[mcp]'"
        ) from error
