"""AIPP: the configuration with which the device turns pixels into the network's input.

``pixel_out = (pixel_in - mean_chn_i - min_chn_i) * var_reci_chn_i`` for channel i (CANN 8.0, ATC guide, AIPP:
"Normalization Configuration"). ``mean_chn`` is a whole number of 8 bits, ``min_chn`` and ``var_reci_chn`` are fp16
("Configuration File Template"; some chips keep them in fp32), so the mean is split: its whole part to the one, its
fraction, which fp16 holds to 2.5e-4, to the other.
"""

from __future__ import annotations

from neonext_ascend.errors import UsageError
from neonext_ascend.images.preprocessing import Preprocessing

_PIXEL = 255
_MAX_FACTOR = 65504  # of fp16
_HEAD = """aipp_op {{
    aipp_mode: static
    related_input_rank: 0
    input_format: RGB888_U8
    src_image_size_w: {width}
    src_image_size_h: {height}
    crop: false
    csc_switch: false
    rbuv_swap_switch: false
"""


def aipp_config(preprocessing: Preprocessing) -> str:
    """The text for ``--insert_op_conf``: uint8 ``(N, H, W, 3)`` in RGB order to normalised ``(N, 3, H, W)``.

    Args:
        preprocessing: ``image_size``, ``mean`` and ``std`` are taken; resizing and cropping stay on the host.

    Raises:
        UsageError: a mean or std that the fields do not hold.
    """
    height, width = preprocessing.image_size
    lines = [_HEAD.format(height=height, width=width)]
    for channel, (mean, std) in enumerate(zip(preprocessing.mean, preprocessing.std, strict=True)):
        if not 0 <= mean <= 1 or not std >= 1 / (_PIXEL * _MAX_FACTOR):
            raise UsageError(f"AIPP: mean {mean} and std {std}: expected a mean from 0 to 1 and a std above 0")
        # Decimal digits: 0.485 * 255 is 123.675, not 123.67499999999998.
        whole, fraction = divmod(round(mean * _PIXEL, 6), 1)
        lines.append(f"    mean_chn_{channel}: {int(whole)}\n")
        lines.append(f"    min_chn_{channel}: {round(fraction, 6)!r}\n")
        lines.append(f"    var_reci_chn_{channel}: {1 / (std * _PIXEL)!r}\n")
    return "".join([*lines, "}\n"])
