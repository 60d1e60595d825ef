"""Fits a recipe to images whose channels are not 8-bit RGB."""

from typing import List, Sequence

from mssl_plugins.config import each_dict
from mssl_plugins.errors import UserError

# Defined for 8-bit RGB only; Photometric refuses it for other images.
COLOR = ('saturation', 'hue')


def set_channels(
    cfg, channels: int, bits: int, mean: Sequence[float], std: Sequence[float]
) -> List[str]:
    """Changes a config so that it trains on images with this number of channels.

    Sets the input channels of the backbone, the output channels of a decoder that predicts
    pixels, and the normalization. For anything but 8-bit RGB it also switches off the color
    augmentations, which are defined for 8-bit RGB only.

    Args:
        cfg (mmengine.Config): A pre-training config; changed in place.
        channels (int): Channels of an image.
        bits (int): Bits of a channel, 8 or 16.
        mean (Sequence[float]): Mean of each channel, in the units of the files' values.
        std (Sequence[float]): Standard deviation of each channel, in the same units.

    Returns:
        list[str]: One line for each change.

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
        node.update(mean=list(mean), std=list(std), bits=bits)
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
    """Switches off color augmentations in every view; returns the names of those it found."""
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
