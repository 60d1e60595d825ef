"""The page of a run: what it says, that it holds all it shows, and that no run ends by it."""

import html
import json
import re
from html.parser import HTMLParser

import pytest
from mmengine.config import Config
from PIL import Image

from helpers.browser import ask
from helpers.run_folders import run_folder
from mssl_plugins import catalogue
from mssl_plugins.commands.main import main
from mssl_plugins.evaluation.backbone import Pixels
from mssl_plugins.evaluation.features import extract_features
from mssl_plugins.evaluation.knn import knn_accuracy
from mssl_plugins.registry import DATASETS
from mssl_plugins.report.figures import figures
from mssl_plugins.report.page import _detector, number, write_report
from mssl_plugins.report.plots import plot, thin
from mssl_plugins.report.run import NoRun, read_run

HOSTILE = '<script>seen.push("run")</script>"><img src=x onerror=seen.push("img")>$x_1$&amp;\''


class Text(HTMLParser):
    """The text of a page, and its elements."""

    def __init__(self, page):
        super().__init__()
        self.words, self.tags = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return ' '.join(' '.join(self.words).split())


@pytest.fixture
def folder(tmp_path):
    return run_folder(tmp_path / 'run')


def test_what_a_folder_tells(folder):
    run = read_run(folder)
    assert run.curves['loss'] == [(10, 3.0), (20, 2.0), (30, 1.0)]
    assert (run.epochs, run.iterations, run.knn) == (3, 30, 'knn/top1_k20')
    assert run.speed == 16 and run.last('knn/top1_k20') == 0.5 and run.last('absent') is None
    assert run.baselines == dict(raw_pixels=0.25, initial_weights=0.125)
    assert run.config['model']['backbone'] == dict(type='mmpretrain.ResNet', depth=50)
    assert run.checkpoint == folder / 'epoch_3.pth'


def test_a_config_is_not_run(folder, tmp_path):
    config = folder / '20260101_000000/vis_data/config.py'
    config.write_text(f'model = open({str(tmp_path / "ran")!r}, "w")\nrandomness = dict(seed=3)')
    run = read_run(folder)
    assert run.config == dict(randomness=dict(seed=3)) and not (tmp_path / 'ran').exists()


def test_the_page_says_what_was_trained_and_whether_it_learned(folder):
    page = write_report([folder]).read_text()
    assert (folder / 'report.html').read_text() == page
    text = Text(page).text
    for words in (
        'method MoCo with MixMask',
        'backbone ResNet 50',
        'data ImageFolder /data/a figure',
        'training images 80',
        'length 3 epochs, 30 iterations',
        'optimizer SGD 0.03',
        'trained in 90 s',
        'speed 16 images/s',
        'torch 2.11.0',
        'raw pixels 0.25 initial weights 0.125 trained 0.5',
        'RankMe, effective number of directions larger 20 30.5',
        'on 64 held-out images',
        'What there is not, and why: figure of boxes: a figure has none',
        f'evaluate {folder / "epoch_3.pth"} --data DIR',
        'mask-rcnn_r50-c4_8xb2-1x_own-coco',
        'a figure, epoch 0',
        'a figure, epoch 3',
        'large, iteration 30',
    ):
        assert words in text, words
    assert 'secret' not in page


def test_nothing_is_loaded_from_elsewhere(folder):
    parsed = Text(write_report([folder]).read_text())
    for tag, attributes in parsed.tags:
        for name in ('src', 'href', 'xlink:href', 'action', 'poster', 'srcset'):
            assert re.match('data:|#|$', attributes.get(name) or ''), (tag, attributes)
    assert not {'iframe', 'object', 'embed', 'base', 'form'} & {tag for tag, _ in parsed.tags}
    ids = [attributes['id'] for _, attributes in parsed.tags if attributes.get('id')]
    assert len(ids) == len(set(ids))
    for _, attributes in parsed.tags:  # clips and markers of each plot are its own
        for value in attributes.values():
            for name in re.findall(r'url\(#([^)]+)\)', value or ''):
                assert name in ids


def test_figures_are_small_and_those_of_the_folder(folder):
    shown, count = figures(folder)
    assert count == 3 and [f.title for f in shown][:2] == ['a figure, epoch 0', 'a figure, epoch 3']
    large = shown[2]
    assert (large.width, large.height) == (800, 514) and large.data.startswith('data:image/jpeg')
    few, count = figures(folder, most=2)
    assert count == 3 and [f.file for f in few] == [shown[0].file, shown[2].file]
    (folder / 'figures/pca_0.png').write_bytes(b'no image')
    assert len(figures(folder)[0]) == 2


