"""The command line: one verb per room, and `run`, `check`, `chat`, `validate`, `ls`, `show`, `init`, `env`.

Heavy modules are imported inside the commands, so that `--help` answers at once. Every failure that a user
can mend is one message on stderr and an exit code: 1 failed, 2 usage or recipe, 3 data missing.
"""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from bimedix import __version__
from bimedix.errors import BimedixError, MissingError, UsageError, did_you_mean
from bimedix.model.settings import MergeBase

F = TypeVar("F", bound=Callable[..., Any])
EXTRAS = {"torch": "train", "transformers": "train", "accelerate": "train", "safetensors": "train",
          "starlette": "serve", "uvicorn": "serve", "sqlalchemy": "review", "datasets": "bench",
          "lm_eval": "bench", "peft": "bench"}  # fmt: skip
NOTICE = "Research software. Not for clinical decisions."


class _Cli(click.Group):
    """Names the nearest command when one is misspelt."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            hint = did_you_mean(args[0], self.list_commands(ctx))
            raise UsageError(f"no command '{args[0]}'.{hint}\n  `bimedix --help` lists them.")
        return super().resolve_command(ctx, args)


@click.group(cls=_Cli, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bimedix")
def cli() -> None:
    """From English medical records to a verified, evaluated bilingual medical language model.

    Start with `bimedix run tiny`, then `bimedix init bimedix_en_ar my.toml`. Research software, not for
    clinical decisions.
    """


def main() -> None:
    """Run the command line and turn errors into messages and exit codes."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except BimedixError as error:
        _fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        _fail(f"this needs the package {error.name}.\n  Run `pip install 'bimedix[{extra}]'`.", 3)
    except (BrokenPipeError, KeyboardInterrupt):
        sys.exit(130)
    except OSError as error:
        _fail(f"{error.filename or 'system'}: {error.strerror or error}.\n  {_mend_of(error)}", 1)
    except Exception as error:  # the last net: a user gets a message, a developer the traceback
        if os.environ.get("BIMEDIX_TRACEBACK"):
            raise
        _fail(
            f"a mistake in bimedix itself: {type(error).__name__}: {error}.\n"
            "  Please report it with the output of the same command under BIMEDIX_TRACEBACK=1.", 1
        )  # fmt: skip


