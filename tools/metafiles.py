"""Writes configs/*/metafile.yml and model-index.yml from the configs: python tools/metafiles.py."""

import re
import sys
from pathlib import Path
from typing import Dict, List

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mmengine.config import Config  # noqa: E402

from mssl_plugins import __version__  # noqa: E402
from mssl_plugins.catalogue import configs  # noqa: E402

# By folder: name, title and address of the paper, what trains it, backbones, the method's file.
COLLECTIONS = dict(
    asl=(
        'ASL',
        'Self-Supervised Representation Learning from Arbitrary Scenarios',
        'https://openaccess.thecvf.com/content/CVPR2024/html/Li_Self-Supervised_Representation_'
        'Learning_from_Arbitrary_Scenarios_CVPR_2024_paper.html',
        ['AdamW', 'Linear warm-up', 'Cosine annealing'],
        ['ViT'],
        'asl',
    ),
    dino=(
        'DINO',
        'Emerging Properties in Self-Supervised Vision Transformers',
        'https://arxiv.org/abs/2104.14294',
        ['AdamW', 'Cosine annealing', 'Multi-crop'],
        ['ViT', 'ResNet'],
        'dino',
    ),
    mae=(
        'MAE',
        'Masked Autoencoders Are Scalable Vision Learners',
        'https://arxiv.org/abs/2111.06377',
        ['AdamW', 'Linear warm-up', 'Cosine annealing'],
        ['ViT'],
        'mae',
    ),
    mask_guided=(
        'Mask-guided attention bias',
        'SAM Helps SSL: Mask-guided Attention Bias for Self-supervised Learning',
        'https://bmvc2024.org/',
        ['AdamW', 'Cosine annealing', 'Multi-crop'],
        ['ViT'],
        'mask_guided',
    ),
    maskco=(
        'MaskCo',
        'Self-Supervised Visual Representations Learning by Contrastive Mask Prediction',
        'https://arxiv.org/abs/2108.07954',
        ['SGD', 'Cosine annealing'],
        ['ResNet'],
        'maskco',
    ),
    mixmask=(
        'MixMask',
        'MixMask: Revisiting Masking Strategy for Siamese ConvNets',
        'https://arxiv.org/abs/2210.11456',
        ['SGD', 'Cosine annealing'],
        ['ResNet'],
        'mixmask',
    ),
    mst=(
        'MST',
        'MST: Masked Self-Supervised Transformer for Visual Representation',
        'https://arxiv.org/abs/2106.05656',
        ['AdamW', 'Cosine annealing', 'Multi-crop'],
        ['ViT'],
        'mst',
    ),
)
DATA = {
    'cifar10': 'CIFAR-10',
    'cifar100': 'CIFAR-100',
    'coco': 'COCO train2017',
    'conceptual captions': 'Conceptual Captions',
    'imagenet': 'ImageNet-1k',
    'imagenet100': 'ImageNet-100',
    'imagenet100+coco': 'ImageNet-100 and COCO train2017',
    'openimages': 'OpenImages V4',
    'photos': "The user's images",
    'scenes': 'Embedded scenes',
    'tiny': 'Tiny-ImageNet',
    'tiny_imagenet_20c': 'Tiny-ImageNet (20 classes)',
}


def collection_of(path: Path) -> str:
    """The folder whose paper a config is of; photo recipes name it by their method."""
    if path.parent.name in COLLECTIONS:
        return path.parent.name
    method = path.stem.split('_')[0].replace('-', '_')
    return next((name for name in COLLECTIONS if method.startswith(name)), 'mixmask')


def collection(name: str, readme: str) -> dict:
    """An entry of ``Collections``."""
    title, paper, url, techniques, architecture, file = COLLECTIONS[name]
    return {
        'Name': title,
        'Metadata': {'Training Techniques': techniques, 'Architecture': architecture},
        'Paper': {'Title': paper, 'URL': url},
        'README': readme,
        'Code': {'URL': f'mssl_plugins/models/selfsup/{file}.py', 'Version': __version__},
    }


def model(entry: dict) -> dict:
    """An entry of ``Models``: the config's catalogue and batch."""
    path = Path(entry['path'])
    cfg = Config.fromfile(path)
    batch = (cfg.get('auto_scale_lr') or {}).get('base_batch_size')
    if batch is None:
        batch = cfg.train_dataloader.batch_size
    reported = [
        {
            'Task': 'Image Classification',
            'Dataset': DATA[entry['data']],
            'Metrics': {'Top 1 Accuracy': float(value)},
        }
        for value in re.findall(r'^linear (\d+\.\d)$', entry['expected'])
    ]
    return {
        'Name': entry['name'],
        'In Collection': COLLECTIONS[collection_of(path)][0],
        'Metadata': {
            'Method': entry['method'],
            'Base': entry['base'],
            'Epochs': entry['epochs'],
            'Batch Size': batch,
            'Training Data': DATA[entry['data']],
            'Expected': entry['expected'],
        },
        'Results': reported or None,  # the paper's, not measured here
        'Config': str(path.relative_to(ROOT)),
    }


def build() -> Dict[Path, str]:
    """Every generated file and its text."""
    folders: Dict[Path, List[dict]] = {}
    for entry in configs():
        folder = Path(entry['path']).parent
        if folder.parent == ROOT / 'configs':
            folders.setdefault(folder, []).append(entry)
    files = {}
    for folder, entries in sorted(folders.items()):
        readme = folder / 'README.md'
        page = str(readme.relative_to(ROOT)) if readme.is_file() else 'README.md'
        names = dict.fromkeys(collection_of(Path(e['path'])) for e in entries)
        content = dict(
            Collections=[collection(name, page) for name in names],
            Models=[model(e) for e in entries],
        )
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
