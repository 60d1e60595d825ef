"""What is to be run next: baselines, learning rates, fresh seeds, behind the gate."""

from typing import Dict, Iterator, List, Optional, Tuple

from evidence_tool.kept import Kept, Task, figure
from evidence_tool.study import SPARE_SEED, Step, Study

GATE = 5.0  # points above both baselines


def best_rate(study: Study, kept: Kept, variant: str, step: Step) -> Optional[float]:
    """The learning rate of a variant's best try; None while tries are missing."""
    tries = {
        r['rate']: figure(r, study.figure)
        for r in kept.find(kind='sweep', variant=variant, length=step.sweep or step.length)
    }
    rates = study.variants[variant].rates
    if any(rate not in tries for rate in rates):
        return None
    return max(rates, key=lambda rate: tries[rate])


def chosen_rate(
    study: Study, kept: Kept, variant: str, length: str, tried: bool = False
) -> Optional[float]:
    """The rate that a variant's tries chose; None while tries are missing.

    ``length`` is that of its runs, with ``tried`` that of the tries.
    """
    for step in study.plan:
        own = step.sweep or step.length if tried else step.length
        if own == length and variant in step.variants:
            return best_rate(study, kept, variant, step)
    return None


def finals(study: Study, kept: Kept, variant: str, length: str) -> List[dict]:
    """The runs of a variant on fresh seeds, at the rate that its tries chose."""
    rate = chosen_rate(study, kept, variant, length)
    found = kept.find(kind='final', variant=variant, length=length)
    return [r for r in found if rate is None or r['rate'] == rate]


def above(name: str, base: List[dict], **others: List[dict]) -> Tuple[Optional[bool], dict]:
    """Are runs 5 points above others in a figure?

    Args:
        name (str): The figure.
        base (list): The runs that the question is about.
        **others (list): Those that they are compared with, by name.

    Returns:
        tuple: Whether the mean of ``base`` is that far above every other mean
        (None: not measured); the means in %, ``base`` and others by name, the
        ``figure`` and how many ``runs`` of ``base`` have it.
    """
    found = {
        key: [v for v in (figure(r, name) for r in records) if v is not None]
        for key, records in dict(others, base=base).items()
    }
    means = {key: sum(v) / len(v) if v else None for key, v in found.items()}
    known = None not in means.values()
    passed = means['base'] - max(means[key] for key in others) >= GATE if known else None
    return passed, dict(means, figure=name, runs=len(found['base']))


def gate(
    study: Study, kept: Kept, base: str, length: str, name: Optional[str] = None
) -> Tuple[Optional[bool], dict]:
    """Has a baseline method learned more than raw pixels and random weights show?

    Args:
        study (Study): Its sizes and figures.
        kept (Kept): Its results.
        base (str): The variant that the question is about.
        length (str): One of the study's lengths.
        name (str, optional): Figure that decides. Defaults to None: the study's.

    Returns:
        tuple: As of :func:`above`, with ``pixels`` and ``random``.
    """
    return above(
        name or study.figure,
        finals(study, kept, base, length),
        pixels=kept.find(kind='pixels'),
        random=kept.find(kind='random', variant=base),
    )


def paired(records: Dict[str, List[dict]]) -> List[Tuple[int, str]]:
    """(seed, machine) that every variant was run with."""
    common = None
    for found in records.values():
        own = {(r['seed'], r['machine']) for r in found}
        common = own if common is None else common & own
    unique = {}
    for seed, machine in sorted(common or ()):
        unique.setdefault(seed, machine)
    return list(unique.items())


def _sweeps(study: Study, kept: Kept, step: Step) -> Iterator[Task]:
    """The tries of a step, every variant's middle rate first.

    Those that start from another variant's tries wait for all of them.
    """
    rates = {}
    for variant in step.variants:
        first = study.variants[variant].after
        if first is None or best_rate(study, kept, first, step) is not None:
            rates[variant] = study.variants[variant].rates
    most = max(map(len, rates.values()), default=0)
    for place in sorted(range(most), key=lambda i: abs(2 * i + 1 - most)):
        for variant, own in rates.items():
            if place < len(own):
                task = Task('sweep', variant, step.sweep or step.length, SPARE_SEED, own[place])
                if not kept.has(task):
                    yield task


def _startable(study: Study, kept: Kept, variant: str, length: str, seed: int) -> bool:
    """Whether the run that a final run starts from is there, if it needs one."""
    first = study.variants[variant].after
    return first is None or any(r['seed'] == seed for r in finals(study, kept, first, length))


def _of_step(study: Study, kept: Kept, step: Step, machine: str) -> Iterator[Task]:
    """What a step lacks, as far as it is known now."""
    base = study.variants[step.variants[0]].base
    first = Task('pixels', base, step.length, 0, 0.0)
    if not kept.find(kind='pixels'):
        yield first
    if gate(study, kept, base, step.length)[0] is False:
        return  # training is to be longer: the next step's
    yield from _sweeps(study, kept, step)
    runs = {v: finals(study, kept, v, step.length) for v in step.variants}
    complete = {seed for seed, _ in paired(runs)}
    for seed in range(step.seeds):
        start = Task('random', base, step.length, seed, 0.0)
        if not kept.find(kind='random', variant=base, seed=seed):
            yield start
        for variant in step.variants:
            rate = best_rate(study, kept, variant, step)
            there = any(r['seed'] == seed and r['machine'] == machine for r in runs[variant])
            lacks = rate is not None and not there and seed not in complete
            if lacks and _startable(study, kept, variant, step.length, seed):
                yield Task('final', variant, step.length, seed, rate)


def missing(study: Study, kept: Kept, machine: str) -> Iterator[Task]:
    """Runs that can be started now, in the study's order, each once."""
    seen = set()
    for step in study.plan:
        for task in _of_step(study, kept, step, machine):
            if task.name not in seen:  # raw pixels and random weights serve every length
                seen.add(task.name)
                yield task
