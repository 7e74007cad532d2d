"""Names that moved: where classes and modules stood when they were first published, and where they stand now.

Names outlive the layout of this package: users' yamls, artifacts and bundles name classes (``_target_``), and users' plug-ins
import modules. Whoever moves a file adds a line to ``MODULES``, whoever moves or renames one class a line to ``CLASSES``, and
whoever renames a parameter that yamls set a line to ``PARAMETERS``. Whoever adds a parameter adds it to ``ADDED``. Then:

- a class is looked up under its current path, and its parameters by their current names, whichever a configuration has;
- fingerprints are made of the names published first, and of added parameters only where they change something, so that no
  artifact is made again because of a move or of an option that it does not use;
- an import of the former path gives the classes and functions of today, with a DeprecationWarning that says the new path.

A line is ``former name: next name``. Lines may follow each other (a -> b, b -> c). A line of a package holds for the modules
below it; the longest line wins, and a line of ``CLASSES`` before any of ``MODULES``. Where two modules became one, each class
that configurations name needs a line of its own. A former name must not be used for something else later.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

MODULES: dict[str, str] = {
    "genrec.allocator": "genrec.engine.device",
    "genrec.artifacts": "genrec.engine.artifacts",
    "genrec.audits.direction": "genrec.audits.order",
    "genrec.audits.finding": "genrec.audits.findings",
    "genrec.audits.floors": "genrec.audits.baseline_scores",
    "genrec.audits.numbering": "genrec.audits.order",
    "genrec.audits.read_copies": "genrec.audits.readings",
    "genrec.audits.read_order": "genrec.audits.readings",
    "genrec.audits.read_scores": "genrec.audits.readings",
    "genrec.audits.sizes": "genrec.audits.audit",
    "genrec.audits.thresholds": "genrec.audits.findings",
    "genrec.audits.verdict": "genrec.audits.readings",
    "genrec.baselines.item_to_item": "genrec.baselines.lib.item_to_item",
    "genrec.baselines.pairs": "genrec.baselines.lib.history_statistics",
    "genrec.baselines.ranking": "genrec.baselines.lib.ranking",
    "genrec.baselines.recency": "genrec.baselines.lib.history_statistics",
    "genrec.baselines.search": "genrec.baselines.lib.setting_search",
    "genrec.baselines.settings": "genrec.baselines.lib.setting_search",
    "genrec.batch": "genrec.core.batch",
    "genrec.components": "genrec.engine.components",
    "genrec.config": "genrec.engine.config",
    "genrec.data.atomic": "genrec.data.lib.files",
    "genrec.data.canonical": "genrec.data.lib.canonical",
    "genrec.data.column_roles": "genrec.data.lib.columns",
    "genrec.data.column_types": "genrec.data.lib.columns",
    "genrec.data.containers": "genrec.data.lib.containers",
    "genrec.data.date_text": "genrec.data.lib.date_text",
    "genrec.data.delimited": "genrec.data.lib.delimited",
    "genrec.data.demo_catalog": "genrec.data.lib.demo_catalog",
    "genrec.data.demo_world": "genrec.data.lib.demo_world",
    "genrec.data.doctor": "genrec.data.lib.doctor",
    "genrec.data.documents": "genrec.data.lib.json_files",
    "genrec.data.download": "genrec.data.lib.download",
    "genrec.data.draft": "genrec.data.lib.draft",
    "genrec.data.events": "genrec.data.lib.events",
    "genrec.data.files": "genrec.data.lib.files",
    "genrec.data.foreign": "genrec.data.lib.containers",
    "genrec.data.id_likeness": "genrec.data.lib.ids",
    "genrec.data.ids": "genrec.data.lib.ids",
    "genrec.data.json_lines": "genrec.data.lib.json_files",
    "genrec.data.listed": "genrec.data.lib.listed",
    "genrec.data.parts": "genrec.data.lib.parts",
    "genrec.data.shapes": "genrec.data.lib.shapes",
    "genrec.data.shown": "genrec.errors",
    "genrec.data.targets": "genrec.data.lib.targets",
    "genrec.data.text_format": "genrec.data.lib.text_format",
    "genrec.data.text_lines": "genrec.data.lib.text_lines",
    "genrec.data.times": "genrec.data.lib.times",
    "genrec.data.usual_names": "genrec.data.lib.shapes",
    "genrec.dataset": "genrec.core.dataset",
    "genrec.deadlines": "genrec.core.deadlines",
    "genrec.decoding.candidates": "genrec.decoding.lib.candidates",
    "genrec.decoding.leaves": "genrec.decoding.lib.tie_groups",
    "genrec.decoding.likelihood": "genrec.decoding.lib.candidates",
    "genrec.decoding.newcomers": "genrec.decoding.new_item_quota",
    "genrec.decoding.next_item": "genrec.diagnosis.beam_diagnostics",
    "genrec.decoding.occlusion": "genrec.diagnosis.attribution",
    "genrec.decoding.predicate": "genrec.recommender.filter_language",
    "genrec.decoding.reach": "genrec.decoding.lib.new_item_reach",
    "genrec.decoding.search": "genrec.decoding.lib.search",
    "genrec.decoding.smoothed": "genrec.decoding.lib.smoothed_baseline",
    "genrec.decoding.steering": "genrec.decoding.lib.search_constraints",
    "genrec.decoding.survival": "genrec.diagnosis.beam_diagnostics",
    "genrec.decoding.users": "genrec.decoding.lib.batch_decoding",
    "genrec.decoding.weights": "genrec.statistics.ensemble_weights",
    "genrec.decoding.wide": "genrec.decoding.lib.batch_decoding",
    "genrec.devices": "genrec.engine.device",
    "genrec.encoders.markup": "genrec.encoders.lib.item_text",
    "genrec.encoders.pretrained": "genrec.encoders.lib.vector_cache",
    "genrec.encoders.spectral": "genrec.encoders.lib.svd",
    "genrec.encoders.text": "genrec.encoders.lib.item_text",
    "genrec.encoders.vector_cache": "genrec.encoders.lib.vector_cache",
    "genrec.encoders.words": "genrec.encoders.lib.words",
    "genrec.environment": "genrec.engine.environment",
    "genrec.fingerprints": "genrec.engine.fingerprints",
    "genrec.given_tables": "genrec.engine.given_tables",
    "genrec.links": "genrec.engine.links",
    "genrec.locks": "genrec.engine.locks",
    "genrec.losses": "genrec.objectives",
    "genrec.losses.children_shares": "genrec.objectives.lib.sid_loss",
    "genrec.losses.format_reward": "genrec.objectives.lib.policy",
    "genrec.losses.policy": "genrec.objectives.lib.policy",
    "genrec.losses.rewards": "genrec.objectives.lib.policy",
    "genrec.machine": "genrec.engine.os_errors",
    "genrec.metrics.accuracy": "genrec.evaluation.figures",
    "genrec.metrics.beyond": "genrec.evaluation.figures",
    "genrec.metrics.bootstrap": "genrec.statistics.uncertainty",
    "genrec.metrics.categories": "genrec.core.item_labels",
    "genrec.metrics.comparison": "genrec.evaluation.measure",
    "genrec.metrics.hits": "genrec.metrics.lib.tables",
    "genrec.metrics.labels": "genrec.core.item_labels",
    "genrec.metrics.lists": "genrec.metrics.lib.tables",
    "genrec.metrics.measure": "genrec.evaluation.measure",
    "genrec.metrics.numbers": "genrec.statistics.numbers",
    "genrec.metrics.paired": "genrec.statistics.paired",
    "genrec.metrics.pairwise": "genrec.statistics.paired",
    "genrec.metrics.possible": "genrec.statistics.possible_figures",
    "genrec.metrics.reliability": "genrec.statistics.reliability",
    "genrec.metrics.seeds": "genrec.statistics.uncertainty",
    "genrec.metrics.sliced": "genrec.evaluation.slices",
    "genrec.metrics.slices": "genrec.evaluation.slices",
    "genrec.metrics.target_weights": "genrec.evaluation.evaluation_spec",
    "genrec.metrics.ties": "genrec.metrics.lib.ties",
    "genrec.misplaced": "genrec.engine.unknown_keys",
    "genrec.nn.code_cache": "genrec.nn.attention",
    "genrec.nn.dropout": "genrec.nn.blocks",
    "genrec.nn.experts": "genrec.nn.blocks",
    "genrec.nn.log_normalizer": "genrec.objectives.lib.item_softmax",
    "genrec.nn.parallel_codes": "genrec.nn.code_decoder",
    "genrec.nn.paths": "genrec.nn.trie_likelihood",
    "genrec.nn.probabilities": "genrec.nn.trie_likelihood",
    "genrec.nn.trie_walk": "genrec.nn.trie_likelihood",
    "genrec.option_files": "genrec.engine.options",
    "genrec.overrides": "genrec.engine.overrides",
    "genrec.pages": "genrec.reports",
    "genrec.pages.audit": "genrec.reports.audit_page",
    "genrec.pages.beyond": "genrec.reports.lists_sections",
    "genrec.pages.cost": "genrec.reports.training_sections",
    "genrec.pages.curves": "genrec.reports.training_sections",
    "genrec.pages.exposure": "genrec.reports.lists_sections",
    "genrec.pages.numbers": "genrec.metrics.numbers",
    "genrec.pages.standings": "genrec.reports.comparison_terminal",
    "genrec.paths": "genrec.references",
    "genrec.plain_json": "genrec.engine.plain_json",
    "genrec.protocols.floors": "genrec.protocols.baselines",
    "genrec.ranges": "genrec.engine.ranges",
    "genrec.registry": "genrec.engine.registry",
    "genrec.runs": "genrec.engine.runs",
    "genrec.serving.allotment": "genrec.recommender.bundle_contents",
    "genrec.serving.arguments": "genrec.recommender.requests",
    "genrec.serving.beams": "genrec.recommender.beam_trace",
    "genrec.serving.bundle": "genrec.recommender.bundle",
    "genrec.serving.calls_page": "genrec.serving.pages",
    "genrec.serving.catalogue": "genrec.recommender.catalogue",
    "genrec.serving.changes": "genrec.recommender.item_changes",
    "genrec.serving.compatibility": "genrec.recommender.bundle_layout",
    "genrec.serving.contents": "genrec.recommender.bundle_contents",
    "genrec.serving.explanation": "genrec.recommender.explanation",
    "genrec.serving.external": "genrec.recommender.command_options",
    "genrec.serving.feed": "genrec.recommender.feed",
    "genrec.serving.feed_file": "genrec.recommender.feed_file",
    "genrec.serving.filters": "genrec.recommender.item_table",
    "genrec.serving.guard": "genrec.serving.middleware",
    "genrec.serving.histories": "genrec.recommender.histories",
    "genrec.serving.history_file": "genrec.recommender.history_file",
    "genrec.serving.intake": "genrec.recommender.new_item_encoder",
    "genrec.serving.item_ids": "genrec.recommender.item_changes",
    "genrec.serving.item_search": "genrec.recommender.item_search",
    "genrec.serving.item_table": "genrec.recommender.item_table",
    "genrec.serving.journal": "genrec.recommender.journal",
    "genrec.serving.knobs": "genrec.serving.page_controls",
    "genrec.serving.live": "genrec.recommender.persistent",
    "genrec.serving.logs": "genrec.engine.logs",
    "genrec.serving.measures": "genrec.serving.prometheus",
    "genrec.serving.memory": "genrec.recommender.catalogue",
    "genrec.serving.new_items": "genrec.recommender.item_changes",
    "genrec.serving.nodes": "genrec.recommender.bundle_components",
    "genrec.serving.page": "genrec.serving.pages",
    "genrec.serving.problems": "genrec.serving.http_errors",
    "genrec.serving.readable": "genrec.recommender.bundle_contents",
    "genrec.serving.recommender": "genrec.recommender.recommender",
    "genrec.serving.requests": "genrec.recommender.requests",
    "genrec.serving.shards": "genrec.recommender.batch_lists",
    "genrec.serving.similar": "genrec.recommender.item_search",
    "genrec.serving.wishes": "genrec.serving.requests",
    "genrec.serving.warm_up": "genrec.recommender.bundle",
    "genrec.sids": "genrec.core.sids",
    "genrec.signatures": "genrec.engine.signatures",
    "genrec.sources": "genrec.engine.outside_content",
    "genrec.stages.baselines": "genrec.evaluation.fitted_baselines",
    "genrec.stages.candidate_lists": "genrec.evaluation.candidate_lists",
    "genrec.stages.evaluated_lists": "genrec.evaluation.evaluated_lists",
    "genrec.stages.extend": "genrec.engine.runs",
    "genrec.stages.foresight": "genrec.engine.early_checks",
    "genrec.stages.list_settings": "genrec.evaluation.list_settings",
    "genrec.stages.model_card": "genrec.recommender.model_card",
    "genrec.stages.models": "genrec.reports.evaluated_runs",
    "genrec.stages.onnx_graphs": "genrec.recommender.onnx_graphs",
    "genrec.stages.outside_content": "genrec.engine.outside_content",
    "genrec.stages.outside_lists": "genrec.evaluation.external_recommendations",
    "genrec.stages.pipeline": "genrec.engine.pipeline",
    "genrec.stages.progress": "genrec.engine.logs",
    "genrec.stages.rehearsal": "genrec.engine.early_checks",
    "genrec.stages.ruler": "genrec.evaluation.evaluation_spec",
    "genrec.stages.stage": "genrec.engine.stage",
    "genrec.stages.standings": "genrec.reports.run_comparison",
    "genrec.stages.sweep": "genrec.engine.sweep",
    "genrec.stages.track": "genrec.engine.tracking.run_tracking",
    "genrec.tokenizers.autoencoder": "genrec.tokenizers.lib.autoencoder",
    "genrec.tokenizers.collision.groups": "genrec.tokenizers.lib.free_codes",
    "genrec.tokenizers.collision.places": "genrec.tokenizers.lib.free_codes",
    "genrec.tokenizers.contrast": "genrec.tokenizers.lib.pair_sampling",
    "genrec.tokenizers.draw": "genrec.tokenizers.lib.pair_sampling",
    "genrec.tokenizers.health": "genrec.diagnosis.id_health",
    "genrec.tokenizers.issued": "genrec.tokenizers.lib.lookup_codes",
    "genrec.tokenizers.kmeans": "genrec.tokenizers.lib.kmeans",
    "genrec.tokenizers.neighbourhood": "genrec.diagnosis.id_neighbours",
    "genrec.tokenizers.prefixes": "genrec.diagnosis.id_health",
    "genrec.tokenizers.purity": "genrec.diagnosis.id_neighbours",
    "genrec.tokenizers.residual": "genrec.tokenizers.lib.residual",
    "genrec.tokenizers.settings": "genrec.tokenizers.lib.residual",
    "genrec.tokenizers.sinkhorn": "genrec.tokenizers.lib.kmeans",
    "genrec.training.finite": "genrec.training.nan_checks",
    "genrec.training.halves": "genrec.training.module",
    "genrec.training.keeper": "genrec.training.checkpointing",
    "genrec.training.loggers": "genrec.engine.tracking",
    "genrec.training.progress": "genrec.training.fit",
    "genrec.training.rollouts": "genrec.training.module",
    "genrec.trie": "genrec.core.trie",
}
CLASSES: dict[str, str] = {
    "genrec.tokenizers.collaborative_tree.split": "genrec.tokenizers.lib.tree_paths.split",
    "genrec.tokenizers.collaborative_tree.leading_eigenvectors": "genrec.tokenizers.lib.tree_paths.leading_eigenvectors",
    "genrec.tokenizers.category_tree.path_codes": "genrec.tokenizers.lib.tree_paths.path_codes",
    "genrec.data.canonical.canonical": "genrec.data.lib.canonical.canonicalize",
    "genrec.data.column_types.inferred": "genrec.data.lib.columns.infer_types",
    "genrec.data.column_types.typed": "genrec.data.lib.columns.infer_type",
    "genrec.data.column_types.with_point": "genrec.data.lib.columns.replace_decimal_comma",
    "genrec.data.column_roles.by_name": "genrec.data.lib.columns.columns_by_name",
    "genrec.data.download.verified": "genrec.data.lib.download.verify_checksum",
    "genrec.data.files.existing": "genrec.data.lib.text_lines.require_file",
    "genrec.data.parts.in_parts": "genrec.data.lib.parts.read_parts",
    "genrec.data.shown.shown": "genrec.errors.excerpt",
    "genrec.data.shown.shown_names": "genrec.errors.join_names",
    "genrec.data.text_format.detected": "genrec.data.lib.text_format.detect_format",
    "genrec.data.text_lines.existing": "genrec.data.lib.text_lines.require_file",
    "genrec.data.text_lines.opened": "genrec.data.lib.text_lines.open_bytes",
    "genrec.data.usual_names.column_of": "genrec.data.lib.shapes.find_column",
    "genrec.data.usual_names.usual": "genrec.data.lib.shapes.usual_column",
    "genrec.data.leave_one_out.MIN_EVENTS": "genrec.data.lib.events.MIN_EVENTS",
    "genrec.data.nested.nested_columns": "genrec.data.lib.shapes.nested_columns",
    "genrec.baselines.popularity.TIE_BREAK": "genrec.baselines.lib.ranking.TIE_BREAK",
    "genrec.baselines.popularity.tie_breaker": "genrec.baselines.lib.ranking.tie_breaker",
    "genrec.data.filters.Removed": "genrec.data.lib.events.Removed",
    "genrec.data.tables.read_items": "genrec.data.lib.files.read_items",
    "genrec.decoding.candidates.ranked": "genrec.decoding.lib.candidates.rank_items",
    "genrec.decoding.candidates.restricted": "genrec.decoding.lib.candidates.ranking_keys",
    "genrec.decoding.diverse_trie_beam.at_most": "genrec.decoding.lib.search_constraints.at_most",
    "genrec.decoding.newcomers.Newcomers": "genrec.decoding.new_item_quota.NewItemQuota",
    "genrec.decoding.trie_beam.enough_beams": "genrec.decoding.lib.search.enough_beams",
    "genrec.losses.children_shares.ChildrenShares": "genrec.objectives.lib.sid_loss.HeadDistillation",
    "genrec.losses.item_cross_entropy.check_scores_items": "genrec.objectives.lib.item_softmax.check_scores_items",
    "genrec.losses.item_cross_entropy.item_cross_entropy": "genrec.objectives.lib.item_softmax.item_cross_entropy",
    "genrec.losses.item_cross_entropy.option_of": "genrec.objectives.lib.item_softmax.option_of",
    "genrec.losses.policy.beside": "genrec.objectives.lib.policy.with_supervised",
    "genrec.losses.policy.frozen": "genrec.objectives.lib.policy.frozen_copy",
    "genrec.losses.sampled_softmax.Proposal": "genrec.objectives.lib.item_softmax.Proposal",
    "genrec.losses.sampled_softmax.corrected_cross_entropy": "genrec.objectives.lib.item_softmax.corrected_cross_entropy",
    "genrec.losses.sampled_softmax.sampled_softmax": "genrec.objectives.lib.item_softmax.sampled_softmax",
    "genrec.losses.sid_cross_entropy.check_writes_codes": "genrec.objectives.lib.policy.check_writes_codes",
    "genrec.protocols.floors.Floor": "genrec.protocols.baselines.Baseline",
    "genrec.protocols.Floor": "genrec.protocols.baselines.Baseline",
    "genrec.protocols.floors.KeptFloor": "genrec.protocols.baselines.SavableBaseline",
    "genrec.protocols.KeptFloor": "genrec.protocols.baselines.SavableBaseline",
    "genrec.reports.evaluated_runs.BASELINES_FILE": "genrec.evaluation.fitted_baselines.BASELINES_FILE",
    "genrec.nn.trie_walk.placed": "genrec.nn.trie_likelihood.scatter_children",
    "genrec.tokenizers.autoencoder.revived": "genrec.tokenizers.lib.autoencoder.revive_codes",
    "genrec.tokenizers.balanced_rq_kmeans.balanced_assignment": "genrec.tokenizers.lib.kmeans.balanced_assignment",
    "genrec.tokenizers.category_tree.category_paths": "genrec.tokenizers.lib.tree_paths.category_paths",
    "genrec.tokenizers.collaborative_tree.pair_counts": "genrec.tokenizers.lib.tree_paths.pair_counts",
    "genrec.tokenizers.collaborative_tree.tree_paths": "genrec.tokenizers.lib.tree_paths.tree_paths",
    "genrec.tokenizers.issued.IssuedCodes": "genrec.tokenizers.lib.lookup_codes.LookupCodes",
    "genrec.tokenizers.issued.IssuedTable": "genrec.tokenizers.lib.lookup_codes.CodeTable",
    "genrec.tokenizers.residual.rest": "genrec.tokenizers.lib.residual.next_residual",
    "genrec.tokenizers.rqvae.rotated": "genrec.tokenizers.lib.autoencoder.rotation_trick",
    "genrec.serving.live.Live": "genrec.recommender.persistent.PersistentRecommender",
    "genrec.serving.measures.Measures": "genrec.serving.prometheus.ServiceMetrics",
    "genrec.stages.recommend.RecommendSettings": "genrec.stages.list_settings.RecommendSettings",
}
PARAMETERS: dict[str, dict[str, str]] = {  # by the path of the class, any that it had
    "genrec.losses.prefix_aware.PrefixAware": {"item_teaches": "distillation_weight"},
    "genrec.losses.sid_cross_entropy.SIDCrossEntropy": {"item_teaches": "distillation_weight"},
    "genrec.stages.evaluate.Evaluator": {"floors": "baselines"},
    "genrec.stages.recommend.RecommendSettings": {"new_share": "new_item_share", "new_reach": "new_item_reach"},
}
FORMER_LIMITS = {"wishes": "preferences"}  # limits of ``genrec serve`` that had another name
ADDED: dict[str, dict[str, Any]] = {  # class -> parameters that came later, each with the value that means what was before
    "genrec.stages.evaluate.Evaluator": {"metrics": None},
}

TARGET = "_target_"  # the key under which a configuration names a class
_PACKAGE = f"{__name__.partition('.')[0]}."
_DEEPEST = 8  # parts of a former path at most: a stranger's bundle may name anything


def current(path: str) -> str:
    """Where a class or a module stands now; a path that never moved is returned as it is."""
    for _ in range(len(CLASSES) + len(MODULES)):  # a line holds once: longer chains are circles
        following = _following(path)
        if following == path:
            break
        path = following
    return path


def first_published(path: str) -> str:
    """The path under which a class or a module was published first, from any of its paths."""
    path = current(path)
    for _ in range(len(CLASSES) + len(MODULES)):
        former = _former(path)
        if former is None:
            break
        path = former
    return path


def current_parameter(path: str, name: str) -> str:
    """What a parameter of a class is called now."""
    return _newer(path).get(name, name)


def with_current(node: Any) -> Any:
    """A copy of a configuration in current names: every ``_target_``, and the parameters of what it names."""
    return _renamed(node, current, _newer)


def with_current_parameters(node: Any) -> Any:
    """A copy of a configuration in which parameters have current names, and every ``_target_`` is as given."""
    return _renamed(node, lambda path: path, _newer)


def with_first_published(node: Any) -> Any:
    """A copy of a configuration as it was published first, which fingerprints are made of: names, and no unused additions."""
    return _renamed(_without_added(with_current(node)), first_published, _older)


def _older(path: Any) -> dict[str, str]:
    """Current name of a parameter -> the one published first."""
    return {now: old for old, now in reversed(_newer(path).items())}


def _without_added(node: Any) -> Any:
    """A copy of a configuration in current names without the added parameters that mean what was before."""
    if isinstance(node, Mapping):
        path = node.get(TARGET)
        added: dict[str, Any] = {}
        for name, values in ADDED.items() if isinstance(path, str) else ():
            added |= values if current(name) == path else {}
        return {
            key: _without_added(value)
            for key, value in node.items()
            if key not in added or (value, type(value)) != (added[key], type(added[key]))
        }
    if isinstance(node, list | tuple):
        return [_without_added(value) for value in node]
    return node


def moved_names(node: Any, where: str = "") -> Iterator[str]:
    """What a configuration calls by a former name, a line each: the key, and what to write instead."""
    if isinstance(node, Mapping):
        names = _newer(node.get(TARGET))
        for key, value in node.items():
            place = f"{where}.{key}" if where else str(key)
            if key in names:
                yield f"{place} is {place.removesuffix(str(key))}{names[key]} now"
            if key == TARGET and isinstance(value, str):
                if (now := current(value)) != value:
                    yield f"{place}={value} is {now} now"
            else:
                yield from moved_names(value, place)
    elif isinstance(node, list | tuple):
        for i, value in enumerate(node):
            yield from moved_names(value, f"{where}[{i}]")


def _newer(path: Any) -> dict[str, str]:
    """Former name of a parameter -> its current one, for a class; the order is that of the table."""
    lines: dict[str, str] = {}
    if isinstance(path, str) and PARAMETERS:
        now = current(path)
        for name, renamed in PARAMETERS.items():
            lines |= renamed if current(name) == now else {}
    for old in lines:
        for _ in lines:  # a name may have changed twice
            lines[old] = lines.get(lines[old], lines[old])
    return lines


def _following(path: str) -> str:
    """The path after one line of the tables."""
    if path in CLASSES:
        return CLASSES[path]
    parts = path.split(".", _DEEPEST)
    for end in range(len(parts), 0, -1):
        if (moved := MODULES.get(".".join(parts[:end]))) is not None:
            return ".".join([moved, *parts[end:]])
    return path


def _former(path: str) -> str | None:
    """The path before the line of the tables that led here; of several lines the first, so the order of the lines counts."""
    lines = [(old, new) for old, new in MODULES.items() if path == new or path.startswith(f"{new}.")]
    lines.sort(key=lambda line: -len(line[1]))
    candidates = [old for old, new in CLASSES.items() if new == path]
    candidates += [old + path.removeprefix(new) for old, new in lines]
    return next((candidate for candidate in candidates if _following(candidate) == path), None)


def _renamed(node: Any, rename: Callable[[str], str], names_of: Callable[[Any], Mapping[str, str]]) -> Any:
    if isinstance(node, Mapping):
        names = names_of(node.get(TARGET))
        whole = {key: _renamed(value, rename, names_of) for key, value in node.items()}
        if isinstance(whole.get(TARGET), str):
            whole[TARGET] = rename(whole[TARGET])
        for old in [key for key in whole if key in names]:  # a user's yaml has the one name, the shipped one the other
            whole[names[old]] = _merged(whole.get(names[old]), whole.pop(old))
        return whole
    if isinstance(node, list | tuple):
        return [_renamed(value, rename, names_of) for value in node]
    return node


def _merged(below: Any, above: Any) -> Any:
    """Two values of one setting: ``above`` holds, of mappings key by key."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    return {**below, **{key: _merged(below.get(key), value) for key, value in above.items()}}


