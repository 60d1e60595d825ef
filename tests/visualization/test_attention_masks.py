"""Images of attention, masks, reconstructions and segments."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mssl_plugins.registry import MODELS
from mssl_plugins.visualization import attention as A
from mssl_plugins.visualization.canvas import NAME
from mssl_plugins.visualization.images import read_square
from mssl_plugins.visualization.masks import amounts, figure, teacher_attention

ROOT = Path(__file__).parents[2]
ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
VIT = dict(type='mssl_plugins.ViT', arch=ARCH, img_size=16, patch_size=4)
MST = dict(
    type='mssl_plugins.MST',
    q=0.5,
    backbone=dict(VIT, mask_token=True),
    neck=dict(type='mssl_plugins.PixelDecoder', in_channels=16, patch_size=4, widths=(8, 8)),
    head=dict(
        type='mssl_plugins.DINOHead',
        in_channels=16,
        out_channels=32,
        hidden_channels=16,
        bottleneck_channels=8,
        use_bn=True,
    ),
)
MAE = dict(
    type='mssl_plugins.MAE',
    backbone=VIT,
    neck=dict(
        type='mssl_plugins.MAEDecoder',
        num_patches=16,
        patch_size=4,
        embed_dim=16,
        decoder_embed_dim=16,
        decoder_depth=1,
        decoder_num_heads=2,
    ),
)
ASL = dict(MAE, type='mssl_plugins.ASL', layer=dict(num_heads=2, drop_rate=0.5))
GUIDED = dict(mask_bias=dict(positive=True, negative=True))
GUIDED_MST = dict(MST, type='mssl_plugins.MaskGuidedMST', backbone=dict(MST['backbone'], **GUIDED))
GUIDED_MAE = dict(MAE, type='mssl_plugins.MaskGuidedMAE', backbone=dict(VIT, **GUIDED))
SUPERVISED = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(VIT, type='mmpretrain.VisionTransformer', out_type='cls_token'),
    head=dict(type='mmpretrain.VisionTransformerClsHead', num_classes=3, in_channels=16),
    data_preprocessor=dict(num_classes=3, mean=[100.0] * 3, std=[50.0] * 3),
)
RESNET = dict(
    type='mssl_plugins.DINO',
    backbone=dict(type='mmpretrain.ResNet', depth=18),
    head=dict(type='mssl_plugins.DINOHead', in_channels=512, out_channels=32),
)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """Configs, their checkpoints, and two images of 22 x 30 px."""
    folder = tmp_path_factory.mktemp('attention')
    torch.manual_seed(0)
    for name, model in dict(
        mst=MST,
        mae=MAE,
        asl=ASL,
        guided_mst=GUIDED_MST,
        guided_mae=GUIDED_MAE,
        supervised=SUPERVISED,
        resnet=RESNET,
    ).items():
        text = f"default_scope = 'mmpretrain'\nmodel = {model!r}\n"
        (folder / f'{name}.py').write_text(text)
        from mmengine.registry import init_default_scope

        init_default_scope('mmpretrain')
        built = MODELS.build(Config.fromfile(folder / f'{name}.py').model)
        built.init_weights()
        for parameter in built.parameters():  # attention that is not flat
            parameter.data += 0.3 * torch.randn_like(parameter)
        for part in built.children():  # a teacher that is not its student
            if hasattr(part, 'steps'):
                part.steps += 1
        torch.save(dict(state_dict=built.state_dict()), folder / f'{name}.pth')
    (folder / 'photos').mkdir()
    rng = np.random.default_rng(0)
    for i in range(2):
        img = cv2.resize(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8), (30, 22))
        cv2.imwrite(str(folder / 'photos' / f'{i}.png'), img)
    return folder


def visualize(*argv):
    spec = importlib.util.spec_from_file_location('visualize', ROOT / 'tools/visualize.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main([str(word) for word in argv])


def tile_of(path, column, row=0, height=160, tile=160, gap=6, head=22):
    """What stands in a place of a sheet whose rows have this height."""
    shown = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    y, x = head + gap + row * (height + NAME + gap), gap + column * (tile + gap)
    return shown[y : y + height, x : x + tile]


def written_out(backbone, x):
    """The last block's softmax(Q K) of [CLS], in plain float64 loops."""
    get = {k: v.double() for k, v in backbone.state_dict().items()}
    heads, patch = 2, 4

    def norm(t, name):
        mean, var = t.mean(-1, keepdim=True), t.var(-1, unbiased=False, keepdim=True)
        return (t - mean) / (var + 1e-6).sqrt() * get[f'{name}.weight'] + get[f'{name}.bias']

    weight = get['patch_embed.projection.weight']
    rows, columns = x.shape[1] // patch, x.shape[2] // patch
    tokens = [get['cls_token'][0, 0]]
    for r in range(rows):
        for c in range(columns):
            cell = x[:, r * patch : (r + 1) * patch, c * patch : (c + 1) * patch].double()
            tokens.append((weight * cell).sum((1, 2, 3)) + get['patch_embed.projection.bias'])
    t = torch.stack(tokens) + get['pos_embed'][0]
    for layer in range(2):
        name = f'layers.{layer}'
        qkv = norm(t, f'{name}.ln1') @ get[f'{name}.attn.qkv.weight'].T
        qkv = qkv + get[f'{name}.attn.qkv.bias']
        q, k, v = qkv.view(len(t), 3, heads, -1).unbind(1)
        out, shown = [], []
        for h in range(heads):
            logits = torch.tensor(
                [[float(q[i, h] @ k[j, h]) for j in range(len(t))] for i in range(len(t))],
                dtype=torch.float64,
            )
            logits = (logits / q.shape[-1] ** 0.5).exp()
            share = logits / logits.sum(1, keepdim=True)
            shown.append(share[0, 1:].view(rows, columns))
            out.append(share @ v[:, h])
        out = torch.cat(out, 1) @ get[f'{name}.attn.proj.weight'].T
        t = t + out + get[f'{name}.attn.proj.bias']
        y = norm(t, f'{name}.ln2') @ get[f'{name}.ffn.layers.0.0.weight'].T
        y = torch.nn.functional.gelu(y + get[f'{name}.ffn.layers.0.0.bias'])
        t = t + y @ get[f'{name}.ffn.layers.1.weight'].T + get[f'{name}.ffn.layers.1.bias']
    return torch.stack(shown)


