"""Finds images and label maps of segmentation data sets in the folders they unpack to.

- own masks: ``DIR/{img,ann}/{train,val}``, a mask is ``ann/SPLIT/NAME.png``
- Pascal VOC (2007 or 2012): ``JPEGImages``, ``SegmentationClass``,
  ``ImageSets/Segmentation/{train,val}.txt``, in DIR itself or in
  ``DIR/VOCdevkit/VOC2012``; 21 classes, background among them
- ADE20K (SceneParse150): ``{images,annotations}/{training,validation}``, in DIR
  or in ``DIR/ADEChallengeData2016``; 150 classes, 0 is none
- Cityscapes: ``leftImg8bit/{train,val}/CITY`` and ``gtFine/{train,val}/CITY``, by
  ``*_labelTrainIds.png`` or, where those were not made, ``*_labelIds.png``;
  19 classes
"""

from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from mssl_plugins.datasets.image_io import EXTENSIONS

Pairs = List[Tuple[Path, Path]]
SPLITS = dict(train='train', test='val')
# Cityscapes' label ids that are evaluated, in the order of their train ids
CITYSCAPES = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
IDS = 34


class MaskLayout(NamedTuple):
    """Images and label maps of a data set.

    Attributes:
        name (str): Name of the layout.
        pairs (dict[str, list]): 'train' and 'test': lists of (image, mask).
        ignore (tuple[int, ...]): Numbers in the masks that are no class.
        count (int, optional): How many numbers there are, including those in
            ``ignore``; None: it follows from the training masks.
    """

    name: str
    pairs: Dict[str, Pairs]
    ignore: Tuple[int, ...] = ()
    count: Optional[int] = None


def find_layout(folder: Path) -> MaskLayout:
    """The layout of a folder.

    Raises:
        FileNotFoundError: If it has none of the layouts, a split is missing, or
            an image has no mask.
    """
    folder = Path(folder)
    for root in (folder, folder / 'VOCdevkit/VOC2012', folder / 'VOC2012'):
        if (root / 'SegmentationClass').is_dir():
            return _checked('VOC', {k: _voc(root, s) for k, s in SPLITS.items()}, count=21)
    for root in (folder, folder / 'ADEChallengeData2016'):
        if (root / 'annotations/training').is_dir():
            splits = dict(train='training', test='validation')
            pairs = {
                k: _named_alike(root / 'images' / s, root / 'annotations' / s)
                for k, s in splits.items()
            }
            return _checked('ADE20K', pairs, (0,), 151)
    if (folder / 'leftImg8bit').is_dir():
        return _cityscapes(folder)
    pairs = {
        k: _named_alike(folder / 'img' / s, folder / 'ann' / s, _own_masks)
        for k, s in SPLITS.items()
    }
    return _checked('own masks', pairs)


def _own_masks(missing: Path) -> str:
    return (
        f'no {missing}: images with label maps lie in DIR/img/train, DIR/img/val, DIR/ann/train '
        'and DIR/ann/val, or as Pascal VOC, ADE20K or Cityscapes are unpacked'
    )


def _checked(
    name: str, pairs: Dict[str, Pairs], ignore: Tuple[int, ...] = (), count: Optional[int] = None
) -> MaskLayout:
    for split in pairs.values():
        missing = [mask for _, mask in split if not mask.is_file()]
        if missing:
            raise FileNotFoundError(
                f'{len(missing)} of {len(split)} images of {split[0][0].parent} have no '
                f'mask, the first would be {missing[0]}'
            )
    return MaskLayout(name, pairs, ignore, count)


def _named_alike(
    images: Path, masks: Path, explain: Callable[[Path], str] = 'no such folder: {}'.format
) -> Pairs:
    for folder in (images, masks):
        if not folder.is_dir():
            raise FileNotFoundError(explain(folder))
    found = sorted(f for f in images.iterdir() if f.suffix.lower() in EXTENSIONS)
    if not found:
        raise FileNotFoundError(f'no image in {images}')
    return [(f, masks / f'{f.stem}.png') for f in found]


def _voc(root: Path, split: str) -> Pairs:
    file = root / 'ImageSets/Segmentation' / f'{split}.txt'
    if not file.is_file():
        raise FileNotFoundError(f'no {file}: it names the images of Pascal VOC')
    names = file.read_text().split()
    if not names:
        raise FileNotFoundError(f'{file} names no image')
    return [(root / f'JPEGImages/{n}.jpg', root / f'SegmentationClass/{n}.png') for n in names]


def _cityscapes(root: Path) -> MaskLayout:
    trained = any((root / 'gtFine').glob('*/*/*_labelTrainIds.png'))
    kind = 'labelTrainIds' if trained else 'labelIds'
    pairs = {}
    for key, split in SPLITS.items():
        images = sorted((root / 'leftImg8bit' / split).glob('*/*_leftImg8bit.png'))
        if not images:
            raise FileNotFoundError(
                f'no image in {root / "leftImg8bit" / split}/CITY, where Cityscapes has them'
            )
        pairs[key] = [
            (f, root / 'gtFine' / split / f.parent.name / f'{f.name[:-16]}_gtFine_{kind}.png')
            for f in images
        ]
    if trained:
        return _checked('Cityscapes', pairs, count=len(CITYSCAPES))
    others = tuple(i for i in range(IDS) if i not in CITYSCAPES)
    return _checked('Cityscapes', pairs, others, IDS)
