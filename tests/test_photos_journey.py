"""From a messy folder through every photo recipe to other libraries, and on from there."""

import json
import os
from pathlib import Path
from typing import Tuple

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.forked import places_of, start_script
from helpers.hugging_face import ABSENT, PYTHON, run_there
from helpers.messy import make_messy_folder
from helpers.photos import RECIPES, size_of, train_photos
from mssl_plugins.api import extract_features, get_model
from mssl_plugins.checkpoints.images import resize_for
from mssl_plugins.export import export

FILES = 4  # whose features are compared
PHASE1 = {}  # checkpoints that recipes of phase 2 distill
GUIDED = [name for name in RECIPES if name.startswith('mask-guided_')]  # no other library has it
PLAIN = [name for name in RECIPES if name not in GUIDED]


@pytest.fixture(scope='module')
def messy(tmp_path_factory):
    return make_messy_folder(tmp_path_factory.mktemp('photos') / 'mine', good=19)


@pytest.fixture(scope='module')
def files(messy):
    """Plain ones: of odd files other libraries see something else."""
    return [str(messy / f'{i:03}.jpg') for i in range(FILES)]


@pytest.fixture(scope='module')
def segments(messy, tmp_path_factory):
    from mssl_plugins.segments.build import make
    from mssl_plugins.segments.image_set import find_images

    store = tmp_path_factory.mktemp('segments') / 'store'
    make(find_images(str(messy)), str(store), 'slic', shown=False)
    return store


@pytest.fixture(scope='module')
def options(segments):
    """What a recipe's command names besides the folder."""

    def of(name: str) -> list:
        found = ['--segments', segments] if name.startswith('mask-guided') else []
        return found + (['--from', PHASE1[name]] if name in PHASE1 else [])

    return of


@pytest.fixture(scope='module')
def trained(messy, options, tmp_path_factory):
    """The work dir of a recipe's run and what its console said; each is trained once."""
    known = {}

    def of(name: str) -> Tuple[Path, str]:
        if name not in known:
            if 'distill' in name:
                PHASE1[name] = of(name.replace('-distill', ''))[0] / 'epoch_1.pth'
            folder = tmp_path_factory.mktemp('run')
            done = train_photos(folder, messy, name, *options(name))
            assert done.status == 0, done.text
            known[name] = folder / 'run', done.text
        return known[name]

    return of


@pytest.fixture(scope='module')
def seen(trained, files):
    """Our features of the files by a recipe's network; each is asked once."""
    known = {}

    def of(name: str) -> torch.Tensor:
        if name not in known:
            model = get_model(checkpoint=trained(name)[0] / 'epoch_1.pth')
            known[name] = extract_features(model, files).features
        return known[name]

    return of


def own_figures(name):
    kinds = dict(mixmask='mixed', maskco='boxes', mst='reconstructed', mae='reconstructed')
    kinds['asl'] = 'reconstructed'
    own = [] if 'distill' in name else [kind for word, kind in kinds.items() if word in name]
    return own + ['attention'] * ('vit' in name)


@pytest.mark.parametrize('name', RECIPES)
def test_it_trains_and_is_monitored(name, trained):
    run, text = trained(name)
    measured = json.loads((run / 'monitor.json').read_text())
    assert [m['epoch'] for m in measured['measured']] == [0, 1]
    teacher = any(word in name for word in ('dino', 'mst')) and 'distill' not in name
    assert measured['branch'] == ('teacher' if teacher else 'student')
    figures = measured['measured'][-1]['figures']
    assert set(figures) == {'neighbors', 'components', *own_figures(name)}
    assert all((run / path).stat().st_size > 1000 for path in figures.values())
    state = torch.load(run / 'epoch_1.pth', weights_only=True)['state_dict']
    assert all(torch.isfinite(v).all() for v in state.values() if v.is_floating_point())
    # quiet: what was found and chosen, and a line an epoch
    assert 'epoch 1/1  loss' in text and 'mmengine - INFO' not in text
    assert 'OneDL' not in text
    assert '3 not used' not in text and 'not used: ' in text
    assert 'k-NN is not measured: there are no train/ and val/' in text
    assert 'linear rule' in text or 'batch' not in text


@pytest.mark.parametrize('name', RECIPES)
def test_it_goes_on(name, trained, options, messy):
    """A second epoch from the first one's checkpoint, with the same images held out."""
    run = trained(name)[0]
    held_out = (run / 'images/held_out.txt').read_text()
    done = train_photos(run.parent, messy, name, '--resume', *options(name), epochs=2)
    assert done.status == 0, done.text
    assert 'images as listed in' in done.text and '(epoch 2 of 2)' in done.text
    assert 'Loads checkpoint' not in done.text
    assert 'epoch 2/2  loss' in done.text and 'epoch 1/2' not in done.text
    assert (run / 'images/held_out.txt').read_text() == held_out
    measured = json.loads((run / 'monitor.json').read_text())['measured']
    assert [entry['epoch'] for entry in measured] == [0, 1, 2]
    state = torch.load(run / 'epoch_2.pth', weights_only=True)['state_dict']
    assert all(v.isfinite().all() for v in state.values() if v.is_floating_point())


