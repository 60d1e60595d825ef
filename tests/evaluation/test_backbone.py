"""Frozen backbones of other libraries' checkpoints."""

import pytest
import torch
from torch import nn

from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.models.readout import read_layers


def test_checkpoints_of_torchvision_and_timm(tmp_path):
    torchvision = pytest.importorskip('torchvision')
    net = torchvision.models.resnet18(num_classes=7).eval()
    torch.save(net.state_dict(), tmp_path / 'resnet18.pth')
    backbone = FrozenBackbone(str(tmp_path / 'resnet18.pth'))
    x = torch.randn(2, 3, 64, 64)
    body = nn.Sequential(*list(net.children())[:-1])
    backbone.model.backbone.eval()
    with torch.no_grad():
        found = read_layers(backbone.model.backbone, x, ['avg'])['avg']
        torch.testing.assert_close(found, body(x).flatten(1), rtol=1e-4, atol=1e-4)
    timm = pytest.importorskip('timm')
    net = timm.create_model('vit_tiny_patch16_224', img_size=32).eval()
    torch.save(net.state_dict(), tmp_path / 'vit.pth')
    backbone = FrozenBackbone(str(tmp_path / 'vit.pth'))
    assert backbone.family == 'vit' and backbone.native == 32
    x = torch.randn(2, 3, 32, 32)
    backbone.model.backbone.eval()
    with torch.no_grad():
        found = read_layers(backbone.model.backbone, x, ['cls', 'avg'])
        expected = net.forward_features(x)
    torch.testing.assert_close(found['cls'], expected[:, 0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found['avg'], expected[:, 1:].mean(1), rtol=1e-4, atol=1e-4)
