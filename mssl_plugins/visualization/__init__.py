"""The figures, one module each, with ``run``, which takes what the command line says.

``tools/visualize.py`` finds them here; a new figure is a new module, a line in
:data:`FIGURES`, and its options in ``commands/figures.py``.  ``run`` raises a
user's mistake as UserError, ValueError or FileNotFoundError, which the command prints
in one line.
"""

VIDEOS = ('.mp4', '.avi', '.mov', '.mkv', '.webm')
MAP_SIZE = 448  # px, short side for a ResNet: 14 cells of conv5
#: what each figure shows
FIGURES = dict(
    attention="the class token's attention, of images or a video, of one or two checkpoints",
    bias='image, its segments, and where a patch attends without and with their bias (mask-guided)',
    boxes="MaskCo's query and key view with the masked box and the key boxes",
    contrast="image, visible part, and which masked patches a patch's prediction fits (ASL)",
    curves='loss and k-NN curves of several runs side by side (MixMask Fig. 1)',
    embedding='2-D map of images by t-SNE or UMAP of their features, with thumbnails',
    masks="image, teacher's attention, and what the mask hides "
    '(MST; MAE and ASL without attention)',
    mixmask='block and discrete patterns, and the images of a batch mixed with them '
    '(MixMask Fig. 2)',
    mph="image, masked image, and MPH's output against the whole image's features (MaskCo Fig. 1)",
    neighbors='the nearest images of images, or, with --at, the nearest patches of a patch',
    pca='patch features in colors, their first three principal components (DINOv2 Fig. 1)',
    propagation="a mask of a video's first frame carried through it, "
    'as video-segmentation measures',
    reconstruction='image, its visible part, and its reconstruction (MAE, MST, ASL)',
    segments='images and their segments, of one segment store or several side by side',
    similarity="every patch's cosine to the patch at a pixel, in its image and in others",
    tokens="image, masked image, and the student's patch outputs against the teacher's (iBOT)",
    views="the views that a config's pipeline makes of an image, with crops, boxes and segments",
)
