"""Score translations with a model of the COMET family, for `[translate.outside]` of a recipe.

It runs in an environment of its own, because unbabel-comet pins libraries that bimedix does not share:

    python -m venv comet && comet/bin/pip install "unbabel-comet>=2.2.0"
    comet/bin/python scripts/comet_scorer.py --model Unbabel/wmt22-cometkiwi-da --licence CC-BY-NC-SA-4.0

and waits for requests on its standard input; `src/bimedix/translate/outside.py` tells the protocol. The model
has to score without a reference: wmt22-cometkiwi-da and XCOMET do (CC-BY-NC-SA-4.0: not for commercial use),
wmt20-comet-qe-da does (Apache-2.0; --lowest -1); wmt22-comet-da (Apache-2.0) needs one and is refused.

It was written against the documented interface of unbabel-comet 2.2 (`load_from_checkpoint`, `predict`); the
project's tests run the protocol with a recorded scorer and load no COMET model.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

Pair = dict[str, str]


def load_comet(model: str, records_at_once: int, gpus: int) -> Callable[[Sequence[Pair]], list[float]]:
    """Return a function that scores pairs; the model is a folder's checkpoint or a name on the model hub."""
    from comet import download_model, load_from_checkpoint

    loaded = load_from_checkpoint(model if Path(model).exists() else download_model(model))
    if getattr(loaded, "requires_references", lambda: False)():
        raise SystemExit(f"{model} needs reference translations; choose a model that scores without.")

    def score(pairs: Sequence[Pair]) -> list[float]:
        rows = [{"src": pair["source"], "mt": pair["translation"]} for pair in pairs]
        found = loaded.predict(rows, batch_size=records_at_once, gpus=gpus, progress_bar=False)
        return [float(value) for value in found.scores]

    return score


def answer(line: str, score: Callable[[Sequence[Pair]], list[float]]) -> dict[str, Any]:
    """Return the answer to one request; what goes wrong is told, not raised, so that the run can say it."""
    try:
        return {"scores": score(json.loads(line)["pairs"])}
    except (ValueError, KeyError, TypeError, RuntimeError, MemoryError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def serve(
    greeting: dict[str, Any], score: Callable[[Sequence[Pair]], list[float]], asked: TextIO, told: TextIO
) -> None:
    """Say who scores, then answer line by line until the input ends."""
    told.write(json.dumps(greeting) + "\n")
    told.flush()
    for line in asked:
        told.write(json.dumps(answer(line, score)) + "\n")
        told.flush()


def main() -> None:
    reader = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    reader.add_argument("--model", required=True, help="Name on the model hub, or path of a checkpoint.")
    reader.add_argument("--name", help="Name to print in its place, as the recipe has it.")
    reader.add_argument("--licence", required=True, help="Licence of the weights, from the model card.")
    reader.add_argument("--lowest", type=float, default=0.0, help="Score of the worst translation (0).")
    reader.add_argument("--highest", type=float, default=1.0, help="Score of the best translation (1).")
    reader.add_argument("--batch", type=int, default=16, help="Pairs in one pass of the model (16).")
    reader.add_argument("--gpus", type=int, default=0, help="GPUs to use; 0: the processor (0).")
    options = reader.parse_args()
    told, sys.stdout = sys.stdout, sys.stderr  # libraries that print must not break the protocol
    score = load_comet(options.model, options.batch, options.gpus)
    greeting = {"scorer": options.name or options.model, "licence": options.licence}
    greeting |= {"lowest": options.lowest, "highest": options.highest}
    serve(greeting, score, sys.stdin, told)


if __name__ == "__main__":
    main()
