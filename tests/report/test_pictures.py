from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from fewlabels.insights.schema import MapPoints
from fewlabels.report import error_figure, gather, png, pseudo_labels_figure, spreading_figure
from fewlabels.report.insights import MapOfRows
from fewlabels.report.pictures import (
    BLUE,
    classes_figure,
    histogram_figure,
    loss_figure,
    map_by_label,
    schedule_figure,
    shorten,
)


def texts(figure):
    axes = figure.axes[0]
    legend = axes.get_legend()
    return [text.get_text() for text in axes.texts] + [text.get_text() for text in legend.texts if legend]


def lines(figure):
    return [line.get_xydata().tolist() for line in figure.axes[0].lines]


def test_error_is_drawn_over_steps_and_marked_where_phases_end(make_run):
    figure = error_figure(gather([make_run()]).curves)
    assert lines(figure)[0] == [[1, 50], [2, 40], [5, 30], [8, 20]]
    marks = {text.get_text() for text in figure.axes[0].texts}
    assert marks == {"40.0", "20.0", " labels alone ", " label propagation "}


def test_error_is_drawn_where_it_was_measured(make_run):
    (curve,) = gather([make_run()]).curves
    figure = error_figure([replace(curve, error=[None, 40.0, None, 20.0])])
    assert lines(figure)[0] == [[2, 40], [8, 20]]


def test_repeats_are_drawn_with_their_mean(make_run):
    curves = gather([make_run("a", epochs=4), make_run("b", epochs=4, seed=1)]).curves
    drawn = [
        line for line in error_figure(curves).axes[0].lines if line.get_color() == BLUE and len(line.get_xdata()) > 1
    ]
    assert [line.get_linewidth() for line in drawn] == [0.7, 0.7, 1.8]
    assert drawn[2].get_ydata().tolist() == [50, 40, 30, 20]


def test_other_runs_are_drawn_in_their_own_colours_by_name(make_run):
    curves = gather([make_run("long", epochs=6), make_run("short", epochs=2)]).curves
    for figure in (error_figure(curves, repeats=False), pseudo_labels_figure(curves, repeats=False)):
        labels = [text.get_text() for text in figure.axes[0].get_legend().texts]
        assert labels == ["long", "short"]


def test_other_runs_whose_truth_is_not_known_are_compared_by_their_certainty(make_run):
    curves = gather([make_run("long", epochs=6), make_run("short", epochs=6)]).curves
    unknown = replace(curves[1], accuracy=[None] * len(curves[1].accuracy))
    axes = pseudo_labels_figure([curves[0], unknown], repeats=False).axes[0]
    assert axes.get_title(loc="left") == "Pseudo-labels, %: mean certainty"
    assert [text.get_text() for text in axes.get_legend().texts] == ["long", "short"]


def test_phases_are_marked_where_all_runs_have_them(make_run):
    long, short = gather([make_run("long", epochs=6), make_run("short", epochs=2)]).curves
    marked = [
        len(axes.lines) for axes in (error_figure(c, repeats=False).axes[0] for c in ([long, long], [long, short]))
    ]
    assert marked[0] > marked[1]


def test_pseudo_labels_are_drawn_from_the_first_epoch_of_propagation(make_run):
    figure = pseudo_labels_figure(gather([make_run()]).curves)
    right, certainty = lines(figure)
    assert right == [[1, 82], [2, 83]]
    assert certainty == [[1, pytest.approx(70)], [2, pytest.approx(80)]]
    assert texts(figure) == ["right: 83.0 at the end", "mean certainty: 80.0 at the end"]


TAUGHT = {
    "teacher_error": [None, None, 25.0, 15.0],
    "certainty_right": [None, None, 0.6, 0.8],
    "certainty_wrong": [None, None, 0.4, 0.3],
    "loss": [2.0, 1.0, 0.5, 0.4],
    "rate": [0.1, 0.01, 0.2, 0.02],
    "weight": [0.0, 0.0, 50.0, 100.0],
}


