"""Names of the same weights in other libraries, as tables.

"Ours" are MMPretrain's: ``VisionTransformer``'s for ViTs, ``ResNet``'s for
ResNets, which torchvision, timm, mmdet and mmseg name alike.  What tables
cannot say is in :mod:`mssl_plugins.checkpoints.forms`.
"""

from typing import List, NamedTuple, Tuple

Table = List[Tuple[str, str]]

# (theirs, ours); `{}` is a number.  Order matters where one begins another.
VIT: Table = [
    ('cls_token', 'cls_token'),
    ('reg_token', 'register_tokens'),
    ('register_tokens', 'register_tokens'),  # DINOv2's own
    ('pos_embed', 'pos_embed'),
    ('patch_embed.proj.', 'patch_embed.projection.'),
    ('norm_pre.', 'pre_norm.'),
    ('blocks.{}.norm1.', 'layers.{}.ln1.'),
    ('blocks.{}.attn.qkv.', 'layers.{}.attn.qkv.'),
    ('blocks.{}.attn.proj.', 'layers.{}.attn.proj.'),
    ('blocks.{}.ls1.gamma', 'layers.{}.attn.gamma1.weight'),
    ('blocks.{}.norm2.', 'layers.{}.ln2.'),
    ('blocks.{}.mlp.fc1.', 'layers.{}.ffn.layers.0.0.'),
    ('blocks.{}.mlp.fc2.', 'layers.{}.ffn.layers.1.'),
    ('blocks.{}.mlp.w12.', 'layers.{}.ffn.w12.'),
    ('blocks.{}.mlp.w3.', 'layers.{}.ffn.w3.'),
    ('blocks.{}.ls2.gamma', 'layers.{}.ffn.gamma2.weight'),
    ('norm.', 'ln1.'),
    ('fc_norm.', 'ln2.'),
]
DINOV3: Table = [
    ('storage_tokens', 'register_tokens'),
    ('rope_embed.periods', 'rope.periods'),
    *[row for row in VIT if row[1] != 'register_tokens'],
]
EVA: Table = [
    ('blocks.{}.gamma_1', 'layers.{}.attn.gamma1.weight'),
    ('blocks.{}.gamma_2', 'layers.{}.ffn.gamma2.weight'),
    *[row for row in VIT if '.ls' not in row[0]],
]
MMSEG_VIT: Table = [
    ('cls_token', 'cls_token'),
    ('pos_embed', 'pos_embed'),
    ('patch_embed.projection.', 'patch_embed.projection.'),
    ('ln_pre.', 'pre_norm.'),
    ('layers.{}.ln1.', 'layers.{}.ln1.'),
    ('layers.{}.attn.attn.in_proj_', 'layers.{}.attn.qkv.'),
    ('layers.{}.attn.attn.out_proj.', 'layers.{}.attn.proj.'),
    ('layers.{}.ln2.', 'layers.{}.ln2.'),
    ('layers.{}.ffn.layers.', 'layers.{}.ffn.layers.'),
    ('ln1.', 'ln1.'),
]
TORCHVISION_VIT: Table = [
    ('class_token', 'cls_token'),
    ('encoder.pos_embedding', 'pos_embed'),
    ('conv_proj.', 'patch_embed.projection.'),
    ('encoder.layers.encoder_layer_{}.ln_1.', 'layers.{}.ln1.'),
    ('encoder.layers.encoder_layer_{}.self_attention.in_proj_', 'layers.{}.attn.qkv.'),
    ('encoder.layers.encoder_layer_{}.self_attention.out_proj.', 'layers.{}.attn.proj.'),
    ('encoder.layers.encoder_layer_{}.ln_2.', 'layers.{}.ln2.'),
    ('encoder.layers.encoder_layer_{}.mlp.0.', 'layers.{}.ffn.layers.0.0.'),
    ('encoder.layers.encoder_layer_{}.mlp.3.', 'layers.{}.ffn.layers.1.'),
    ('encoder.ln.', 'ln1.'),
]
HF_VIT: Table = [
    ('embeddings.cls_token', 'cls_token'),
    ('embeddings.position_embeddings', 'pos_embed'),
    ('embeddings.patch_embeddings.projection.', 'patch_embed.projection.'),
    ('encoder.layer.{}.layernorm_before.', 'layers.{}.ln1.'),
    ('encoder.layer.{}.attention.attention.qkv.', 'layers.{}.attn.qkv.'),  # apart there
    ('encoder.layer.{}.attention.output.dense.', 'layers.{}.attn.proj.'),
    ('encoder.layer.{}.layernorm_after.', 'layers.{}.ln2.'),
    ('encoder.layer.{}.intermediate.dense.', 'layers.{}.ffn.layers.0.0.'),
    ('encoder.layer.{}.output.dense.', 'layers.{}.ffn.layers.1.'),
    ('layernorm.', 'ln1.'),
]
HF_DINOV2: Table = [
    *HF_VIT[:3],
    ('embeddings.register_tokens', 'register_tokens'),
    ('encoder.layer.{}.norm1.', 'layers.{}.ln1.'),
    *HF_VIT[4:6],
    ('encoder.layer.{}.layer_scale1.lambda1', 'layers.{}.attn.gamma1.weight'),
    ('encoder.layer.{}.norm2.', 'layers.{}.ln2.'),
    ('encoder.layer.{}.mlp.fc1.', 'layers.{}.ffn.layers.0.0.'),
    ('encoder.layer.{}.mlp.fc2.', 'layers.{}.ffn.layers.1.'),
    ('encoder.layer.{}.mlp.weights_in.', 'layers.{}.ffn.w12.'),
    ('encoder.layer.{}.mlp.weights_out.', 'layers.{}.ffn.w3.'),
    ('encoder.layer.{}.layer_scale2.lambda1', 'layers.{}.ffn.gamma2.weight'),
    ('layernorm.', 'ln1.'),
]
HF_DINOV3: Table = [
    ('embeddings.cls_token', 'cls_token'),
    ('embeddings.register_tokens', 'register_tokens'),
    ('embeddings.patch_embeddings.', 'patch_embed.projection.'),
    ('layer.{}.norm1.', 'layers.{}.ln1.'),
    ('layer.{}.attention.qkv.', 'layers.{}.attn.qkv.'),  # apart there
    ('layer.{}.attention.o_proj.', 'layers.{}.attn.proj.'),
    ('layer.{}.layer_scale1.lambda1', 'layers.{}.attn.gamma1.weight'),
    ('layer.{}.norm2.', 'layers.{}.ln2.'),
    ('layer.{}.mlp.up_proj.', 'layers.{}.ffn.layers.0.0.'),
    ('layer.{}.mlp.down_proj.', 'layers.{}.ffn.layers.1.'),
    ('layer.{}.mlp.w12.', 'layers.{}.ffn.w12.'),  # gate_proj, up_proj and down_proj there
    ('layer.{}.mlp.w3.', 'layers.{}.ffn.w3.'),
    ('layer.{}.layer_scale2.lambda1', 'layers.{}.ffn.gamma2.weight'),
    ('norm.', 'ln1.'),
]
RESNET: Table = [
    ('conv1.', 'conv1.'),
    ('bn1.', 'bn1.'),
    ('layer{}.{}.', 'layer{}.{}.'),
]
HF_RESNET: Table = [
    ('embedder.embedder.convolution.', 'conv1.'),
    ('embedder.embedder.normalization.', 'bn1.'),
    *[
        (f'encoder.stages.{stage}.layers.{{}}.{theirs}', f'layer{stage + 1}.{{}}.{ours}')
        for stage in range(4)
        for theirs, ours in (
            *[(f'layer.{i}.convolution.', f'conv{i + 1}.') for i in range(3)],
            *[(f'layer.{i}.normalization.', f'bn{i + 1}.') for i in range(3)],
            ('shortcut.convolution.', 'downsample.0.'),
            ('shortcut.normalization.', 'downsample.1.'),
        )
    ],
]
DETECTRON2_RESNET: Table = [
    ('stem.conv1.norm.', 'bn1.'),
    ('stem.conv1.', 'conv1.'),
    *[
        (f'res{stage + 1}.{{}}.{theirs}', f'layer{stage}.{{}}.{ours}')
        for stage in range(1, 5)
        for theirs, ours in (
            *[(f'conv{i}.norm.', f'bn{i}.') for i in (1, 2, 3)],
            *[(f'conv{i}.', f'conv{i}.') for i in (1, 2, 3)],
            ('shortcut.norm.', 'downsample.1.'),
            ('shortcut.', 'downsample.0.'),
        )
    ],
]


