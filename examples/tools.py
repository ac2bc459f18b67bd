"""A model that calls tools, without a key: a scripted one, first in a script, then live."""

import asyncio
from collections.abc import AsyncIterator

from vivace import LiveModelProcessor, Part, Processor, Response, Toolbox, Tools, processor, tool


@tool
def temperature(town: str) -> float:
    """How warm it is, in degrees Celsius.

    town: its name
    """
    return {"Ulm": 21.5, "Oslo": 12.0}[town]


@tool(scheduling="when_idle", timeout_s=10)
async def order(what: str) -> str:
    """Order something; it takes a while."""
    await asyncio.sleep(0.1)
    return f"{what} is on its way"


tools = Toolbox([temperature, order])


@processor
async def model(prompt: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """Stands for OpenAI(url, name, tools=tools.declarations), or any other turn model."""
    answers = [part.body for part in [p async for p in prompt] if isinstance(part.body, Response)]
    match answers:
        case []:
            yield Part("Let me see.", role="model")
            yield Part.call("temperature", {"town": "Ulm"}, id="1")
            yield Part.call("temperature", {"town": "Atlantis"}, id="2")
        case [_, _]:
            warm = next(answer.result for answer in answers if not answer.error)
            yield Part(f"In Ulm it is {warm} degrees. I order an ice cream.", role="model")
            yield Part.call("order", {"what": "ice cream"}, id="3")
        case _:
            yield Part(f"By the way: {answers[-1].result}.", role="model")


async def show(agent: Processor) -> None:
    async for part in agent("How warm is it in Ulm and in Atlantis?"):
        if part.function_call:
            print(f"  calls {part.function_call.name} {dict(part.function_call.args)}")
        elif part.function_response:
            print(f"  it answers {part.function_response.error or part.function_response.result}")
        elif part.text and part.role == "model" and not part.substream:
            print(part.text)


async def main() -> None:
    print("In a script:")
    await show(Tools(model, tools))
    print("Live:")
    await show(LiveModelProcessor(model, tools=tools))


asyncio.run(main())
