"""Colours of the pictures, measured: on their ground, light and as a dark page turns them, and by the colour-blind."""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb

import fewlabels.report
from fewlabels.report.pictures import CERTAINTY, GREEN, GREY, ORANGE, PALE_SHARES, PALETTE, SOFT, colour_labels

STYLE = (Path(fewlabels.report.__file__).parent / "templates" / "style.css.j2").read_text()
WHITE, BLACK = "#ffffff", "#000000"
# hue-rotate(180deg) of CSS filter effects, on sRGB values
HUE = np.array([[-0.574, 1.43, 0.144], [0.426, 0.43, 0.144], [0.426, 1.43, -0.856]])
# Machado, Oliveira and Fernandes 2009, severity 1, on linear values
SIGHT = {
    "all": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def light(color):
    return np.array(to_rgb(color))


def dark(color):
    """As the page turns it: --turn of style.css.j2."""
    amount = float(re.search(r"--turn: invert\((\.\d+)\) hue-rotate\(180deg\)", STYLE)[1])
    return np.clip((amount + (1 - 2 * amount) * light(color)) @ HUE.T, 0, 1)


def linear(rgb):
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(first, second):
    """Of WCAG 2, from 1 to 21."""
    low, high = sorted(float(linear(rgb) @ [0.2126, 0.7152, 0.0722]) for rgb in (first, second))
    return (high + 0.05) / (low + 0.05)


def lab(rgb, sight):
    """CIE L*a*b*, as seen by `sight`."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(SIGHT[sight] @ linear(rgb), 0, 1) / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("scheme", [light, dark])
def test_lines_and_points_stand_out_by_three_to_one(scheme):
    drawn = [*PALETTE, GREY, *CERTAINTY(np.linspace(0, 1, 11))[:, :3]]
    found = {str(color): contrast(scheme(color), scheme(WHITE)) for color in drawn}
    assert min(found.values()) >= 3, found


@pytest.mark.parametrize("scheme", [light, dark])
def test_text_stands_out_by_four_and_a_half_to_one(scheme):
    for text, ground in [
        (SOFT, WHITE),
        (BLACK, WHITE),
        (PALETTE[0], WHITE),
        *((BLACK, PALE_SHARES(v)[:3]) for v in (0.5, 1.0)),
    ]:
        assert contrast(scheme(text), scheme(ground)) >= 4.5, (text, ground)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("scheme", [light, dark])
def test_the_colour_blind_tell_them_apart(scheme, sight):
    seen = [lab(scheme(color), sight) for color in PALETTE]
    distances = {pair: np.linalg.norm(seen[pair[0]] - seen[pair[1]]) for pair in combinations(range(10), 2)}
    assert min(distances.values()) >= 13
    assert min(value for pair, value in distances.items() if max(pair) < 6) >= 16
    right, wrong = (lab(scheme(color), sight) for color in (GREEN, ORANGE))
    assert np.linalg.norm(right - wrong) >= 20


def test_labels_have_the_colour_of_their_class_and_none_is_grey():
    colors = colour_labels(np.array([0, 9, 10, -1]))
    assert colors[:, :3].tolist() == [list(to_rgb(color)) for color in (PALETTE[0], PALETTE[9], PALETTE[0], GREY)]
