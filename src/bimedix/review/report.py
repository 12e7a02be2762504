"""Figures of the room `review`: queues, verdicts, agreement, alignment of scores, the certificate."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from msgspec import structs

from bimedix.integrity.checks import check_pair
from bimedix.records import Item, MultipleChoice, Translation, Verdict
from bimedix.review.agreement import Scored, agreement, alignment, propose_threshold
from bimedix.review.calibration import calibrate
from bimedix.review.certificate import certify, certify_strata
from bimedix.review.decide import Ruling, latest_verdicts
from bimedix.review.queues import Entry, Place, audit_queue
from bimedix.review.settings import Settings
from bimedix.review.sheets import Problem


class Report:
    """Figures of a review: queues, verdicts, agreement, alignment, and the certificate."""

    def __init__(
        self,
        settings: Settings,
        entries: Mapping[str, Entry],
        held: Mapping[str, Sequence[Verdict]],
        rulings: Mapping[str, Ruling],
        seed: int,
    ) -> None:
        self.settings, self.entries, self.held, self.rulings, self.seed = (
            settings,
            entries,
            held,
            rulings,
            seed,
        )
        self.unchecked = 0
        self.states: Counter[str] = Counter()
        self.fixes_with_findings: list[str] = []

    def kept(self, translation: Translation, ruling: Ruling, item: Item) -> None:
        """Count an item that goes on; corrections are checked like translations, and the odd ones listed."""
        self.unchecked += translation.route == "review" and ruling.state in ("unread", "waiting")
        if ruling.state == "corrected":
            plain = structs.replace(item, human_checked=None) if isinstance(item, MultipleChoice) else item
            if any(f.severity == "error" for f in check_pair(translation.source, plain)):
                self.fixes_with_findings.append(translation.id)

    def figures(self, places: Sequence[Place], unmatched: Sequence[Problem]) -> dict[str, Any]:
        """Return the figures as JSON values."""
        routes = Counter(entry.route for entry in self.entries.values())
        states = Counter(ruling.state for ruling in self.rulings.values())
        decided = sum(states[state] for state in ("approved", "corrected", "rejected"))
        scored = self._scored()
        return {
            "routes": dict(sorted(routes.items())),
            "queues": {name: sum(place.queue == name for place in places) for name in ("risk", "audit")},
            "sheets": max((place.sheet for place in places), default=0),
            "without_a_sheet": sum(not place.sheet for place in places),
            "verdicts": sum(map(len, self.held.values())),
            "states": dict(sorted(states.items())),
            "approval_share": round(states["approved"] / decided, 4) if decided else None,
            "seconds_per_item": self._seconds(),
            "kept_unread_though_weak": self.unchecked,
            "corrections_with_failed_checks": self.fixes_with_findings,
            "unmatched": len(unmatched),
            "agreement": agreement([latest_verdicts(its) for its in self.held.values()]),
            "score_and_reviewers": alignment(scored),
            "threshold_proposed": propose_threshold(scored, self.settings.precision, seed=self.seed),
            "calibration": calibrate(scored, self.settings.precision, seed=self.seed),
            "certificate": self._certificate(),
        }

    def _seconds(self) -> float | None:
        took = [v.seconds for its in self.held.values() for v in its if v.seconds is not None]
        return round(sum(took) / len(took), 1) if took else None

    def _scored(self) -> list[Scored]:
        return [
            Scored(entry.score, ruling.grade, ruling.grave, 1 / entry.inclusion_probability, key)
            for key, ruling in self.rulings.items()
            if (entry := self.entries[key]).score is not None
            and ruling.grade is not None
            and entry.inclusion_probability > 0
        ]

    def _certificate(self) -> dict[str, Any]:
        """Bound the errors among accepted items, from the audits in the order drawn.

        Audits count up to the first one nobody has read, so that nobody's choice of what to read first
        moves the bound; a disputed one counts as an error.
        """
        accepted = [entry for entry in self.entries.values() if entry.route in ("accepted", "audit")]
        if not accepted:
            return {"population": 0, "told": "nothing was accepted"}
        goal, alpha = self.settings.goal, self.settings.alpha
        certificate = certify(self._outcomes(accepted), len(accepted), goal=goal, alpha=alpha)
        drawn = audit_queue(accepted, self.seed)
        read = sum(entry.id in self.rulings for entry in drawn)
        figures = asdict(certificate) | {
            "seed": self.seed, "audits_drawn": len(drawn), "audits_read": read, "told": certificate.told(),
        }  # fmt: skip
        return figures | ({"by_stratum": self._by_stratum(accepted)} if self.settings.strata else {})

    def _outcomes(self, accepted: Sequence[Entry]) -> list[int]:
        outcomes: list[int] = []
        for entry in audit_queue(accepted, self.seed):
            ruling = self.rulings.get(entry.id)
            if ruling is None or ruling.state == "waiting":
                break
            outcomes.append(int(ruling.grave))
        return outcomes

    def _by_stratum(self, accepted: Sequence[Entry]) -> dict[str, Any]:
        """Bound the errors stratum by stratum; these certificates hold together, beside the one over all."""
        strata: dict[str, list[Entry]] = defaultdict(list)
        for entry in accepted:
            strata[entry.stratum].append(entry)
        audits = {name: (self._outcomes(members), len(members)) for name, members in strata.items()}
        found = certify_strata(audits, goal=self.settings.goal, alpha=self.settings.alpha)
        told = {name: asdict(one) | {"told": one.told()} for name, one in found.strata.items()}
        return {
            "traits": list(self.settings.strata), "alpha_each": self.settings.alpha / len(audits),
            "bound_over_strata": found.bound, "certified": found.certified, "strata": told,
        }  # fmt: skip
