"""`bimedix chat`: a talk in the terminal; right-to-left text in isolates, advice first, nothing stored."""

import sys
import threading
from typing import TextIO

from bimedix.records import Message
from bimedix.serve.app import Engine
from bimedix.serve.safety import screen
from bimedix.serve.settings import Settings
from bimedix.text import block_direction, isolate, strip_controls

NOTICE = "Research software. Not for clinical decisions. برنامج بحثي، لا يصلح للقرارات السريرية."
HELP = "Write a message and press Enter; /new begins anew, /quit (or Ctrl-D) ends."


def run_terminal(
    engine: Engine, settings: Settings, lines: TextIO = sys.stdin, out: TextIO = sys.stdout
) -> None:
    """Talk until the input ends."""
    print(f"{NOTICE}\n{engine.name}. {HELP}", file=out)
    messages: tuple[Message, ...] = ()
    while True:
        print("> ", end="", flush=True, file=out)
        line = lines.readline()
        text = strip_controls(line.strip())
        if not line or text == "/quit":
            return
        if text == "/new":
            messages = ()
        elif text:
            messages = (*messages, Message("user", text))
            messages = (*messages, Message("assistant", _answer(engine, settings, messages, out)))


def _answer(engine: Engine, settings: Settings, messages: tuple[Message, ...], out: TextIO) -> str:
    if advice := screen(messages[-1].content, settings.region).advice:
        print(_shown(advice), file=out)
    pieces = engine.stream(
        messages, max_new_tokens=settings.max_new_tokens, temperature=settings.temperature, seed=0,
        stop=threading.Event(),
    )  # fmt: skip
    answer, line = "", ""
    for piece in pieces:
        answer += piece
        line += strip_controls(piece)
        *whole, line = line.split("\n")
        for finished in whole:
            print(_shown(finished), file=out)
    print(_shown(line), flush=True, file=out)
    return answer


def _shown(line: str) -> str:
    """Return one line as a right-to-left or left-to-right isolate with its opposite runs isolated."""
    direction = block_direction(line)
    opener = "\u2067" if direction == "rtl" else "\u2066"
    return f"{opener}{isolate(line, direction)}\u2069" if line.strip() else line
