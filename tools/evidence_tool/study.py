"""What a study says: variants, lengths, an order of runs, and claims.

A file ``tools/studies/<name>.py`` has ``SIZES``, one :class:`Study` a size.  It
names the shipped configs in one place; a variant and its baseline differ in
nothing but ``options``.
"""

import importlib.util
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

from mssl_plugins.errors import unknown

ROOT = Path(__file__).resolve().parents[2]
# another folder for the processes that a test starts
FOLDER = Path(os.environ.get('EVIDENCE_STUDIES', ROOT / 'tools' / 'studies'))
SPARE_SEED = 100  # learning rates are chosen on it; it gives no verdict


@dataclass(frozen=True)
class Figure:
    """One number that a frozen backbone is measured by.

    Attributes:
        kind (str): 'knn' (weighted, k = 20, T = 0.1), 'linear' (multinomial
            logistic regression by L-BFGS on standardized features, C = 1: no
            rate to choose) or 'patches' (k-NN of patch tokens, mIoU).
        branch (str): 'student' or 'teacher' (the EMA copy). Defaults to
            'student'.
        layer (str): What is read, see ``mssl_plugins.models.readout``.
            Defaults to 'auto'.
    """

    kind: str
    branch: str = 'student'
    layer: str = 'auto'


@dataclass(frozen=True)
class Variant:
    """A shipped config, and what makes it differ from its baseline.

    Attributes:
        config (str): Name of the shipped config.
        base (str): The variant whose gate decides whether this one is ranked.
        options (dict): Settings that are the studied difference (dotted keys);
            ``{after}`` in a text is the checkpoint of the run that comes
            before.
        rates (tuple): Learning rates to try, as many for every variant.
        stretch (float): Length of training beside the study's: the ratio of
            costs, for a comparison at equal compute. Defaults to 1.
        after (str, optional): Variant whose run of the same seed comes before
            (a distillation's teacher).
    """

    config: str
    base: str
    options: Dict[str, Any] = field(default_factory=dict)
    rates: Tuple[float, ...] = ()
    stretch: float = 1.0
    after: Optional[str] = None


@dataclass(frozen=True)
class Length:
    """How long, on how many images; the schedule is annealed to its end.

    Attributes:
        images (int): Training images.
        epochs (int): Passes over them.
        options (dict): Settings that go with it.
    """

    images: int
    epochs: int
    options: Dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A part of the order of runs.

    Attributes:
        length (str): One of the study's lengths.
        variants (tuple): Names of variants, the baseline first.
        seeds (int): How many fresh seeds: 3, or 5 where a run takes under 10
            minutes.
        sweep (str, optional): Length at which the learning rates are tried.
            Defaults to None: ``length``.
    """

    length: str
    variants: Tuple[str, ...]
    seeds: int
    sweep: Optional[str] = None


@dataclass(frozen=True)
class Claim:
    """One statement of a paper, as a difference of two variants.

    Attributes:
        paper (str): Its name.
        text (str): What is claimed.
        source (str): Table and column, figure or section.
        variant, baseline (str): The first is claimed to be above the second.
        figure (str): One of the study's figures.
        length (str): One of the study's lengths.
        paper_difference (float, optional): In points, where it is printed.
        beyond (tuple, optional): (variant, baseline) of a difference that this
            one is claimed to exceed.
        explained (str): For a claim that the runs contradict or leave
            undecided: what was tried to explain it, in at most five lines.
        looks (int): How often it was judged while seeds were added; the
            interval is that much more careful. Defaults to 1.
    """

    paper: str
    text: str
    source: str
    variant: str
    baseline: str
    figure: str
    length: str
    paper_difference: Optional[float] = None
    beyond: Optional[Tuple[str, str]] = None
    explained: str = ''
    looks: int = 1

    @property
    def variants(self) -> Tuple[str, ...]:
        """All variants whose runs it needs."""
        return (self.variant, self.baseline, *(self.beyond or ()))


@dataclass(frozen=True)
class Study:
    """One question at one size.

    Attributes:
        title, question, setting (str): For the page.
        figure (str): The study's own figure: it passes the gate, and learning
            rates are chosen by it.
        figures (dict): Every figure that is measured.
        variants, lengths, plan, claims: See the classes.
        prepare (Callable): ``prepare(cfg, length, stretch, rate)`` puts the
            study's sizes into a config, the same for every variant.
        minutes (int): Longest piece of a run. Defaults to 30.
        device (str): 'cpu' or 'cuda'. Defaults to 'cpu'.
        notes (str): How the sizes were chosen.
    """

    title: str
    question: str
    setting: str
    figure: str
    figures: Dict[str, Figure]
    variants: Dict[str, Variant]
    lengths: Dict[str, Length]
    plan: Tuple[Step, ...]
    claims: Tuple[Claim, ...]
    prepare: Callable
    minutes: int = 30
    device: str = 'cpu'
    notes: str = ''

    def check(self) -> None:
        """Refuses a study that breaks the rules.

        Raises:
            ValueError: For an unknown name, fewer than 3 seeds, or variants
                of one claim with different numbers of learning rates.
        """
        for step in self.plan:
            for length in filter(None, (step.length, step.sweep)):
                known(length, self.lengths, 'length')
            for name in step.variants:
                known(name, self.variants, 'variant')
            if step.seeds < 3:
                raise ValueError(f'{self.title}: 3 seeds or more are needed, got {step.seeds}')
        for variant in self.variants.values():
            known(variant.base, self.variants, 'variant')
        for claim in self.claims:
            known(claim.figure, self.figures, 'figure')
            known(claim.length, self.lengths, 'length')
            tries = {
                len(self.variants[known(v, self.variants, 'variant')].rates) for v in claim.variants
            }
            if len(tries) > 1:
                raise ValueError(
                    f'{claim.text}: the variants have {sorted(tries)} learning rates '
                    'to try; each gets as many'
                )
        known(self.figure, self.figures, 'figure')


def known(name: str, names, what: str) -> str:
    """``name``, if it is one of ``names``."""
    if name not in names:
        raise unknown(name, names, what)
    return name


def names(folder: Optional[Path] = None) -> List[str]:
    """The studies that there are, in the page's order."""
    return [p.stem for p in sorted((folder or FOLDER).glob('[a-z]*.py'))]


def load(name: str, folder: Optional[Path] = None) -> Dict[str, Study]:
    """The sizes of a study.

    Raises:
        ValueError: If there is no such study, or it breaks the rules.
    """
    folder = folder or FOLDER
    known(name, names(folder), 'study')
    spec = importlib.util.spec_from_file_location(f'study_{name}', folder / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for study in module.SIZES.values():
        study.check()
    return module.SIZES