def _mend_of(error: OSError) -> str:
    """Return the next step after an error of the file system."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Free some space and start again: finished stages are kept."
    if error.errno == errno.EMFILE:
        return "Raise the limit of open files (`ulimit -n 4096`), then start again."
    return "Name a folder that exists and may be written to; its parent must not be a file."


def _fail(message: str, code: int) -> None:
    click.echo(f"bimedix: {message}", err=True)
    sys.exit(code)


def _options(*names: str) -> Callable[[F], F]:
    """Add options that several commands share."""
    known = {
        "set": click.option(
            "--set", "overrides", multiple=True, metavar="KEY=VALUE",
            help="Override one value of the recipe, such as --set train.epochs=2; may be repeated.",
        ),
        "quiet": click.option("--quiet", "-q", is_flag=True, help="Print only errors and the last line."),
        "json": click.option("--json", "as_json", is_flag=True, help="Progress and results as JSON rows."),
        "recipe": click.option(
            "--recipe", default="tiny", show_default=True, help="Recipe with the settings: a file or a name."
        ),
    }  # fmt: skip

    def decorate(function: F) -> F:
        for name in reversed(names):
            function = known[name](function)
        return function

    return decorate


def _progress(quiet: bool, as_json: bool) -> Any:
    from bimedix.progress import Progress

    return Progress("json" if as_json else "quiet" if quiet else "bar")


def _say_json(value: Any) -> None:
    import msgspec

    click.echo(msgspec.json.encode(value, order="sorted", enc_hook=str).decode())


# --- the path -------------------------------------------------------------------------------------------


@cli.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/NAME]")
@click.option("--until", metavar="ROOM", help="Stop after this room.")
@click.option("--redo", multiple=True, metavar="ROOM", help="Begin this room anew though nothing changed.")
@_options("set", "quiet", "json")
def run(
    recipe: Path, out: Path | None, until: str | None, redo: tuple[str, ...], overrides: tuple[str, ...],
    quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Go through all rooms of RECIPE (a file, or the name of a shipped recipe) and write the report.

    Finished stages are kept, a stage that was cut off goes on, a changed setting redoes what depends on it.
    """
    from bimedix.path import join_training, process_index, run_path
    from bimedix.recipe import read_recipe
    from bimedix.report import write_report
    from bimedix.spend import spend_lines

    read = read_recipe(recipe, overrides)
    folder = out or Path("runs") / read.name
    if process_index():
        join_training(read, folder)
        return
    progress = _progress(quiet, as_json)
    results = run_path(read, folder, progress, until, redo)
    report = write_report(read, folder) if until is None else None
    if as_json:
        _say_json({"event": "end", "run": folder, "report": report, "stages": [r.__dict__ for r in results]})
        return
    if not quiet:
        for result in results:
            gone = f", {sum(result.summary.dropped.values()):,} dropped" if result.summary.dropped else ""
            click.echo(
                f"{result.folder.name:<15} {result.state:<10} {result.summary.written:>9,} records{gone}"
                f"  {result.seconds:6.1f} s"
            )
            for line in spend_lines(result.summary.figures) if result.state != "kept" else ():
                click.echo(f"{'':<15} {line}")
    click.echo(f"Report: {report}" if report else f"Done: {results[-1].folder}")
    if report and "train" in read.rooms:
        click.echo(f"Chat:   bimedix chat {folder}\nServe:  bimedix serve {folder}\n{NOTICE}")


