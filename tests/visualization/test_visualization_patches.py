"""The figures of patch features: drawn images of known structure, and what is refused."""

import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from helpers.tools import tool
from mssl_plugins.errors import UserError
from mssl_plugins.evaluation.neighbors import nearest_images, patch_similarity
from mssl_plugins.evaluation.patch_maps import PatchBasis
from mssl_plugins.visualization import embedding, pca
from mssl_plugins.visualization.canvas import NAME, sheet
from mssl_plugins.visualization.network import image_features, load_frozen, maps_of, patch_at
from mssl_plugins.visualization.similarity import MARK, cosine_heat
from mssl_plugins.visualization.video import read_video, video_facts

VIT = dict(
    type='mssl_plugins.ViT',
    img_size=32,
    patch_size=4,
    arch=dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=48),
)
RESNET = dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8)
RED, BLUE = (255, 150, 140), (140, 150, 255)


def save(path, backbone):
    """A backbone that keeps what a patch looks like: small random blocks."""
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    net = MODELS.build(dict(backbone))
    net.init_weights()
    if backbone is VIT:
        torch.nn.init.normal_(net.patch_embed.projection.weight, std=0.1)
        net.pos_embed.data.mul_(0.01)
        torch.nn.init.normal_(net.cls_token)
    state = {f'backbone.{k}': v for k, v in net.state_dict().items()}
    config = f'model = {dict(type="mssl_plugins.SimCLR", backbone=backbone)}\n'
    torch.save(dict(state_dict=state, meta=dict(cfg=config)), path)
    return path


def drawn(left, top, color, size=(32, 48)):
    """A square of 12 px on dark ground, on the patches' lines."""
    image = np.full((*size, 3), 40, np.uint8)
    image[top : top + 12, left : left + 12] = color
    return image


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1])
    return path


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp('figures')
    save(folder / 'vit.pth', VIT)
    save(folder / 'resnet.pth', RESNET)
    write(folder / 'photos/red/0.png', drawn(8, 8, RED))
    write(folder / 'photos/red/1.png', drawn(24, 16, RED))
    write(folder / 'photos/blue/2.png', drawn(12, 12, BLUE))
    write(folder / 'photos/blue/3.png', drawn(20, 4, BLUE))
    return folder


def visualize(*argv):
    tool('visualize').main([str(word) for word in argv])


def read(path):
    return cv2.imread(str(path))[..., ::-1]


def tile_of(path, column, row=0, height=107, tile=160, gap=6, head=22):
    y, x = head + gap + row * (height + NAME + gap), gap + column * (tile + gap)
    return read(path)[y : y + height, x : x + tile]


def patch_colors(shown, grid=(8, 12)):
    """The color in the middle of every cell of a tile."""
    h, w = shown.shape[:2]
    return np.stack(
        [
            [
                shown[int((r + 0.5) * h / grid[0]), int((c + 0.5) * w / grid[1])]
                for c in range(grid[1])
            ]
            for r in range(grid[0])
        ]
    ).astype(int)