@pytest.mark.parametrize(
    'name, source',
    [('mst', 'student'), ('mst', 'teacher'), ('mae', 'student'), ('supervised', 'student')],
)
def test_attention_is_softmax_of_qk(files, name, source):
    network = A.load(files / f'{name}.py', files / f'{name}.pth', source)
    images = [A.fit(read_square(files / 'photos' / f'{i}.png', 16), 16, 4) for i in range(2)]
    maps = A.attention_maps(network, images)
    assert maps.shape == (2, 2, 4, 4)
    prefix = 'teacher.module.backbone.' if source == 'teacher' else 'backbone.'
    weights = torch.load(files / f'{name}.pth', weights_only=True)['state_dict']
    cfg = Config.fromfile(files / f'{name}.py').model
    own = dict(cfg.backbone, type='mssl_plugins.ViT')
    backbone = MODELS.build(own)
    backbone.load_state_dict(
        {k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)}
    )
    given = cfg.get('data_preprocessor') or {}
    mean = torch.tensor(given.get('mean', [123.675, 116.28, 103.53])).view(3, 1, 1)
    std = torch.tensor(given.get('std', [58.395, 57.12, 57.375])).view(3, 1, 1)
    for image, shown in zip(images, maps):
        x = (torch.from_numpy(image).permute(2, 0, 1).double() - mean) / std
        wanted = written_out(backbone, x)
        assert wanted.std() > 1e-3 and (shown - wanted).abs().max() < 1e-5


def test_other_sizes_are_whole_patches(files):
    image = cv2.imread(str(files / 'photos/0.png'))  # 22 x 30
    assert A.fit(image, 22, 4).shape == (20, 28, 3)
    assert (A.fit(image, 22, 4) == image[1:21, 1:29]).all()
    network = A.load(files / 'mst.py', files / 'mst.pth', size=22)
    assert A.attention_maps(network, [A.fit(image, 22, 4)]).shape == (1, 2, 5, 7)


def test_the_fewest_patches_with_the_share_are_kept():
    rng = np.random.default_rng(0)
    for share in (0.1, 0.6, 0.95, 1.0):
        values = torch.from_numpy(rng.random((3, 4, 5)))
        kept = A.keep_mass(values, share)
        for cells, flags in zip(values.tolist(), kept.tolist()):
            cells, flags = sum(cells, []), sum(flags, [])
            chosen, total = set(), 0.0
            for i in sorted(range(20), key=lambda i: -cells[i]):
                if total >= share * sum(cells) - 1e-9:
                    break
                chosen.add(i)
                total += cells[i]
            assert {i for i, flag in enumerate(flags) if flag} == chosen
    assert A.keep_mass(torch.ones(2, 2), 0.5).tolist() == [[True, True], [False, False]]
    for share in (0, 1.5):
        with pytest.raises(ValueError, match='--mass'):
            A.keep_mass(torch.ones(2, 2), share)