# --- imports of former paths ---------------------------------------------------------------------------------------------


class FormerPaths:
    """Finds modules under their former paths; one of ``sys.meta_path``. It imports nothing until such a path is asked for."""

    @classmethod
    def find_spec(cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of a module that moved, of a package that has none but such modules, or of a module that classes left."""
        if not name.startswith(_PACKAGE):
            return None
        if current(name) != name:
            return _stand_in(name)
        left = any(old.rpartition(".")[0] == name for old in CLASSES)
        above = any(old.startswith(f"{name}.") for old in (*MODULES, *CLASSES))
        if not left and not above:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:  # nothing is there any more, or a folder without code
            return _stand_in(name) if above else None
        if not left:
            return None
        loader: Any = _ModuleThatClassesLeft(spec.loader)
        spec.loader = loader
        return spec


def _stand_in(name: str) -> ModuleSpec:
    loader: Any = _MovedModule()
    return ModuleSpec(name, loader, is_package=True)


class _MovedModule:
    """Loads a stand-in that has whatever the tables lead to; the classes are those of the new module, not copies."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        if (now := current(name)) != name and not hasattr(importlib.import_module(now), "__path__"):
            warnings.warn(
                f"{name} is {now} now: import that", DeprecationWarning, stacklevel=2
            )  # a package: what is taken of it
        vars(module)["__getattr__"] = lambda attribute: _attribute(name, attribute)
        vars(module)["__dir__"] = lambda: _public_names(now)


class _ModuleThatClassesLeft:
    """Loads a module as it is, and adds that it answers for the classes that stood in it before."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:  # source code, resources: what others ask of a loader
        if name == "_loader":  # a copy that has not been filled yet
            raise AttributeError(name)
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        name, own = module.__name__, vars(module).get("__getattr__")

        def attribute(asked: str) -> Any:
            return own(asked) if own is not None and f"{name}.{asked}" not in CLASSES else _attribute(name, asked)

        vars(module)["__getattr__"] = attribute


def _attribute(module: str, name: str) -> Any:
    """What a name of a former module means today.

    Raises:
        AttributeError: when it means nothing.
    """
    path = f"{module}.{name}"
    if name == "__all__":
        return _public_names(current(module))
    now = current(path)
    if now == path or name.startswith("__"):
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    place, _, last = now.rpartition(".")
    try:
        value = getattr(importlib.import_module(place), last)
    except ModuleNotFoundError as error:
        raise AttributeError(f"module {module!r} has no attribute {name!r}") from error
    if path in CLASSES or hasattr(sys.modules.get(current(module)), "__path__"):
        warnings.warn(f"{path} is {now} now: import that", DeprecationWarning, stacklevel=3)
    return value


def _public_names(module: str) -> list[str]:
    names = vars(sys.modules.get(module, ModuleType(module)))
    return list(names.get("__all__", [name for name in names if not name.startswith("_")]))


def find_former_paths() -> None:
    """Makes imports of former paths work in this process. First in line: a former package's folder may still hold caches."""
    if FormerPaths not in sys.meta_path:
        sys.meta_path.insert(0, FormerPaths)
