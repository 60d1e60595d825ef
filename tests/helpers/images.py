"""Data sets of random images."""

import random

import numpy as np
import torch
from mmpretrain.structures import DataSample
from torch.utils.data import Dataset


class RandomImages(Dataset):
    """Random images as this library packs them; ``views`` of each."""

    def __init__(self, length=11, size=32, views=0, labeled=True):
        rng = torch.Generator().manual_seed(0)
        self.pixels = torch.randint(
            0, 256, (length, 3, size, size), generator=rng, dtype=torch.uint8
        )
        self.views, self.labeled = views, labeled

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, index):
        # Draws from every global generator, as some transforms do.
        random.random(), np.random.rand(), torch.rand(1)
        x, sample = self.pixels[index], DataSample()
        if self.labeled:
            sample.set_gt_label(index % 3)
        others = [torch.zeros_like(x)] * (self.views - 1)
        return dict(inputs=[x, *others] if self.views else x, data_samples=sample)
