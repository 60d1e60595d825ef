"""Segments by a model of the SAM family, whose weights are given by path.

Segment Anything (arXiv 2304.02643), section 4 and appendix B, "Automatically
generating masks": a regular grid of points; masks are kept if their predicted
IoU is high and they hardly change with the threshold; duplicates are removed by
their boxes.  Defaults are those of the authors' repository.  For PyTorch
checkpoints their package ``segment_anything`` is used; for ONNX files the
procedure is implemented here.
"""

from pathlib import Path
from typing import Dict, List, Sequence, Tuple, Union

import cv2
import numpy as np
import torch
from torchvision.ops import nms

from mssl_plugins.checkpoints.loading import load_checkpoint_safely
from mssl_plugins.segments.base import Generator, label_map, shrink

MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)


class SAM(Generator):
    """Automatic masks of Segment Anything.

    Args:
        weights (str | Sequence[str]): A PyTorch checkpoint of
            ``segment_anything`` (.pth); or the two ONNX files, encoder and
            decoder, or the folder in which they lie.
        points_per_side (int): Points in a row and in a column of the grid.
            Defaults to 32.
        pred_iou_thresh (float): Smallest predicted IoU of a mask that is kept.
            Defaults to 0.88.
        stability_score_thresh (float): Smallest IoU between the masks at
            thresholds 1 above and 1 below that of the logits. Defaults to
            0.95.
        box_nms_thresh (float): IoU of boxes above which the mask with the
            lower score is dropped. Defaults to 0.7.
        side (int): Longer side of the segments in px; 0: that of the image.
            Defaults to 512.
        threads (int): Number of threads for ONNX; 0: all cores. Defaults to 0.

    Raises:
        FileNotFoundError: If there are no such weights.
        ImportError: If a needed package is missing; says what to install.
        ValueError: If they are of another family.
    """

    def __init__(
        self,
        weights: Union[str, Sequence[str], None] = None,
        points_per_side: int = 32,
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        box_nms_thresh: float = 0.7,
        side: int = 512,
        threads: int = 0,
    ) -> None:
        if not weights:
            raise ValueError(
                '--generator sam needs --weights: a checkpoint of segment_anything '
                '(.pth), two ONNX files (encoder and decoder), or their folder'
            )
        if points_per_side < 1:
            raise ValueError(f'points_per_side must be 1 or more, got {points_per_side}')
        self.side = side
        paths = [
            Path(p).expanduser()
            for p in ([weights] if isinstance(weights, (str, Path)) else weights)
        ]
        for path in paths:
            if not path.exists():
                raise FileNotFoundError(f'no such weights: {path}')
        settings = dict(
            points_per_side=points_per_side,
            pred_iou_thresh=pred_iou_thresh,
            stability_score_thresh=stability_score_thresh,
            box_nms_thresh=box_nms_thresh,
        )
        if len(paths) == 1 and paths[0].is_file() and paths[0].suffix != '.onnx':
            self.masks = torch_masks(paths[0], settings)
        else:
            self.masks = ONNXMasks(find_onnx(paths, threads), side=side, **settings)

    def __call__(self, img, key, sample):
        """Label map (h, w) of an RGB image's masks."""
        masks = self.masks(img)
        labels = label_map(masks, masks[0].shape if masks else img.shape)
        size = shrink(img, self.side).shape[1::-1]
        return cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)


def torch_masks(path: Path, settings: dict):
    """The automatic mask generator of ``segment_anything``, as a function of an image.

    Args:
        path (Path): The checkpoint.
        settings (dict): Arguments of its ``SamAutomaticMaskGenerator``.

    Returns:
        Callable: Image (H, W, 3) uint8 RGB -> list of masks (H, W) bool.

    Raises:
        ImportError: If ``segment_anything`` is not installed.
        ValueError: If it is no checkpoint of Segment Anything.
    """
    try:
        from segment_anything import SamAutomaticMaskGenerator, sam_model_registry
    except ImportError:
        raise ImportError(
            f'{path} is taken for a checkpoint of segment_anything, which is not installed: pip '
            'install segment-anything; or give ONNX files: pip install '
            "'mssl-plugins-openmmlab[sam]'"
        ) from None
    weights = load_checkpoint_safely(path)
    width = getattr(weights.get('image_encoder.pos_embed'), 'shape', (0,))[-1]
    names = {768: 'vit_b', 1024: 'vit_l', 1280: 'vit_h'}
    if width not in names:
        raise ValueError(f'{path} is no checkpoint of Segment Anything (ViT-B, -L or -H)')
    model = sam_model_registry[names[width]]()
    model.load_state_dict(weights)
    model.to('cuda' if torch.cuda.is_available() else 'cpu').eval()
    generator = SamAutomaticMaskGenerator(model, **settings)
    return lambda img: [found['segmentation'] for found in generator.generate(img)]