def test_pca_shows_the_drawn_squares(files, tmp_path):
    out = tmp_path / 'new/pca.png'
    visualize('pca', files / 'vit.pth', files / 'photos', '--out', out)
    found = {}
    order = [(12, 12, 'blue'), (20, 4, 'blue'), (8, 8, 'red'), (24, 16, 'red')]
    for row, (left, top, name) in enumerate(order):
        colors = patch_colors(tile_of(out, 1, row))
        square = np.zeros((8, 12), bool)
        square[top // 4 : top // 4 + 3, left // 4 : left // 4 + 3] = True
        assert ((colors.sum(-1) > 0) == square).all()  # the square is the foreground
        found.setdefault(name, []).append(colors[square].mean(0)[0])
    for pair in found.values():  # one basis: a color means the same everywhere
        assert abs(pair[0] - pair[1]) < 30
    assert abs(found['red'][0] - found['blue'][0]) > 200  # what differs most among squares
    visualize('pca', files / 'vit.pth', files / 'photos', '--out', out, '--whole', '--rows', '2')
    network = load_frozen(files / 'vit.pth')
    images = [read(files / f'photos/blue/{i}.png') for i in (2, 3)]
    maps = maps_of(network, images)
    basis = PatchBasis.fit(maps, False)
    for row in range(2):
        assert (patch_colors(tile_of(out, 1, row)) == basis.colors(maps[row]).numpy()).all()


def test_pca_of_two_networks(files, tmp_path):
    out = tmp_path / 'pca.png'
    visualize(
        *(
            'pca',
            files / 'vit.pth',
            files / 'photos',
            '--out',
            out,
            '--compare',
            files / 'resnet.pth',
        ),
        *('--names', 'one', 'two', '--size', '64', '--smooth'),
    )
    assert read(out).shape[1] == 3 * 166 + 6
    resnet = load_frozen(files / 'resnet.pth', size=64)
    assert maps_of(resnet, [drawn(0, 0, RED)])[0].shape[:2] == (2, 3)


def test_two_checkpoints_of_one_name_have_distinct_titles(files, tmp_path, monkeypatch):
    for run in ('first', 'second'):
        (tmp_path / run).mkdir()
        (tmp_path / run / 'epoch_3.pth').symlink_to(files / 'vit.pth')
    given, titles, real = [tmp_path / run / 'epoch_3.pth' for run in ('first', 'second')], [], sheet
    monkeypatch.setattr(
        pca, 'sheet', lambda rows, shown, *a, **k: titles.append(shown) or real(rows)
    )
    argv = ('--compare', given[1], '--rows', '1', '--out', tmp_path / 'pca.png')
    visualize('pca', given[0], files / 'photos', *argv)
    assert titles == [
        ['image', 'first/epoch_3: PCA of foreground', 'second/epoch_3: PCA of foreground']
    ]


def test_pca_of_a_video_and_of_frames(files, tmp_path):
    frames = [drawn(4 * i, 8, RED, (32, 64)) for i in range(11)]
    for i, frame in enumerate(frames):
        write(tmp_path / f'frames/{i:02d}.png', frame)
    out = tmp_path / 'out.mp4'
    visualize(
        *(
            'pca',
            files / 'vit.pth',
            tmp_path / 'frames',
            '--out',
            out,
            '--tile',
            '128',
            '--fps',
            '5',
        )
    )
    assert video_facts(str(out)) == (5.0, 11)
    shown = list(read_video(str(out)))
    assert shown[0].shape == (64, 256, 3)
    for i, frame in enumerate(shown):
        bright = patch_colors(frame[:, 128:], (8, 16)).sum(-1) > 60  # of a codec that loses some
        assert bright[2:5, i : i + 3].mean() > 0.7 and bright[:, i + 4 :].sum() == 0
    visualize('pca', files / 'vit.pth', out, '--out', tmp_path / 'again.mp4', '--tile', '64')
    assert video_facts(str(tmp_path / 'again.mp4')) == (5.0, 11)
    write(tmp_path / 'frames/11.png', drawn(0, 0, RED, (32, 40)))
    with pytest.raises(UserError, match='40 x 32 px, the first frame 64 x 32'):
        visualize('pca', files / 'vit.pth', tmp_path / 'frames', '--out', out)


def test_frames_are_spread_evenly():
    assert pca.spread(iter(range(100)), 100, 4) == [0, 25, 50, 75]
    assert pca.spread(iter(range(3)), 3, 4) == [0, 1, 2]
    assert pca.spread(iter(range(10)), 0, 4) == [0, 1, 2, 3]  # a file that does not say


def test_similarity_of_a_pixel(files, tmp_path):
    out = tmp_path / 'similarity.png'
    image = files / 'photos/red/0.png'
    visualize(
        *(
            'similarity',
            files / 'vit.pth',
            image,
            '--at',
            '13',
            '10',
            '--others',
            files / 'photos/red',
        ),
        *('--out', out),
    )
    network = load_frozen(files / 'vit.pth')
    imgs = [read(image), read(image), read(files / 'photos/red/1.png')]
    maps = maps_of(network, imgs)
    assert patch_at(imgs[0], network, (8, 12), 13, 10) == (2, 3)
    cosines = [patch_similarity(m, maps[0][2, 3]).numpy() for m in maps]
    low = min(c.min() for c in cosines)
    for column, cosine in ((1, cosines[0]), (5, cosines[2])):
        assert (tile_of(out, column) == cosine_heat(cosine, (107, 160), low, 1.0)).all()
    # the other square of the color is more alike than any of the ground
    square = np.zeros((8, 12), bool)
    square[4:7, 6:9] = True
    assert cosines[2][square].min() > cosines[2][~square].max()
    marked = tile_of(out, 0)
    frame = (marked == MARK).all(-1).nonzero()
    assert abs(frame[0].min() - 2 * 107 / 8) < 3 and abs(frame[1].max() - 4 * 160 / 12) < 3
    visualize(
        *(
            'similarity',
            files / 'vit.pth',
            image,
            '--at',
            '13',
            '10',
            '--at',
            '20',
            '20',
            '--out',
            out,
        ),
        *('--compare', files / 'resnet.pth', '--size', '32'),
    )
    assert read(out).shape[0] == 2 * (107 + 34) + 2 * (160 + 34)


def test_neighbors_of_images(files, tmp_path):
    out = tmp_path / 'neighbors.png'
    query = files / 'photos/red/0.png'
    visualize(
        *(
            'neighbors',
            files / 'vit.pth',
            files / 'photos',
            '--queries',
            query,
            '--k',
            '3',
            '--out',
            out,
        )
    )
    order = sorted((files / 'photos').rglob('*.png'))
    network = load_frozen(files / 'vit.pth')
    cosines, index = nearest_images(image_features(network, order), [2], 3)
    assert cosines.std() > 0
    for column, number in enumerate([2, *index[0].tolist()]):
        shown = tile_of(out, column, height=160)[18:]  # the tile with its line of text is 160 high
        colored = [c for c in (RED, BLUE) if (np.abs(shown.astype(int) - c).sum(-1) < 20).any()]
        assert colored == [RED if order[number].parent.name == 'red' else BLUE]
    visualize(
        'neighbors', files / 'vit.pth', files / 'photos', '--rows', '4', '--k', '1', '--out', out
    )
    # a query from elsewhere is not among the neighbors of others, but has its own
    other = write(tmp_path / 'other.png', drawn(0, 0, BLUE))
    visualize(
        *('neighbors', files / 'resnet.pth', files / 'photos', '--queries', other, '--out', out),
        *('--k', '4', '--size', '32'),
    )
    assert read(out).shape[1] == 5 * 166 + 6


def test_neighbors_of_a_patch_are_of_its_color(files, tmp_path):
    out = tmp_path / 'neighbors.png'
    visualize(
        *(
            'neighbors',
            files / 'vit.pth',
            files / 'photos',
            '--queries',
            files / 'photos/red/0.png',
        ),
        *('--at', '14', '14', '--k', '2', '--out', out),
    )
    # the nearest patch of its own image and of the other red one stand before the blue ones'
    for column in (0, 1, 2):
        shown = tile_of(out, column, height=160)
        frame = np.argwhere((shown == MARK).all(-1))
        (y0, x0), (y1, x1) = frame.min(0), frame.max(0)
        inside = shown[y0 + 3 : y1 - 2, x0 + 3 : x1 - 2].reshape(-1, 3).astype(int)
        assert np.abs(inside - RED).max() < 10


def test_the_map_puts_alike_images_together(files, tmp_path):
    green, violet = (110, 200, 20), (150, 40, 200)  # no frame has these
    rng = np.random.default_rng(0)
    folder = tmp_path / 'images'
    for i in range(24):
        color = (green, violet)[i % 2]
        noisy = np.clip(np.array(color) + rng.integers(-15, 16, (32, 32, 3)), 0, 255)
        write(folder / ('red', 'blue')[i % 2] / f'{i:02d}.png', noisy.astype(np.uint8))
    out = tmp_path / 'embedding.png'
    visualize(
        *('embedding', files / 'vit.pth', folder, '--out', out, '--canvas', '400', '--tile', '20')
    )
    shown = read(out).astype(int)
    assert shown.shape == (450, 400, 3)
    at = {}
    for name, color in (('red', green), ('blue', violet)):
        at[name] = np.argwhere(np.abs(shown[50:] - color).max(-1) < 16).astype(float)
        assert len(at[name]) > 300  # less than 12 x 20 x 20: alike ones overlap
    gap = np.linalg.norm(at['red'].mean(0) - at['blue'].mean(0))
    assert gap > 1.5 * max(points.std(0).max() for points in at.values())
    with pytest.raises(UserError, match='4 or more images'):
        embedding.embed(np.ones((3, 5)), 'tsne', 30, 0)
    with pytest.raises(UserError, match='4 or more images, got 1'):  # before anything is read
        visualize('embedding', files / 'vit.pth', folder / 'red/00.png', '--out', out)


def test_places_are_kept_in_proportion():
    places = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 2.0], [4.0, 2.0]])
    thumbnails = [np.full((10, 10, 3), 20 * i, np.uint8) for i in range(4)]
    shown = embedding.figure(thumbnails, places, [''] * 4, 'title', 200)[30:]
    at = [np.argwhere((shown == 20 * i).all(-1)).mean(0) for i in (1, 2, 3)]
    assert at[2][1] == at[0][1] and at[2][0] == at[1][0]
    width, height = at[2][1] - at[1][1], at[0][0] - at[2][0]
    assert (
        width == pytest.approx(2 * height, abs=2) and width > 130 and height > 0
    )  # y grows upwards


