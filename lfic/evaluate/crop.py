"""Crops of 160 and 224 pixels with the margin that users of facenet and of VGGFace2 keep around a face.

Both take a detector's box and widen it: facenet-pytorch by ``margin=32`` of its 160 pixels, to 1.25 times the box;
VGGFace2's crops for 224 pixels are 1.3 times the box. MTCNN's box, on LFW, spans 79 x 105 pixels of the 112 x 112
template around (55, 64): its longer side makes squares of 131 and 137 template pixels. They are cut out upright on the
template, so that landmarks alone say where they lie.
"""

import numpy as np
from numpy.typing import NDArray

from ..align import similarity_transform, template_matrix, warp
from ..errors import InvalidInputError
from .interface import Pixels

BOX, CENTER = 105.0, (55.0, 64.0)  # of MTCNN's boxes, in pixels of the template: longer side, middle
SPANS = {160: BOX * 1.25, 224: BOX * 1.3}  # side of a crop -> what it covers of the template, in its pixels


def cropped(picture: Pixels, landmarks: NDArray[np.float64], side: int) -> tuple[Pixels, NDArray[np.float64]]:
    """(crop uint8 [side, side, 3], the landmarks in it float [5, 2]) of a picture with landmarks float [5, 2].

    Raises:
        InvalidInputError: another side than 160 or 224.
    """
    if side not in SPANS:
        raise InvalidInputError(f"crops of {side} pixels; there are {' and '.join(map(str, SPANS))}")
    scale = SPANS[side] / side  # template pixels a pixel of the crop
    left, top = (middle - SPANS[side] / 2 + scale / 2 - 0.5 for middle in CENTER)  # centres of pixels are integers
    to_template = np.array([[scale, 0, left], [0, scale, top]])
    whole = template_matrix(landmarks)
    matrix = whole[:, :2] @ to_template
    matrix[:, 2] += whole[:, 2]
    corners = np.array([[0.0, 0.0], [side, 0.0], [0.0, side]])
    back = similarity_transform(corners @ matrix[:, :2].T + matrix[:, 2], corners)
    return np.asarray(warp(picture, matrix, side)), landmarks @ back[:, :2].T + back[:, 2]