@cli.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@_options("set", "json")
def validate(recipe: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check RECIPE without loading a model: keys, data, endpoints, memory, trainable parameters."""
    from bimedix.recipe import read_recipe
    from bimedix.validate import validate_recipe

    findings = validate_recipe(read_recipe(recipe, overrides))
    if as_json:
        _say_json([f.__dict__ for f in findings])
    for finding in () if as_json else findings:
        click.echo(f"{finding.level:<8} {finding.room:<11} {finding.text}")
    worst = {f.level for f in findings}
    if "missing" in worst:
        raise MissingError(
            f"{recipe}: something the recipe needs is not there (lines marked `missing` above)."
        )
    if "error" in worst:
        raise UsageError(f"{recipe}: the recipe cannot run (lines marked `error` above).")


@cli.command()
@click.argument("name")
@click.argument("target", type=click.Path(path_type=Path), required=False)
def init(name: str, target: Path | None) -> None:
    """Copy the shipped recipe NAME to TARGET (default NAME.toml), to be edited."""
    from bimedix.files import write_text
    from bimedix.recipe import find_recipe

    source = find_recipe(Path(name))
    target = target or Path(f"{name}.toml")
    if target.exists():
        raise UsageError(f"{target}: exists already.\n  Choose another name: bimedix init {name} OTHER.toml")
    data = os.path.relpath(source.parent, target.parent.resolve())
    text = source.read_text(encoding="utf-8").replace('data = "../', f'data = "{data}/../')
    write_text(target, text)
    click.echo(f"{target}: edit it, then `bimedix validate {target}` and `bimedix run {target}`.")


# --- rooms one by one -----------------------------------------------------------------------------------

SLOTS = {
    "curate": ("sources", "records.jsonl", "Clean records: keyword filter, documents, exact duplicates."),
    "synthesize": ("curate", "records.jsonl", "Write dialogues and rationales from exam questions."),
    "translate": ("curate", "records.jsonl", "Translate, check, score, revise and route records."),
    "review": ("translate", "records.jsonl", "Make review sheets of translations; take filled sheets in."),
    "mix": ("curate", "records.jsonl", "Mix languages at a ratio, decontaminate, lay out as chats."),
    "train": ("mix", "train.jsonl", "Train adapters on mixed conversations."),
}
"""Room: (the input it reads, the file in it, help)."""


SAMPLED = ("synthesize", "translate", "mix")
"""Rooms with `--sample`."""


def _room_command(room: str, slot: str, file: str, text: str) -> click.Command:
    @click.argument("source", type=click.Path(exists=True, path_type=Path), required=room != "train")
    @click.argument("out", type=click.Path(path_type=Path), required=room != "train")
    @_options("recipe", "set", "quiet", "json")
    def command(
        source: Path, out: Path, recipe: str, overrides: tuple[str, ...], quiet: bool, as_json: bool,
        sample: int = 0, estimate: int = 0, plan: str = "", prepare_only: bool = False, **device: Any,
    ) -> None:  # fmt: skip
        import time

        from bimedix.alone import run_alone
        from bimedix.path import process_index
        from bimedix.recipe import read_recipe
        from bimedix.sampled import sampled
        from bimedix.spend import spend_lines

        if plan:
            _tell_plan(plan, overrides, **device)
            return
        if out is None:
            raise UsageError(f"{room} takes SOURCE OUT.\n  Such as: bimedix {room} {file} out")
        read = read_recipe(Path(recipe), overrides)
        read, inputs = sampled(read, room, {slot: (source, file)}, out, sample or estimate)
        began = time.monotonic()
        progress = _progress(quiet or process_index() > 0, as_json)
        summary = run_alone(read, room, inputs, out, progress, "prepare_data" if prepare_only else "run")
        if process_index():
            return
        if as_json:
            _say_json(summary.__dict__)
            return
        gone = "".join(f"\n  dropped {n:,}: {reason}" for reason, n in summary.dropped.items())
        click.echo(f"{summary.written:,} records written to {out}{gone}")
        for line in spend_lines(summary.figures):
            click.echo(line)
        if sample or estimate:
            click.echo(f"Side by side: {out / 'side_by_side.html'}")
        if estimate:
            from bimedix.estimate import estimate_lines

            for line in estimate_lines(summary.figures, time.monotonic() - began):
                click.echo(line)

    command.__doc__ = (
        f"{text}\n\nSOURCE is a file ({file}) or the folder of a stage; OUT is the folder to fill. Settings "
        f"come from the table [{room}] of --recipe."
    )
    if room in SAMPLED:
        command = click.option(
            "--sample",
            default=0,
            metavar="N",
            help="Only N records, drawn: to look at before all are paid for.",
        )(command)
    if room == "translate":
        told = "Translate N records, drawn, and tell what all would take; their answers are kept."
        command = click.option("--estimate", default=0, metavar="N", help=told)(command)
    return click.command(room)(_with_plan(command) if room == "train" else command)


def _with_plan(command: F) -> F:
    """Add the options of `bimedix train --plan`."""
    for name, kind, default, text in (
        ("tokens", click.IntRange(1), None, "tokens of one epoch, for the hours."),
        ("device", str, "h200", "h200 or a100-80."),
    ):
        command = click.option(f"--{name}", type=kind, default=default, help=f"With --plan: {text}")(command)
    told = "Tokenise into OUT/prepared, or [train] prepared, and train nothing."
    command = click.option("--prepare-only", is_flag=True, help=told)(command)
    text = "Tell memory, rate and time of RECIPE, and train nothing."
    return click.option("--plan", default="", metavar="RECIPE", help=text)(command)


def _tell_plan(recipe: str, overrides: tuple[str, ...], device: str, tokens: int | None) -> None:
    from bimedix.planned import plan_lines
    from bimedix.recipe import read_recipe

    for line in plan_lines(read_recipe(Path(recipe), overrides), device, tokens):
        click.echo(line)


for _room, (_slot, _file, _text) in SLOTS.items():
    cli.add_command(_room_command(_room, _slot, _file, _text))


@cli.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--source", "names", multiple=True, help="Only these sources; see `bimedix ls sources`.")
@click.option("--limit", default=0, help="Usable records per source; 0 takes all.", show_default=True)
@_options("quiet", "json")
def sources(folder: Path, out: Path, names: tuple[str, ...], limit: int, quiet: bool, as_json: bool) -> None:
    """Read every known source below FOLDER in its original format into OUT."""
    from bimedix.alone import read_folder

    summary = read_folder(folder, out, names, limit, _progress(quiet, as_json))
    if as_json:
        _say_json(summary.__dict__)
        return
    gone = "".join(f"\n  dropped {n:,}: {reason}" for reason, n in summary.dropped.items())
    click.echo(f"{summary.written:,} records written to {out}{gone}")


@cli.command(options_metavar="[OPTIONS] MODEL ITEMS... OUT")
@click.argument("paths", nargs=-1, metavar="")
@click.option(
    "--quote", multiple=True, metavar="ID", help="Published table to print beside, such as bimedix-3."
)
@click.option("--nine", is_flag=True, help="Sort ITEMS into the nine columns of BiMediX's tables.")
@click.option("--efficiency", is_flag=True, help="Also measure speed and memory by language.")
@click.option("--check-published", is_flag=True, help="Recompute the averages of the published tables.")
@_options("recipe", "set", "quiet", "json")
def evaluate(
    paths: tuple[str, ...], quote: tuple[str, ...], nine: bool, efficiency: bool, check_published: bool,
    recipe: str, overrides: tuple[str, ...], quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Score MODEL on files of multiple-choice records (ITEMS), and write table and predictions to OUT.

    MODEL is the folder of a run, of a training stage or of a model, or a hub id; `-` asks the recipe's
    completer. ITEMS are records files, folders of stages, or task files (.yaml) of lm-evaluation-harness;
    exam.en.jsonl and exam.ar.jsonl are one test set in two languages. All else comes from [evaluate].
    """
    if check_published:
        _check_published()
        return
    from bimedix.evaluate.beside import sheets_beside
    from bimedix.evaluate.tables import render
    from bimedix.examine import examine
    from bimedix.recipe import read_recipe

    if len(paths) < 3:
        raise UsageError(
            "evaluate takes MODEL ITEMS... OUT.\n  Such as: bimedix evaluate runs/tiny exam.jsonl out"
        )
    model, *items, out = paths
    summary, table = examine(
        read_recipe(Path(recipe), overrides), "" if model == "-" else model, [Path(item) for item in items],
        Path(out), _progress(quiet, as_json), quote, efficiency=efficiency, nine=nine,
    )  # fmt: skip
    if as_json:
        _say_json(summary.__dict__)
        return
    click.echo(render(table, "terminal", quote=quote, more=sheets_beside(Path(out))), nl=False)
    click.echo(f"{summary.read:,} items asked; predictions, page and tables: {out}")


def _check_published() -> None:
    from bimedix.evaluate.tables import render_check

    text, as_listed = render_check()
    click.echo(text, nl=False)
    if not as_listed:
        raise BimedixError("the published figures differ from their means in other places than are listed.")
    click.echo("Exactly the averages that are listed as not agreeing do not agree.")


@cli.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path), required=False)
@click.option("--source-lang", default="en", show_default=True, help="Language of SOURCE (ISO 639-1).")
@click.option("--target-lang", default="ar", show_default=True, help="Language of TARGET (ISO 639-1).")
@click.option(
    "--findings", type=click.Path(path_type=Path), help="Write the pairs with findings, JSON Lines."
)
@click.option(
    "--html", type=click.Path(path_type=Path), help="Write a page with both sides and what was found."
)
@click.option("--glossary", type=click.Path(path_type=Path), help="CSV of terms, a column per language code.")
@click.option("--check", "names", multiple=True, help="Only this check; see `bimedix ls checks`. Repeatable.")
@_options("json")
def check(
    source: Path, target: Path | None, source_lang: str, target_lang: str, findings: Path | None,
    html: Path | None, glossary: Path | None, names: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Check translations for what they must not change: numbers, doses, negation, options, terms.

    SOURCE and TARGET are two aligned files (CSV, TSV, text, JSON Lines, records), or SOURCE alone holds both
    sides (TMX, CSV, JSON Lines with id, source, target). Exit code 1 when there are errors, 0 when none.
    """
    from bimedix.check import ABOUT, check_files, write_findings, write_page

    for name in names:
        if name not in ABOUT:
            raise UsageError(f"--check {name}: no such check.{did_you_mean(name, ABOUT)}")
    report = check_files(
        source,
        target,
        source_language=source_lang,
        target_language=target_lang,
        glossary=glossary,
        checks=names,
    )
    if findings:
        write_findings(report, findings)
    if html:
        write_page(report, html, title=f"{source.name}: integrity of translations")
    _tell_checked(report, as_json)
    if report.checked and not (findings or html or as_json):
        click.echo(
            "To see them in their texts, add --html FILE; to keep them as JSON Lines, --findings FILE."
        )
    if report.failed:
        sys.exit(1)


def _tell_checked(report: Any, as_json: bool) -> None:
    if as_json:
        _say_json({"pairs": report.pairs, "failed": report.failed, "checks": report.rows()})
        return
    rows = [("check", "severity", "count", "first place")]
    rows += [(row.check, row.severity, f"{row.count:,}", row.place) for row in report.rows()]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for check, severity, count, place in rows if len(rows) > 1 else ():
        click.echo(f"{check:<{widths[0]}}  {severity:<{widths[1]}}  {count:>{widths[2]}}  {place}")
    click.echo(
        f"{report.pairs:,} pairs, {len(report.checked):,} with findings, {report.failed:,} with an error."
    )


@cli.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--source-lang", default="en", show_default=True, help="One language (ISO 639-1).")
@click.option("--target-lang", default="ar", show_default=True, help="The other language (ISO 639-1).")
def convert(source: Path, target: Path, source_lang: str, target_lang: str) -> None:
    """Write the memory or glossary SOURCE as TARGET: .tmx, .xlf, .jsonl (memories), .csv, .tbx (terms)."""
    from bimedix.convert import convert as convert_file
    from bimedix.languages import language

    count = convert_file(source, target, (language(source_lang).code, language(target_lang).code))
    click.echo(f"{count:,} pairs of {source_lang} and {target_lang} written to {target}")


@cli.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "form",
    required=True,
    help="Records: records, parquet, messages, sharegpt, mmedbench, mcq, instruction, lm-eval (a folder of "
    "tasks). A trained model: merged (a plain checkpoint), peft (adapters by expert), peft-fused.",
)
@click.option("--bare", is_flag=True, help="Only the format's own keys; what it has no place for is lost.")
@click.option(
    "--over",
    type=click.Choice(["auto", "stored", "dequantised"]),
    default="auto",
    show_default=True,
    help="With merged: add to the base as stored, as NF4 has it, or as the adapters were trained over.",
)
@_options("quiet")
def export(source: Path, target: Path, form: str, bare: bool, over: MergeBase, quiet: bool) -> None:
    """Write SOURCE to TARGET in a format that other tools read.

    SOURCE holds records (a file or a stage's folder), or a trained model (the folder of a run, of a training
    stage, or of adapters).
    """
    from bimedix.export import MODEL_FORMS, export_model, export_records
    from bimedix.show import records_file
    from bimedix.stage import RECORDS

    for known in MODEL_FORMS:
        if form == known:
            click.echo(export_model(source, target, known, over=over, progress=_progress(quiet, False)))
            return
    tally = export_records(records_file(source, RECORDS), target, form, bare=bare)
    click.echo(f"{tally.written:,} records written to {target}")
    if form == "lm-eval":
        click.echo(f"Run: lm_eval --include_path {target} --tasks bimedix --model hf --model_args ...")


# --- talking --------------------------------------------------------------------------------------------


def _serve_settings(recipe: str, overrides: tuple[str, ...]) -> Any:
    from bimedix.recipe import read_recipe
    from bimedix.serve.settings import Settings

    return read_recipe(Path(recipe), overrides).rooms.get("serve", Settings())


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@_options("recipe", "set")
def chat(folder: Path, recipe: str, overrides: tuple[str, ...]) -> None:
    """Talk with the model of FOLDER (a run, a training stage, or a model) in the terminal."""
    from bimedix.serve.engine import LocalEngine
    from bimedix.serve.terminal import run_terminal

    settings = _serve_settings(recipe, overrides)
    run_terminal(LocalEngine(folder, weights=settings.weights), settings)


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@_options("recipe", "set")
def serve(folder: Path, recipe: str, overrides: tuple[str, ...]) -> None:
    """Serve the model of FOLDER: OpenAI-compatible API and a chat page, on loopback unless told otherwise."""
    import uvicorn

    from bimedix.serve.app import build_app, read_key
    from bimedix.serve.engine import LocalEngine

    settings = _serve_settings(recipe, overrides)
    key = read_key(settings)
    app = build_app(LocalEngine(folder, weights=settings.weights), settings, key)
    click.echo(f"http://{settings.host}:{settings.port}  ({NOTICE} Ctrl-C stops.)")
    uvicorn.run(app, host=settings.host, port=settings.port, log_level="warning", access_log=False)


# --- looking --------------------------------------------------------------------------------------------


@cli.command()
@click.argument(
    "what", type=click.Choice(["recipes", "sources", "languages", "checks", "benchmarks", "schema"])
)
@_options("json")
def ls(what: str, as_json: bool) -> None:
    """List recipes, sources, languages, integrity checks, benchmarks, or print the recipe's JSON Schema."""
    from bimedix.listing import LISTINGS, recipe_schema

    if what == "schema":
        click.echo(recipe_schema())
        return
    rows = LISTINGS[what]()
    if as_json:
        _say_json(rows)
        return
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]) - 1)]
    for row in rows:
        click.echo("  ".join([*(f"{v!s:<{w}}" for v, w in zip(row, widths, strict=False)), str(row[-1])]))


