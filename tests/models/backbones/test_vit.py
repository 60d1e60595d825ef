"""The ViT against timm's, mmpretrain's and the formulas written out."""

import pytest
import torch
from mmpretrain.models.backbones import VisionTransformer
from torch import nn

from mssl_plugins.checkpoints.naming import from_ours, to_ours
from mssl_plugins.models.backbones.vit import ViT
from mssl_plugins.models.layers.patches import PatchProjection
from mssl_plugins.registry import MODELS

TINY = dict(embed_dims=48, num_layers=2, num_heads=3, feedforward_channels=96)


def tiny(seed=0, **kwargs):
    kwargs = {**dict(arch=TINY, img_size=32, patch_size=8), **kwargs}
    vit = ViT(**kwargs)
    torch.manual_seed(seed)
    for p in vit.parameters():
        nn.init.normal_(p, std=0.3)
    vit.eval()
    return vit


@pytest.fixture
def images():
    torch.manual_seed(1)
    return torch.randn(2, 3, 32, 32)


@pytest.fixture(scope='module')
def timm_pair():
    timm = pytest.importorskip('timm')
    torch.manual_seed(0)
    theirs = timm.create_model('vit_small_patch16_224', dynamic_img_size=True, num_classes=7)
    for p in theirs.parameters():  # so that biases, norms and [CLS] count
        p.data += 0.02 * torch.randn_like(p)
    ours = ViT('deit-small')
    ours.load_state_dict(to_ours(theirs.state_dict()))
    ours.eval()
    return theirs.eval(), ours


@pytest.mark.parametrize('fused', [True, False])
@pytest.mark.parametrize('size', [(224, 224), (96, 96), (96, 160)])
@torch.no_grad()
def test_forward_equals_timm(timm_pair, size, fused):
    theirs, ours = timm_pair
    attention = pytest.importorskip('torch.nn.attention')
    backend = attention.SDPBackend
    for block in theirs.blocks:
        block.attn.fused_attn = fused
    x = torch.randn(1, 3, *size)
    with attention.sdpa_kernel(backend.FLASH_ATTENTION if fused else backend.MATH):
        tokens, cls = ours.forward_tokens(x), ours(x)[0]
        want = theirs.forward_features(x)
    torch.testing.assert_close(tokens, want, rtol=0, atol=1e-5)
    torch.testing.assert_close(cls, want[:, 0], rtol=0, atol=1e-5)


def test_keys_go_to_timm_and_back(timm_pair):
    theirs, ours = timm_pair
    back = from_ours({**ours.state_dict(), 'mask_token': torch.zeros(1, 1, 384)}, 'vit', 'timm')
    want = {k: v for k, v in theirs.state_dict().items() if not k.startswith('head.')}
    assert back.keys() == want.keys()
    assert all(torch.equal(back[k], want[k]) for k in want)


def test_keys_with_layer_scale_norms_and_average_pooling():
    timm = pytest.importorskip('timm')
    theirs = timm.models.VisionTransformer(
        img_size=32,
        patch_size=8,
        embed_dim=48,
        depth=2,
        num_heads=3,
        mlp_ratio=2,
        init_values=1.0,
        pre_norm=True,
        global_pool='avg',
        fc_norm=True,
        num_classes=0,
    ).eval()
    for p in theirs.parameters():
        nn.init.normal_(p, std=0.3)
    ours = ViT(
        TINY,
        img_size=32,
        patch_size=8,
        pre_norm=True,
        layer_scale_init_value=1.0,
        out_type='avg_featmap',
        final_norm=False,
    )
    ours.load_state_dict(to_ours(theirs.state_dict()))
    ours.eval()
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours(x)[0], theirs(x), rtol=0, atol=1e-5)


