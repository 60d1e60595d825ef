"""One function for each library: the files that it reads, and how to load them.

Each takes a :class:`~mssl_plugins.checkpoints.reader.Backbone` and gives a
:class:`Package`, or raises a ValueError that says why the library has no such network.
"""

from typing import Any, Callable, Dict, NamedTuple

import torch
from torch import Tensor

from mssl_plugins.checkpoints import naming as keys
from mssl_plugins.checkpoints.images import INTERPOLATION, crop_fraction, resize_for
from mssl_plugins.checkpoints.reader import Backbone
from mssl_plugins.export import newer
from mssl_plugins.export.checks import (
    check_resnet,
    check_vit,
    no_such_network,
    norm_eps,
    pair,
    timm_sizes,
    with_bias,
)

SAFETENSORS, TORCH = 'model.safetensors', 'backbone.pth'


class Package(NamedTuple):
    """What is written for a library.

    Attributes:
        file (str): Name of the file of weights; its suffix is its format.
        weights (Dict[str, Tensor]): Under the library's names.
        model (Any): What builds the network there.
        load (str): A line that loads it; ``OUT`` is the folder.
        around (Callable): Turns the weights into what ``torch.save`` writes.
            Defaults to the weights themselves.
        extra (Dict[str, dict]): Further JSON files by name. Defaults to none.
    """

    file: str
    weights: Dict[str, Tensor]
    model: Any
    load: str
    around: Callable = dict
    extra: Dict[str, dict] = {}


def _init_cfg(prefix: bool) -> dict:
    cfg = dict(type='Pretrained', checkpoint=f'OUT/{TORCH}')
    return dict(cfg, prefix='backbone.') if prefix else cfg


def _openmmlab(model: dict, weights: Dict[str, Tensor], prefix: bool) -> Package:
    model = dict(model, init_cfg=_init_cfg(prefix))
    if prefix:
        weights = {f'backbone.{k}': v for k, v in weights.items()}
    line = ', '.join(f'{k}={v!r}' for k, v in model['init_cfg'].items() if k != 'type')
    return Package(
        TORCH,
        weights,
        model,
        f"backbone.init_cfg = dict(type='Pretrained', {line})",
        lambda w: dict(meta={}, state_dict=w),
    )


def mmpretrain(b: Backbone) -> Package:
    """A checkpoint whose keys begin with ``backbone.``.

    It fits ``init_cfg`` with that prefix, and ``load_from``, also when pre-training is
    continued.
    """
    weights = keys.from_ours(b.weights, b.family, 'mmpretrain')
    return _openmmlab(newer.mmpretrain_config(b), weights, True)


def mmdet(b: Backbone) -> Package:
    """A checkpoint without prefix, like the torchvision weights that mmdet's configs name.

    mmdet has no ViT; mmpretrain's is used, with a map as its output.
    """
    if b.family == 'vit':
        model = dict(newer.mmpretrain_config(b), out_type='featmap')
    else:
        model = _dense_resnet(b, 'mmdet')
    weights = {k: v for k, v in b.weights.items() if not k.startswith('ln2.')}  # after pooling
    return _openmmlab(model, weights, False)


def _dense_resnet(b: Backbone, scope: str) -> dict:
    if b.config['type'] != 'mmpretrain.ResNet':
        return b.config
    return {'stem_channels': 64, **b.config, 'type': f'{scope}.ResNet'}


