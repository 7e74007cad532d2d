"""Experiments: which of their settings hold when another component is chosen, and the names that they had before.

An experiment's settings of a group are bound to the option that the experiment gets by itself, through its own defaults list
and the generator's. Where another option is chosen (on the command line, in a sweep, by a file), the group has the settings of
that option, and one line names the experiment's settings that were dropped. What is typed on the command line always holds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from genrec.engine.overrides import parse_overrides, setting

EXPERIMENT = "experiment"
SEARCH_PATH = "hydra.searchpath"
# Group -> the group whose option its settings are chosen for: ``objective.item_weight`` needs the generator's item head.
CHOSEN_FOR = {"objective": "generator", "decoding": "generator", "collision": "tokenizer"}
RENAMED_OPTIONS = {  # of other groups: group -> former name -> name
    "evaluate": {"all_floors": "all_baselines"},
    "tokenizer": {"rqvae_rotation": "rqvae"},  # two yamls of the same settings
}
RENAMED = {"beauty": "best", "beauty_quick": "quick", "beauty_sasrec": "baseline_sasrec", "beauty_tiger": "baseline_tiger"}
# Experiments that were one generator at one budget each: what they set. docs/sweeps/family.yaml lists them with their figures.
_BUDGET = ("train.epochs=5", "train.num_validations=2")
REPLACED = {
    "scientific_cobra": ("data=tables", "generator=cobra", "tokenizer.num_levels=2", "tokenizer.codebook_size=32", *_BUDGET),
    "scientific_decoder_only": ("data=tables", "generator=decoder_only", *_BUDGET),
    "scientific_hstu": ("data=tables", "generator=hstu", *_BUDGET),
    "scientific_human_priors": ("data=tables", "generator=human_priors", *_BUDGET),
    "scientific_hybrid_attention": ("data=tables", "tokenizer=fsq_parallel", "generator=hybrid_attention", *_BUDGET),
    "scientific_latent_reasoning": ("data=tables", "generator=latent_reasoning", *_BUDGET),
    "scientific_lc_rec": ("data=tables", "generator=lc_rec", *_BUDGET, "train.lr=0.001", "train.batch_states=300"),
    "scientific_masked_diffusion": (
        *("data=tables", "tokenizer=opq", "generator=masked_diffusion", "generator.num_decoder_layers=2"),
        *("objective.mask=random", *_BUDGET),
    ),
    "scientific_moe": ("data=tables", "generator=moe", *_BUDGET),
    "scientific_multi_stream": ("data=tables", "tokenizer=multi_stream", "generator=multi_stream", *_BUDGET),
    "scientific_parallel": (
        *("data=tables", "tokenizer=opq", "tokenizer.num_levels=16", "generator=parallel", "generator.dim=256"),
        *("generator.dropout=0.3", *_BUDGET, "train.lr=0.003", "train.weight_decay=0.0"),
    ),
}
ANY = "???"  # the option of a group that an experiment leaves to the command line
_ABSENT = object()


# --- settings of components that were not chosen -------------------------------------------------------------------------


def drop_unbound(composed: Any, overrides: Sequence[str], name_of: Callable[[str, str | None], str | None]) -> str | None:
    """Gives each group of which the experiment's option was not chosen the settings of its own option, in place.

    Hydra must be initialized.

    Args:
        composed: what Hydra composed, nothing resolved, with its ``hydra`` node.
        overrides: what it was composed from.
        name_of: (group, option) -> the option as the user knows it.

    Returns:
        One line that names what was dropped; None when nothing was.
    """
    from hydra import compose as hydra_compose
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode
    from omegaconf import open_dict

    chosen, parsed = chosen_options(composed), parse_overrides(overrides)
    choosing = {o.key_or_group for o in parsed if o.key_or_group in chosen and not isinstance(o.value(), dict)}
    if chosen.get(EXPERIMENT) is None or choosing <= {EXPERIMENT}:
        return None
    alone = [override.input_line for override in parsed if override.key_or_group in (EXPERIMENT, SEARCH_PATH)]
    defaults = GlobalHydra.instance().config_loader().compute_defaults_list("config", alone, RunMode.MULTIRUN)
    bound = {EXPERIMENT: chosen[EXPERIMENT], **defaults.overrides.known_choices}
    reasons = {group: group for group, option in chosen.items() if bound.get(group) not in (option, ANY)}
    reasons |= {group: other for group, other in CHOSEN_FOR.items() if other in reasons}
    if not reasons:
        return None
    settings = [o.input_line for o in parsed if o.key_or_group not in chosen or isinstance(o.value(), dict)]
    options = [f"~{group}" if option is None else setting(group, option) for group, option in chosen.items()]
    options = [option for option in options if option.partition("=")[0] != EXPERIMENT]
    without = hydra_compose("config", overrides=[*settings, *options, f"~{EXPERIMENT}"])
    dropped: dict[str, list[str]] = {}  # group that is the reason -> keys
    for group in filter(reasons.__contains__, chosen):
        before, after = _plain(composed, group), _plain(without, group)
        if before is not _ABSENT and before != after:
            dropped.setdefault(reasons[group], []).extend(_differences(before, after, group))
            with open_dict(composed):
                composed[group] = without.get(group)
    return _note(dropped, bound, chosen, name_of) if dropped else None


def _note(
    dropped: Mapping[str, Sequence[str]],
    bound: Mapping[str, str | None],
    chosen: Mapping[str, str | None],
    name_of: Callable[[str, str | None], str | None],
) -> str:
    parts = [f"{', '.join(keys)} (for {group}={name_of(group, bound.get(group))})" for group, keys in dropped.items()]
    others = " and ".join(f"{group}={name_of(group, chosen[group])}" for group in dropped)
    verb = "keeps its" if len(dropped) == 1 else "keep their"
    experiment = name_of(EXPERIMENT, chosen[EXPERIMENT])
    return f"note: experiment={experiment}: dropped {' and '.join(parts)}; {others} {verb} own settings"


def chosen_options(composed: Any) -> dict[str, str | None]:
    """Returns group -> chosen option of a composed configuration."""
    return {str(key): value for key, value in composed.hydra.runtime.choices.items() if not str(key).startswith("hydra")}


def _plain(composed: Any, group: str) -> Any:
    from omegaconf import OmegaConf

    node = composed.get(group, _ABSENT)
    return OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node


def _differences(before: Any, after: Any, where: str) -> Iterator[str]:
    """Yields the keys whose values differ, or that only the first has."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key, value in before.items():
            yield from _differences(value, after.get(key, _ABSENT), f"{where}.{key}")
    elif before != after:
        yield where


