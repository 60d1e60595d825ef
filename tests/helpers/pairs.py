"""Pairs of views, and a runner of MMEngine's on them."""

import torch
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from helpers.siamese import views


class Pairs(torch.utils.data.Dataset):
    def __len__(self):
        return 24

    def __getitem__(self, i):
        pair = views(24, seed=0)
        return dict(inputs=[pair[0][i].float(), pair[1][i].float()], data_samples=i)


def runner(tmp_path, model, hooks, epochs=2, batch=4, optim_wrapper=None, name='run'):
    optim_wrapper = optim_wrapper or dict(optimizer=dict(type='SGD', lr=0.1, weight_decay=0.04))
    return Runner(
        model=model,
        work_dir=str(tmp_path / name),
        experiment_name=f'{tmp_path.name}{name}',
        train_dataloader=DataLoader(Pairs(), batch_size=batch),
        optim_wrapper=optim_wrapper,
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        custom_hooks=hooks,
        default_hooks=dict(checkpoint=None, logger=None),
        default_scope='mmpretrain',
    )