def mmseg(b: Backbone) -> Package:
    """A checkpoint without prefix: mmseg's ViT reads no other file.

    Raises:
        ValueError: If mmseg has no such network; the message says why.
    """
    if b.family == 'resnet':
        return _openmmlab(_dense_resnet(b, 'mmseg'), b.weights, False)
    arch, c = check_vit(b, 'mmseg', pre=True, cls=False, eps=False), b.config
    if c.get('out_type') == 'avg_featmap':
        raise no_such_network('mmseg', 'its ViT has no norm after pooling (ln2)')
    ratio, rest = divmod(arch['feedforward_channels'], arch['embed_dims'])
    if rest:
        raise no_such_network(
            'mmseg', 'its MLPs are a whole number of times as wide as the network'
        )
    weights = with_bias(b)
    cls = c.get('with_cls_token', True)
    if not cls:  # mmseg has one always, and takes it off before the blocks
        weights['cls_token'] = weights['pos_embed'].new_zeros(1, 1, arch['embed_dims'])
        weights['pos_embed'] = torch.cat([weights['cls_token'], weights['pos_embed']], 1)
    model = dict(
        type='mmseg.VisionTransformer',
        img_size=b.size,
        patch_size=pair(c['patch_size'])[0],
        embed_dims=arch['embed_dims'],
        num_layers=arch['num_layers'],
        num_heads=arch['num_heads'],
        mlp_ratio=ratio,
        with_cls_token=cls,
        norm_cfg=dict(type='LN', eps=norm_eps(b)),
        final_norm=c.get('final_norm', True),
        pre_norm=c.get('pre_norm', False),
        patch_bias='patch_embed.projection.bias' in b.weights,
    )
    return _openmmlab(model, keys.from_ours(weights, 'vit', 'mmseg'), False)


def timm(b: Backbone) -> Package:
    """A folder for ``timm.create_model('local-dir:OUT', pretrained=True)``.

    Raises:
        ValueError: If timm has no such network; the message says why.
    """
    channels = b.config.get('in_channels', 3)
    pretrained = dict(
        input_size=[channels, *b.size],
        num_classes=0,
        interpolation=INTERPOLATION,
        crop_pct=crop_fraction(b.size[0]),
        crop_mode='center',
    )
    if b.mean and b.std:
        pretrained.update(mean=[v / 255 for v in b.mean], std=[v / 255 for v in b.std])
    if b.family == 'resnet':
        check_resnet(b, 'timm')
        name, args, naming = f'resnet{b.config["depth"]}', {}, 'mmpretrain'
        pretrained.update(first_conv='conv1', classifier='fc')
    elif 'rope' in b.config:
        naming, (name, args) = 'eva', newer.dinov3_in_timm(b)
        pretrained.update(first_conv='patch_embed.proj', classifier='head')
    else:
        c, naming = b.config, 'timm'
        arch = check_vit(b, 'timm', scale=True, pre=True, cls=False, newer=True)
        dim, hidden = arch['embed_dims'], arch['feedforward_channels']
        cls, pooled = c.get('with_cls_token', True), c.get('out_type') == 'avg_featmap'
        final = c.get('final_norm', True)
        if pooled and final:
            raise no_such_network('timm', 'its ViT has a norm before or after pooling, not both')
        ratio = hidden / dim if int(dim * (hidden / dim)) == hidden else (hidden + 0.5) / dim
        size = {192: 'tiny', 384: 'small', 1024: 'large'}.get(dim, 'base')
        name = f'vit_{size}_patch16_224'
        if newer.swiglu(b):
            name, ratio = newer.timm_swiglu(b)
        args = dict(
            timm_sizes(b),
            mlp_ratio=ratio,
            class_token=cls,
            global_pool='token' if cls and not pooled else 'avg',
            fc_norm=pooled,
        )
        if 'layers.0.attn.qkv.bias' not in b.weights:
            args['qkv_bias'] = False
        if 'layer_scale_init_value' in c:
            args['init_values'] = c['layer_scale_init_value']
        elif newer.swiglu(b):
            args['init_values'] = None
        if 'registers' in c:
            args.update(reg_tokens=c['registers'], no_embed_class=True)
        if c.get('pre_norm'):
            args['pre_norm'] = True
        if ('patch_embed.projection.bias' in b.weights) == bool(c.get('pre_norm')):
            raise no_such_network('timm', 'its patch embedding has a bias unless a norm follows')
        if not final and not pooled:
            args['final_norm'] = False
        pretrained.update(first_conv='patch_embed.proj', classifier='head', fixed_input_size=True)
    config = dict(
        architecture=name,
        num_classes=0,
        num_features=b.config['arch']['embed_dims']
        if b.family == 'vit'
        else b.weights['layer4.0.downsample.0.weight'].shape[0],
        pretrained_cfg=pretrained,
    )
    if b.family == 'vit':
        config.update(global_pool=args['global_pool'])
    if channels != 3:
        args['in_chans'] = channels
        del pretrained['first_conv']  # which timm would adapt from RGB
    if args:
        config.update(model_args=args)
    return Package(
        SAFETENSORS,
        keys.from_ours(b.weights, b.family, naming),
        config,
        "timm.create_model('local-dir:OUT', pretrained=True)",
        extra={'config.json': config},
    )