def test_umap_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'umap', None)
    with pytest.raises(UserError, match='umap-learn'):
        embedding.embed(np.random.default_rng(0).normal(size=(9, 4)), 'umap', 30, 0)


@pytest.mark.parametrize(
    'argv, words',
    [
        (['pca', 'vit.pth', 'nowhere'], 'no image'),
        (['pca', 'random', 'photos'], '--config'),
        (['pca', 'none.pth', 'photos'], 'no such checkpoint'),
        (['pca', 'vit.pth', 'photos', '--size', '3'], 'patch of 4 px'),
        (['pca', 'vit.pth', 'photos', '--out', 'x.docx'], 'ends in'),
        (['pca', 'vit.pth', 'photos', '--names', 'a', 'b'], '2 for 1'),
        (['similarity', 'vit.pth', 'photos/red/0.png', '--at', '48', '2'], '0 to 47'),
        (['neighbors', 'vit.pth', 'photos', '--k', '4'], '4 images'),
        (['neighbors', 'vit.pth', 'photos', '--at', '4', '4'], '--queries'),
        (['embedding', 'vit.pth', 'photos', '--canvas', '100'], '--canvas'),
    ],
)
def test_mistakes_are_told_in_a_line(argv, words, files, capsys, monkeypatch, tmp_path):
    (tmp_path / 'photos').symlink_to(files / 'photos')
    (tmp_path / 'vit.pth').symlink_to(files / 'vit.pth')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['visualize.py', *argv])
    module = tool('visualize')
    assert module.run_cli(module.main) != 0
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and words in error[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ['photos', 'vit.pth']
