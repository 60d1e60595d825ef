"""What stood in the way of people's own images: each message is gone, or says what to do."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from PIL import Image

from helpers.forked import Training
from helpers.messy import make_messy_folder, photo
from helpers.photos import RECIPES, train_photos
from mssl_plugins import catalogue, photos
from mssl_plugins.commands.main import COMMANDS
from mssl_plugins.config import each_dict, read_config
from mssl_plugins.errors import UserError
from mssl_plugins.export import TARGETS, export
from mssl_plugins.recipes import image_size
from mssl_plugins.registry import TRANSFORMS
from mssl_plugins.run_config import build_run_config


@pytest.fixture(scope='module')
def messy(tmp_path_factory):
    return make_messy_folder(tmp_path_factory.mktemp('photos') / 'mine', good=24)


@pytest.fixture(scope='module')
def mae(messy, tmp_path_factory):
    """A run of MAE: its folder and what the console said."""
    folder = tmp_path_factory.mktemp('mae')
    done = train_photos(folder, messy, 'photos/mae')
    assert done.status == 0, done.text
    return folder / 'run', done.text


# ------------------------------------------------------------- "no such network"
def networks():
    """Each network of the photo recipes once, by the name of a recipe."""
    found = {}
    for entry in catalogue.configs():
        if entry['data'] == 'photos':
            name = re.search(r'(resnet|vit)[^_]*', entry['name']).group()
            plain = not entry['name'].startswith(('mask-guided_', 'maskco'))
            found.setdefault(name, entry['name']) if plain else None
    return found


@pytest.mark.parametrize('name', networks().values(), ids=networks())
def test_no_such_network(name, tmp_path):
    """The README's network goes nowhere: now every recipe's goes everywhere."""
    cfg = read_config(name)
    net = MODELS.build(dict(cfg.model.backbone))
    state = {f'backbone.{key}': value for key, value in net.state_dict().items()}
    torch.save(dict(state_dict=state, meta=dict(cfg=cfg.pretty_text)), tmp_path / 'a.pth')
    for target in TARGETS:
        export(tmp_path / 'a.pth', target, tmp_path / 'out')
        shutil.rmtree(tmp_path / 'out')


# ----------------------------------------------- 32 px networks, 32 x 32 px chips
SMALL = {
    (entry['method'], entry['base']): entry
    for entry in catalogue.configs()
    if entry['data'] in ('scenes', 'cifar10') and '/benchmarks/' not in entry['path']
}


@pytest.mark.parametrize('entry', SMALL.values(), ids=lambda entry: entry['name'])
def test_a_recipe_for_thumbnails_names_the_one_for_photos(entry, messy, tmp_path):
    cfg = read_config(entry['name'])
    if 'num_classes' in (cfg.model.get('head') or {}) or image_size(cfg) > photos.SMALL:
        pytest.skip('a probe, or large views')
    cfg.work_dir = str(tmp_path / 'run')
    with pytest.raises(UserError, match=f'a recipe for {image_size(cfg)} px') as raised:
        photos.use_folder(cfg, str(messy), photos.Wishes(max_bad=0.1), say=lambda line: None)
    named = re.search(r'`train (\S+) --data', str(raised.value)).group(1)
    recipe = read_config(named)
    assert recipe.catalogue.data == 'photos'
    other = dict(ibot='dino', moco='mocov2')  # methods without a photo recipe
    assert recipe.catalogue.method == other.get(entry['method'], entry['method'])
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('name', ['photos/mae', 'photos/asl', 'photos/simclr', 'photos/maskco'])
def test_chips_of_unscaled_photos(name):
    """Crops are parts of the image, whatever its size: not 224 px of 4,000."""
    cfg, rng = read_config(name), np.random.default_rng(0)
    (step,) = [
        node
        for node in each_dict(cfg.train_dataloader.dataset.pipeline)
        if node.get('type', '').endswith('Views') and 'views' in node
    ]
    views, image = TRANSFORMS.build(step), photo(rng, 1200, 900)
    for number in range(10):
        boxes = np.atleast_2d(views(dict(img=image, sample_idx=number))['view_boxes'])
        parts = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) / (1200 * 900)
        assert (parts > 0.04).all(), parts  # 224 x 224 px are 0.046, 32 x 32 px 0.001


# ---------------------------------------------- three damaged files stop the run
def test_three_damaged_files_of_295(tmp_path):
    """Before the first step, with the option that changes it; with it they are left out."""
    folder, rng = tmp_path / 'mine', np.random.default_rng(0)
    folder.mkdir()
    for number in range(292):
        Image.fromarray(photo(rng, 48, 40)).save(folder / f'{number}.jpg')
    for number in range(3):
        (folder / f'bad{number}.jpg').write_bytes((folder / '0.jpg').read_bytes()[:300])
    given = ('photos/simsiam', '--data', folder, '--size', 32, '--epochs', 1, '--no-validate')
    argv = (*given, '--work-dir', tmp_path / 'run')
    done = Training(tmp_path, *argv, quiet=True).wait()
    assert done.status == 1 and 'epoch 1/1' not in done.text
    assert '3 of 295 files cannot be used, more than --max-bad 0.01: bad0.jpg (truncated)' in (
        done.error
    )
    assert not (tmp_path / 'run').exists()
    kept, reasons = tmp_path / 'run_not_used.txt', [f'bad{n}.jpg\ttruncated' for n in range(3)]
    assert f'not_used.txt is now {kept}\n' in done.text
    assert kept.read_text().splitlines() == reasons
    done = Training(tmp_path, *argv, '--max-bad', 0.02, quiet=True).wait()
    assert done.status == 0 and 'epoch 1/1  loss' in done.text, done.text
    lists = {p: p.read_text() for p in (tmp_path / 'run/images').iterdir()}
    assert lists[tmp_path / 'run/images/not_used.txt'].splitlines() == reasons
    # a run that is refused leaves an older one as it is, to be resumed
    (folder / '0.jpg').write_bytes(b'')
    refused = Training(tmp_path, *argv, '--overwrite', quiet=True).wait()
    assert refused.status == 1 and '4 of 295 files cannot be used' in refused.error
    assert {p: p.read_text() for p in (tmp_path / 'run/images').iterdir()} == lists


# ------------------------------------------------------------- exit 0, untrained
def test_a_batch_larger_than_the_folder(messy, tmp_path):
    done = train_photos(tmp_path, messy, 'photos/simsiam', '--batch-size', 64)
    assert done.status == 1 and 'nothing would be trained; lower --batch-size' in done.error
    assert not (tmp_path / 'run').exists()


# --------------------------------------------- monitoring disappears in silence
def test_without_labels_it_says_what_is_measured_instead(mae):
    run, text = mae
    assert 'k-NN is not measured: there are no train/ and val/ with a sub-folder a class' in text
    measures = r'std \d\S+  rankme \d\S+  retrieval \d\S+'
    assert re.search(
        rf'^initial weights  {measures}\n(.*\n)*epoch 1/1  loss .*{measures}', text, re.M
    )
    found = json.loads((run / 'monitor.json').read_text())['not_measured']
    assert found['k-NN'] == 'there are no train/ and val/ with a sub-folder a class'


def test_disk_and_time_are_said_before_the_first_epoch_ends(mae):
    said = r'^disk: checkpoints .*\n(.*\n)*\S+ s a step: .* an epoch, about .* for the run\n'
    assert re.search(rf'{said}(.*\n)*epoch 1/1', mae[1], re.M)


# -------------------------------------------------------------- a quiet console
def test_506_lines_before_the_first_step(mae):
    before = [line for line in mae[1].split('epoch 1/1')[0].splitlines() if line[0] != '[']  # bars
    assert len(before) < 25, '\n'.join(before)


REAL = dict(  # of the other commands the help
    extract=('CHECKPOINT', 'a.npz', '--data', 'FOLDER'),
    export=('CHECKPOINT', 'out', '--to', 'timm'),
    visualize=('pca', 'CHECKPOINT', 'FOLDER', '--out', 'a.png', '--rows', '1'),
    list=('photos',),
)


@pytest.mark.parametrize('command', COMMANDS)
def test_could_not_import_onedl(command, mae, messy, tmp_path, run_python):
    places = dict(CHECKPOINT=mae[0] / 'epoch_1.pth', FOLDER=messy / 'urlaub é')
    argv = [places.get(word, word) for word in REAL.get(command, ('--help',))]
    done = run_python('-m', 'mssl_plugins', command, *argv, fresh=True)
    assert done.returncode == 0, done.stderr
    assert 'Could not import' not in done.stdout + done.stderr
    assert 'mmengine - INFO' not in done.stdout + done.stderr
    assert 'OneDL' not in mae[1]


def test_the_start_method_of_another_process(tmp_path, tiny_config, train):
    """MMEngine's log says nothing of a method that the process before it had."""
    done = train(
        tiny_config(), '--work-dir', tmp_path / 'run', '--cfg-options', 'train_cfg.max_epochs=1'
    )
    assert done.status == 0 and 'mmengine - INFO' in done.text
    assert 'start method' not in done.text