def find_onnx(paths: Sequence[Path], threads: int = 0) -> Tuple:
    """Opens encoder and decoder in onnxruntime.

    Args:
        paths (Sequence[Path]): The two files in any order, or their folder.
        threads (int): Threads of each session; 0: all cores. Defaults to 0.

    Returns:
        tuple: The sessions of encoder and decoder.

    Raises:
        ImportError: Without onnxruntime.
        ValueError: If there are not one encoder and one decoder.
    """
    try:
        import onnxruntime
    except ImportError:
        raise ImportError(
            "ONNX weights need onnxruntime: pip install 'mssl-plugins-openmmlab[sam]'"
        ) from None
    files = sorted(f for p in paths for f in (p.glob('*.onnx') if p.is_dir() else [p]))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    available = onnxruntime.get_available_providers()
    wanted = [p for p in ('CUDAExecutionProvider', 'CPUExecutionProvider') if p in available]
    sessions = []
    for file in files:
        try:
            sessions.append(onnxruntime.InferenceSession(str(file), options, providers=wanted))
        except Exception as error:  # onnxruntime has an own type for each fault
            reason = str(error).strip().splitlines()[0]
            raise ValueError(f'{file} is no whole ONNX file: {reason}') from None
    decoders = [s for s in sessions if 'point_coords' in [i.name for i in s.get_inputs()]]
    encoders = [s for s in sessions if s not in decoders]
    if len(encoders) != 1 or len(decoders) != 1:
        raise ValueError(
            'one encoder and one decoder (with an input point_coords) are needed, got '
            f'{len(encoders)} and {len(decoders)} in {", ".join(map(str, files)) or paths[0]}'
        )
    return encoders[0], decoders[0]


