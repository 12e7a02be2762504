"""What all benchmark scripts share: options, timing, peak memory, the machine, and the last line of JSON.

    options = arguments(__doc__)
    timing = median_of(lambda: work(), options.repeats)
    finish({"ours_per_s": timing.rate(10_000), **timing.figures("ours")}, options.json)

Figures carry their unit in the name. Competitors run in the same script, in the same run, and only after
a check that they give the same content.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options every benchmark takes; a script may add its own."""
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--quick", action="store_true", help="Small sizes; at most 50 seconds.")
    options.add_argument("--json", action="store_true", help="The last line is one JSON object.")
    options.add_argument("--repeats", type=int, default=0, help="Runs per figure; 0: 3 when quick, else 7.")
    return options


def arguments(
    description: str | None = None, options: argparse.ArgumentParser | None = None
) -> argparse.Namespace:
    """Read the command line; `repeats` is set whatever was given."""
    found = (options or parser(description)).parse_args()
    found.repeats = found.repeats or (3 if found.quick else 7)
    return found


@dataclass(frozen=True)
class Timing:
    """Seconds of several runs of the same work."""

    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]
    """CPU seconds of this process, user and system: what to compare on a shared machine."""

    @property
    def median_s(self) -> float:
        """Median wall seconds."""
        return statistics.median(self.wall_s)

    @property
    def median_cpu_s(self) -> float:
        """Median CPU seconds."""
        return statistics.median(self.cpu_s)

    def rate(self, count: float) -> float:
        """Return `count` per wall second of the median run."""
        return count / self.median_s

    def cpu_rate(self, count: float) -> float:
        """Return `count` per CPU second of the median run."""
        return count / self.median_cpu_s

    def figures(self, name: str) -> dict[str, Any]:
        """Return the median and the spread under names that start with `name`."""
        return {
            f"{name}_median_s": round(self.median_s, 6),
            f"{name}_min_s": round(min(self.wall_s), 6),
            f"{name}_max_s": round(max(self.wall_s), 6),
            f"{name}_cpu_median_s": round(self.median_cpu_s, 6),
            f"{name}_repeats": len(self.wall_s),
        }


def median_of(work: Callable[[], object], repeats: int, *, warmup: int = 1) -> Timing:
    """Run `work` `warmup` times unmeasured, then `repeats` times measured."""
    for _ in range(warmup):
        work()
    wall: list[float] = []
    cpu: list[float] = []
    for _ in range(repeats):
        wall_start, cpu_start = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - wall_start)
        cpu.append(time.process_time() - cpu_start)
    return Timing(tuple(wall), tuple(cpu))


def median_and_spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, lowest and highest of repeated figures."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def peak_rss_mib() -> float:
    """Return the highest resident memory of this process so far, in MiB.

    Linux: VmHWM, which starts anew at exec; `ru_maxrss` would carry over what the parent held.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def in_fresh_process(script: str | Path, *words: str) -> dict[str, Any]:
    """Run a script with these words in a new interpreter; return the JSON object of its last line."""
    done = subprocess.run([sys.executable, str(script), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{script} {' '.join(words)} ended with {done.returncode}:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def machine() -> dict[str, Any]:
    """Describe the machine: processor, cores, memory, system, load when the script looked."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [row.split(":", 1)[1].strip() for row in info.read_text().splitlines() if "model name" in row]
        cpu = names[0] if names else cpu
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of the installed packages among those named."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def finish(figures: dict[str, Any], as_json: bool, *, packages: Sequence[str] = ()) -> None:
    """Print the figures as lines, and with `as_json` once more as one JSON object on the last line."""
    for name, value in figures.items():
        shown = f"{value:,.4g}" if isinstance(value, float) else value
        print(f"{name:<44} {shown}")
    if as_json:
        whole = {"figures": figures, "machine": machine(), "versions": versions(*packages)}
        print(json.dumps(whole, ensure_ascii=False, sort_keys=True))