# ----------------------------------------------------- what a command line moves
def test_cfg_options_that_leave_a_schedule_behind(tmp_path, tiny_config, train):
    options = ('--cfg-options', 'train_cfg.max_epochs=2')
    done = train(tiny_config(), '--work-dir', tmp_path / 'run', *options)
    assert done.status == 0
    assert (
        'warning: --cfg-options train_cfg.max_epochs=2 leaves behind what was made for 4: '
        'param_scheduler.0.T_max; --epochs 2 moves it along'
    ) in done.text
    done = train(tiny_config(), '--work-dir', tmp_path / 'other', '--epochs', 2)
    assert done.status == 0 and 'leaves behind' not in done.text


@pytest.mark.parametrize('name', ['photos/mae', 'photos/mocov2'])
def test_amp_insists(name, messy, tmp_path):
    given = dict(config=name, data=str(messy), work_dir=str(tmp_path / 'run'), amp=True)
    cfg = build_run_config(**given, wishes=photos.Wishes(max_bad=0.1, batch_size=8))
    assert cfg.optim_wrapper.type == 'mssl_plugins.BF16OptimWrapper' and cfg.optim_wrapper.insist
    cfg = build_run_config(
        **dict(given, amp=False), wishes=photos.Wishes(max_bad=0.1, batch_size=8)
    )
    assert not cfg.optim_wrapper.get('insist')


