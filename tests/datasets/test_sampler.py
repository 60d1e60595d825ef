"""Randomness as a function of (seed, epoch, index)."""

import copy
import pickle

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, DefaultSampler
from mmengine.registry import DATA_SAMPLERS as ROOT
from torch.utils.data import DataLoader

import mssl_plugins.datasets.sampler as sampler_module
from mssl_plugins.datasets.sampler import EpochSampler, SampleIndex, sample_rng


class Draws(BaseDataset):
    """Gives every sample's index and its first random number."""

    def load_data_list(self):
        return [{} for _ in range(23)]

    def prepare_data(self, idx):
        info = self.get_data_info(idx)
        return int(info['sample_idx']), sample_rng(info).random()


def draws(workers, epoch=0, seed=7, batch_size=4):
    data = Draws()
    sampler = EpochSampler(data, seed=seed)
    sampler.set_epoch(epoch)
    loader = DataLoader(data, batch_size, sampler=sampler, num_workers=workers)
    return [(i, r) for b in loader for i, r in zip(b[0].tolist(), b[1].tolist())]


def test_index_is_an_int_that_keeps_its_origin():
    index = SampleIndex(5, seed=3, epoch=2)
    for other in (index, copy.deepcopy(index), pickle.loads(pickle.dumps(index))):
        assert other == 5 and list(range(9))[other] == 5
        assert type(other) is SampleIndex
        assert (other.seed, other.epoch) == (3, 2)
    moved = index.moved(8)
    assert (int(moved), moved.seed, moved.epoch) == (8, 3, 2)


def test_generator_is_a_function_of_seed_epoch_and_index():
    def first(seed, epoch, index):
        return sample_rng(dict(sample_idx=SampleIndex(index, seed, epoch))).integers(2**62)

    triples = [(s, e, i) for s in range(4) for e in range(4) for i in range(9)]
    once, twice = ([first(*t) for t in triples] for _ in range(2))
    assert once == twice
    assert len(set(once)) == len(triples)


def test_plain_index_gives_fresh_randomness():
    assert sample_rng(dict(sample_idx=3)).integers(2**62) != sample_rng(
        dict(sample_idx=3)
    ).integers(2**62)


def test_global_generators_play_no_part():
    index = dict(sample_idx=SampleIndex(1, 2, 3))
    np.random.seed(0)
    torch.manual_seed(0)
    state = np.random.get_state()[1].copy()
    a = sample_rng(index).random()
    assert (np.random.get_state()[1] == state).all()
    np.random.seed(1)
    assert sample_rng(index).random() == a


def test_workers_and_batches_change_nothing():
    want = draws(0)
    assert draws(1) == want
    assert draws(2) == want
    assert draws(2, batch_size=5) == want


def test_epochs_differ_in_order_and_in_draws():
    first, second = draws(0, epoch=0), draws(0, epoch=1)
    assert [i for i, _ in first] != [i for i, _ in second]
    assert sorted(i for i, _ in first) == sorted(i for i, _ in second)
    assert not set(r for _, r in first) & set(r for _, r in second)


@pytest.mark.parametrize('rank, world', [(0, 1), (0, 3), (2, 3), (4, 50)])
@pytest.mark.parametrize('options', [{}, dict(shuffle=False), dict(round_up=False)])
def test_order_is_the_default_samplers(monkeypatch, rank, world, options):
    monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (rank, world))
    data = Draws()
    ours, base = (cls(data, seed=3, **options) for cls in (EpochSampler, DefaultSampler))
    for epoch in range(3):
        ours.set_epoch(epoch)
        base.set_epoch(epoch)
        assert list(ours) == list(base)
    assert len(ours) == len(base)


def test_epoch_is_taken_when_iteration_starts():
    sampler = EpochSampler(Draws(), seed=3)
    it = iter(sampler)
    sampler.set_epoch(1)
    assert next(it).epoch == 0
    assert next(iter(sampler)).epoch == 1


@pytest.mark.parametrize('size', [1, 2, 7, 8])
def test_processes_share_the_epoch(size, monkeypatch):
    """Every rank's part together is the one process's epoch, rounded up."""
    data, world = range(size), 3
    parts = []
    for rank in range(world):
        sampler = EpochSampler(data, shuffle=False, seed=0)
        # the sampler's only use of the process group
        sampler.rank, sampler.world_size = rank, world
        sampler.num_samples = -(-size // world)
        sampler.total_size = sampler.num_samples * world
        parts.append(list(sampler))
    assert len({len(p) for p in parts}) == 1
    assert {i for p in parts for i in p} == set(range(size))
    assert all(type(i) is SampleIndex for p in parts for i in p)


def test_wrong_input():
    with pytest.raises(ValueError, match='empty'):
        EpochSampler([])
    with pytest.raises(ValueError, match='-1'):
        EpochSampler([1], seed=-1)


def test_found_by_prefix():
    assert ROOT.get('mssl_plugins.EpochSampler') is sampler_module.EpochSampler


def test_joined_sets_keep_the_randomness():
    """MMEngine's wrappers compute the inner index; seed and epoch survive it."""
    from mmengine.dataset import ConcatDataset, RepeatDataset

    from mssl_plugins.datasets import Scenes

    joined = ConcatDataset([Scenes(length=4), Scenes(length=4, seed=1)])
    inner = joined[SampleIndex(6, seed=3, epoch=2)]['sample_idx']
    assert (inner, inner.seed, inner.epoch) == (2, 3, 2)
    repeated = RepeatDataset(Scenes(length=4), times=3)
    inner = repeated[SampleIndex(9, seed=3, epoch=2)]['sample_idx']
    assert (inner, inner.seed, inner.epoch) == (1, 3, 2)


def test_each_repeat_of_an_image_has_its_own_draws():
    """And so has each part of a joined set; the same in a worker, whose index was pickled."""
    from mmengine.dataset import ConcatDataset, RepeatDataset

    from mssl_plugins.datasets import Scenes

    repeated = RepeatDataset(Scenes(length=4), times=3)
    joined = ConcatDataset([Scenes(length=4), Scenes(length=4, seed=1)])
    samples = [SampleIndex(i, seed=3, epoch=2) for i in (1, 5, 9)]
    for dataset, count in ((repeated, 3), (joined, 2)):
        found = [dataset[index]['sample_idx'] for index in samples[:count]]
        assert found == [1] * count
        draws = [sample_rng(dict(sample_idx=index)).random() for index in found]
        assert len(set(draws)) == count
        assert draws[0] == sample_rng(dict(sample_idx=samples[0])).random()  # the first as if alone
        sent = pickle.loads(pickle.dumps(found))
        assert [sample_rng(dict(sample_idx=index)).random() for index in sent] == draws
        assert found[1].moved(2).outer == found[1].outer == (4,)
