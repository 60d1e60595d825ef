"""The options of the figures; nothing that draws is imported for them."""

from argparse import ArgumentParser

from mssl_plugins.commands.options import add_split
from mssl_plugins.visualization import MAP_SIZE, VIDEOS


def _add_appearance(parser: ArgumentParser) -> None:
    """Declares the options for branch, input size and names of the checkpoints."""
    parser.add_argument(
        '--names',
        nargs='+',
        metavar='NAME',
        default=[],
        help="names of the checkpoints in the titles; default: the files' names",
    )
    parser.add_argument(
        '--branch',
        choices=['student', 'teacher'],
        help='which backbone; default: the teacher of DINO, iBOT and MST, else the student',
    )
    parser.add_argument(
        '--size',
        type=int,
        metavar='PX',
        help='short side of the input; default: the size a ViT was made for, '
        f'{MAP_SIZE} px for a ResNet',
    )


def _add_networks(parser: ArgumentParser) -> None:
    """Declares the options that name one or two checkpoints; ``checkpoint`` comes first."""
    parser.add_argument(
        'checkpoint', help="a ViT or ResNet of any library, or 'random' with --config"
    )
    parser.add_argument(
        '--config',
        metavar='CONFIG',
        help='a config that describes the network; default: the one in the checkpoint',
    )
    parser.add_argument(
        '--compare', metavar='CHECKPOINT', help='a second checkpoint to compare with'
    )
    parser.add_argument(
        '--compare-config', metavar='CONFIG', help='config of the second; default: as for the first'
    )
    _add_appearance(parser)


def _add_model(parser: ArgumentParser, methods: str, figure: str, seed: str = 'masks') -> None:
    """Declares the options that ``visualization.images`` reads.

    Args:
        parser (ArgumentParser): The parser of the figure's command.
        methods (str): The methods whose configs it takes, for the help.
        figure (str): Name of the figure, for the default output.
        seed (str): What the seed determines, for the help. Defaults to 'masks'.
    """
    parser.add_argument('config', help=f'a config of {methods}, file or name')
    parser.add_argument('checkpoint', help='a checkpoint of this config')
    parser.add_argument('images', nargs='?', help='an image or a folder; default: generated scenes')
    parser.add_argument('--out', default=f'work_dirs/figures/{figure}.png')
    parser.add_argument('--rows', type=int, default=6, help='images. Default: 6')
    parser.add_argument('--seed', type=int, default=0, help=f'seed of the {seed}. Default: 0')


def _add_size(parser: ArgumentParser) -> None:
    """Declares the option for the side of the network's input."""
    parser.add_argument(
        '--size', type=int, metavar='PX', help='side of the square; default: that of the network'
    )


def _add_tile(parser: ArgumentParser, px: int = 160, of: str = 'an image') -> None:
    """Declares the option for the size of what is put side by side."""
    parser.add_argument(
        '--tile', type=int, default=px, help=f'longer side of {of} in px. Default: {px}'
    )


def _add_tile_or_frame(parser: ArgumentParser) -> None:
    """The same of a figure that is an image or a video."""
    parser.add_argument(
        '--tile',
        type=int,
        metavar='PX',
        help='longer side of an image in the figure; default: 160, in a video 480',
    )


def _add_fps(parser: ArgumentParser) -> None:
    """Declares the option for the speed of a video."""
    parser.add_argument(
        '--fps', type=float, default=12.0, help='frames per second of a folder. Default: 12'
    )


def _attention(parser: ArgumentParser) -> None:
    parser.add_argument('config', help='a config with a ViT as backbone, file or name')
    parser.add_argument('checkpoint', help="a checkpoint of this config, or 'random'")
    parser.add_argument('input', help=f'an image, a folder, or a video ({", ".join(VIDEOS)})')
    parser.add_argument('--out', help='default: work_dirs/figures/attention.png, or .mp4')
    parser.add_argument(
        '--compare',
        nargs='+',
        metavar='[CONFIG] CHECKPOINT',
        help='a second checkpoint, of the same or another config',
    )
    _add_appearance(parser)
    parser.add_argument(
        '--mass',
        type=float,
        default=0.6,
        metavar='SHARE',
        help='fraction of the attention that the patches shown as kept hold. Default: 0.6',
    )
    parser.add_argument('--no-heads', action='store_true', help='only the mean over heads')
    parser.add_argument('--rows', type=int, default=6, help='images of a folder. Default: 6')
    _add_tile_or_frame(parser)