def test_curves_are_thinned_and_keep_their_ends():
    points = [(i, float(i)) for i in range(10_001)]
    kept = thin(points)
    assert len(kept) == 500 and kept[0] == (0, 0.0) and kept[-1] == (10_000, 10_000.0)
    drawn = plot('loss', {HOSTILE: points, '_hidden': [(0, 1.0)]}, {'raw pixels': 0.5})
    assert len(drawn.svg) < 60_000 and '<script>' not in drawn.svg and '<img' not in drawn.svg
    assert '_hidden' in drawn.svg and 'currentColor' in drawn.svg and '#010203' not in drawn.svg
    assert number(None) == '–' and number(0.123456) == '0.1235' and number(3.0) == '3'


def test_several_runs_are_compared(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = run_folder(tmp_path / 'elsewhere/run', factor=2.0)
    assert main(['report', str(folder), str(other)]) == 0
    assert 'written: report.html' in capsys.readouterr().out
    text = Text((tmp_path / 'report.html').read_text()).text
    assert 'Side by side' in text and 'elsewhere/run' in text
    assert read_run(other).last('loss') == 2


def test_a_wrong_folder_is_said_on_the_page_and_the_console(folder, tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    out = tmp_path / 'page.html'
    argv = ['report', str(tmp_path / 'empty'), str(tmp_path / 'absent'), '--out', str(out)]
    assert main(argv) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and all(line.startswith('error: ') for line in said)
    parsed = Text(out.read_text())
    assert 'holds no run: no */vis_data/scalars.json' in parsed.text
    assert f'no such folder: {tmp_path / "absent"}' in parsed.text
    assert main(['report', str(folder), str(tmp_path / 'empty'), '--out', str(out)]) == 1
    text = Text(out.read_text()).text
    assert 'holds no run' in text and 'method MoCo with MixMask' in text
    with pytest.raises(NoRun):
        read_run(tmp_path / 'empty')


@pytest.mark.parametrize('name', [c['name'] for c in catalogue.configs() if c['data'] == 'photos'])
def test_every_photo_recipe_is_told_its_detector(name):
    """A config that exists, for this network; a self-distilled network's teacher."""
    model = Config.fromfile(catalogue.find(name)).model
    found = _detector(model.backbone)
    assert catalogue.find(found).stem == found
    wanted = dict(resnet18='_r18-', resnet50='_r50-')
    network = name.split('_')[-2]
    assert wanted.get(network, f'_{network}_') in found
    assert _detector(dict(type='mssl_plugins.SmallImageResNet', depth=18)) == ''
    assert _detector(dict(type='mssl_plugins.ViT', arch='deit-tiny', patch_size=4)) == ''


def test_no_page_is_replaced_by_one_of_no_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'report.html').write_text('of other runs')
    assert main(['report', 'mistyped']) == 1
    assert capsys.readouterr() == ('', f'error: no such folder: {tmp_path / "mistyped"}\n')
    assert (tmp_path / 'report.html').read_text() == 'of other runs'


@pytest.mark.parametrize(
    'file, content',
    [
        ('monitor.json', '{"measured": [1, {"epoch": 0}], "images": 2'),
        ('monitor.json', '[]'),
        ('monitor.json', '{"measured": [], "not_measured": [1]}'),
        ('report.json', 'null'),
        ('20260101_000000/vis_data/config.py', 'model = dict('),
        (
            '20260101_000000/vis_data/scalars.json',
            '{"loss": NaN, "step": 1}\n{"loss": 1, "step": 2}',
        ),
        ('20260101_000000/vis_data/scalars.json', '[1]\n{"loss": 1, "step": 2, "epoch": "x"}'),
    ],
)
def test_damaged_files_are_passed_over(folder, file, content):
    (folder / file).write_text(content)
    assert 'What was trained' in Text(write_report([folder]).read_text()).text


MEASURED = """
    part = dict(dataset=dict(
        type='mssl_plugins.Scenes', length=40, size=32, split='train', pipeline=[
            dict(type='mssl_plugins.CenterView', size=32),
            dict(type='mssl_plugins.PackViews')]))
    custom_hooks = [dict(type='mssl_plugins.KNNHook', k=[5, 10], bank=part, test=part)]
    """


def test_a_run_of_ours_writes_it(tiny_config, tmp_path, train):
    config = tiny_config(MEASURED)
    done = train(config, '--work-dir', tmp_path / 'run', '--epochs', 1)
    assert done.status == 0, done.text[-3000:]
    assert f'report: {tmp_path / "run/report.html"}' in done.text
    facts = json.loads((tmp_path / 'run/report.json').read_text())
    # raw pixels, measured again: normalized as the config says, k = 5
    pixels = Pixels([120.0] * 3, [60.0] * 3)
    spec = dict(type='mssl_plugins.Scenes', length=40, size=32, split='train')
    view = [dict(type='mssl_plugins.CenterView', size=32), dict(type='mssl_plugins.PackViews')]
    part = extract_features(pixels, DATASETS.build(dict(spec, pipeline=view)))
    again = knn_accuracy(*part, *part, ks=[5], temperature=0.1)[5]
    assert facts['baselines']['raw_pixels'] == pytest.approx(float(again), abs=1e-6)
    assert set(facts['baselines']) == {'raw_pixels', 'initial_weights'}
    assert facts['images'] == 24 and facts['versions']['torch'] and facts['seconds'] > 0
    text = Text((tmp_path / 'run/report.html').read_text()).text
    assert f'raw pixels {number(facts["baselines"]["raw_pixels"])}' in text


def test_a_resumed_run_has_the_baselines_of_its_beginning(tmp_path, tiny_config, train):
    """They are kept from the first step on; without them none are made of trained weights."""
    config, run = tiny_config(MEASURED), tmp_path / 'run'
    assert train(config, '--work-dir', run, '--epochs', '1').status == 0
    facts = json.loads((run / 'report.json').read_text())
    assert facts['baselines'].keys() == {'raw_pixels', 'initial_weights'}
    again = ('--work-dir', run, '--resume', '--epochs')
    assert train(config, *again, '2').status == 0
    assert json.loads((run / 'report.json').read_text())['baselines'] == facts['baselines']
    (run / 'report.json').unlink()
    assert train(config, *again, '3').status == 0
    found = json.loads((run / 'report.json').read_text())
    assert 'baselines' not in found and 'resumed' in found['why_no_baseline']


def test_a_report_that_cannot_be_written_fails_no_run(tiny_config, tmp_path, train):
    (tmp_path / 'run/report.html').mkdir(parents=True)
    done = train(tiny_config(), '--work-dir', tmp_path / 'run', '--epochs', 1)
    assert done.status == 0 and 'no report: IsADirectoryError' in done.text
    assert (tmp_path / 'run/epoch_1.pth').is_file()


def test_checking_writes_none(tiny_config, tmp_path, train):
    done = train(tiny_config(), '--work-dir', tmp_path / 'run', '--check')
    assert done.status == 0 and not (tmp_path / 'run').exists()


def test_a_browser_shows_it(tmp_path):
    """Hostile names as text, images, no error, nothing loaded, nothing wider than a phone."""
    folders = [
        run_folder(tmp_path / 'run & <b>', name=HOSTILE),
        run_folder(tmp_path / 'b', factor=20.0),
        run_folder(tmp_path / 'c', factor=3.0),
    ]
    page = write_report([*folders, tmp_path / '<i>absent'], tmp_path / 'page.html')
    found = ask(
        page,
        """
        const table = document.querySelector('table.sortable');
        const column = () => [...table.tBodies[0].rows].map(r => r.cells[4].textContent);
        const button = table.tHead.rows[0].cells[4].querySelector('button');
        button.focus();
        const orders = [column()];
        button.click(); orders.push(column()); button.click(); orders.push(column());
        return {orders, focus: document.activeElement === button,
                text: document.body.innerText, bold: document.querySelectorAll('b, i').length,
                sort: table.tHead.rows[0].cells[4].getAttribute('aria-sort')};
        """,
        tmp_path,
    )
    assert found['seen'] == [] and found['requests'] == []
    assert len(found['images']) == 9 and all(found['images'])
    answer = found['answer']
    assert answer['orders'] == [['1', '20', '3'], ['1', '3', '20'], ['20', '3', '1']]
    assert answer['focus'] and answer['sort'] == 'descending' and answer['bold'] == 0
    assert HOSTILE in answer['text'] and 'run & <b>' in answer['text']
    assert '<i>absent' in answer['text']


def test_a_phone_shows_it(tmp_path):
    page = write_report([run_folder(tmp_path / 'a-rather-long-name-of-a-run' / ('x' * 60))])
    frame = tmp_path / 'frame.html'
    frame.write_text(
        '<html><head></head><body>'
        f'<iframe width=400 height=800 srcdoc="{html.escape(page.read_text())}"></iframe>'
        '</body></html>'
    )
    found = ask(
        frame,
        'const d = document.querySelector("iframe").contentDocument.documentElement;'
        'return [d.clientWidth, d.scrollWidth];',
        tmp_path,
    )
    visible, needed = found['answer']
    assert 300 < visible <= 400 and needed <= visible and found['seen'] == []


def test_the_image_that_a_run_names_may_not_lead_outside(folder):
    Image.new('RGB', (8, 8)).save(folder.parent / 'secret.png')
    (folder / 'link.png').symlink_to(folder.parent / 'secret.png')
    monitor = json.loads((folder / 'monitor.json').read_text())
    monitor['measured'][0]['figures'] = ['../secret.png', 'link.png', str(folder / '../secret.png')]
    (folder / 'monitor.json').write_text(json.dumps(monitor))
    assert [f.title for f in figures(folder)[0]] == ['a figure, epoch 3', 'large, iteration 30']
