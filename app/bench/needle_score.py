"""What the verdicts of a needle run say: shares, intervals, recall at k, and how they are shown.

Only counts are kept, so a long run takes no more room than a short one.  Knows nothing of how an
answer came about.

How shares are formed: color and shape count each question; exist is the mean of its share among
the yes and among the no, so always saying yes gets a half.  Kinds together weigh as many as were
asked.  Intervals are Wilson's, 95 %.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longtake.bench.needle_streams import KINDS, Needle
from longtake.bench.statistics import mcnemar, wilson

CONDITIONS = ("oracle", "recall", "random", "uniform", "recent", "window", "blind", "full")
REFERENCE = "lossless"  # recall over a lossless memory, where the one measured is not
TOGETHER = "together"  # the ranking by mean share over layers, beside each layer's own
Group = tuple[str, str]  # kind, and the right answer where the kind is judged by it


@dataclass(frozen=True, slots=True)
class Verdict:
    """One answer in one condition."""

    needle: Needle
    condition: str  # of CONDITIONS, or REFERENCE
    said: str
    evidence: int | None = None  # place of the first moment that holds a right chunk, from 1

    @property
    def is_right(self) -> bool:
        return self.said.casefold() == self.needle.answer.casefold()

    @property
    def group(self) -> Group:
        kind = self.needle.kind
        return kind, self.needle.answer if kind == "exist" else ""


@dataclass(frozen=True, slots=True)
class Ranked:
    """At which place the first right chunk comes in each ranking, from 1; None: not in the best."""

    needle: Needle
    places: Mapping[str, int | None]  # by layer, and `TOGETHER`
    candidates: int  # chunks that recall chose from


@dataclass(frozen=True, slots=True)
class Share:
    """Right answers among ``n``; None throughout where nothing was asked."""

    accuracy: float | None
    low: float | None
    high: float | None
    n: int

    @classmethod
    def of(cls, right: Mapping[Group, int], asked: Mapping[Group, int]) -> Share:
        """Balanced over the answers of exist, and over kinds by how many were asked."""
        total, weight, n = 0.0, 0.0, 0
        for kind in KINDS:
            groups = [group for group in asked if group[0] == kind and asked[group]]
            if kind == "exist" and len(groups) != 2:
                continue  # yes without no, or the reverse, says nothing
            if not groups:
                continue
            share = sum(right.get(group, 0) / asked[group] for group in groups) / len(groups)
            # As many questions as would be as sure were they spread evenly.
            sure = len(groups) ** 2 / sum(1 / asked[group] for group in groups)
            total, weight = total + share * sure, weight + sure
            n += sum(asked[group] for group in groups)
        if not n:
            return cls(None, None, None, 0)
        low, high = wilson(min(total, weight), weight)
        return cls(round(total / weight, 4), round(low, 4), round(high, 4), n)

    def as_json(self) -> dict[str, float | int | None]:
        return {"accuracy": self.accuracy, "low": self.low, "high": self.high, "n": self.n}

    def cell(self) -> str:
        if self.accuracy is None or self.low is None or self.high is None:
            return "-"
        return f"{self.accuracy:.1%} [{self.low:.0%}-{self.high:.0%}] {self.n}"


class Paired:
    """Counts the same questions asked twice: of a lossless memory, and of the one measured."""

    def __init__(self) -> None:
        self.questions = self.identical = self.only_reference = self.only_measured = 0

    def add(self, reference: Verdict, measured: Verdict) -> None:
        """Raises ValueError if they are not of one question."""
        if reference.needle != measured.needle:
            raise ValueError(f"{measured.needle.text!r} is paired with {reference.needle.text!r}")
        self.questions += 1
        self.identical += reference.said == measured.said
        self.only_reference += reference.is_right and not measured.is_right
        self.only_measured += measured.is_right and not reference.is_right

    def as_json(self) -> dict[str, Any]:
        return {
            "identical": round(self.identical / self.questions, 4) if self.questions else None,
            "mcnemar": {
                "p": round(mcnemar(self.only_reference, self.only_measured), 4),
                "only_lossless_right": self.only_reference,
                "only_codec_right": self.only_measured,
                "n": self.questions,
            },
        }

    def line(self) -> str:
        """In words; empty where nothing was asked twice."""
        if not self.questions:
            return ""
        p = mcnemar(self.only_reference, self.only_measured)
        return (
            f"As over a lossless memory: {self.identical} of {self.questions} answers are the same "
            f"words; {self.only_reference} were right there alone, {self.only_measured} here alone "
            f"(McNemar, exact, p = {p:.3g})."
        )


class Tally:
    """Counts verdicts and rankings.

    Args:
        distances_s: that are asked for.
        layers: of the model.
        top_k: chunks that each condition may give a layer.
    """

    def __init__(self, distances_s: Sequence[float], layers: int, top_k: int) -> None:
        self.distances_s, self.top_k = tuple(distances_s), top_k
        self.rankings = (*(str(layer) for layer in range(layers)), TOGETHER)
        self.streams = 0
        self.paired = Paired()
        self._evidence: Counter[int | None] = Counter()
        self._asked: Counter[tuple[str, float, Group]] = Counter()
        self._right: Counter[tuple[str, float, Group]] = Counter()
        self._found: Counter[tuple[str, int]] = Counter()
        self._ranked = 0
        self._candidates: Counter[float] = Counter()
        self._looked: Counter[float] = Counter()

    def add(self, verdicts: Sequence[Verdict], ranked: Sequence[Ranked]) -> None:
        """Count a whole stream."""
        self.streams += 1
        for verdict in verdicts:
            key = (verdict.condition, verdict.needle.distance_s, verdict.group)
            self._asked[key] += 1
            self._right[key] += verdict.is_right
            if verdict.condition == "recall" and verdict.needle.right:
                self._evidence[verdict.evidence] += 1
        self._pair(verdicts)
        for one in ranked:
            self._candidates[one.needle.distance_s] += one.candidates
            self._looked[one.needle.distance_s] += 1
            if not one.needle.right:
                continue
            self._ranked += 1
            for name, place in one.places.items():
                for k in self.ks:
                    self._found[name, k] += place is not None and place <= k

    def _pair(self, verdicts: Sequence[Verdict]) -> None:
        """Answers over the lossless memory with those over the one measured."""
        references = [v for v in verdicts if v.condition == REFERENCE]
        if not references:
            return
        measured = [v for v in verdicts if v.condition == "recall"]
        for reference, other in zip(references, measured, strict=True):
            self.paired.add(reference, other)

    @property
    def ks(self) -> list[int]:
        """1, 2, 4 ... and the greatest."""
        powers = [1 << i for i in range(self.top_k.bit_length())]
        return sorted({*(k for k in powers if k <= self.top_k), self.top_k})

    @property
    def questions(self) -> int:
        return sum(self._asked["recall", d, g] for d in self.distances_s for g in self._groups())

    def share(
        self,
        condition: str,
        kinds: Collection[str] = KINDS,
        distances_s: Collection[float] | None = None,
    ) -> Share:
        distances_s = self.distances_s if distances_s is None else distances_s
        right: Counter[Group] = Counter()
        asked: Counter[Group] = Counter()
        for group in (group for group in self._groups() if group[0] in kinds):
            for distance_s in distances_s:
                right[group] += self._right[condition, distance_s, group]
                asked[group] += self._asked[condition, distance_s, group]
        return Share.of(right, asked)

    def shares(self) -> dict[str, Share]:
        return {condition: self.share(condition) for condition in CONDITIONS}

    def by_type(self) -> dict[str, dict[str, Share]]:
        return {kind: {c: self.share(c, [kind]) for c in CONDITIONS} for kind in KINDS}

    def by_distance(self) -> dict[str, dict[str, Share]]:
        return {
            f"{distance_s:g}": {c: self.share(c, distances_s=[distance_s]) for c in CONDITIONS}
            for distance_s in self.distances_s
        }

    def recall_at_k(self) -> dict[str, dict[str, float | None]]:
        """Share of the questions with a right chunk among the k best of each ranking."""
        return {
            name: {
                str(k): round(self._found[name, k] / self._ranked, 4) if self._ranked else None
                for k in self.ks
            }
            for name in self.rankings
        }

    def evidence(self) -> dict[str, float | int | None]:
        """Share of the questions with a right chunk in the best moment shown, and in any."""
        asked, first = self._evidence.total(), self._evidence[1]
        found = asked - self._evidence[None]
        return {
            "best": round(first / asked, 4) if asked else None,
            "any": round(found / asked, 4) if asked else None,
            "n": asked,
        }

    def candidates(self) -> dict[str, float | None]:
        """Chunks that recall chose from, on average, by distance."""
        return {
            f"{d:g}": round(self._candidates[d] / self._looked[d], 1) if self._looked[d] else None
            for d in self.distances_s
        }

    def as_json(self, is_complete: bool, planned: int) -> dict[str, Any]:
        """What the counts say, `accuracy` to `n` of the object that is printed, but of the codec.

        Args:
            is_complete: the run was not interrupted.
            planned: questions.
        """
        shares = self.shares()
        return {
            "accuracy": {name: share.accuracy for name, share in shares.items()},
            "intervals": {
                name: None if share.low is None else [share.low, share.high]
                for name, share in shares.items()
            },
            "recall_at_k": self.recall_at_k(),
            "evidence": self.evidence(),
            "by_type": _plain(self.by_type()),
            "by_distance": _plain(self.by_distance()),
            "n": {
                "questions": self.questions,
                "planned": planned,
                "streams": self.streams,
                "full": shares["full"].n,
                "recall_at_k": self._ranked,
                "candidates": self.candidates(),
                "complete": is_complete,
            },
        }

    def tables(self) -> str:
        """Markdown; a cell is the share, its 95 % interval and how many were asked."""
        shares = self.shares()
        rows = [[name, share.cell()] for name, share in shares.items()]
        parts = [_table(["condition", "right answers, 95 %, n"], rows)]
        for name, groups in (("type", self.by_type()), ("distance, s", self.by_distance())):
            rows = [[key, *(s.cell() for s in group.values())] for key, group in groups.items()]
            parts.append(_table([name, *CONDITIONS], rows))
        found = self.recall_at_k()
        rows = [
            [name, *("-" if share is None else f"{share:.1%}" for share in row.values())]
            for name, row in found.items()
        ]
        heads = [f"recall@{k}" for k in self.ks]
        parts.append(_table([f"layer (of {self._ranked} questions)", *heads], rows))
        evidence = self.evidence()
        if evidence["n"]:
            parts.append(
                f"Evidence: the best moment holds a right chunk in {evidence['best']:.1%} of "
                f"{evidence['n']} questions, any moment in {evidence['any']:.1%}."
            )
        if self.paired.questions:
            parts.append(self.paired.line())
        choices = ", ".join(
            f"{distance} s: {'-' if mean is None else f'{mean:g}'}"
            for distance, mean in self.candidates().items()
        )
        parts.append(
            f"full: {shares['full'].n} of {self.questions} questions, those whose stream so far "
            f"fits the trained context.\nChunks to choose from, on average: {choices}."
        )
        return "\n\n".join(parts)

    def _groups(self) -> list[Group]:
        return [("color", ""), ("shape", ""), ("exist", "yes"), ("exist", "no")]


def _plain(groups: Mapping[str, Mapping[str, Share]]) -> dict[str, Any]:
    return {
        key: {name: share.as_json() for name, share in group.items()}
        for key, group in groups.items()
    }


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(f"{c:<{w}}" for c, w in zip(cells, widths, strict=True)) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(heads), rule, *map(line, rows)])
