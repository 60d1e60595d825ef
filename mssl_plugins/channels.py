"""Fits a recipe to images of other channels than 8-bit RGB."""

from typing import List, Sequence

from mssl_plugins.config import each_dict
from mssl_plugins.errors import UserError

# What is defined for 8-bit RGB alone; Photometric refuses it for other images.
COLOR = ('saturation', 'hue')


def set_channels(
    cfg, channels: int, bits: int, mean: Sequence[float], std: Sequence[float]
) -> List[str]:
    """Trains on images of so many channels.

    The network's first layer, what predicts pixels, and the normalization follow; what the
    views do to color is left out, for it is defined for 8-bit RGB.

    Args:
        cfg (mmengine.Config): A pre-training config; changed in place.
        channels (int): Channels of an image.
        bits (int): 8 or 16.
        mean (Sequence[float]): Of each channel, in the values of the files.
        std (Sequence[float]): Likewise.

    Returns:
        list[str]: What changed.

    Raises:
        UserError: If the config makes its views of whole batches, or has no
            preprocessor of ours.
    """
    found = [
        n for n in each_dict(cfg._cfg_dict) if n.get('type') == 'mssl_plugins.ViewPreprocessor'
    ]
    if not found or any(node.get('views') for node in found):
        raise UserError(
            '--channels: the config needs a data_preprocessor of type '
            'mssl_plugins.ViewPreprocessor without views'
        )
    for node in found:
        node.update(mean=list(mean), std=list(std))
    cfg.model['backbone']['in_channels'] = channels
    for node in each_dict(cfg.model):
        if node.get('type') == 'mssl_plugins.MAEDecoder':
            node['in_chans'] = channels
        elif node.get('type') == 'mssl_plugins.PixelDecoder':
            node['out_channels'] = channels
    kind = f'{channels} channel{"s" if channels > 1 else ""} of {bits} bits'
    said = [f'{kind}: mean {_short(mean)}, standard deviation {_short(std)}']
    left = _leave_color(cfg) if (channels, bits) != (3, 8) else []
    if left:
        said.append(f'{", ".join(left)}: left out of the views, for they are for 8-bit RGB')
    return said


def _short(values: Sequence[float]) -> str:
    return ' / '.join(f'{value:.4g}' for value in values)


def _leave_color(cfg) -> List[str]:
    """Switches off what is for 8-bit RGB in every view; returns what that was."""
    left = []
    for node in each_dict(cfg._cfg_dict):
        for view in node.get('views') or () if 'Views' in str(node.get('type')) else ():
            jitter = view.get('jitter') or {}
            for name in COLOR:
                if jitter.get(name):
                    jitter[name] = 0.0
                    left.append(name)
            if view.get('gray'):
                view['gray'] = 0.0
                left.append('gray')
            if view.get('solarize'):
                view['solarize'] = None
                left.append('solarize')
    return list(dict.fromkeys(left))