def test_a_folder_and_a_second_checkpoint(files, tmp_path):
    out = tmp_path / 'new' / 'attention.png'
    visualize(
        'attention',
        files / 'mst.py',
        files / 'mst.pth',
        files / 'photos',
        '--out',
        out,
        '--compare',
        files / 'supervised.py',
        files / 'supervised.pth',
        '--size',
        '20',
    )
    network = A.load(files / 'supervised.py', files / 'supervised.pth', size=20)
    for row in range(2):
        image = cv2.imread(str(files / 'photos' / f'{row}.png'))[..., ::-1]
        seen = A.fit(image, 20, 4)
        maps = A.attention_maps(network, [seen])[0]
        # image, then mean, overlay, kept and two heads of each network
        assert seen.shape == (20, 24, 3)  # 22 x 26 of the image's 22 x 30 px
        assert (tile_of(out, 9, row, 135) == A.heat(maps[0].numpy(), (135, 160))).all()
        whole = tile_of(out, 0, row, 135)
        assert (whole[[0, -1]][:, [0, -1]] == image[[0, -1]][:, [2, 27]]).all()
    assert cv2.imread(str(out)).shape[1] == 11 * 166 + 6
    visualize(
        'attention',
        files / 'mae.py',
        'random',
        files / 'photos/0.png',
        '--out',
        out,
        '--no-heads',
        '--compare',
        files / 'mae.pth',
        '--names',
        'before',
        'after',
    )
    assert cv2.imread(str(out)).shape[1] == 7 * 166 + 6


def make_video(path, frames, size=(48, 32)):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 12.5, size)
    for i in range(frames):
        frame = np.zeros((size[1], size[0], 3), np.uint8)
        frame[:, :, 1] = 10 * i
        cv2.circle(frame, (6 + 3 * i, 16), 5, (0, 0, 255), -1)
        writer.write(frame)
    writer.release()


def test_a_video_in_and_a_video_out(files, tmp_path, capsys):
    make_video(tmp_path / 'in.mp4', 11)
    out = tmp_path / 'out.mp4'
    visualize(
        'attention',
        files / 'mst.py',
        files / 'mst.pth',
        tmp_path / 'in.mp4',
        '--out',
        out,
        '--tile',
        '96',
        '--branch',
        'teacher',
    )
    assert '11/11' in capsys.readouterr().out
    assert A.video_facts(str(out)) == (12.5, 11)
    network = A.load(files / 'mst.py', files / 'mst.pth', 'teacher')
    frames = list(A.read_video(str(tmp_path / 'in.mp4')))
    shown = list(A.read_video(str(out)))
    assert len(shown) == 11 and shown[0].shape == (64, 3 * 96, 3)
    for frame, drawn in zip(frames, shown):
        seen = A.fit(frame, 16, 4)
        assert seen.shape == (16, 24, 3)
        left = cv2.resize(frame, (96, 64), interpolation=cv2.INTER_NEAREST)
        wanted = A.overlay(left, A.attention_maps(network, [seen])[0].mean(0).numpy())
        close = np.abs(drawn[:, 96:192].astype(int) - wanted).mean()
        assert close < 8, close  # the codec loses a little
        assert np.abs(drawn[:, :96].astype(int) - left).mean() < 8
    assert sorted(p.name for p in tmp_path.iterdir()) == ['in.mp4', 'out.mp4']