def test_student_and_teacher_are_drawn_where_one_teaches(make_run):
    (curve,) = gather([make_run()]).curves
    figure = error_figure([replace(curve, **TAUGHT)])
    student, _, teacher = lines(figure)[:3]
    assert student == [[1, 50], [2, 40], [5, 30], [8, 20]]
    assert teacher == [[1, 50], [2, 40], [5, 25], [8, 15]]
    assert {"student", "teacher"} <= set(texts(figure))


def test_certainty_of_right_and_wrong_ones_is_drawn_apart_where_truth_is_known(make_run):
    (curve,) = gather([make_run()]).curves
    figure = pseudo_labels_figure([replace(curve, **TAUGHT)])
    assert texts(figure) == [
        "right: 83.0 at the end",
        "certainty of right ones: 80.0 at the end",
        "certainty of wrong ones: 30.0 at the end",
    ]


def test_loss_and_schedule_are_drawn_over_steps_with_a_line_where_a_phase_begins(make_run):
    (curve,) = gather([make_run()]).curves
    curve = replace(curve, **TAUGHT)
    loss, begin = lines(loss_figure([curve]))
    assert loss == [[1, 2.0], [2, 1.0], [5, 0.5], [8, 0.4]]
    assert [x for x, _ in begin] == [2, 2]
    rate, weight, begin = lines(schedule_figure(curve))
    assert [y for _, y in rate] == pytest.approx([50, 5, 100, 10])
    assert [y for _, y in weight] == [0, 0, 50, 100]
    assert texts(schedule_figure(curve)) == ["learning rate, at most 0.2", "weight of the teacher, at most 100"]


def test_the_histogram_stacks_wrong_on_right_or_shows_all():
    counts = {"edges": [0, 0.5, 1], "all": [3, 9], "right": [1, 8], "wrong": [2, 1]}
    heights = [bar.get_height() for bar in histogram_figure(counts).axes[0].patches]
    assert heights == [1, 8, 2, 1]
    unknown = histogram_figure(counts | {"right": None, "wrong": None})
    assert [bar.get_height() for bar in unknown.axes[0].patches] == [3, 9]


def test_classes_are_cut_at_forty():
    figure = classes_figure([f"c{i}" for i in range(60)], {"given": [1] * 60, "propagated": [2] * 60})
    assert len(figure.axes[0].get_yticklabels()) == 40


def test_spreading_labels_every_point_by_its_nearest_label_in_the_middle():
    points = np.array([[0, 0], [0, 1], [5, 0], [5, 1.0]])
    given = np.array([0, -1, 1, -1])
    figure = spreading_figure(points, given, np.array([0, 1, 1, 1]), np.array([1, 0.5, 1, 0.5]))
    colors = [axes.collections[0].get_facecolor()[:, :3] for axes in figure.axes]
    assert (colors[0] == colors[0][0]).all()
    assert (colors[1][0] == colors[1][1]).all()
    assert (colors[2][1] == colors[2][3]).all()
    assert (colors[1][0] != colors[1][2]).any()


@pytest.mark.parametrize(
    ("name", "shown"), [("crow", "crow"), ("a" * 20, "a" * 13 + "…"), ("a\nb", "a?b"), ("$x$", r"\$x\$")]
)
def test_names_in_charts_are_short_and_plain(name, shown):
    assert shorten(name) == shown


def test_a_picture_is_png_and_the_same_every_time(make_run):
    curves = gather([make_run()]).curves
    assert png(error_figure(curves)) == png(error_figure(curves))
    assert png(error_figure(curves)).startswith(b"\x89PNG")


def test_names_on_the_map_do_not_lie_on_one_another():
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(2, 400)).astype(np.float32)
    points = MapPoints(
        row=np.arange(400),
        x=x,
        y=y,
        label=np.arange(400) % 8,
        certainty=np.ones(400, np.float32),
        given=np.zeros(400, bool),
    )
    names = [f"class name {number}" for number in range(8)]
    figure = map_by_label(MapOfRows("t-SNE", 400, points), names)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert sorted(text.get_text() for text in figure.axes[0].texts) == names
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    panel = figure.bbox
    assert all(panel.x0 <= box.x0 and box.x1 <= panel.x1 for box in boxes)
