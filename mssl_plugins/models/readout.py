"""The features that protocols on frozen backbones read, in one forward pass.

- ``cls``, ``avg``: class token, or average of the patch tokens or of the map,
  after the last norm (MST section 5, MixMask Table 2, ASL Table 1)
- ``blocks4``: the class tokens of the last 4 blocks, each after the last
  norm, side by side (DINO, arXiv 2104.14294, appendix F.2, as MST's
  supplement section 5 describes it)
- ``conv1`` ... ``conv5``: the stem and the stages of a ResNet, pooled to
  about 9,000 dimensions (MaskCo's supplement, A.3)
- ``patches``: every patch token of a ViT after the last norm, row by row;
  ``map4``, ``map5``: every cell of a ResNet's conv4 and conv5
"""

import re
from contextlib import contextmanager
from inspect import Parameter, signature
from typing import Dict, Iterator, List, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mssl_plugins.errors import unknown

POOLS = ('auto', 'cls', 'avg', 'last')
CONVS = ('conv1', 'conv2', 'conv3', 'conv4', 'conv5')
MAPS = dict(map4='conv4', map5='conv5')
# Average pooling of the maps of a 224 px image: side -> (kernel, stride,
# padding), and the side of what comes out (MaskCo A.3).  Maps of other sides
# are averaged to that side, or kept where they are smaller (our choice).
POOLING = dict(
    conv1=(112, (10, 10, 4), 12),
    conv2=(56, (16, 8, 0), 6),
    conv3=(28, (13, 5, 0), 4),
    conv4=(14, (8, 3, 0), 3),
    conv5=(7, (6, 1, 0), 2),
)


def extra_tokens(backbone: nn.Module) -> int:
    """Number of tokens before the patch tokens, such as the class token."""
    for name in ('num_extra_tokens', 'num_prefix_tokens'):
        if isinstance(getattr(backbone, name, None), int):
            return getattr(backbone, name)
    return int(getattr(backbone, 'cls_token', None) is not None)


def pool_output(out, pool: str = 'auto', extra: int = 0) -> Tensor:
    """One vector an image from a backbone's output.

    Args:
        out (Tensor | tuple): (B, C, H, W) map, (B, L, D) tokens or (B, D)
            vectors; of a tuple the last is taken.
        pool (str): 'auto': maps are averaged, of tokens the class token is
            taken, or their average where there is none. 'cls': the class
            token. 'avg': the average over the map or the patch tokens.
            'last': the output as it is, flattened. Defaults to 'auto'.
        extra (int): How many of the L tokens come before the patch tokens.
            Defaults to 0.

    Returns:
        Tensor: (B, D) float32.

    Raises:
        ValueError: For an unknown pool, or 'cls' without a class token.
    """
    if pool not in POOLS:
        raise unknown(pool, POOLS, 'pool')
    while isinstance(out, (tuple, list)):
        out = out[-1]
    out = out.float()
    if pool == 'last' or out.ndim == 2:
        return out.flatten(1)
    if pool == 'cls' and (out.ndim != 3 or not extra):
        raise ValueError(
            "pool='cls' needs a class token, got an output of "
            f"shape {tuple(out.shape)}: use pool='avg'"
        )
    if out.ndim == 3:
        if extra and pool != 'avg':
            return out[:, 0]
        return out[:, extra:].mean(1)
    return out.flatten(2).mean(2)


@contextmanager
def output_type(backbone: nn.Module, pool: str) -> Iterator[None]:
    """A context in which mmpretrain's transformers return what ``pool`` needs."""
    before = getattr(backbone, 'out_type', None)
    wanted = before
    if pool == 'cls':
        wanted = 'cls_token'
    elif pool == 'avg' and before == 'cls_token':
        wanted = 'raw'
    change = wanted != before and wanted in getattr(backbone, 'OUT_TYPES', ())
    if change:
        backbone.out_type = wanted
    try:
        yield
    finally:
        if change:
            backbone.out_type = before


def image_channels(backbone: nn.Module) -> int:
    """Channels of the images that a backbone takes, told by its first convolution."""
    first = next((p for p in backbone.parameters() if p.ndim == 4), None)
    return 3 if first is None else first.shape[1]