def test_a_finished_run_is_finished(mae, messy):
    done = train_photos(mae[0].parent, messy, 'photos/mae', '--resume')
    assert done.status == 0 and 'epoch_1.pth is finished: all' in done.text


# -------------------------------------------------------------------- the README
def test_the_readme_trains_a_recipe_for_photos():
    pages = [catalogue.root() / name for name in ('README.md', 'docs/your-images.md')]
    for page in pages:
        named = re.findall(
            r'(?:mssl_plugins train |mp\.train\(\')(\S+?)\'?,? (?:--)?data', page.read_text()
        )
        assert named, page
        assert all(read_config(name).catalogue.data == 'photos' for name in named), named


def test_every_method_has_a_recipe():
    methods = {name.split('_')[0] for name in RECIPES}
    known = {entry['method'] for entry in catalogue.configs()} - {'benchmarks'}
    assert {'mocov2', 'simclr', 'byol', 'simsiam', 'mixmask', 'maskco'} <= methods
    assert {'dino', 'mst', 'mae', 'asl', 'mask-guided', 'mask-guided-distill'} <= methods
    assert known >= methods - {'mask-guided-distill'}


def test_a_phase_2_recipe_asks_for_phase_1(messy, tmp_path):
    with pytest.raises(UserError, match='name its checkpoint with --from'):
        build_run_config('photos/mask-guided-distill_mae', data=str(messy))