class Naming(NamedTuple):
    """How a library names a backbone's weights.

    Attributes:
        signature (str): A key that every backbone of this naming has, and that
            no naming listed before it has.
        table (list): (theirs, ours); None for MMPretrain's own.
        title (str): For messages.
    """

    signature: str
    table: Table
    title: str


NAMINGS = dict(
    vit=dict(
        mmpretrain=Naming('layers.0.attn.qkv.weight', None, "MMPretrain's ViT"),
        dinov3=Naming('rope_embed.periods', DINOV3, "DINOv3's own"),
        eva=Naming('blocks.0.gamma_1', EVA, "timm's Eva, which DINOv3 is there"),
        timm=Naming('blocks.0.attn.qkv.weight', VIT, "timm's ViT, which DINO and MAE name alike"),
        mmseg=Naming('layers.0.attn.attn.in_proj_weight', MMSEG_VIT, "MMSegmentation's ViT"),
        hf_dinov3=Naming(
            'layer.0.attention.q_proj.weight', HF_DINOV3, "Hugging Face's DINOv3ViTModel"
        ),
        hf_dinov2=Naming(
            'encoder.layer.0.layer_scale1.lambda1', HF_DINOV2, "Hugging Face's Dinov2Model"
        ),
        hf=Naming(
            'encoder.layer.0.attention.attention.query.weight', HF_VIT, "Hugging Face's ViTModel"
        ),
        torchvision=Naming(
            'encoder.layers.encoder_layer_0.ln_1.weight',
            TORCHVISION_VIT,
            "torchvision's VisionTransformer",
        ),
    ),
    resnet=dict(
        mmpretrain=Naming('layer1.0.conv1.weight', None, "torchvision's and OpenMMLab's ResNet"),
        hf=Naming(
            'encoder.stages.0.layers.0.layer.0.convolution.weight',
            HF_RESNET,
            "Hugging Face's ResNetModel",
        ),
        detectron2=Naming('res2.0.conv1.weight', DETECTRON2_RESNET, "Detectron2's ResNet"),
    ),
)

# Parts that no ViT here has: a pattern of their keys, and what it is.
FOREIGN_PARTS = (
    (r'(.*\.)?rope\.freqs', 'learned rotary frequencies, of other networks than DINOv3'),
    (r'(.*\.)?cls_norm\.', 'a norm of its own for the class token'),
    (r'.*\.attn\.(q|k)_norm\.', 'norms of queries and keys'),
    (r'.*relative_position_bias_table', 'a table of relative positions'),
)

# What stands before a backbone's keys in whole models of other libraries, and
# what of them is no backbone.
WRAPPERS = (
    '',
    'vit.',
    'dinov2.',
    'dinov2_with_registers.',
    'dinov3_vit.',
    'resnet.',
    'bottom_up.',
    'timm_model.',
)
OTHER_PARTS = (
    'head.',
    'heads.',
    'fc.',
    'classifier.',
    'pooler.',
    'linear.',
    'mask_token',
    'masked_embed',  # iBOT's
    'local_cls_norm.',  # DINOv3's, for training only
    'embeddings.mask_token',
    'decoder',
)