def test_keys_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match='dist_token'):
        to_ours({'blocks.0.attn.qkv.weight': torch.zeros(1), 'dist_token': torch.zeros(1)})
    with pytest.raises(ValueError, match='mask_bias.a.0'):
        from_ours(tiny(mask_bias=dict()).state_dict(), 'vit', 'timm')


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(arch='deit-tiny'),
        dict(arch=TINY, out_type='featmap', out_indices=[0, 1]),
        dict(arch=TINY, out_type='avg_featmap', with_cls_token=False, final_norm=False),
        dict(arch=TINY, out_type='raw', pre_norm=True, layer_scale_init_value=0.1),
    ],
    ids=['deit-tiny', 'featmap', 'avg_featmap', 'raw'],
)
def test_it_is_mmpretrains_with_the_same_keys(kwargs, images):
    """Forward, backward and state dict against mmpretrain's own class."""
    kwargs = dict(img_size=32, patch_size=4, **kwargs)
    theirs = VisionTransformer(**kwargs)
    for p in theirs.parameters():
        nn.init.normal_(p, std=0.1)
    ours = MODELS.build(dict(type='mssl_plugins.ViT', antialias=False, **kwargs))
    ours.load_state_dict(theirs.state_dict())
    for x in (images, torch.randn(2, 3, 24, 40), torch.randn(2, 3, 30, 30)):  # 30: padded
        for a, b in zip(ours(x), theirs(x)):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
        for model in (ours, theirs):
            model.zero_grad()
            sum(out.pow(2).mean() for out in model(x)).backward()
        theirs_grads = {n: p.grad for n, p in theirs.named_parameters()}
        for name, p in ours.named_parameters():
            if p.grad is not None or theirs_grads[name] is not None:
                torch.testing.assert_close(p.grad, theirs_grads[name], msg=name)
    theirs.load_state_dict(ours.state_dict())


@pytest.mark.parametrize(
    'given, kind',
    [
        ({}, PatchProjection),
        (dict(patch_cfg=dict(bias=False)), PatchProjection),
        (dict(patch_cfg=dict(conv_type='Conv2d')), nn.Conv2d),
    ],
)
def test_patches_are_embedded_by_a_product_unless_a_convolution_is_asked_for(given, kind):
    vit = MODELS.build(dict(type='mssl_plugins.ViT', arch=TINY, img_size=32, patch_size=4, **given))
    assert type(vit.patch_embed.projection) is kind


def test_a_checkpoint_of_the_masked_network_loads_into_mmpretrains():
    vit = tiny(mask_token=True, mask_bias=dict(negative=True))
    theirs = VisionTransformer(TINY, img_size=32, patch_size=8)
    missing, unexpected = theirs.load_state_dict(vit.state_dict(), strict=False)
    assert not missing
    assert all(k == 'mask_token' or k.startswith('mask_bias.') for k in unexpected)


@pytest.mark.parametrize('arch', sorted(VisionTransformer.arch_zoo))
def test_every_arch_of_mmpretrain_builds(arch):
    with torch.device('meta'):
        vit = ViT(arch, patch_size=8, mask_token=True, mask_bias=dict())
    assert len(vit.layers) == vit.arch_zoo[arch]['num_layers']


def test_deit_small_is_vit_s():
    assert ViT.arch_zoo['deit-small'] == dict(
        embed_dims=384, num_layers=12, num_heads=6, feedforward_channels=1536
    )


@pytest.mark.parametrize('size', [(32, 32), (16, 48)])
def test_class_attention_equals_the_formula(size):
    """softmax(q k^T / sqrt(d)) of the last block, written out in float64 per head."""
    vit = tiny()
    x = torch.randn(2, 3, *size)
    tokens, got = vit.forward_tokens(x, return_attention=True)
    torch.testing.assert_close(tokens, vit.forward_tokens(x))
    vit.double()
    t = vit.layers[0](vit._embed(*vit.patch_embed(x.double())))
    last = vit.layers[1]
    qkv = last.attn.qkv(last.ln1(t))
    for b in range(2):
        for h in range(3):
            q = qkv[b, 0, 16 * h : 16 * (h + 1)]
            keys = qkv[b, :, 48 + 16 * h : 48 + 16 * (h + 1)]
            weights = torch.exp(keys @ q / 4)
            want = (weights / weights.sum())[1:].float()
            torch.testing.assert_close(got[b, h], want, rtol=1e-4, atol=1e-6)