def test_masks_hide_what_the_teacher_attends_to_least(files, tmp_path):
    out = tmp_path / 'masks.png'
    visualize(
        'masks',
        files / 'mst.py',
        files / 'mst.pth',
        files / 'photos',
        '--out',
        out,
        '--strategies',
        'attention_low',
        'attention_high',
    )
    network = A.load(files / 'mst.py', files / 'mst.pth', 'teacher')
    for row in range(2):
        image = read_square(files / 'photos' / f'{row}.png', 16)
        flat = A.attention_maps(network, [image])[0].mean(0).flatten().tolist()
        least = sorted(range(16), key=lambda i: flat[i])
        for column, hidden in ((2, least[:8]), (3, least[8:])):
            shown = tile_of(out, column, row)
            for i in range(16):
                y, x = i // 4 * 40, i % 4 * 40
                cell = shown[y : y + 40, x : x + 40]
                if i in hidden:
                    assert (cell == 128).all()
                else:
                    wanted = image[y // 10 : y // 10 + 4, x // 10 : x // 10 + 4].repeat(10, 0)
                    assert (cell == wanted.repeat(10, 1)).all()


def test_every_strategy_hides_as_many_patches_as_the_models_own(files, tmp_path):
    """A random mask of p = 1, which an attention mask has, would hide whole images."""
    out = tmp_path / 'masks.png'
    visualize(
        'masks',
        files / 'mst.py',
        files / 'mst.pth',
        files / 'photos',
        '--out',
        out,
        '--strategies',
        'random',
        'attention_low',
    )
    for row in range(2):
        gray = [np.mean((tile_of(out, column, row) == 128).all(-1)) for column in (2, 3)]
        assert 0.2 < gray[0] < 0.8 and gray[1] == pytest.approx(0.5, abs=0.05)
    own = dict(strategy='random', q=1 / 8, p=0.3)
    for name, given, wanted in (
        ('random', dict(strategy='attention_low', q=1 / 8, p=0.5), (1 / 8, 1 / 16)),
        ('attention_high', dict(strategy='attention_low', q=1 / 8, p=0.5), (1 / 8, 0.5)),
        ('random', own, (1 / 8, 0.3)),
        ('attention_low', own, (0.3, 1)),
    ):
        assert amounts(name, **given) == wanted


def test_the_attention_of_the_masks_is_the_teachers(files):
    model = MODELS.build(Config.fromfile(files / 'mst.py').model)
    model.load_state_dict(torch.load(files / 'mst.pth', weights_only=True)['state_dict'])
    model.eval()
    image = read_square(files / 'photos/0.png', 16)
    x = torch.from_numpy(image).permute(2, 0, 1)[None]
    x = model.data_preprocessor(dict(inputs=[x]))['inputs'][0]
    maps = A.attention_maps(A.load(files / 'mst.py', files / 'mst.pth', 'teacher'), [image])
    shown = teacher_attention(model, x)
    assert torch.allclose(shown[0], maps[0].mean(0).flatten(), atol=1e-6)


def test_a_guided_model_sees_the_segments_of_the_images(files, tmp_path):
    from mssl_plugins.visualization.images import shown_segments

    image = read_square(files / 'photos/0.png', 16)
    for name in ('guided_mst', 'guided_mae'):
        model = MODELS.build(Config.fromfile(files / f'{name}.py').model)
        (sample,) = shown_segments(model, image[None])
        labels = sample.view_segments[0]
        assert labels.shape == (16, 16) and labels.max() > 0
        coverage = model.backbone_kwargs([sample], 0)['coverage']
        # every pixel is in a segment, those after the 32nd count as none
        counted = [k for k in np.argsort(-np.bincount(labels.flatten()), kind='stable')][:32]
        share = np.isin(labels, counted).mean()
        assert coverage.shape == (1, 16, 32) and abs(float(coverage.sum(-1).mean()) - share) < 1e-6
        visualize(
            'masks',
            files / f'{name}.py',
            files / f'{name}.pth',
            files / 'photos',
            '--out',
            tmp_path / 'masks.png',
        )
    model = MODELS.build(Config.fromfile(files / 'mae.py').model)
    assert shown_segments(model, image[None]) is None


@pytest.mark.parametrize('name', ['mst', 'mae', 'asl', 'guided_mst', 'guided_mae'])
def test_reconstructions(files, tmp_path, name):
    out = tmp_path / 'reconstruction.png'
    visualize(
        'reconstruction',
        files / f'{name}.py',
        files / f'{name}.pth',
        files / 'photos',
        '--out',
        out,
    )
    image = read_square(files / 'photos/1.png', 16)
    whole, seen, made, joined = (tile_of(out, column, 1) for column in range(4))
    assert (whole[::10, ::10] == image).all()
    hidden = (seen == 128).all(2)
    assert hidden.mean() == (0.5 if name.endswith('mst') else 0.75)
    assert (joined == np.where(hidden[..., None], made, whole)).all()
    assert (made[hidden] != whole[hidden]).mean() > 0.5
    visualize(
        'reconstruction', files / f'{name}.py', files / f'{name}.pth', '--out', out, '--rows', '2'
    )  # scenes


def test_masks_of_mae(files, tmp_path):
    out = tmp_path / 'masks.png'
    visualize('masks', files / 'mae.py', files / 'mae.pth', '--out', out, '--rows', '2')
    assert ((tile_of(out, 1) == 128).all(2)).mean() == 0.75
    shown = figure(np.zeros((1, 8, 8, 3), np.uint8), [np.ones((1, 8, 8), bool)], ['all'])
    assert (shown[28:188, 172:332] == 128).all()


def test_segments_over_their_images(files, tmp_path):
    from mssl_plugins.segments.build import make
    from mssl_plugins.segments.image_set import find_images

    images = find_images(str(files / 'photos'))
    for name in ('felzenszwalb', 'slic'):
        make(images, str(tmp_path / name), name, shown=False)
    out = tmp_path / 'segments.png'
    visualize(
        'segments',
        files / 'photos',
        tmp_path / 'felzenszwalb',
        tmp_path / 'slic',
        '--out',
        out,
        '--columns',
        '1',
    )
    assert cv2.imread(str(out)).shape[:2] == (22 + 2 * (123 + NAME) + 6, 3 * 166 + 6)
    plain, shown = tile_of(out, 0, height=117), tile_of(out, 2, height=117)
    assert (shown == 255).all(2).any() and (plain != shown).any()


def test_the_center_of_an_image(files):
    image = cv2.imread(str(files / 'photos/0.png'))[..., ::-1]
    assert (read_square(files / 'photos/0.png', 22) == image[:, 4:26]).all()


@pytest.mark.parametrize(
    'argv, words',
    [
        (['attention', 'resnet.py', 'resnet.pth', 'photos'], "of a ViT, the backbone is 'ResNet'"),
        (
            ['attention', 'mst.py', 'mae.pth', 'photos', '--branch', 'teacher'],
            'no teacher backbone',
        ),
        (['attention', 'mst.py', 'no.pth', 'photos'], 'no such checkpoint'),
        (['attention', 'mst.py', 'mst.pth', 'nothing'], 'no image there'),
        (['attention', 'mst.py', 'mst.pth', 'no.mp4'], 'no such video'),
        (['attention', 'mst.py', 'mst.pth', 'bad.mp4'], 'OpenCV finds no frame'),
        (
            ['attention', 'mst.py', 'mst.pth', 'bad.mp4', '--out', 'a.gif'],
            "did you mean '.mp4'|.gif",
        ),
        (['attention', 'mst.py', 'mst.pth', 'photos', '--mass', '0'], '--mass must be'),
        (
            ['attention', 'mst.py', 'mst.pth', 'photos', '--size', '3'],
            '--size 3 is less than a patch',
        ),
        (['attention', 'mst.py', 'mst.pth', 'photos', '--names', 'a', 'b'], '--names: 2 for 1'),
        (['attention', 'mst.py', 'mst.pth', 'photos', '--compare', 'a', 'b', 'c'], '3 words'),
        (['masks', 'resnet.py', 'resnet.pth'], 'DINO cannot reconstruct; configs/mst'),
        (['masks', 'mst.py', 'mae.pth'], 'mae.pth is not of'),
        (['masks', 'mst.py', 'mst.pth', '--strategies', 'attention_lo'], "mean 'attention_low'"),
        (['masks', 'mae.py', 'mae.pth', '--strategies', 'random'], '--strategies is for MST'),
        (['reconstruction', 'mst.py', 'mst.pth', '--rows', '0'], 'at least 1 image'),
    ],
)
def test_mistakes_are_one_line(argv, words, files, tmp_path, capsys, monkeypatch):
    import re

    from mssl_plugins.errors import run_cli

    monkeypatch.chdir(tmp_path)
    (tmp_path / 'bad.mp4').write_bytes(b'not a video at all')
    given = [str(files / word) if (files / word).exists() else word for word in argv]
    assert run_cli(lambda: visualize(*given)) == 1
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error')]
    assert len(error) == 1 and re.search(words, error[0]), error
    assert [p.name for p in tmp_path.rglob('*')] == ['bad.mp4']


def test_the_command_line(files, tmp_path, run_python):
    result = run_python(
        ROOT / 'tools/visualize.py',
        'attention',
        files / 'mst.py',
        files / 'mst.pth',
        files / 'photos/0.png',
        '--out',
        'a.png',
    )
    assert result.returncode == 0, result.stderr
    assert 'written: a.png' in result.stdout and (tmp_path / 'a.png').exists()


def test_weights_of_another_image_size_are_resized(tmp_path):
    from mssl_plugins.visualization.images import whole_model

    torch.save(dict(state_dict=MODELS.build(VIT).state_dict()), tmp_path / 'small.pth')
    config = tmp_path / 'large.py'
    config.write_text(f'model = {dict(VIT, img_size=32)}')
    found = whole_model(str(config), str(tmp_path / 'small.pth'), [], '')
    assert found.pos_embed.shape[1] == 1 + 8 * 8
    config.write_text(f'model = {dict(VIT, mask_token=True)}')
    with pytest.raises(ValueError, match='small.pth is not of .*missing: mask_token'):
        whole_model(str(config), str(tmp_path / 'small.pth'), [], '')