@pytest.mark.parametrize('name', PLAIN)
def test_it_gives_the_same_features_in_timm_and_torchvision(name, trained, seen, files, tmp_path):
    timm = pytest.importorskip('timm')
    torchvision = pytest.importorskip('torchvision')
    path, size = trained(name)[0] / 'epoch_1.pth', int(size_of(name))
    ours = seen(name)
    export(path, 'timm', tmp_path / 'timm')
    net = timm.create_model(f'local-dir:{tmp_path}/timm', pretrained=True).eval()
    settings = timm.data.resolve_model_data_config(net)
    if 'vit' in name:  # a ResNet's size is told by nothing in its weights
        assert tuple(settings['input_size']) == (3, size, size)
    see = timm.data.create_transform(**settings)
    x = torch.stack([see(Image.open(file).convert('RGB')) for file in files])
    with torch.no_grad():
        torch.testing.assert_close(net(x), ours, rtol=1e-5, atol=1e-5)
    done = export(path, 'torchvision', tmp_path / 'torchvision')
    model = dict(done['model'])
    builder = getattr(torchvision.models, model.pop('builder'), None)
    removed = model.pop('remove')
    net = builder(**model) if builder else torchvision.models.VisionTransformer(**model)
    setattr(net, removed, torch.nn.Identity())
    net.load_state_dict(torch.load(tmp_path / 'torchvision/backbone.pth', weights_only=True))
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(x), ours, rtol=1e-5, atol=1e-5)


HUGGING_FACE = """
import json, sys, torch, transformers
from PIL import Image
work, *folders = sys.argv[1:]
files = json.load(open(f'{work}/files.json'))
for folder in folders:
    images = transformers.AutoImageProcessor.from_pretrained(folder, backend='pil')
    net = transformers.AutoModel.from_pretrained(folder).eval()
    x = images([Image.open(file).convert('RGB') for file in files], return_tensors='pt')
    with torch.no_grad():
        found = net(**x)
    vit = net.config.model_type == 'vit'
    features = found.last_hidden_state[:, 0] if vit else found.pooler_output.flatten(1)
    torch.save(features, f'{folder}.pt')
"""


def cut_alike(file: str, name: str) -> bool:
    """Whether Hugging Face cuts the center that torchvision and timm cut.

    Of a margin of 4 n + 3 px these leave 2 n + 2 before it, Hugging Face 2 n + 1.
    """
    size = int(size_of(name)) if 'vit' in name else 224
    resize, (short, long) = resize_for(size), sorted(Image.open(file).size)
    return all((side - size) % 4 != 3 for side in (resize, int(resize * long / short)))


def test_they_give_the_same_features_in_hugging_face(trained, seen, files, tmp_path):
    """From the same files, seen as the exported preprocessor says, in one process for all."""
    if not PYTHON.exists():
        pytest.skip(ABSENT)
    for name in PLAIN:
        export(trained(name)[0] / 'epoch_1.pth', 'hf', tmp_path / name)
    (tmp_path / 'files.json').write_text(json.dumps(files))
    run_there(HUGGING_FACE, tmp_path, *(tmp_path / name for name in PLAIN))
    for name in PLAIN:
        theirs = torch.load(tmp_path / f'{name}.pt', weights_only=True)
        same = torch.tensor([cut_alike(file, name) for file in files])
        assert same.sum() >= 2
        error = (theirs - seen(name)).abs().amax(1)
        assert (error[same] < 1e-5).all(), (name, error)


@pytest.mark.parametrize('name', GUIDED)
def test_a_guided_network_says_which_recipe_makes_it_plain(name, trained, tmp_path):
    base = name.split('_')[1]
    with pytest.raises(ValueError, match=f'`train photos/mask-guided-distill_{base} --data FOLDER'):
        export(trained(name)[0] / 'epoch_1.pth', 'timm', tmp_path / 'out')


@pytest.mark.parametrize('name', [name for name in RECIPES if 'simsiam_resnet18' in name][:1])
def test_two_processes_measure_and_export_alike(name, messy, files, tmp_path):
    """Trained by two processes; extracted by one and by two: the same features."""
    done = train_photos(tmp_path, messy, name, processes=2)
    assert done.status == 0, done.text
    path, made = tmp_path / 'run/epoch_1.pth', []
    for places in ([{}], places_of(2)):
        out = tmp_path / f'{len(made)}.npz'
        argv = ('-m', 'mssl_plugins', 'extract', path, out, '--data', messy, '--max-bad', 0.5)
        said = tmp_path / 'said.txt'
        running = [
            start_script(argv, tmp_path, {**os.environ, **env}, (said, said)) for env in places
        ]
        for process in running:
            process.join(300)
            process.kill()
        assert [process.exitcode for process in running] == [0] * len(running), said.read_text()
        made.append(np.load(out))
    assert made[0]['features'].shape[1] == 512 and len(made[0]['features']) > 20
    assert (made[0]['paths'] == made[1]['paths']).all()
    np.testing.assert_allclose(made[0]['features'], made[1]['features'], atol=1e-6)
    text = json.dumps(export(path, 'timm', tmp_path / 'timm'))
    assert str(tmp_path) not in text and str(messy) not in text
