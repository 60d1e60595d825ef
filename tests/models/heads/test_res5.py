"""The shared head of a C4 detector: a ResNet's last stage, and how it is loaded."""

import re

import pytest
import torch
from torch import nn

pytest.importorskip('mmdet', reason='needs mmdet: the extra [dense]')
pytest.importorskip('mmseg', reason='needs mmseg: the extra [dense]')
pytest.importorskip('mmcv._ext', reason='needs mmcv with compiled ops: tools/test.sh')
from mmpretrain.models import ResNet

from helpers.dense import SMALL, randomize, save
from mssl_plugins.engine.hooks.load_backbone_hook import load_pretrained
from mssl_plugins.models.backbones import SmallImageResNet
from mssl_plugins.models.heads import Res5


class Detector(nn.Module):
    """What the loader looks at of a C4 detector."""

    def __init__(self, backbone, **head):
        super().__init__()
        self.backbone = backbone
        self.roi_head = nn.Module()
        self.roi_head.shared_head = Res5(depth=18, base_channels=8, **head)


def three_stages():
    return SmallImageResNet(
        **SMALL, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,)
    )


def test_res5_reaches_the_shared_head(tmp_path):
    whole = randomize(SmallImageResNet(**SMALL))
    path = save(whole, tmp_path / 'c.pth', **{'head.fc.weight': torch.zeros(3, 3)})
    detector = Detector(three_stages())
    fresh = detector.roi_head.shared_head.norm.weight.clone()
    report = load_pretrained(detector, path)
    assert report.missing == [] and report.unexpected == []
    assert len(report.matched) == len(whole.state_dict())
    head = detector.roi_head.shared_head
    for name, value in whole.layer4.state_dict().items():
        assert torch.equal(head.layer4.state_dict()[name], value), name
    assert torch.equal(head.norm.weight, fresh)  # the extra norm starts fresh
    # the four stages in a row are the network itself
    whole.train(False), detector.train(False)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(head.layer4(detector.backbone(x)[0]), whole(x)[0])


def test_res5_of_a_resnet50_has_its_keys():
    whole, head = ResNet(50).state_dict(), Res5()
    keys = {k for k in head.state_dict() if k.startswith('layer4')}
    assert keys == {k for k in whole if k.startswith('layer4')}
    assert all(head.state_dict()[k].shape == whole[k].shape for k in keys)
    assert head(torch.randn(1, 1024, 14, 14)).shape == (1, 2048, 7, 7)
    still = Res5(depth=18, base_channels=8, norm_eval=True).train()
    assert still.training and not still.norm.training
    with pytest.raises(ValueError, match='did you mean'):
        Res5(depth=51)


@pytest.mark.parametrize('lost', ['layer4.1.bn2.weight', 'layer1.0.conv1.weight'])
def test_any_missing_key_stops(tmp_path, lost):
    whole = SmallImageResNet(**SMALL)
    state = {f'backbone.{k}': v for k, v in whole.state_dict().items() if k != lost}
    torch.save(dict(state_dict=state), tmp_path / 'c.pth')
    with pytest.raises(ValueError, match=f'missing: {re.escape(lost)}'):
        load_pretrained(Detector(three_stages()), tmp_path / 'c.pth')
    with pytest.raises(TypeError, match='no backbone'):
        load_pretrained(nn.Linear(1, 1), tmp_path / 'c.pth')