def _bias(parser: ArgumentParser) -> None:
    _add_model(parser, 'phase 1 of mask-guided attention', 'bias', seed='scenes')
    parser.add_argument(
        '--at',
        type=float,
        nargs=2,
        action='append',
        metavar=('X', 'Y'),
        help='where the patch lies in the shown square, in %% from the left and from the top; '
        'once, or once for each image. Default: 50 50',
    )
    parser.add_argument(
        '--block', type=int, metavar='N', help='from 1; default: the one with the strongest bias'
    )
    _add_size(parser)


def _boxes(parser: ArgumentParser) -> None:
    parser.add_argument('config', help='a config of MaskCo, file or name')
    parser.add_argument('images', nargs='?', help='an image or a folder; default: generated scenes')
    parser.add_argument('--out', default='work_dirs/figures/boxes.png')
    parser.add_argument('--rows', type=int, default=4, help='images. Default: 4')
    parser.add_argument('--seed', type=int, default=0)


def _contrast(parser: ArgumentParser) -> None:
    _add_model(parser, 'ASL', 'contrast')
    parser.add_argument('--patches', type=int, default=3, help='patches of an image. Default: 3')


def _curves(parser: ArgumentParser) -> None:
    parser.add_argument('runs', nargs='+', help='work directories of runs, optionally NAME=DIR')
    parser.add_argument('--out', default='work_dirs/figures/curves.png')
    parser.add_argument(
        '--keys',
        nargs='+',
        default=['loss', 'knn'],
        help='what to draw, a panel each: a logged name or its beginning. Default: loss knn',
    )