class ONNXMasks:
    """Automatic masks with an encoder and a decoder in ONNX form.

    The encoder has one input: either (1, 3, S, S), normalized and padded to a
    square at the right and the bottom, or (H, W, 3) in 0 to 255; the longer
    side is S = 1024.  The decoder takes the inputs of the authors' export, or
    some of them (``image_embeddings``, ``point_coords``, ``point_labels``,
    ``mask_input``, ``has_mask_input``, ``orig_im_size``), and returns
    ``iou_predictions`` and ``low_res_masks``, the logits of 1, 3 or 4 masks in
    the padded square. Of 4 masks the first, for several points, is left out.

    Args:
        sessions (Tuple): Sessions of encoder and decoder, see :func:`find_onnx`.
        points_per_side (int): See :class:`SAM`.
        pred_iou_thresh (float): See :class:`SAM`.
        stability_score_thresh (float): See :class:`SAM`.
        box_nms_thresh (float): See :class:`SAM`.
        side (int): See :class:`SAM`.

    Raises:
        ValueError: If a model has inputs of another kind.
    """

    KNOWN = (
        'image_embeddings',
        'point_coords',
        'point_labels',
        'mask_input',
        'has_mask_input',
        'orig_im_size',
    )

    def __init__(
        self,
        sessions: Tuple,
        points_per_side: int,
        pred_iou_thresh: float,
        stability_score_thresh: float,
        box_nms_thresh: float,
        side: int,
    ) -> None:
        self.encoder, self.decoder = sessions
        given = self.encoder.get_inputs()
        shape = given[0].shape
        if len(given) != 1 or len(shape) not in (3, 4) or 3 not in (shape[-1], shape[-3]):
            raise ValueError(
                'the encoder must have one input, (1, 3, S, S) or (H, W, 3), got '
                + ', '.join(f'{i.name} {i.shape}' for i in given)
            )
        self.flat = len(shape) == 3  # (H, W, 3), normalized inside
        self.size = shape[-1] if not self.flat and isinstance(shape[-1], int) else 1024
        self.dtype = np.uint8 if 'uint8' in given[0].type else np.float32
        self.name = given[0].name
        self.inputs = {i.name: i.shape for i in self.decoder.get_inputs()}
        outputs = [o.name for o in self.encoder.get_outputs()]
        strange = [n for n in self.inputs if n not in self.KNOWN and n not in outputs]
        results = [o.name for o in self.decoder.get_outputs()]
        lacking = [n for n in ('iou_predictions', 'low_res_masks') if n not in results]
        if strange or lacking:
            raise ValueError(
                f'the decoder is not of the form that segment_anything exports: unknown inputs '
                f'{", ".join(strange) or "none"}; missing outputs {", ".join(lacking) or "none"}'
            )
        self.together = 64 if not isinstance(self.inputs['point_coords'][0], int) else 1
        middles = (np.arange(points_per_side) + 0.5) / points_per_side
        self.points = np.stack(np.meshgrid(middles, middles), -1).reshape(-1, 2)  # x, y in 0 .. 1
        self.least_iou, self.least_stability = pred_iou_thresh, stability_score_thresh
        self.nms, self.side = box_nms_thresh, side

    def __call__(self, img: np.ndarray) -> List[np.ndarray]:
        """Masks (h, w) bool of an image (H, W, 3) uint8 RGB."""
        height, width = shrink(img, self.side).shape[:2]
        embedded, scaled = self.encode(img)
        kept, scores = [], []
        for start in range(0, len(self.points), self.together):
            points = self.points[start : start + self.together] * scaled[::-1]
            logits, ious = self.decode(embedded, points, scaled)
            for logit, iou in zip(logits, ious):
                mask = self.accept(logit, iou, height, width)
                if mask is not None:
                    kept.append(mask)
                    scores.append(float(iou))
        if not kept:
            return []
        boxes = torch.from_numpy(np.stack([box_of(mask) for mask in kept]))
        chosen = nms(boxes, torch.tensor(scores), self.nms)
        return [kept[i] for i in chosen.tolist()]

    def encode(self, img: np.ndarray) -> Tuple[Dict[str, np.ndarray], Tuple[int, int]]:
        """The encoder's outputs, and the (height, width) of the image in its input."""
        ratio = self.size / max(img.shape[:2])
        h, w = (int(side * ratio + 0.5) for side in img.shape[:2])
        way = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
        x = cv2.resize(img, (w, h), interpolation=way)
        if not self.flat:
            padded = np.zeros((self.size, self.size, 3), np.float32)
            padded[:h, :w] = (x - MEAN) / STD
            x = padded.transpose(2, 0, 1)[None]
        x = np.ascontiguousarray(x, self.dtype)
        names = [o.name for o in self.encoder.get_outputs()]
        return dict(zip(names, self.encoder.run(None, {self.name: x}))), (h, w)

    def decode(
        self, embedded: Dict[str, np.ndarray], points: np.ndarray, scaled: Tuple[int, int]
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Logits (n, s, s) and predicted IoU (n,) of all masks at n points.

        The points (n, 2) are x, y in px of the encoder's input.
        """
        count = len(points)
        coords = np.zeros((count, 2, 2), np.float32)  # the second one is the padding
        coords[:, 0] = points
        feeds = dict(
            embedded,
            image_embeddings=next(iter(embedded.values())),
            point_coords=coords,
            point_labels=np.tile(np.float32([1, -1]), (count, 1)),
            mask_input=np.zeros((1, 1, self.size // 4, self.size // 4), np.float32),
            has_mask_input=np.zeros(1, np.float32),
            # The full-size masks are not used, so they are asked for at a small size.
            orig_im_size=np.float32([max(side // 16, 1) for side in scaled]),
        )
        ious, logits = self.decoder.run(
            ['iou_predictions', 'low_res_masks'], {name: feeds[name] for name in self.inputs}
        )
        if logits.shape[1] == 4:
            ious, logits = ious[:, 1:], logits[:, 1:]
        return logits.reshape(-1, *logits.shape[2:]), ious.reshape(-1)

    def accept(self, logit: np.ndarray, iou: float, height: int, width: int):
        """The mask (height, width) bool of logits (s, s), or None if it is rejected."""
        if iou < self.least_iou:
            return None
        side = max(height, width)
        rows, columns = (-(-logit.shape[0] * s // side) for s in (height, width))
        seen = logit[:rows, :columns]  # without the padding
        inner, outer = np.count_nonzero(seen > 1), np.count_nonzero(seen > -1)
        if not inner or inner / outer < self.least_stability:
            return None
        # the square of logits is the image's, padded to a square
        mask = cv2.resize(logit, (side, side), interpolation=cv2.INTER_LINEAR) > 0
        mask = mask[:height, :width]
        return mask if mask.any() else None


def box_of(mask: np.ndarray) -> np.ndarray:
    """The box around a mask: x0, y0, x1, y1, float32."""
    rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    return np.float32([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
