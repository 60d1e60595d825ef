"""The figure of the mask-guided bias: attention of a patch, with and without it."""

from argparse import ArgumentParser

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mssl_plugins.commands.figures import OPTIONS
from mssl_plugins.errors import UserError
from mssl_plugins.models.layers.mask_bias import MaskBias, segment_coverage
from mssl_plugins.registry import MODELS
from mssl_plugins.visualization import bias as figures

ARCH = dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=32)
VIT = dict(type='mssl_plugins.ViT', arch=ARCH, img_size=16, patch_size=4)


def guided(**kwargs):
    torch.manual_seed(0)
    vit = MODELS.build(dict(VIT, mask_bias=dict(positive=True, negative=True), **kwargs))
    vit.init_weights()
    for parameter in vit.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    vit.eval()
    return vit


@pytest.mark.parametrize('more', [{}, dict(registers=2, rope=dict(base=100.0))])
def test_both_attentions_are_the_softmax_of_the_logits(more):
    """Written out: q . k / sqrt(d), and the bias as a matrix."""
    vit, block = guided(**more), 1
    x = torch.randn(2, 3, 16, 16)
    coverage = segment_coverage(torch.randint(0, 4, (2, 16, 16)), 4)
    seen = {}
    handle = vit.layers[block].attn.register_forward_pre_hook(
        lambda module, inputs: seen.update(inputs=inputs)
    )
    with torch.no_grad():
        vit.forward_tokens(x, coverage=coverage)
        handle.remove()
        tokens, low_rank, _, _, rotation = seen['inputs']
        q, k, _ = vit.layers[block].attn.project(tokens, rotation)
        logits = q.double() @ k.double().transpose(-2, -1) * q.shape[-1] ** -0.5
        extra, patches = vit.prefix_tokens, [5, 10]
        expected = []
        for added in (0.0, low_rank.matrix().double()):
            weights = (logits + added).softmax(-1).mean(1)  # (B, N, N)
            expected.append(
                torch.stack([w[p + extra, extra:] for w, p in zip(weights, patches)]).float()
            )
    found = figures.both_attentions(vit, x, coverage, patches, block)
    for ours, theirs in zip(found, expected):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
    assert not torch.allclose(*found)
    assert not vit.layers[block].attn._forward_pre_hooks


def test_the_strongest_block_is_chosen():
    bias = MaskBias(3, 2, positive=True, negative=True)
    assert figures.strongest_block(bias) == 0
    bias.b[2].data[0] = -1.0
    assert figures.strongest_block(bias) == 2
    bias.a[1].data += 2.0
    assert figures.strongest_block(bias) == 1


def test_a_patch_in_percent():
    assert figures._cell((0, 0), 8) == (0, 0) and figures._cell((100, 49), 8) == (3, 7)
    with pytest.raises(UserError, match='from 0 to 100'):
        figures._cell((101, 0), 8)


@pytest.fixture
def run(tmp_path):
    """Runs the command on a small mask-guided DINO and two images."""
    model = dict(
        type='mssl_plugins.MaskGuidedDINO',
        backbone=dict(VIT, mask_bias=dict(positive=True, init=3.0)),
        head=dict(type='mssl_plugins.DINOHead', in_channels=16, out_channels=32),
    )
    (tmp_path / 'c.py').write_text(f"default_scope = 'mmpretrain'\nmodel = {model!r}\n")
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    built = MODELS.build(Config.fromfile(tmp_path / 'c.py').model)
    torch.save(dict(state_dict=built.state_dict()), tmp_path / 'c.pth')
    for i in range(2):  # halves of two colors: two segments
        halves = np.full((32, 32, 3), 40, np.uint8)
        halves[:, 16:] = 220
        (tmp_path / 'photos').mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f'photos/{i}.png'), halves)

    def call(*words, config=None):
        parser = ArgumentParser()
        OPTIONS['bias'](parser)
        out = tmp_path / 'bias.png'
        asked = [config or tmp_path / 'c.py', tmp_path / 'c.pth', tmp_path / 'photos', *words]
        figures.run(parser.parse_args([str(word) for word in [*asked, '--out', out]]))
        return cv2.imread(str(out))

    return call


def test_from_the_command_line(run):
    """A patch of the left half attends to the left half once there is a bias."""
    shown = run('--at', '10', '50', '--size', '32')
    tile, gap, head = 160, 6, 22
    top, left = head + gap, [gap + i * (tile + gap) for i in range(4)]
    biased = shown[top : top + tile, left[3] : left[3] + tile].astype(int).sum(2)
    assert biased[:, 20:60].mean() > 2 * biased[:, 100:].mean()


@pytest.mark.parametrize(
    'words, message',
    [
        (['--block', '4'], 'blocks 1 to 3'),
        (['--size', '18'], 'multiple of the patch of 4 px'),
        (['--at', '1', '1'] * 3, '3 places for 2 images'),
    ],
)
def test_mistakes_are_named(run, words, message):
    with pytest.raises(UserError, match=message):
        run(*words)


def test_a_plain_method_is_refused(tmp_path):
    parser = ArgumentParser()
    OPTIONS['bias'](parser)
    name = 'dino_vit-mini_1xb64-coslr-6e_cifar10'
    from mssl_plugins.catalogue import find

    model = MODELS.build(Config.fromfile(find(name)).model)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'plain.pth')
    with pytest.raises(UserError, match='DINO has no bias of segments'):
        figures.run(parser.parse_args([name, str(tmp_path / 'plain.pth')]))
