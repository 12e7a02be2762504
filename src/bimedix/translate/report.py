"""Figures of the room `translate`: scores, routes, findings, spend, and what all records would take."""

from collections import Counter
from typing import Any

from bimedix.prompts.asking import Tally
from bimedix.prompts.judging import judge_prompt_hash
from bimedix.records import Translation
from bimedix.statistics import bootstrap_interval
from bimedix.translate.routing import errors
from bimedix.translate.settings import Settings


class Report:
    """Counts for the summary: what scores, routes and checks looked like before and after revision."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tally = Tally()
        self.stopped: Counter[str] = Counter()
        self.before, self.after = Scores(settings.threshold), Scores(settings.threshold)
        self.routes: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.findings: Counter[str] = Counter()
        self.spans: Counter[str] = Counter()
        self.revisions = self.revised = self.helped = 0
        self.by_record: dict[str, list[float]] = {"tokens_in": [], "tokens_out": [], "cost_usd": []}
        self.expected: dict[str, Any] | None = None

    def used(self, tally: Tally) -> None:
        """Count what one record took."""
        self.tally.merge(tally)
        if self.settings.sample:
            for name, values in self.by_record.items():
                values.append(getattr(tally, name))

    def estimate(self, taken: int, left: int) -> None:
        """Work out what all records would take, from those of the sample, with 95 % intervals.

        Answers that came from the ledger cost nothing now, so the cost is that of a first run only.
        """
        if not taken:
            return
        self.expected = {"records": taken + left, "sample": taken}
        for name, values in self.by_record.items():
            interval = bootstrap_interval(lambda column: float(column.mean()), values)
            each = (sum(values) / len(values), interval.low, interval.high)
            self.expected[name] = [round(value * (taken + left), 4) for value in each]

    def add(self, translation: Translation) -> None:
        """Count one translation."""
        best = translation.attempts[translation.best]
        self.before.add(translation.attempts[0].score, errors(translation.attempts[0]))
        self.after.add(best.score, errors(best))
        self.routes[translation.route] += 1
        self.reasons.update(translation.reasons)
        self.findings.update(f"{finding.check} ({finding.severity})" for finding in best.findings)
        self.spans.update(f"{span.category} ({span.severity})" for span in best.spans)
        self.revisions += len(translation.attempts) - 1
        self.revised += len(translation.attempts) > 1
        self.helped += translation.best > 0

    def figures(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        same = self.settings.judge is None or self.settings.judge == self.settings.completer
        return {
            "scores_before_revision": self.before.figures(),
            "scores_after_revision": self.after.figures(),
            "routes": dict(sorted(self.routes.items())),
            "reasons_for_review": dict(self.reasons.most_common()),
            "findings_by_check": dict(self.findings.most_common()),
            "error_spans": dict(self.spans.most_common()),
            "revisions": {"made": self.revisions, "records": self.revised, "records_bettered": self.helped},
            "loop_ended_by": dict(self.stopped.most_common()),
            "replies": dict(self.tally.counts.most_common()),
            "calls": self.tally.calls,
            "tokens_in": self.tally.tokens_in,
            "tokens_out": self.tally.tokens_out,
            "cost_usd": round(self.tally.cost_usd, 6),
            "calls_from_ledger": self.tally.cached,
            "calls_unpriced": self.tally.unpriced,
            "expected_for_all": self.expected,
            "judge_is_translator": same,
            "judge_prompt_hash": judge_prompt_hash(),
        }


class Scores:
    """A histogram of scores in steps of ten, and how many pass."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.bins = [0] * 10
        self.total = self.sum = 0.0
        self.unread = self.passing = 0

    def add(self, score: float | None, errors: int) -> None:
        """Count one version."""
        if score is None:
            self.unread += 1
            return
        self.bins[min(9, int(score // 10))] += 1
        self.total += 1
        self.sum += score
        self.passing += score >= self.threshold and not errors

    def figures(self) -> dict[str, Any]:
        """Return counts by range of score (0 to 100), mean, and how many need no person."""
        names = [f"{10 * n}-{10 * n + 9}" for n in range(9)] + ["90-100"]
        return {
            "histogram": dict(zip(names, self.bins, strict=True)),
            "mean": round(self.sum / self.total, 2) if self.total else None,
            "without_judgment": self.unread,
            "pass": self.passing,
        }