@cli.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "-n", "count", default=3, type=click.IntRange(min=0), show_default=True, help="How many records."
)
@click.option("--id", "record_id", help="The record with this id.")
@click.option("--drops", is_flag=True, help="What the stage left out, and why.")
@click.option("--tokens", is_flag=True, help="Conversations as coloured tokens with their loss mask.")
@click.option("--recipe", help="With --tokens: tokenizer and template of its [train].  [default: Mixtral's]")
@_options("set", "json")
def show(
    path: Path, count: int, record_id: str | None, drops: bool, tokens: bool, recipe: str | None,
    overrides: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Look into PATH: a records file, or the folder of a stage."""
    from bimedix.recipe import read_recipe
    from bimedix.show import show_records

    if overrides and recipe is None:
        raise UsageError("--set changes a recipe: name one with --recipe.")
    read = read_recipe(Path(recipe), overrides) if recipe else None
    show_records(
        path, count=count, record_id=record_id, drops=drops, tokens=tokens, as_json=as_json, recipe=read
    )


@cli.command()
@_options("json")
def env(as_json: bool) -> None:
    """Tell what this machine has: versions, extras, cores, memory, accelerator."""
    from bimedix.listing import environment

    facts = environment()
    if as_json:
        _say_json(facts)
        return
    for name, value in facts.items():
        click.echo(f"{name:<18} {value}")
