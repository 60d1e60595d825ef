"""Writes configs/*/metafile.yml and model-index.yml from the configs: python tools/metafiles.py."""

import sys
from pathlib import Path
from typing import Dict, List, Sequence

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mmengine.config import Config

from mssl_plugins import __version__
from mssl_plugins.catalogue import configs
from mssl_plugins.config import each_dict

# By folder: name, title and address of the paper, the method's file.
COLLECTIONS = dict(
    asl=(
        'ASL',
        'Self-Supervised Representation Learning from Arbitrary Scenarios',
        'https://openaccess.thecvf.com/content/CVPR2024/html/Li_Self-Supervised_Representation_'
        'Learning_from_Arbitrary_Scenarios_CVPR_2024_paper.html',
        'asl',
    ),
    dino=(
        'DINO',
        'Emerging Properties in Self-Supervised Vision Transformers',
        'https://arxiv.org/abs/2104.14294',
        'dino',
    ),
    ibot=(
        'iBOT',
        'iBOT: Image BERT Pre-Training with Online Tokenizer',
        'https://arxiv.org/abs/2111.07832',
        'ibot',
    ),
    mae=(
        'MAE',
        'Masked Autoencoders Are Scalable Vision Learners',
        'https://arxiv.org/abs/2111.06377',
        'mae',
    ),
    mask_guided=(
        'Mask-guided attention bias',
        'SAM Helps SSL: Mask-guided Attention Bias for Self-supervised Learning',
        'https://bmvc2024.org/',
        'mask_guided',
    ),
    maskco=(
        'MaskCo',
        'Self-Supervised Visual Representations Learning by Contrastive Mask Prediction',
        'https://arxiv.org/abs/2108.07954',
        'maskco',
    ),
    mixmask=(
        'MixMask',
        'MixMask: Revisiting Masking Strategy for Siamese ConvNets',
        'https://arxiv.org/abs/2210.11456',
        'mixmask',
    ),
    mst=(
        'MST',
        'MST: Masked Self-Supervised Transformer for Visual Representation',
        'https://arxiv.org/abs/2106.05656',
        'mst',
    ),
)
# The protocols that measure a checkpoint, by folder: name and page.
PROTOCOLS = dict(
    classification=('Classification protocols', 'docs/evaluation.md'),
    detection=('Detection protocols', 'configs/benchmarks/detection/README.md'),
    segmentation=('Segmentation protocols', 'configs/benchmarks/segmentation/README.md'),
)
SCHEDULES = dict(
    LinearLR='Linear warm-up', CosineAnnealingLR='Cosine annealing', MultiStepLR='Step decay'
)
DATA = {
    'ade20k': 'ADE20K',
    'bccd': 'BCCD',
    'camvid': 'CamVid',
    'cifar10': 'CIFAR-10',
    'cifar100': 'CIFAR-100',
    'cityscapes': 'Cityscapes',
    'coco': 'COCO train2017',
    'conceptual captions': 'Conceptual Captions',
    'imagenet': 'ImageNet-1k',
    'imagenet100': 'ImageNet-100',
    'imagenet100+coco': 'ImageNet-100 and COCO train2017',
    'openimages': 'OpenImages V4',
    'own, COCO layout': "The user's images",
    'own, VOC layout': "The user's images",
    'own, label maps': "The user's images",
    'photos': "The user's images",
    'scenes': 'Generated scenes',
    'voc2012': 'Pascal VOC 2012',
    'tiny_imagenet': 'Tiny-ImageNet',
    'tiny_imagenet_20c': 'Tiny-ImageNet (20 classes)',
    'voc0712': 'PASCAL VOC 2007 and 2012',
}


def collection_of(path: Path) -> str:
    """The name of a config's collection; photo recipes name it by their method."""
    folder = path.parent.name
    if folder in PROTOCOLS:
        return PROTOCOLS[folder][0]
    if folder not in COLLECTIONS:
        method = path.stem.split('_')[0].replace('-', '_')
        folder = next((name for name in COLLECTIONS if method.startswith(name)), 'mixmask')
    return COLLECTIONS[folder][0]


def trained_with(cfgs: Sequence[Config]) -> List[str]:
    """Optimizers, schedules of the learning rate and multi-crop of a folder's configs."""
    optimizers = {cfg.optim_wrapper.optimizer.type for cfg in cfgs}
    schedules = {schedule.type for cfg in cfgs for schedule in cfg.param_scheduler}
    names = sorted(optimizers) + [name for kind, name in SCHEDULES.items() if kind in schedules]
    views = [
        found['views']
        for cfg in cfgs
        for found in each_dict(cfg.train_dataloader)
        if isinstance(found.get('views'), list)
    ]
    crops = any(len({str(view['size']) for view in v}) > 1 for v in views)
    return names + ['Multi-crop'] * crops


def collection(folder: str, cfgs: Sequence[Config]) -> dict:
    """A folder's entry of ``Collections``, from its configs."""
    if folder in PROTOCOLS:
        title, readme = PROTOCOLS[folder]
        return {'Name': title, 'README': readme}
    title, paper, url, file = COLLECTIONS[folder]
    types = {cfg.model.backbone.type for cfg in cfgs}
    backbones = {'ResNet' if 'ResNet' in kind else kind.split('.')[-1] for kind in types}
    return {
        'Name': title,
        'Metadata': {'Training Techniques': trained_with(cfgs), 'Architecture': sorted(backbones)},
        'Paper': {'Title': paper, 'URL': url},
        'README': f'configs/{folder}/README.md',
        'Code': {'URL': f'mssl_plugins/models/selfsup/{file}.py', 'Version': __version__},
    }


def model(entry: dict, cfg: Config) -> dict:
    """An entry of ``Models``: the config's catalogue and batch.

    Without ``Results``, where others read what published weights reach: a
    paper's figure stands in ``Expected``, with whose it is.
    """
    path = Path(entry['path'])
    batch = (cfg.get('auto_scale_lr') or {}).get('base_batch_size')
    if batch is None:
        batch = cfg.train_dataloader.batch_size
    return {
        'Name': entry['name'],
        'In Collection': collection_of(path),
        'Metadata': {
            'Method': entry['method'],
            'Base': entry['base'],
            'Epochs': entry['epochs'],
            'Batch Size': batch,
            'Training Data': DATA[entry['data']],
            'Source': entry['paper'],
            'Expected': entry['expected'],
            'Cost': entry['cost'],
        },
        'Config': str(path.relative_to(ROOT)),
    }


def build() -> Dict[Path, str]:
    """Every generated file and its text."""
    folders: Dict[Path, List[dict]] = {}
    for entry in configs():
        folders.setdefault(Path(entry['path']).parent, []).append(entry)
    files = {}
    for folder, entries in sorted(folders.items()):
        content: Dict[str, list] = {}
        cfgs = [Config.fromfile(entry['path']) for entry in entries]
        if folder.name != 'photos':  # their collections are those of the methods
            content['Collections'] = [collection(folder.name, cfgs)]
        content['Models'] = [model(entry, cfg) for entry, cfg in zip(entries, cfgs)]
        files[folder / 'metafile.yml'] = (
            '# Written by tools/metafiles.py from the configs: change those.\n'
            + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
        )
    files[ROOT / 'model-index.yml'] = yaml.safe_dump(
        dict(Import=[str(path.relative_to(ROOT)) for path in files]), sort_keys=False
    )
    return files


def main() -> None:
    """Writes them."""
    for path, text in build().items():
        path.write_text(text, encoding='utf-8')
        print(path.relative_to(ROOT))


if __name__ == '__main__':
    main()
