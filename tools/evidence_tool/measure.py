"""Measures the frozen backbone of a run, image by image.

    python -m evidence_tool.measure STUDY SIZE KIND FOLDER OUT

A process of its own, so that two workers need not share torch's threads.
"""

import json
import sys
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from evidence_tool.configs import find_data
from evidence_tool.kept import kept_figures
from evidence_tool.patches import patch_counts
from evidence_tool.pieces import checkpoint
from evidence_tool.statistics import percent
from evidence_tool.study import Figure, Study, load

NEIGHBORS, TEMPERATURE = 20, 0.1


def start_model(cfg, folder: Path) -> nn.Module:
    """The model as the run with this config and seed starts."""
    from mmengine.runner import Runner

    cfg = cfg.copy()
    cfg.work_dir, cfg.log_level = str(folder / 'start'), 'ERROR'
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    return runner.model.eval()


def trained_model(cfg, path: Path) -> nn.Module:
    """The model of a finished run, every weight of it."""
    from mmengine.registry import MODELS

    from mssl_plugins.checkpoints.loading import load_checkpoint_safely

    model = MODELS.build(cfg.model)
    model.load_state_dict(load_checkpoint_safely(str(path), 'cpu')['state_dict'])
    return model.eval()


def features(
    model: nn.Module, loader, branch: str, layers: List[str], device: str
) -> Tuple[Dict[str, Tensor], Tensor]:
    """Features of all images by layer, and labels."""
    from mssl_plugins.evaluation.features import extract_features, find_backbone_module
    from mssl_plugins.models.readout import MultiFeature

    if set(layers) <= {'auto', 'avg', 'cls'}:  # with what else the model gives its backbone
        found = {}
        for layer in layers:
            found[layer], labels = extract_features(
                model, loader, pool=layer, branch=branch, device=device
            )
        return found, labels
    joined = MultiFeature(find_backbone_module(model, branch), layers)
    whole = nn.Module()
    whole.backbone, whole.data_preprocessor = joined, model.data_preprocessor
    values, labels = extract_features(whole, loader, pool='last', device=device)
    return joined.split(values), labels


def right(figure: Figure, bank: Tuple[Tensor, Tensor], test: Tuple[Tensor, Tensor]) -> np.ndarray:
    """(N,) bool: is each test image classified rightly?"""
    from mssl_plugins.evaluation.knn import knn_predict
    from mssl_plugins.evaluation.logistic import logistic_regression

    if figure.kind == 'knn':
        predicted = knn_predict(test[0], *bank, k=NEIGHBORS, temperature=TEMPERATURE)
    else:
        probe = logistic_regression(*bank, num_classes=int(bank[1].max()) + 1)
        predicted = probe.scores(test[0])[:, 0].argmax(1)
    return (predicted == test[1]).numpy()


def pixel_features(cfg, loader) -> Tuple[Tensor, Tensor]:
    """Raw pixels as the network gets them: normalized, once."""
    from mssl_plugins.evaluation.backbone import Pixels
    from mssl_plugins.evaluation.features import extract_features

    return extract_features(Pixels.of_config(cfg), loader)


def measure(study: Study, kind: str, cfg, folder: Path, data: Optional[Path] = None) -> dict:
    """Every figure of the study for one run, as it is kept.

    Args:
        study (Study): Names the figures.
        kind (str): ``kind`` of the task.
        cfg (mmengine.Config): Config of the run.
        folder (Path): Folder of the run, with its checkpoint.
        data (Path, optional): Folder of packed images, for figures on other sets.
            Defaults to None.

    Returns:
        dict: ``figures`` as :func:`evidence_tool.kept.kept_figures` gives them, and
        measures of collapse of a network.
    """
    from mssl_plugins.evaluation.collapse import effective_rank, feature_std
    from mssl_plugins.evaluation.features import make_loader

    hook = cfg.default_hooks.knn
    hook.test.dataset.pop('indices', None)  # curves take a part, figures every test image
    loaders = make_loader(hook.bank), make_loader(hook.test)
    found, extra = {}, {}
    if kind == 'pixels':
        sets = [pixel_features(cfg, loader) for loader in loaders]
        for name, own in study.figures.items():
            same = next((found[n] for n in found if _alike(study.figures[n], own)), None)
            if same is None:
                same = (
                    patch_counts(None, own.layer, data, cfg)
                    if own.kind == 'patches'
                    else right(own, *sets)
                )
            found[name] = same
        return dict(figures=kept_figures(found, percent))
    model = start_model(cfg, folder) if kind == 'random' else trained_model(cfg, checkpoint(folder))
    device = study.device
    for branch in dict.fromkeys(f.branch for f in study.figures.values()):
        if branch == 'teacher' and not has_teacher(model):
            continue
        own = {n: f for n, f in study.figures.items() if f.branch == branch}
        layers = sorted({f.layer for f in own.values() if f.kind != 'patches'})
        sets = [features(model, loader, branch, layers, device) for loader in loaders]
        for name, figure in own.items():
            if figure.kind == 'patches':
                found[name] = patch_counts(model, figure.layer, data, cfg, branch)
                continue
            found[name] = right(
                figure, *((values[figure.layer], labels) for values, labels in sets)
            )
        if branch == 'student' and layers:
            values = sets[1][0][layers[0]]
            extra = dict(std=round(feature_std(values), 3), erank=round(effective_rank(values), 2))
    return dict(extra, figures=kept_figures(found, percent))


def _alike(a: Figure, b: Figure) -> bool:
    """Whether two figures are one of raw pixels, which have no branch or layer."""
    return a.kind == b.kind and (a.kind != 'patches' or a.layer == b.layer)


def has_teacher(model: nn.Module) -> bool:
    """Whether the model has an EMA copy of its backbone."""
    from mssl_plugins.evaluation.features import find_backbone_module

    try:
        find_backbone_module(model, 'teacher')
    except ValueError:
        return False
    return True


def main(argv: List[str]) -> None:
    """Measures a run and writes its figures."""
    name, size, kind, folder, out = argv
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    folder = Path(folder)
    cfg = Config.fromfile(folder / 'run.py')
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    torch.set_num_threads(1)
    result = measure(load(name)[size], kind, cfg, folder, find_data(None))
    Path(out).write_text(json.dumps(result))


if __name__ == '__main__':
    main(sys.argv[1:])