def hf(b: Backbone) -> Package:
    """A folder for ``transformers``' ``from_pretrained``.

    Raises:
        ValueError: If transformers has no such network; the message says why.
    """
    naming = 'hf'
    if b.family == 'resnet':
        check_resnet(b, 'hf', widths=True, caffe=True)
        c, bottleneck = b.config, 'layer1.0.conv3.weight' in b.weights
        last = 'conv3' if bottleneck else 'conv2'
        config = dict(
            architectures=['ResNetModel'],
            model_type='resnet',
            num_channels=3,
            embedding_size=c.get('stem_channels', 64),
            hidden_sizes=[len(b.weights[f'layer{i}.0.{last}.weight']) for i in range(1, 5)],
            depths=[
                len({k.split('.')[1] for k in b.weights if k.startswith(f'layer{i}.')})
                for i in range(1, 5)
            ],
            layer_type='bottleneck' if bottleneck else 'basic',
            hidden_act='relu',
            downsample_in_first_stage=False,
            downsample_in_bottleneck=c.get('style', 'pytorch') == 'caffe',
        )
        load = "transformers.ResNetModel.from_pretrained('OUT')"
    elif 'rope' in b.config or 'layer_scale_init_value' in b.config:
        naming = 'hf_dinov3' if 'rope' in b.config else 'hf_dinov2'
        config = newer.dinov3_in_hf(b) if 'rope' in b.config else newer.dinov2_in_hf(b)
        load = f"transformers.{config['architectures'][0]}.from_pretrained('OUT')"
    else:
        arch, c = check_vit(b, 'hf', eps=False), b.config
        if not c.get('final_norm', True):
            raise no_such_network('hf', 'its ViT always ends in a norm')
        config = dict(
            architectures=['ViTModel'],
            model_type='vit',
            **newer.hf_sizes(b, arch),
            intermediate_size=arch['feedforward_channels'],
            hidden_act='gelu',
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            qkv_bias='layers.0.attn.qkv.bias' in b.weights,
        )
        load = "transformers.ViTModel.from_pretrained('OUT', add_pooling_layer=False)"
    extra = {'config.json': config}
    if b.mean and b.std:
        extra['preprocessor_config.json'] = dict(
            image_processor_type='BitImageProcessor',
            do_resize=True,
            resample=3,
            size=dict(shortest_edge=resize_for(b.size[0])),
            do_center_crop=True,
            crop_size=dict(height=b.size[0], width=b.size[1]),
            do_rescale=True,
            rescale_factor=1 / 255,
            do_normalize=True,
            image_mean=[v / 255 for v in b.mean],
            image_std=[v / 255 for v in b.std],
        )
    weights = keys.from_ours(b.weights, b.family, naming)
    if naming.startswith('hf_'):  # of pre-training only, but its classes have one
        shape = (1, 1, config['hidden_size'])[naming == 'hf_dinov2' :]
        weights['embeddings.mask_token'] = torch.zeros(shape)
    return Package(SAFETENSORS, weights, config, load, extra=extra)


