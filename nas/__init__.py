"""Neural architecture search and scaling explorer: budget in, Pareto front out, network exported.

Each name loads its module when you first use it, so ``import nas`` takes almost no time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas import plots
    from nas.analysis.compared import Comparison, compare_studies
    from nas.analysis.frames import curves_frame, front_frame, to_frame, trials_frame
    from nas.analysis.laws import family_laws
    from nas.analysis.pareto import front_with_noise, pareto_front
    from nas.analysis.recommendation import Recommendation, recommend
    from nas.analysis.variants import variants_frame
    from nas.architecture.cost import Cost, count_cost
    from nas.architecture.point import Point
    from nas.architecture.presets import preset, preset_point
    from nas.architecture.serialization import load_architecture
    from nas.architecture.space import SearchSpace, load_space
    from nas.architecture.spec import Architecture
    from nas.compress.expected import expected_speed
    from nas.compress.fixed_point import fixed_point, fixed_point_table
    from nas.compress.profile import profile_onnx
    from nas.compress.prune import prune_network
    from nas.compress.quantize import quantize_onnx
    from nas.compress.ranking import rank_criteria
    from nas.compress.sparsity import sparsify
    from nas.compress.weight_only import quantize_weights
    from nas.config.study import StudyConfig
    from nas.data.sources import load_data
    from nas.errors import NasError, UserError
    from nas.export.bundle import export_network, export_training
    from nas.export.verify import verify_bundle
    from nas.models.build import build_model
    from nas.models.latency import measure_latency
    from nas.models.measure import measure_cost
    from nas.models.reference_weights import load_reference_weights
    from nas.plots.old import plot_curves, plot_front, plot_law, plot_shape
    from nas.predict.run import Predictor
    from nas.records import TrialRecord
    from nas.report.page import write_report
    from nas.sampling.pareto import ParetoSampler
    from nas.scaling.family import scale_family
    from nas.scaling.laws import fit_joint_law, fit_law
    from nas.scaling.realised import realised_networks
    from nas.scaling.rules import scaling_rule
    from nas.search.check import check_study
    from nas.search.opening import open_study
    from nas.search.priors import scaling_prior
    from nas.search.run.lab import scale_compare, scale_data, scale_grow, scale_search, scale_shape, scale_trust
    from nas.search.run.start import run_study
    from nas.search.seconds import predicted_seconds
    from nas.search.study import Study
    from nas.trackers.tracking import track
    from nas.training.loop import train

_HOMES = {
    "Architecture": "nas.architecture.spec",
    "Comparison": "nas.analysis.compared",
    "Cost": "nas.architecture.cost",
    "NasError": "nas.errors",
    "ParetoSampler": "nas.sampling.pareto",
    "Point": "nas.architecture.point",
    "Predictor": "nas.predict.run",
    "Recommendation": "nas.analysis.recommendation",
    "SearchSpace": "nas.architecture.space",
    "Study": "nas.search.study",
    "StudyConfig": "nas.config.study",
    "TrialRecord": "nas.records",
    "UserError": "nas.errors",
    "build_model": "nas.models.build",
    "check_study": "nas.search.check",
    "compare_studies": "nas.analysis.compared",
    "count_cost": "nas.architecture.cost",
    "curves_frame": "nas.analysis.frames",
    "expected_speed": "nas.compress.expected",
    "export_network": "nas.export.bundle",
    "export_training": "nas.export.bundle",
    "family_laws": "nas.analysis.laws",
    "fit_joint_law": "nas.scaling.laws",
    "fit_law": "nas.scaling.laws",
    "fixed_point": "nas.compress.fixed_point",
    "fixed_point_table": "nas.compress.fixed_point",
    "front_frame": "nas.analysis.frames",
    "front_with_noise": "nas.analysis.pareto",
    "load_architecture": "nas.architecture.serialization",
    "load_data": "nas.data.sources",
    "load_reference_weights": "nas.models.reference_weights",
    "load_space": "nas.architecture.space",
    "measure_cost": "nas.models.measure",
    "measure_latency": "nas.models.latency",
    "open_study": "nas.search.opening",
    "pareto_front": "nas.analysis.pareto",
    "plot_curves": "nas.plots.old",
    "plot_front": "nas.plots.old",
    "plot_law": "nas.plots.old",
    "plot_shape": "nas.plots.old",
    "plots": "nas.plots",
    "predicted_seconds": "nas.search.seconds",
    "preset": "nas.architecture.presets",
    "preset_point": "nas.architecture.presets",
    "profile_onnx": "nas.compress.profile",
    "prune_network": "nas.compress.prune",
    "quantize_onnx": "nas.compress.quantize",
    "quantize_weights": "nas.compress.weight_only",
    "rank_criteria": "nas.compress.ranking",
    "realised_networks": "nas.scaling.realised",
    "recommend": "nas.analysis.recommendation",
    "run_study": "nas.search.run.start",
    "scale_compare": "nas.search.run.lab",
    "scale_data": "nas.search.run.lab",
    "scale_family": "nas.scaling.family",
    "scale_grow": "nas.search.run.lab",
    "scale_search": "nas.search.run.lab",
    "scale_shape": "nas.search.run.lab",
    "scale_trust": "nas.search.run.lab",
    "scaling_prior": "nas.search.priors",
    "scaling_rule": "nas.scaling.rules",
    "sparsify": "nas.compress.sparsity",
    "to_frame": "nas.analysis.frames",
    "track": "nas.trackers.tracking",
    "train": "nas.training.loop",
    "trials_frame": "nas.analysis.frames",
    "variants_frame": "nas.analysis.variants",
    "verify_bundle": "nas.export.verify",
    "write_report": "nas.report.page",
}

__all__ = [
    "Architecture",
    "Comparison",
    "Cost",
    "NasError",
    "ParetoSampler",
    "Point",
    "Predictor",
    "Recommendation",
    "SearchSpace",
    "Study",
    "StudyConfig",
    "TrialRecord",
    "UserError",
    "build_model",
    "check_study",
    "compare_studies",
    "count_cost",
    "curves_frame",
    "expected_speed",
    "export_network",
    "export_training",
    "family_laws",
    "fit_joint_law",
    "fit_law",
    "fixed_point",
    "fixed_point_table",
    "front_frame",
    "front_with_noise",
    "load_architecture",
    "load_data",
    "load_reference_weights",
    "load_space",
    "measure_cost",
    "measure_latency",
    "open_study",
    "pareto_front",
    "plot_curves",
    "plot_front",
    "plot_law",
    "plot_shape",
    "plots",
    "predicted_seconds",
    "preset",
    "preset_point",
    "profile_onnx",
    "prune_network",
    "quantize_onnx",
    "quantize_weights",
    "rank_criteria",
    "realised_networks",
    "recommend",
    "run_study",
    "scale_compare",
    "scale_data",
    "scale_family",
    "scale_grow",
    "scale_search",
    "scale_shape",
    "scale_trust",
    "scaling_prior",
    "scaling_rule",
    "sparsify",
    "to_frame",
    "track",
    "train",
    "trials_frame",
    "variants_frame",
    "verify_bundle",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nas' has no attribute {name!r}")
    home = importlib.import_module(_HOMES[name])
    return home if home.__name__ == f"nas.{name}" else getattr(home, name)


def __dir__() -> list[str]:
    return __all__
