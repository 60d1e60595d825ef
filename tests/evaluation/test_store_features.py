"""Features kept on disk resume in parts."""

import torch

from mssl_plugins.evaluation import store
from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.evaluation.data import EvaluationData


def test_features_resume_in_parts(tmp_path, images, checkpoints, monkeypatch):
    monkeypatch.setattr(store, 'PART', 16)
    backbone = FrozenBackbone(str(checkpoints / 'vit.pth'))
    data = EvaluationData(str(images), tmp_path, native=16)
    keep = store.FeatureStore(tmp_path / 'f', backbone.model, batch_size=7)
    keep.add('train', data.center('train'), ['cls'])
    names = sorted(p.name for p in (tmp_path / 'f').glob('train-cls-*'))
    assert len(names) == 4  # 60 images: 16, 16, 16, 12
    whole = keep.get('train', 'cls')
    (tmp_path / 'f' / names[1]).unlink()
    calls = []
    real = store.extract_features

    def counted(model, loader, **kwargs):
        calls.append(len(loader['dataset']))
        return real(model, loader, **kwargs)

    monkeypatch.setattr(store, 'extract_features', counted)
    keep.add('train', data.center('train'), ['cls', 'avg'])
    assert sorted(calls) == [12, 16, 16, 16]
    assert torch.equal(keep.get('train', 'cls'), whole)
    assert torch.equal(keep.get('train', 'labels'), data.labels['train'])