def patch_size(backbone: nn.Module) -> int:
    """Side in px of the patches of a ViT of mmpretrain's or ours; the former has no such field."""
    return int(backbone.patch_embed.projection.kernel_size[0])


def forward_backbone(backbone: nn.Module, x: Tensor, **context):
    """The output of a backbone for whole, unmasked images (B, 3, H, W)."""
    if context:  # what else the model's backbone_kwargs found in the samples
        return backbone(x, **context)
    if type(backbone).__module__.startswith('timm.'):  # no classifier
        return backbone.forward_features(x)
    mask = signature(backbone.forward).parameters.get('mask')
    # MAE's encoder masks unless told not to; others take a mask or nothing.
    if mask is not None and mask.default in (True, Parameter.empty):
        return backbone(x, mask=None)
    return backbone(x)


def pool_map(x: Tensor, name: str) -> Tensor:
    """Average pooling of a stage's map for a linear classifier.

    Args:
        x (Tensor): (B, C, H, W).
        name (str): 'conv1' ... 'conv5'.

    Returns:
        Tensor: (B, C * S * S) float32.
    """
    side, kernel, out = POOLING[name]
    x = x.float()
    if tuple(x.shape[2:]) == (side, side):
        return F.avg_pool2d(x, *kernel).flatten(1)
    size = [min(out, s) for s in x.shape[2:]]
    return F.adaptive_avg_pool2d(x, size).flatten(1)


def is_transformer(backbone: nn.Module) -> bool:
    """Whether it is a plain ViT of mmpretrain's or ours."""
    return (
        isinstance(getattr(backbone, 'layers', None), nn.ModuleList)
        and hasattr(backbone, 'patch_embed')
        and hasattr(backbone, 'pos_embed')
    )


def is_resnet(backbone: nn.Module) -> bool:
    """Whether it has a stem and four stages ``layer1`` ... ``layer4``."""
    return all(hasattr(backbone, f'layer{i}') for i in range(1, 5))


def kinds_of(backbone: nn.Module) -> List[str]:
    """The kinds of features that a backbone has, the default one first."""
    if is_transformer(backbone):
        tokens = ['cls'] if extra_tokens(backbone) else []
        n = len(backbone.layers)
        blocks = [f'blocks{min(4, n)}'] if tokens else []
        return [*tokens, 'avg', *blocks]
    return ['avg', *CONVS] if is_resnet(backbone) else ['avg']


def dense_kinds(backbone: nn.Module) -> List[str]:
    """The kinds that hold one vector for every part of an image.

    Raises:
        ValueError: For a backbone that has none.
    """
    if is_transformer(backbone):
        return ['patches']
    if is_resnet(backbone):
        return list(MAPS)
    raise ValueError(
        'dense features need a ViT or a ResNet, whose output keeps a map; a '
        f'{type(backbone).__name__} has none'
    )


def _stem(backbone: nn.Module) -> nn.Module:
    """The module whose output is conv1: before any max-pool."""
    stem = backbone.relu if hasattr(backbone, 'relu') else backbone.stem
    # SmallImageResNet keeps ReLU and max-pool in one.
    return stem[0] if hasattr(backbone, 'relu') and isinstance(stem, nn.Sequential) else stem


def _check(backbone: nn.Module, kinds: Sequence[str]) -> None:
    name = type(backbone).__name__
    for kind in kinds:
        blocks = re.fullmatch(r'blocks(\d+)', kind)
        if kind in ('avg', 'auto'):
            continue
        if kind in CONVS and not is_resnet(backbone):
            raise ValueError(f'features of {kind} need a ResNet, got a {name}')
        if kind in MAPS or kind == 'patches':
            if kind not in dense_kinds(backbone):
                raise ValueError(
                    f"'{kind}' needs a {'ResNet' if kind in MAPS else 'ViT'}, got a {name}"
                )
        elif kind == 'cls' or blocks:
            if not is_transformer(backbone) or not extra_tokens(backbone):
                raise ValueError(f"'{kind}' needs a ViT with a class token, got a {name}")
            if blocks and not 1 <= int(blocks[1]) <= len(backbone.layers):
                raise ValueError(f"'{kind}': this {name} has {len(backbone.layers)} blocks")
        elif kind not in CONVS:
            raise unknown(
                kind,
                ['auto', 'avg', 'cls', 'blocks4', *CONVS, 'patches', *MAPS],
                'kind of features',
            )