def test_class_attention_with_relation_bias_and_dropped_tokens(images):
    vit = tiny(mask_bias=dict())
    relation = torch.randn(1, 3, 17, 17)
    c = torch.rand(2, 16, 4)
    plain = vit.forward_tokens(images, coverage=c, return_attention=True)[1]
    got = vit.forward_tokens(images, coverage=c, relation=relation, return_attention=True)[1]
    assert (got - plain).abs().max() > 1e-3
    shut = torch.zeros(1, 1, 17, 17)
    shut[..., 5] = -1e9  # nobody sees patch 4
    assert vit.forward_tokens(images, relation=shut, return_attention=True)[1][..., 4].max() == 0
    keep = torch.tensor([[3, 1, 7], [0, 15, 2]])
    assert vit.forward_tokens(images, keep=keep, return_attention=True)[1].shape == (2, 3, 3)


def test_masked_tokens_are_replaced_before_the_positions(images):
    vit = tiny(mask_token=True)
    mask = torch.rand(2, 16) < 0.4
    patches, grid = vit.patch_embed(images)
    patches = patches.detach().clone()
    for b in range(2):
        for i in range(16):
            if mask[b, i]:
                patches[b, i] = vit.mask_token[0, 0]
    cls = vit.cls_token.expand(2, 1, -1)
    tokens = torch.cat([cls, patches], 1) + vit.pos_embed
    for layer in vit.layers:
        tokens = layer(tokens)
    want = vit.ln1(tokens)
    torch.testing.assert_close(vit.forward_tokens(images, mask), want)
    pixels = mask.view(2, 1, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3)
    hidden = images + 100 * pixels  # what is masked is not seen
    torch.testing.assert_close(vit.forward_tokens(hidden, mask), want)
    by_tensor = vit.forward_tokens(images, mask, replacement=vit.mask_token)
    by_function = vit.forward_tokens(
        images, mask, replacement=lambda patches, mask: vit.mask_token.expand_as(patches)
    )
    assert torch.equal(by_tensor, by_function)
    torch.testing.assert_close(by_tensor, want)


def test_kept_tokens_go_through_alone_with_their_positions(images):
    vit = tiny()
    keep = torch.tensor([[3, 1, 7], [0, 15, 2]])
    got = vit.forward_tokens(images, keep=keep)
    patches, _ = vit.patch_embed(images)
    for b in range(2):
        tokens = [vit.cls_token[0, 0] + vit.pos_embed[0, 0]]
        tokens += [patches[b, i] + vit.pos_embed[0, 1 + i] for i in keep[b]]
        t = torch.stack(tokens)[None]
        for layer in vit.layers:
            t = layer(t)
        torch.testing.assert_close(got[b : b + 1], vit.ln1(t))
    everything = torch.arange(16).expand(2, -1)
    torch.testing.assert_close(
        vit.forward_tokens(images, keep=everything), vit.forward_tokens(images)
    )


def test_positions_of_other_sizes_are_trained():
    vit = tiny()
    vit.forward_tokens(torch.randn(1, 3, 16, 24)).pow(3).sum().backward()
    assert vit.pos_embed.grad.abs().sum(-1).min() > 0


def test_works_without_class_token_and_under_bf16(images):
    vit = tiny(with_cls_token=False, out_type='raw', mask_token=True, mask_bias=dict())
    nn.init.ones_(vit.mask_bias.a[0])
    assert vit.forward_tokens(images).shape == (2, 16, 48)
    full = vit.forward_tokens(images, coverage=torch.ones(2, 16, 1))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        half = vit.forward_tokens(images, coverage=torch.ones(2, 16, 1))
    half.float().pow(3).mean().backward()
    assert (full - half).abs().mean() < 0.1
    assert all(p.grad.isfinite().all() for p in vit.mask_bias.parameters())


def test_drop_path_is_on_in_training_only(images):
    vit, images = tiny(drop_path_rate=0.5), images.repeat(8, 1, 1, 1)
    assert torch.equal(vit.forward_tokens(images), vit.forward_tokens(images))
    vit.train()
    assert not torch.equal(vit.forward_tokens(images), vit.forward_tokens(images))


def test_layer_decay_knows_the_new_parameters():
    vit = tiny(mask_token=True, mask_bias=dict())
    depth = {
        name: vit.get_layer_depth(f'backbone.{name}', 'backbone.')
        for name, _ in vit.named_parameters()
    }
    assert depth['mask_token'] == depth['cls_token'] == (0, 4)
    assert depth['mask_bias.a.1'] == depth['layers.1.ln1.weight'] == (2, 4)
    assert vit.get_layer_depth('head.mask_token', 'backbone.') == (3, 4)