# --- names of before -----------------------------------------------------------------------------------------------------


def with_new_names(overrides: Sequence[str], options: Mapping[str, Collection[str]]) -> tuple[list[str], str | None]:
    """Replaces former names of options by the current ones, which a note on stderr reports once.

    Args:
        overrides: as given.
        options: group -> the options that there are: one of the user's own may have such a name.

    Returns:
        The overrides in current names, and the former name of the experiment where one was given.
    """
    current, former = [], None
    for override, parsed in zip(overrides, parse_overrides(overrides), strict=True):
        group = parsed.key_or_group
        renamed = RENAMED if group == EXPERIMENT else RENAMED_OPTIONS.get(group, {})
        if renamed and not parsed.is_sweep_override():
            name = parsed.value()
            is_former = isinstance(name, str) and name in renamed and name not in options.get(group, ())
            if is_former:
                _announce(group, name, renamed[name])
                override = setting(group, renamed[name])
            if group == EXPERIMENT:
                former = name if is_former else None
        current.append(override)
    return current, former


@cache
def _announce(group: str, former: str, name: str) -> None:
    print(f"note: {group}={former} is now {group}={name}", file=sys.stderr)


def with_replacements(overrides: Sequence[str]) -> list[str]:
    """Returns the overrides of an old run, with an experiment that was removed replaced by its settings."""
    gone = {setting(EXPERIMENT, name): settings for name, settings in REPLACED.items()}
    settings = [word for override in overrides for word in gone.get(override, ())]
    return [*settings, *(override for override in overrides if override not in gone)]