@contextmanager
def _outputs_of(modules: Dict[str, nn.Module]) -> Iterator[Dict[str, Tensor]]:
    """A context that collects the first output of each module."""
    found = {}

    def note(name):
        def hook(module, args, out):
            found.setdefault(name, out[0] if isinstance(out, tuple) else out)

        return hook

    handles = [m.register_forward_hook(note(n)) for n, m in modules.items()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def read_layers(backbone: nn.Module, x: Tensor, kinds: Sequence[str]) -> Dict[str, Tensor]:
    """Several kinds of features from one forward pass.

    The caller sets gradients and train/eval mode.

    Args:
        backbone (nn.Module): A ViT or ResNet; any other gives 'avg' only.
        x (Tensor): (B, 3, H, W) normalized images.
        kinds (Sequence[str]): Kinds in this module's docstring; 'auto' is the
            first of :func:`kinds_of`.

    Returns:
        dict[str, Tensor]: (B, D) float32 of each kind.

    Raises:
        ValueError: If the backbone has no such features.
    """
    _check(backbone, kinds)
    real = {k: kinds_of(backbone)[0] if k == 'auto' else k for k in kinds}
    wanted = set(real.values())
    hooked: Dict[str, nn.Module] = {}
    if is_transformer(backbone):
        depth = max([1, *(int(k[6:]) for k in wanted if k[:6] == 'blocks')])
        hooked = {str(i): layer for i, layer in enumerate(list(backbone.layers)[-depth:])}
    elif wanted & {*CONVS, *MAPS}:
        hooked = {f'conv{i + 1}': getattr(backbone, f'layer{i}') for i in range(1, 5)}
        hooked['conv1'] = _stem(backbone)
    with _outputs_of(hooked) as seen:
        if is_transformer(backbone):
            forward_backbone(backbone, x)
            # whatever `out_type` says: tokens come from the blocks themselves
            found = _of_tokens(backbone, [seen[str(i)] for i in range(depth)], wanted)
        else:
            with output_type(backbone, 'auto'):
                out = forward_backbone(backbone, x)
            found = {k: pool_map(seen[k], k) for k in wanted & set(CONVS)}
            for k in wanted & set(MAPS):  # cell after cell
                found[k] = seen[MAPS[k]].float().flatten(2).transpose(1, 2).flatten(1)
            if 'avg' in wanted:
                found['avg'] = pool_output(out, 'avg', extra_tokens(backbone))
    return {given: found[kind] for given, kind in real.items()}


def _of_tokens(backbone: nn.Module, blocks: List[Tensor], wanted) -> Dict[str, Tensor]:
    norm = backbone.ln1 if getattr(backbone, 'final_norm', False) else nn.Identity()
    # inside the network registers stand between class token and patches
    extra = extra_tokens(backbone) + getattr(backbone, 'registers', 0)
    found = {}
    for kind in wanted:
        if kind == 'avg':
            found[kind] = norm(blocks[-1])[:, extra:].mean(1).float()
        elif kind == 'patches':
            found[kind] = norm(blocks[-1])[:, extra:].float().flatten(1)
        else:
            n = 1 if kind == 'cls' else int(kind[6:])
            found[kind] = torch.cat([norm(b)[:, 0].float() for b in blocks[-n:]], 1)
    return found


class MultiFeature(nn.Module):
    """A backbone whose output is all kinds of features side by side.

    For :func:`mssl_plugins.evaluation.features.extract_features`, with
    ``pool='last'``.

    Args:
        backbone (nn.Module): See :func:`read_layers`.
        kinds (Sequence[str]): See :func:`read_layers`.
    """

    def __init__(self, backbone: nn.Module, kinds: Sequence[str]) -> None:
        super().__init__()
        _check(backbone, kinds)
        self.inner, self.kinds = backbone, list(kinds)
        self.widths: List[int] = []

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, sum of the kinds' dimensions)."""
        found = read_layers(self.inner, x, self.kinds)
        self.widths = [found[k].shape[1] for k in self.kinds]
        return torch.cat([found[k] for k in self.kinds], 1)

    def split(self, features: Tensor) -> Dict[str, Tensor]:
        """The columns of each kind, (B, D); to be called after a forward pass."""
        return dict(zip(self.kinds, features.split(self.widths, 1)))
