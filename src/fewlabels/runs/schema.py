"""What the JSON files of a run folder hold: the one place that says so.

Known keys are held to it wherever a run is read; unknown ones are left alone, since newer versions add some. Unknown
settings are told, for they may change what a run means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checks import Kind, Many, Maybe, Misfit, Named, Record, find_unknown
from .kinds import (
    AMOUNT,
    BOOL,
    CLASS,
    CLASS_NAMES,
    COUNT,
    NUMBER,
    PATH,
    PERCENT,
    POSITIVE,
    PRIOR,
    RANGE,
    RECALL,
    SEED,
    SHARE,
    TEMPERATURE,
    TEXT,
)

FORMAT = 1
KINDS = ("train", "propagate", "label", "seeds")


# run.json

REFINEMENT = Record({"centre_sources": BOOL, "prior": Maybe(PRIOR), "calibrate": BOOL})
GRAPH = Record(
    {
        "n_neighbors": POSITIVE,
        "gamma": AMOUNT,
        "alpha": SHARE,
        "max_steps": Maybe(POSITIVE),
        "tol": SHARE,
        "mode": TEXT,
        "allow_empty_classes": BOOL,
        "max_zero_share": SHARE,
        "metric": TEXT,
        "recall": Maybe(RECALL),
        "seed": SEED,
        "precision": TEXT,
        "refinement": REFINEMENT,
        "drop_bad_rows": BOOL,
    }
)
AUTO = Record(  # what was given where the labels choose: null is chosen
    {
        "n_neighbors": Maybe(POSITIVE),
        "alpha": Maybe(SHARE),
        "refinement": Maybe(REFINEMENT),
        "answer": Maybe(TEXT),
        "labels_are": Maybe(TEXT),
        "most_members": POSITIVE,
        "groups": Maybe(TEXT),
    }
)
MEMBER = Record(
    {
        "kind": TEXT,
        "n_neighbors": Maybe(POSITIVE),
        "alpha": Maybe(SHARE),
        "penalty": Maybe(AMOUNT),
        "by_degree": BOOL,
        "lengths": BOOL,
        "temperature": AMOUNT,
        "share": SHARE,
    },
    needed=("kind", "share"),
)
ANSWER = Record(  # what was chosen; settings.graph is that of its graph with the largest share, or of the best one
    {
        "members": Many(MEMBER),
        "temperature": AMOUNT,
        "prior": Maybe(TEXT),
        "class_scale": Maybe(Many(AMOUNT)),
    },
    needed=("members",),
)
NETWORK = Record(
    {
        "name": TEXT,
        "heads": POSITIVE,
        "unit_descriptor": BOOL,
        "dropout": Maybe(SHARE),
        "width": Maybe(POSITIVE),
        "first_stride": Maybe(POSITIVE),
        "pretrained": Maybe(BOOL),
        "mirror": Maybe(BOOL),
    }
)
PHASE = Record(
    {
        "method": TEXT,
        "epochs": COUNT,
        "learning_rate": AMOUNT,
        "batch_labeled": POSITIVE,
        "batch_unlabeled": COUNT,
        "unfrozen": COUNT,
    },
    needed=("method", "epochs"),
)
AUGMENT = Record({"translate": AMOUNT, "flip": BOOL, "rotate": AMOUNT, "stretch": SHARE, "pad": TEXT, "sampling": TEXT})
OPTIMIZATION = Record(
    {
        "optimizer": TEXT,
        "momentum": SHARE,
        "weight_decay": AMOUNT,
        "schedule": TEXT,
        "cosine_stretch": AMOUNT,
        "rampup_epochs": COUNT,
        "rampdown_epochs": COUNT,
        "clip_norm": Maybe(AMOUNT),
    }
)
CONSISTENCY = Record(
    {"weight": AMOUNT, "rampup_epochs": COUNT, "ema_decay": SHARE, "logit_distance": AMOUNT, "memory": SHARE}
)
STRONG = Record({"operations": COUNT, "cutout": SHARE})
MATCHING = Record({"strong": Maybe(STRONG), "threshold": Maybe(SHARE), "memory": SHARE})
SETTINGS = Record(
    {
        "phases": Many(PHASE),
        "network": NETWORK,
        "graph": GRAPH,
        "auto": AUTO,
        "answer": ANSWER,
        "augment": AUGMENT,
        "optimization": OPTIMIZATION,
        "consistency": CONSISTENCY,
        "matching": MATCHING,
        "seed": SEED,
        "recipe": TEXT,  # of several seeds, whose runs have the settings themselves
    }
)
SOURCE = Record(
    {
        "kind": TEXT,
        "path": PATH,
        "labels": Maybe(TEXT),
        "columns": Record(
            {
                **dict.fromkeys(("id", "embedding", "label"), TEXT),
                **dict.fromkeys(("features", "ignore"), Many(TEXT)),
                "rows_from": Maybe(COUNT),
                "rules": POSITIVE,
            }
        ),
        "name": TEXT,
        "data": Maybe(PATH),
        "accept_truncated": BOOL,
        "max_pixels": POSITIVE,
        "folders": Named(TEXT),
        "pixel_range": Maybe(RANGE),
    }
)
SOURCES = {  # what each kind of source needs to be opened again
    "images": ("path",),
    "embeddings": ("path", "columns"),
    "dataset": ("name", "data"),
    "digits": (),
}
ESTIMATED = Record({"num": COUNT, "right": COUNT, **dict.fromkeys(("percent", "low", "high"), Maybe(PERCENT))})
DESCRIBED = Record(  # how rows were described, so that new ones are described alike; of texts less is there
    {
        **dict.fromkeys(("kind", "model", "weights", "precision"), TEXT),
        "mirror": BOOL,
        "preprocessing": Record({"size": POSITIVE}),
        "decoding": Record({"accept_truncated": BOOL, "max_pixels": POSITIVE, "pixel_range": Maybe(RANGE)}),
    }
)
IDENTITY = Record({"data": Named(Maybe(TEXT)), "versions": Named(TEXT)})
FACTS = Record(
    {
        "format": POSITIVE,
        "kind": TEXT,
        "command": Many(TEXT),
        "started": TEXT,
        "versions": Named(TEXT),
        "settings": SETTINGS,
        "title": TEXT,
        "labelling": TEXT,
        "named": CLASS_NAMES,
        "described": Maybe(DESCRIBED),
        "estimated": Maybe(ESTIMATED),
        "seed": SEED,
        "seeds": Many(SEED),
        "class_names": CLASS_NAMES,
        "device": TEXT,
        "speed": TEXT,
        "precision": TEXT,
        "threads": POSITIVE,
        "processes": POSITIVE,
        "identity": Maybe(IDENTITY),
        "source": Maybe(SOURCE),
        "continued_from": Maybe(Record({"run": TEXT, "file": TEXT, "sha256": TEXT})),
        "options": Maybe(Named(Kind("any value", lambda value: True))),
    },
    needed=("format", "kind", "command", "started", "versions", "settings"),
)

# events.jsonl and resumed.jsonl

EPOCH = Record(
    {
        "phase": TEXT,
        "phase_index": COUNT,
        "epoch": COUNT,
        "steps": COUNT,
        "learning_rate": Maybe(AMOUNT),
        "consistency_weight": Maybe(AMOUNT),
        "loss": Maybe(NUMBER),
        "seconds": AMOUNT,
        "test_error": Maybe(PERCENT),
        "teacher_test_error": Maybe(PERCENT),
        "pseudo_label_accuracy": Maybe(PERCENT),
        "mean_certainty": Maybe(SHARE),
        "certainty_right": Maybe(SHARE),
        "certainty_wrong": Maybe(SHARE),
        "unreached": COUNT,
        "components": COUNT,
        "solver_steps": Many(COUNT),
        "solver_residual": Many(AMOUNT),
        "class_counts": Many(COUNT),
    },
    needed=("phase", "phase_index", "epoch", "steps", "test_error", "teacher_test_error"),
)
EVENT = Record({"event": TEXT}, needed=("event",))
EVENTS = {
    "epoch": EPOCH,
    "guard": Record({"guard": TEXT, "message": TEXT}, needed=("message",)),
    "stage": Record({"name": TEXT, "seconds": AMOUNT}),
    "start": Record(dict.fromkeys(("num_rows", "num_labeled", "num_classes", "num_test"), COUNT)),
}
RESUME = Record({"when": TEXT, "step": COUNT, "differences": Many(TEXT)}, needed=("step", "differences"))

# results.json

HISTOGRAM = Record(
    {"edges": Many(SHARE), "all": Many(COUNT), "right": Maybe(Many(COUNT)), "wrong": Maybe(Many(COUNT))},
    needed=("edges", "all"),
    equal=(("all", "right", "wrong"),),
    together=(("right", "wrong"),),
)
SUSPICIOUS = Record(
    {"num_labelled": COUNT, "num_checked": COUNT, "num_contradicted": COUNT}, needed=("num_checked", "num_contradicted")
)
CROSS_VALIDATED = Record(
    {
        **dict.fromkeys(("error", "low", "high"), PERCENT),
        **dict.fromkeys(("num_held_out", "num_folds"), COUNT),
        "temperature": AMOUNT,
        **dict.fromkeys(("class_held_out", "class_wrong"), Many(COUNT)),
    },
    needed=("error", "low", "high", "num_held_out"),
    equal=(("class_held_out", "class_wrong"),),
)
INTERVAL = Record(
    {"value": Maybe(SHARE), "low": SHARE, "high": SHARE, "count": COUNT}, needed=("value", "low", "high", "count")
)
CANDIDATE = Record(
    {"member": MEMBER, "log_loss": AMOUNT, "above_best": AMOUNT, "spread": AMOUNT, "error": SHARE},
    needed=("member", "above_best", "spread", "error"),
)
CHOICE = Record(
    {
        "members": Many(MEMBER),
        "candidates": Many(CANDIDATE),
        "reason": TEXT,
        **dict.fromkeys(("num_labels", "num_held_out", "num_folds"), COUNT),
        "error": INTERVAL,
        **dict.fromkeys(("balanced_error", "calibration_before", "calibration_after"), Maybe(SHARE)),
        "temperature": AMOUNT,
        "prior": Maybe(TEXT),
        "class_scale": Maybe(Many(AMOUNT)),
    },
    needed=("members", "candidates", "reason", "num_held_out", "error"),
)
ABSTAIN = Record(
    {
        "wanted": SHARE,
        "probability": SHARE,
        "kept": SHARE,
        "num_rows": COUNT,
        "error": INTERVAL,
        "supported": BOOL,
        "reason": TEXT,
    },
    needed=("wanted", "probability", "num_rows", "supported", "reason"),
)
HEALTH = ("num_nodes", "num_edges", "num_components", "num_isolated", "degree_min", "degree_max")
RESULTS = Record(
    {
        "class_names": CLASS_NAMES,
        **dict.fromkeys(("num_rows", "num_labeled", "num_test", "num_rejected", "unreached", "tied"), COUNT),
        "notes": Named(COUNT),
        "class_counts": Maybe(
            Record(
                {"given": Many(COUNT), "propagated": Many(COUNT)},
                ("given", "propagated"),
                {},
                [("given", "propagated")],
            )
        ),
        **dict.fromkeys(("pseudo_label_accuracy_first", "pseudo_label_accuracy_last"), Maybe(PERCENT)),
        **dict.fromkeys(("certainty", "certainty_auroc", "certainty_ece"), Maybe(SHARE)),
        **dict.fromkeys(("certainty_right_first", "certainty_wrong_first"), Maybe(SHARE)),
        **dict.fromkeys(("certainty_right", "certainty_wrong"), Maybe(SHARE)),
        "certainty_histogram": Maybe(HISTOGRAM),
        "graph": Record({**dict.fromkeys(HEALTH, COUNT), "degree_median": AMOUNT}),
        "solver": Record(
            {"steps": Many(COUNT), "residual": Many(AMOUNT), "converged": Many(BOOL)},
            needed=("steps", "residual", "converged"),
            equal=(("steps", "residual", "converged"),),
        ),
        "recall": Maybe(PERCENT),
        "leave_one_out": Maybe(SUSPICIOUS),
        "cross_validated": Maybe(CROSS_VALIDATED),
        "choice": Maybe(CHOICE),
        "abstain": Maybe(ABSTAIN),
        "estimated": Maybe(ESTIMATED),
        "refined": Maybe(
            Record({"temperature": Maybe(NUMBER), "num_held_out": Maybe(COUNT)}, ("temperature", "num_held_out"))
        ),
        "wall_seconds": AMOUNT,
        "peak_memory_mib": Maybe(AMOUNT),
    },
    needed=("num_rows", "num_labeled", "unreached"),
    endings={"_error": Maybe(PERCENT)},
)
SUMMARY = Record(
    {"values": Many(Maybe(NUMBER)), "mean": Maybe(NUMBER), "std": Maybe(NUMBER)}, ("values", "mean", "std")
)
RESULTS_OF_SEEDS = Record({"seeds": Many(SEED), "table": Named(SUMMARY)}, needed=("seeds", "table"))

# insights.json

RELIABILITY = Record(
    {
        "num_rows": COUNT,
        "edges": Many(SHARE),
        "count": Many(COUNT),
        "right": Many(Maybe(SHARE)),
        "certainty": Many(Maybe(SHARE)),
        "auroc": Maybe(SHARE),
        "ece": SHARE,
    },
    needed=("num_rows", "edges", "count", "right", "certainty", "auroc", "ece"),
    equal=(("count", "right", "certainty"),),
)
INSIGHTS = Record(
    {
        "reliability": Maybe(RELIABILITY),
        "held_out": Maybe(RELIABILITY),
        "confusion": Maybe(
            Record(
                {
                    "num_rows": COUNT,
                    "num_wrong": COUNT,
                    "of": TEXT,
                    "counts": Maybe(Many(Many(COUNT))),
                    "pairs": Many(Many(CLASS, 3)),
                },
                needed=("num_rows", "num_wrong", "counts", "pairs"),
            )
        ),
        "degrees": Maybe(Record({"edges": Many(COUNT), "counts": Many(COUNT)}, needed=("edges", "counts"))),
        "components": Maybe(
            Record(
                {"largest": Many(COUNT), "num_without_label": COUNT, "rows_without_label": COUNT},
                needed=("largest", "num_without_label", "rows_without_label"),
            )
        ),
        "map": Maybe(Record({"method": TEXT, "num_rows": COUNT, "num_shown": COUNT}, needed=("method", "num_rows"))),
        "suspicious": Maybe(SUSPICIOUS),
    }
)

# model.json

IMAGE_INPUT = Record(
    {
        "channels": POSITIVE,
        "size": POSITIVE,
        "mean": Many(NUMBER),
        "std": Many(NUMBER),
        "pixel_range": Maybe(RANGE),
    },
    needed=("channels", "size"),
)
HELD_OUT = Record(
    {"probability": Many(SHARE), "kept": Many(COUNT), "wrong": Many(COUNT)},
    needed=("probability", "kept", "wrong"),
    equal=(("probability", "kept", "wrong"),),
)
MEASURED = Record(
    {
        "title": TEXT,
        "trained": TEXT,
        "fewlabels": TEXT,
        **dict.fromkeys(("num_rows", "num_labeled", "num_test"), COUNT),
        "class_counts": Many(COUNT),
        "methods": Many(TEXT),
        "cross_validated": Maybe(CROSS_VALIDATED),
        "test_errors": Named(PERCENT),
    }
)
MODEL = Record(
    {
        "network": NETWORK,
        "image_input": IMAGE_INPUT,
        "class_names": CLASS_NAMES,
        "temperature": Maybe(TEMPERATURE),
        "held_out": Maybe(HELD_OUT),
        "backbone": Maybe(
            Record({**dict.fromkeys(("name", "weights_digest", "source", "licence"), TEXT), "fine_tuned": BOOL})
        ),
        # of what export-model writes alone
        "weights_sha256": TEXT,
        "without_trunk": BOOL,
        "reading": Record({"accept_truncated": BOOL, "max_pixels": POSITIVE}),
        "measured": MEASURED,
    },
    needed=("network", "image_input", "class_names"),
)


# All files of a run together


def find_contradiction(
    facts: Mapping[str, Any], results: Mapping[str, Any], insights: Mapping[str, Any]
) -> tuple[str, Misfit] | None:
    """The first place where files that are as described contradict each other or themselves, and its file's name."""
    names = facts.get("class_names", results.get("class_names"))
    number = None if names is None else len(names)
    if results and results.get("class_names", names) != names:
        return "results.json", Misfit("class_names", "another list", "that of run.json")
    for file, at, found, expected in (
        ("results.json", "class_counts.given", _length(results, "class_counts", "given"), number),
        ("results.json", "certainty_histogram.edges", *_bins(results.get("certainty_histogram"), "edges", "all")),
        ("insights.json", "reliability.edges", *_bins(insights.get("reliability"), "edges", "count")),
        ("insights.json", "held_out.edges", *_bins(insights.get("held_out"), "edges", "count")),
        ("insights.json", "degrees.edges", *_bins(insights.get("degrees"), "edges", "counts")),
    ):
        if found is not None and expected is not None and found != expected:
            return file, Misfit(at, f"a list of {found}", f"one of {expected}")
    misfit = _check_confusion(insights.get("confusion"), number)
    return None if misfit is None else ("insights.json", misfit)


