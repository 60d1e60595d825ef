"""A figure's command on a small method and an image."""

from argparse import ArgumentParser

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mssl_plugins.commands.figures import OPTIONS
from mssl_plugins.registry import MODELS


def drawn(figures, folder, model, words):
    """The image that a command of ``tools/visualize.py`` writes, BGR.

    Args:
        figures (module): Of ``mssl_plugins.visualization``.
        folder (Path): For config, checkpoint, input image and figure.
        model (dict): The config of a method; its weights are random.
        words (Sequence[str]): Further arguments.
    """
    cv2.imwrite(str(folder / 'photo.png'), np.full((20, 30, 3), 90, np.uint8))
    (folder / 'c.py').write_text(f"default_scope = 'mmpretrain'\nmodel = {model!r}\n")
    init_default_scope('mmpretrain')
    built = MODELS.build(Config.fromfile(folder / 'c.py').model)
    torch.save(dict(state_dict=built.state_dict()), folder / 'c.pth')
    parser = ArgumentParser()
    OPTIONS[figures.__name__.rpartition('.')[2]](parser)
    files = [folder / 'c.py', folder / 'c.pth', folder / 'photo.png']
    words = [*files, '--out', folder / 'out.png', *words]
    figures.run(parser.parse_args([str(word) for word in words]))
    return cv2.imread(str(folder / 'out.png'))
