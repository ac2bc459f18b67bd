"""The verbs and their options. What they do is imported only when they are called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vivace.errors import VivaceError

__all__ = ["app", "run"]

_MISTAKE, _STOPPED = 2, 130

app: typer.Typer = typer.Typer(
    name="vivace",
    help="Live voice agents on this machine: talk to one, let one speak, have one listen.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models: typer.Typer = typer.Typer(help="The models' weights: list, pull, path.")
app.add_typer(models, name="models")

Files = Annotated[list[str], typer.Argument(metavar="FILE", help="Audio files.")]


def run(arguments: Sequence[str]) -> int:
    """Run the command line; a user's mistake is one sentence on stderr. Returns the exit code."""
    from vivace.cli.terminal import complain, quiet

    quiet()
    if list(arguments) in ([], ["models"]):
        arguments = [*arguments, "--help"]
    usage_error: Any = typer.BadParameter.__base__  # typer does not export the class itself
    try:
        return app(list(arguments), prog_name="vivace", standalone_mode=False) or 0
    except VivaceError as error:
        complain(str(error))
    except usage_error as error:
        complain(f"{error.format_message()} See: vivace --help")
    except typer.Abort:
        return _STOPPED
    return _MISTAKE


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"vivace {version('vivace')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Nothing to do before a verb."""


@app.command()
def talk(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE",
            help="What the user says, one file after the other. FILE@SECONDS is said so many "
            "seconds after the answer has become audible: the user talks over it.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the sound, picture and report go.")
    ] = Path("talk-out"),
    model: Annotated[
        str,
        typer.Option(
            metavar="SPEC",
            help="smollm2, gguf:PATH, openai:BASE_URL#MODEL, gemini:MODEL or script:FILE.",
        ),
    ] = "smollm2",
    live: Annotated[
        str,
        typer.Option(
            metavar="SPEC",
            help="Talk to a live model on a server instead: gemini:MODEL.",
        ),
    ] = "",
) -> None:
    """Play recorded speech to the local agent, as a microphone would, and let it answer."""
    from vivace.cli.talk import talk

    talk(files, out, model, live)


@app.command()
def serve(
    protocol: Annotated[
        str, typer.Option(metavar="NAME", help="What clients speak: gemini-live.")
    ] = "gemini-live",
    model: Annotated[
        str, typer.Option(metavar="SPEC", help="The agent's model, as in `talk`.")
    ] = "smollm2",
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any free one.")] = 8443,
    certificate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="PEM, with the key; one is made if it is left out."),
    ] = None,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY", help="A key that clients must come with; any if there is none."
        ),
    ] = None,
    sessions: Annotated[
        int, typer.Option(metavar="N", min=1, help="Conversations at once; others are refused.")
    ] = 8,
) -> None:
    """Serve the local agent to clients of another protocol, over TLS."""
    from vivace.cli.serve import serve

    serve(protocol, model, host, port, certificate, api_key or [], sessions)


@app.command()
def say(
    text: Annotated[str, typer.Argument(help="What to say; '-' reads standard input.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The WAV file.")],
) -> None:
    """Speak a text into a WAV file (24 kHz, mono)."""
    from vivace.cli.say import say

    say(text, out)


@app.command()
def transcribe(files: Files) -> None:
    """Print what is said in audio files."""
    from vivace.cli.transcribe import transcribe

    transcribe(files)


@models.command("list")
def models_list() -> None:
    """Print the models, and which of them are on this machine."""
    from vivace.cli.models import list_models

    list_models()


@models.command("pull")
def models_pull(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="All if there is none.")
    ] = None,
) -> None:
    """Fetch models into the cache."""
    from vivace.cli.models import pull_models

    pull_models(names or [])


@models.command("path")
def models_path(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Print where a model lies."""
    from vivace.cli.models import print_path

    print_path(name)
