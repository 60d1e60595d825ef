"""The table of evaluation protocols, most of them the papers'.

The numbers of a protocol are in its shipped config
(``configs/benchmarks/classification/``).  Probes and k-NN run on features that
are computed once (:mod:`mssl_plugins.evaluation.runner`); fine-tuning runs the
config through ``tools/train.py`` (:mod:`mssl_plugins.evaluation.finetune`).
"""

from typing import Dict, List, NamedTuple, Optional

from mssl_plugins.errors import unknown


class Protocol(NamedTuple):
    """One way to measure a backbone.

    Attributes:
        title (str): A short description.
        source (str): The paper and section that it comes from.
        kind (str): 'knn', 'probe', 'layers', 'logistic', 'finetune', 'multilabel'
            (several labels an image), 'dense' (on images with label maps) or
            'video'.
        configs (dict): The shipped config for each family, 'vit' and
            'resnet'; None if the numbers are in the code. The protocol does
            not apply to a family that is missing.
        labels (float): Fraction of the labels that fine-tuning uses.
    """

    title: str
    source: str
    kind: str
    configs: Dict[str, Optional[str]]
    labels: float = 1.0


def _both(name: Optional[str]) -> Dict[str, Optional[str]]:
    return dict(vit=name, resnet=name)


PROTOCOLS = {
    'knn': Protocol('weighted k-NN', 'MST, section 4', 'knn', _both('vit-s16_knn-mst_in1k')),
    'linear': Protocol(
        'linear, last layer',
        'MST, section 5',
        'probe',
        _both('vit-s16_8xb128-linear-mst-coslr-100e_in1k'),
    ),
    'moco-linear': Protocol(
        'linear, pooled last layer, lr 30',
        'MixMask, Table 2',
        'probe',
        _both('resnet50_4xb64-linear-moco-steplr-100e_in1k'),
    ),
    'mae-linear': Protocol(
        'linear, LARS and BatchNorm',
        'mask-guided attention, Table 4; ASL, Table 1',
        'probe',
        _both('vit-b16_8xb2048-linear-mae-coslr-90e_in1k'),
    ),
    'dino-linear': Protocol(
        'linear, last 4 blocks',
        'mask-guided attention, Table 3; MST, section 5',
        'probe',
        _both('vit-s16_8xb32-linear-dino-coslr-100e_in1k'),
    ),
    'multilayer': Protocol(
        'linear, conv1 to conv5',
        'MaskCo, A.3',
        'layers',
        dict(resnet='resnet50_8xb32-multilayer-maskco-steplr-90e_in1k'),
    ),
    'logistic': Protocol(
        'logistic regression, L-BFGS',
        'ours',
        'logistic',
        _both('vit-s16_8xb128-linear-mst-coslr-100e_in1k'),
    ),
    'finetune-100': Protocol(
        'fine-tuning',
        "mask-guided attention, Table 5 (DINO's); MixMask, Table 3",
        'finetune',
        dict(
            vit='vit-s16_4xb64-finetune-100-dino-coslr-100e_in1k',
            resnet='resnet50_4xb64-finetune-100-mixmask-steplr-20e_in1k',
        ),
    ),
    'mae-finetune-100': Protocol(
        "fine-tuning, MAE's",
        'mask-guided attention, Table 6; ASL, Table 2',
        'finetune',
        dict(vit='vit-b16_8xb128-finetune-100-mae-coslr-100e_in1k'),
    ),
    'finetune-10': Protocol(
        'fine-tuning, 10 % of the labels',
        'Semi-ViT; MixMask, Table 3',
        'finetune',
        dict(
            vit='vit-s16_8xb64-finetune-10-semivit-coslr-100e_in1k',
            resnet='resnet50_4xb64-finetune-10-mixmask-steplr-20e_in1k',
        ),
        0.1,
    ),
    'finetune-1': Protocol(
        'fine-tuning, 1 % of the labels',
        'Semi-ViT; MixMask, Table 3',
        'finetune',
        dict(
            vit='vit-s16_8xb64-finetune-1-semivit-coslr-100e_in1k',
            resnet='resnet50_4xb64-finetune-1-mixmask-steplr-20e_in1k',
        ),
        0.01,
    ),
    'voc07-svm': Protocol('linear SVMs, Pascal VOC', 'arXiv 1905.01235', 'multilabel', _both(None)),
    'voc07-low-shot': Protocol(
        'linear SVMs on 1 to 96 images a class', 'arXiv 1905.01235', 'multilabel', _both(None)
    ),
    'patch-knn': Protocol('weighted k-NN of patches', 'ours', 'dense', _both(None)),
    'patch-logistic': Protocol(
        'logistic regression of patches, L-BFGS', 'ours', 'dense', _both(None)
    ),
    'hummingbird': Protocol(
        'in-context retrieval of patches', 'arXiv 2306.01667', 'dense', _both(None)
    ),
    'linear-segmentation': Protocol(
        'BatchNorm and a linear layer on patches', 'DINOv2, section 7.4', 'dense', _both(None)
    ),
    'video-segmentation': Protocol(
        'masks carried through videos', 'DINO, section 4.2.2', 'video', _both(None)
    ),
}
OTHER_DATA = dict(
    multilabel='several labels an image', dense='label maps', video='videos with masks'
)
# 'all' is all of those on images with one label each
GROUPS = dict(
    all=[n for n, p in PROTOCOLS.items() if p.kind not in OTHER_DATA],
    frozen=[n for n, p in PROTOCOLS.items() if p.kind not in (*OTHER_DATA, 'finetune')],
    finetune=[n for n, p in PROTOCOLS.items() if p.kind == 'finetune'],
    dense=[n for n, p in PROTOCOLS.items() if p.kind == 'dense'],
)


def choose(names: str, family: str) -> List[str]:
    """The protocols that a command line names.

    Args:
        names (str): Names separated by commas; 'all', 'frozen', 'finetune' and
            'dense' stand for those of them that the family has.
        family (str): 'vit' or 'resnet'.

    Returns:
        list[str]: Keys of ``PROTOCOLS``.

    Raises:
        ValueError: For an unknown name, one that the family lacks, or protocols
            on different kinds of data.
    """
    chosen: List[str] = []
    for name in filter(None, (n.strip() for n in names.split(','))):
        if name in GROUPS:
            chosen += [n for n in GROUPS[name] if family in PROTOCOLS[n].configs]
        elif name not in PROTOCOLS:
            raise unknown(name, [*PROTOCOLS, *GROUPS], 'protocol')
        elif family not in PROTOCOLS[name].configs:
            needs = ', '.join(
                'a ResNet' if f == 'resnet' else 'a ViT' for f in PROTOCOLS[name].configs
            )
            raise ValueError(
                f"protocol '{name}' is for {needs}; the checkpoint "
                f'holds a {"ViT" if family == "vit" else "ResNet"}'
            )
        else:
            chosen.append(name)
    if not chosen:
        raise ValueError(f'no protocol named; there are {", ".join(PROTOCOLS)}')
    wanted = {OTHER_DATA.get(PROTOCOLS[n].kind, 'one label an image') for n in chosen}
    if len(wanted) > 1:
        raise ValueError(
            f'{", ".join(chosen)} need {" and ".join(sorted(wanted))}: measure them in two commands'
        )
    return list(dict.fromkeys(chosen))