def test_init_weights_draws_the_mask_token():
    vit = ViT(TINY, img_size=32, patch_size=8, mask_token=True)
    vit.init_weights()
    assert 0.01 < vit.mask_token.std() < 0.03


@pytest.mark.parametrize(
    'call, words',
    [
        (dict(x=torch.zeros(2, 3, 32, 30)), r'8 x 8, got \(2, 3, 32, 30\)'),
        (dict(mask=torch.zeros(2, 16)), 'bool of shape'),
        (dict(mask=torch.zeros(2, 15, dtype=torch.bool)), r'\(2, 16\).*\(2, 15\)'),
        (dict(mask=torch.zeros(2, 16, dtype=torch.bool)), 'mask_token=True'),
        (dict(mask=torch.zeros(2, 16, dtype=torch.bool), replacement='mask_tokn'), 'did you mean'),
        (dict(keep=torch.zeros(2, 3)), 'long indices'),
        (dict(relation=torch.zeros(2, 1, 16, 16)), 'class token'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_wrong_input_is_refused(call, words):
    call = {**dict(x=torch.zeros(2, 3, 32, 32)), **call}
    with pytest.raises(ValueError, match=words):
        tiny().forward_tokens(**call)


def test_wrong_construction_is_refused():
    with pytest.raises(ValueError, match="did you mean 'deit-small'"):
        ViT('deit-smal')
    with pytest.raises(ValueError, match='with_cls_token'):
        tiny(with_cls_token=False, out_type='raw').forward_tokens(
            torch.zeros(1, 3, 32, 32), return_attention=True
        )


def test_it_starts_as_dino_does():
    """Truncated normal 0.02 everywhere, zero biases, a random class token; patches as torch's."""
    torch.manual_seed(0)
    vit = ViT('deit-tiny', img_size=64, patch_size=8, weight_init='dino', mask_bias=dict(init=2.0))
    before = vit.patch_embed.projection.weight.detach().clone()
    vit.init_weights()
    linear = [m for m in vit.modules() if isinstance(m, nn.Linear)]
    assert len(linear) == 12 * 4 and not any(m.bias.any() for m in linear)
    for w in [m.weight for m in linear] + [vit.cls_token, vit.pos_embed]:
        error = 5 * 0.02 / (2 * w.numel()) ** 0.5  # 5 standard errors of a deviation
        assert abs(float(w.detach().std()) - 0.02) < error
    assert torch.equal(before, vit.patch_embed.projection.weight)
    assert bool((vit.mask_bias.a[0] == 2).all())


def cubic(x):
    """The bicubic kernel, a = -0.75."""
    x = abs(x)
    if x <= 1:
        return 1.25 * x**3 - 2.25 * x**2 + 1
    return -0.75 * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


@pytest.mark.parametrize('grid', [(3, 3), (2, 6)])
def test_position_embeddings_by_dinos_formula(grid):
    """Row i of the new grid lies at (i + 0.5) G / (g + 0.1) - 0.5 of the old; loops in float64."""
    vit = tiny(img_size=56, antialias=False, interpolate_offset=0.1)  # 7 x 7
    table = vit.pos_embed[0, 1:].detach().double().view(7, 7, -1)
    want = torch.zeros(*grid, table.shape[2], dtype=torch.float64)
    for i in range(grid[0]):
        for j in range(grid[1]):
            y, x = ((n + 0.5) * 7 / (g + 0.1) - 0.5 for n, g in zip((i, j), grid))
            for r in range(int(y // 1) - 1, int(y // 1) + 3):
                for c in range(int(x // 1) - 1, int(x // 1) + 3):
                    want[i, j] += (
                        cubic(y - r) * cubic(x - c) * table[min(max(r, 0), 6), min(max(c, 0), 6)]
                    )
    got = vit.resized_pos_embed(grid)
    assert torch.equal(got[:, 0], vit.pos_embed[:, 0])
    torch.testing.assert_close(got[0, 1:].view_as(want).double(), want, rtol=0, atol=1e-5)
    plain = tiny(img_size=56, antialias=False).resized_pos_embed(grid)
    assert (plain - got).abs().max() > 1e-3


def test_unknown_start_is_refused():
    with pytest.raises(ValueError, match="did you mean 'dino'"):
        ViT(TINY, weight_init='dinos')
