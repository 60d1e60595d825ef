"""Photo recipes trained on shards, as on a folder."""

import pytest

from helpers.messy import make_messy_folder
from helpers.photos import train_photos
from mssl_plugins.pack import pack
from mssl_plugins.segments.build import make
from mssl_plugins.segments.image_set import find_images


@pytest.fixture(scope='module')
def packed(tmp_path_factory):
    """A messy folder in a tar file for each 25 images, with segments where there are any."""
    place = tmp_path_factory.mktemp('shards')
    folder = make_messy_folder(place / 'mine', good=40)
    for name in ('cut.jpg', 'text.jpg', 'empty.jpg'):  # have no segments
        (folder / name).rename(place / name)
    make(find_images(str(folder)), str(place / 'store'), 'slic', shown=False)
    pack(str(folder), str(place / 'segmented'), images=25, segments=str(place / 'store'))
    for name in ('cut.jpg', 'text.jpg', 'empty.jpg'):
        (place / name).rename(folder / name)
    pack(str(folder), str(place / 'plain'), 'parquet')
    return place


def test_segments_beside_the_images_in_two_processes(packed, tmp_path):
    """They are found without an option; a resumed run takes the same images."""
    given = packed / 'segmented', 'photos/mask-guided_dino'
    done = train_photos(tmp_path, *given, processes=2)
    assert done.status == 0 and 'those that lie beside the images' in done.text, done.text
    listed = (tmp_path / 'run/images/train.txt').read_text()
    assert all(line.startswith('images-0000') for line in listed.splitlines())
    again = train_photos(tmp_path, *given, '--resume', epochs=2, processes=2)
    assert again.status == 0 and (tmp_path / 'run/epoch_2.pth').is_file(), again.text
    assert (tmp_path / 'run/images/train.txt').read_text() == listed


def test_unusable_images_of_a_table_are_left_out(packed, tmp_path):
    done = train_photos(tmp_path, packed / 'plain', 'photos/mocov2')
    assert done.status == 0, done.text
    faults = (tmp_path / 'run/images/not_used.txt').read_text()
    assert all(name in faults for name in ('cut.jpg', 'text.jpg', 'empty.jpg'))