def _embedding(parser: ArgumentParser) -> None:
    _add_networks(parser)
    parser.add_argument('images', help='a folder; sub-folders are classes, shown by colored frames')
    parser.add_argument(
        '--method',
        choices=['tsne', 'umap'],
        default='tsne',
        help='umap needs umap-learn. Default: tsne',
    )
    parser.add_argument(
        '--number', type=int, default=400, help='images, spread over the folder. Default: 400'
    )
    parser.add_argument(
        '--perplexity',
        type=float,
        default=30.0,
        help='perplexity of t-SNE, or number of neighbors of UMAP. Default: 30, at most a third '
        'of the images',
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', default='work_dirs/figures/embedding.png')
    parser.add_argument(
        '--canvas', type=int, default=1200, help='side of the map in px. Default: 1200'
    )
    _add_tile(parser, 48, 'a thumbnail')


def _masks(parser: ArgumentParser) -> None:
    _add_model(parser, 'MST, MAE or ASL', 'masks', seed='random masks')
    parser.add_argument(
        '--strategies',
        nargs='+',
        metavar='NAME',
        help='for MST: strategies to show, one a column, '
        "each hiding as many patches as the config's own; default: that one",
    )


def _mixmask(parser: ArgumentParser) -> None:
    parser.add_argument('images', nargs='?', help='an image or a folder; default: generated scenes')
    parser.add_argument('--out', default='work_dirs/figures/mixmask.png')
    parser.add_argument(
        '--grid', type=int, default=8, help='cells in a row of the mask. Default: 8'
    )
    parser.add_argument('--ratio', type=float, default=0.5, help='fraction of cells. Default: 0.5')
    parser.add_argument(
        '--size', type=int, default=224, help='side of the images in px. Default: 224'
    )
    parser.add_argument('--pairs', type=int, default=3, help='rows. Default: 3')
    parser.add_argument('--seed', type=int, default=0)


def _mph(parser: ArgumentParser) -> None:
    _add_model(parser, 'MaskCo', 'mph', seed='masked boxes')


def _neighbors(parser: ArgumentParser) -> None:
    _add_networks(parser)
    parser.add_argument('images', help='a folder of images to search')
    parser.add_argument(
        '--queries',
        nargs='+',
        metavar='FILE',
        help='images whose neighbors are shown; default: --rows images spread over the folder',
    )
    parser.add_argument(
        '--at',
        type=int,
        nargs=2,
        metavar=('X', 'Y'),
        help='the patch that holds this pixel of the first query, instead of whole images',
    )
    parser.add_argument('--rows', type=int, default=6, help='queries. Default: 6')
    parser.add_argument('--k', type=int, default=6, help='neighbors. Default: 6')
    parser.add_argument(
        '--limit', type=int, default=2000, help='largest number of images to search. Default: 2000'
    )
    parser.add_argument('--out', default='work_dirs/figures/neighbors.png')
    _add_tile(parser)


def _pca(parser: ArgumentParser) -> None:
    _add_networks(parser)
    parser.add_argument(
        'input',
        help=f'an image, a folder (with --out FILE.mp4 of frames), or a video '
        f'({", ".join(VIDEOS)})',
    )
    parser.add_argument('--out', help='default: work_dirs/figures/pca.png, or .mp4 of a video')
    parser.add_argument('--rows', type=int, default=6, help='images of a folder. Default: 6')
    parser.add_argument(
        '--whole',
        action='store_true',
        help='color every patch; default: only the foreground, found by the first component',
    )
    parser.add_argument(
        '--smooth', action='store_true', help='interpolate between patches; default: cells'
    )
    _add_fps(parser)
    _add_tile_or_frame(parser)


def _propagation(parser: ArgumentParser) -> None:
    _add_networks(parser)
    parser.add_argument('input', help='a video, or a folder of frames')
    parser.add_argument(
        'mask', help='mask of the first frame (PNG): 0 is background, other numbers are objects'
    )
    parser.add_argument('--out', default='work_dirs/figures/propagation.mp4')
    parser.add_argument('--masks', metavar='DIR', help='write the masks there too, as PNG')
    _add_fps(parser)
    _add_tile(parser, 480, 'a frame')


def _reconstruction(parser: ArgumentParser) -> None:
    _add_model(parser, 'MAE, MST or ASL', 'reconstruction')


def _segments(parser: ArgumentParser) -> None:
    parser.add_argument('data', help='a folder of images, packed images (.npz), or a config')
    parser.add_argument(
        'segments', nargs='+', help='segment stores of these images, made by tools/make_segments.py'
    )
    parser.add_argument('--out', default='work_dirs/figures/segments.png')
    parser.add_argument('--number', type=int, default=12, help='images. Default: 12')
    parser.add_argument('--columns', type=int, default=2, help='images in a row. Default: 2')
    add_split(parser)
    _add_tile(parser)


def _similarity(parser: ArgumentParser) -> None:
    _add_networks(parser)
    parser.add_argument('image', help='the image with the chosen patch')
    parser.add_argument(
        '--at',
        type=int,
        nargs=2,
        action='append',
        metavar=('X', 'Y'),
        required=True,
        help='a pixel of the image, from the left and from the top; may be given several times',
    )
    parser.add_argument('--others', help='an image or a folder, whose patches are compared too')
    parser.add_argument(
        '--columns', type=int, default=3, help='at most this many of the others. Default: 3'
    )
    parser.add_argument('--out', default='work_dirs/figures/similarity.png')
    _add_tile(parser)


def _tokens(parser: ArgumentParser) -> None:
    _add_model(parser, 'iBOT', 'tokens')
    parser.add_argument(
        '--ratio', type=float, default=0.4, help='fraction of masked patches. Default: 0.4'
    )
    _add_size(parser)


def _views(parser: ArgumentParser) -> None:
    parser.add_argument('config', help='a pre-training config')
    parser.add_argument(
        'images', nargs='?', help="an image or a folder; default: the config's own data"
    )
    parser.add_argument('--out', default='work_dirs/figures/views.png')
    parser.add_argument('--number', type=int, default=4, help='rows. Default: 4')
    parser.add_argument('--seed', type=int, default=0)


OPTIONS = dict(
    attention=_attention,
    bias=_bias,
    boxes=_boxes,
    contrast=_contrast,
    curves=_curves,
    embedding=_embedding,
    masks=_masks,
    mixmask=_mixmask,
    mph=_mph,
    neighbors=_neighbors,
    pca=_pca,
    propagation=_propagation,
    reconstruction=_reconstruction,
    segments=_segments,
    similarity=_similarity,
    tokens=_tokens,
    views=_views,
)