def _length(values: Mapping[str, Any], *keys: str) -> int | None:
    found: Any = values
    for key in keys:
        found = (found or {}).get(key)
    return None if found is None else len(found)


def _bins(values: Mapping[str, Any] | None, edges: str, counts: str) -> tuple[int | None, int | None]:
    """How many edges there are, and how many there must be."""
    return (None, None) if not values else (len(values[edges]), len(values[counts]) + 1)


def _check_confusion(values: Mapping[str, Any] | None, num_classes: int | None) -> Misfit | None:
    if not values:
        return None
    most = -1 if num_classes is None else num_classes - 1
    for place, (true, said, count) in enumerate(values["pairs"]):
        if not 0 <= true <= most or said > most or count < 0:
            return Misfit(f"confusion.pairs[{place}]", f"[{true}, {said}, {count}]", "true class, label or -1, rows")
    counts = values["counts"]
    if counts is not None and [len(row) for row in counts] != [most + 2] * (most + 1):
        return Misfit("confusion.counts", "of another size", f"{most + 1} lists of {most + 2}")
    return None


def find_unknown_settings(settings: Mapping[str, Any]) -> list[str]:
    """Settings that this version does not know, dotted: they may change what the run means."""
    return list(find_unknown(settings, SETTINGS, ""))
