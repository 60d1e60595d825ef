"""The verdict on each claim, from what every test image contributed."""

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from evidence_tool.kept import Kept, contributions
from evidence_tool.queue import finals, gate, paired
from evidence_tool.statistics import Interval, compare
from evidence_tool.study import Claim, Step, Study

LEAST_SEEDS = 3
NOT_RANKED, NOT_MEASURED = 'not ranked', 'not measured yet'


@dataclass(frozen=True)
class Judged:
    """A claim and what the runs say of it.

    Attributes:
        claim (Claim): What is claimed.
        verdict (str): agrees, contradicts, undecided, not ranked (the baseline
            has not passed the gate) or not measured yet.
        interval (Interval, optional): Where the seeds of the plan were run.
        gate (bool): Whether the baseline passed.
        values (dict): What :func:`gate_of` gave; None where not measured.
        seeds (int): Seeds that all variants of the claim were run with.
        done, total (int): Runs that are there and that the plan asks for,
            those that try learning rates included.
        seconds (float): CPU seconds of the runs that are there.
    """

    claim: Claim
    verdict: str
    interval: Optional[Interval]
    gate: bool
    values: dict
    seeds: int
    done: int
    total: int
    seconds: float

    def row(self) -> dict:
        """The object of ``docs/evidence/claims.json``."""
        found, claim = self.interval, self.claim
        return dict(
            paper=claim.paper,
            claim=claim.text,
            source=claim.source,
            figure=claim.figure,
            paper_difference=claim.paper_difference,
            difference=found and round(found.difference, 2),
            low=found and round(found.low, 2),
            high=found and round(found.high, 2),
            verdict=self.verdict,
            seeds=self.seeds,
            images=found.images if found else 0,
            gate=self.gate,
        )


def conclude(
    claim: Claim,
    interval: Optional[Interval],
    gate: Tuple[Optional[bool], dict],
    pairs: list,
    spent: List[dict],
    total: int,
) -> Judged:
    """A claim with its verdict: the interval's, or why there is none."""
    passed, values = gate
    missing = NOT_RANKED if passed is False else NOT_MEASURED
    return Judged(
        claim,
        interval.verdict if interval else missing,
        interval,
        bool(passed),
        values,
        len(pairs),
        len(spent),
        total,
        sum(r['seconds'] for r in spent),
    )


def step_of(study: Study, claim: Claim) -> Optional[Step]:
    """The part of the plan that runs a claim's variants at its length."""
    for step in study.plan:
        if step.length == claim.length and set(claim.variants) <= set(step.variants):
            return step
    return None


def gate_of(study: Study, kept: Kept, claim: Claim) -> Tuple[Optional[bool], dict]:
    """Have the methods that a claim's baselines build on learned, by both figures?

    The study's figure and the claim's own.

    Returns:
        tuple: As of :func:`gate`, of the first that has not.
    """
    for base in dict.fromkeys(study.variants[v].base for v in claim.variants[1::2]):
        for name in dict.fromkeys((study.figure, claim.figure)):
            passed, values = gate(study, kept, base, claim.length, name)
            if not passed:
                return passed, values
    return passed, values


def judge(study: Study, kept: Kept, claim: Claim) -> Judged:
    """What the kept runs say of a claim, once all seeds of the plan are there."""
    step = step_of(study, claim)
    runs = {
        v: [r for r in finals(study, kept, v, claim.length) if claim.figure in r['figures']]
        for v in claim.variants
    }
    passed, values = gate_of(study, kept, claim)
    pairs = paired(runs)
    sweeps = [
        r
        for v in runs
        for r in kept.find(
            kind='sweep', variant=v, length=(step.sweep if step else None) or claim.length
        )
        if r['rate'] in study.variants[v].rates
    ]
    total = sum(len(study.variants[v].rates) + (step.seeds if step else 0) for v in runs)
    spent = [*sweeps, *(r for found in runs.values() for r in found)]
    interval = None
    if len(pairs) >= (step.seeds if step else LEAST_SEEDS) and passed:
        interval = compare(
            *_arrays(runs, claim.variants[:2], claim.figure, pairs),
            beyond=_arrays(runs, claim.variants[2:], claim.figure, pairs) if claim.beyond else None,
            looks=claim.looks,
        )
    return conclude(claim, interval, (passed, values), pairs, spent, total)


def _arrays(runs: Dict[str, List[dict]], variants, figure: str, pairs) -> List[list]:
    """Contributions of each variant, seed by seed."""
    found = []
    for variant in variants:
        by_seed = {(r['seed'], r['machine']): r for r in runs[variant]}
        found.append([contributions(by_seed[pair], figure) for pair in pairs])
    return found


def judge_all(study: Study, kept: Kept) -> List[Judged]:
    """All claims of a study, in its order."""
    return [judge(study, kept, claim) for claim in study.claims]