def torchvision(b: Backbone) -> Package:
    """A state dict for the class without its classifier.

    Raises:
        ValueError: If torchvision has no such network; the message says why.
    """
    if b.family == 'resnet':
        check_resnet(b, 'torchvision')
        model = dict(builder=f'resnet{b.config["depth"]}', remove='fc')
        naming = 'mmpretrain'
        build = f'm = torchvision.models.{model["builder"]}(); m.fc = torch.nn.Identity()'
    else:
        arch, naming = check_vit(b, 'torchvision'), 'torchvision'
        if b.size[0] != b.size[1]:
            raise no_such_network('torchvision', f'its ViT takes square images, this one {b.size}')
        if not b.config.get('final_norm', True):
            raise no_such_network('torchvision', 'its ViT always ends in a norm')
        model = dict(
            builder='VisionTransformer',
            image_size=b.size[0],
            patch_size=pair(b.config['patch_size'])[0],
            num_layers=arch['num_layers'],
            num_heads=arch['num_heads'],
            hidden_dim=arch['embed_dims'],
            mlp_dim=arch['feedforward_channels'],
            remove='heads',
        )
        args = ', '.join(f'{k}={v}' for k, v in model.items() if k not in ('builder', 'remove'))
        build = f'm = torchvision.models.VisionTransformer({args}); m.heads = torch.nn.Identity()'
    weights = with_bias(b) if b.family == 'vit' else b.weights
    return Package(
        TORCH,
        keys.from_ours(weights, b.family, naming),
        model,
        f"{build}; m.load_state_dict(torch.load('OUT/{TORCH}', weights_only=True))",
    )


def detectron2(b: Backbone) -> Package:
    """A file for ``MODEL.WEIGHTS`` of a config, or ``DetectionCheckpointer``.

    Its ViT has no final norm. Detectron2 matches names by their ends, so
    ``norm.weight`` in the file would be matched with norms of the pyramid; it
    is left out.

    Raises:
        ValueError: If Detectron2 has no such network; the message says why.
    """
    if b.family == 'resnet':
        check_resnet(b, 'detectron2', widths=b.config['depth'] > 34, caffe=True)
        c, naming = b.config, 'detectron2'
        model = dict(
            RESNETS=dict(
                DEPTH=c['depth'],
                STRIDE_IN_1X1=c.get('style', 'pytorch') == 'caffe',
                STEM_OUT_CHANNELS=c.get('stem_channels', 64),
                RES2_OUT_CHANNELS=len(b.weights['layer1.0.conv3.weight'])
                if c['depth'] > 34
                else 64,
            )
        )
        if 'base_channels' in c:
            model['RESNETS']['WIDTH_PER_GROUP'] = c['base_channels']
        if b.mean and b.std:
            model.update(PIXEL_MEAN=b.mean, PIXEL_STD=b.std)
    else:
        arch, naming = check_vit(b, 'detectron2', cls=False, eps=False), 'timm'
        if b.size[0] != b.size[1]:
            raise no_such_network(
                'detectron2', f'its ViT was made for square images, this one for {b.size}'
            )
        model = dict(
            ViT=dict(
                patch_size=pair(b.config['patch_size'])[0],
                embed_dim=arch['embed_dims'],
                depth=arch['num_layers'],
                num_heads=arch['num_heads'],
                mlp_ratio=arch['feedforward_channels'] / arch['embed_dims'],
                qkv_bias='layers.0.attn.qkv.bias' in b.weights,
                norm_eps=norm_eps(b),
                pretrain_img_size=b.size[0],
                pretrain_use_cls_token=b.config.get('with_cls_token', True),
            )
        )
    weights = {
        k: v
        for k, v in keys.from_ours(b.weights, b.family, naming).items()
        if not k.startswith('norm.') and not k.endswith('num_batches_tracked')
    }  # its frozen norms have none
    return Package(
        TORCH,
        weights,
        model,
        f'MODEL.WEIGHTS: OUT/{TORCH} with INPUT.FORMAT: RGB',
        lambda w: dict(model=w, __author__='mssl_plugins', matching_heuristics=True),
    )


TARGETS = dict(
    mmpretrain=mmpretrain,
    mmdet=mmdet,
    mmseg=mmseg,
    timm=timm,
    hf=hf,
    torchvision=torchvision,
    detectron2=detectron2,
)
