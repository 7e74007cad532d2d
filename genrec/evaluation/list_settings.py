"""What the stages have to know of recommended lists: the ``recommend`` group, names of files, and what lists are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from genrec.engine.components import component_class
from genrec.errors import ConfigError
from genrec.model.id_assignment import encoder_if_needed
from genrec.model.trained import model_inputs
from genrec.protocols import FittedStrategy

TABLE_FILE = "recommendations.parquet"
MEMBERS = "members"  # folder


@dataclass(frozen=True, kw_only=True)
class RecommendSettings:
    """The ``recommend`` group: which lists are made, and how long they are.

    Args:
        k: items per user.
        exclude_seen: never recommend an item of the user's own history. One rule for the whole table, and for the
            baselines beside it.
        splits: whose targets to predict.
        new_item_share: share of each list that new items (those that came after training) have at most, by their content, in a
            run that extends another and in service. The last entries of the list are theirs (see ``NewItemQuota``). 0: only
            what the strategy lists by itself.
        new_item_reach: share of the catalogue that may be more like a new item than a history that it fits; null: learned from
            what users took in the validation part.
        batch_size: users per batch.
        candidates: a table of user_id, item_id and split: rank only these items, also by the baselines. None: all items.
        request: column of ``events.request`` -> what every list asks for: a value, or ``target``: what the data say of the
            event to be predicted, which is right for what is known beforehand, such as the time.
    """

    k: int = 50
    exclude_seen: bool = True
    splits: tuple[Literal["validation", "test"], ...] = ("validation", "test")
    batch_size: int = 128
    new_item_share: float = 0.1
    new_item_reach: float | None = None
    candidates: Path | None = None
    request: Mapping[str, str | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("k", "batch_size"):
            if getattr(self, key) < 1:
                raise ConfigError(f"recommend.{key}", expected="at least 1", got=getattr(self, key), fix="raise it")
        if not 0 <= self.new_item_share <= 1:
            raise ConfigError(
                "recommend.new_item_share",
                expected="a share of the list, 0 to 1",
                got=self.new_item_share,
                fix="choose one in that range",
            )
        if self.new_item_reach is not None and not 0 <= self.new_item_reach <= 1:
            raise ConfigError(
                "recommend.new_item_reach",
                expected="a share of the catalogue, 0 to 1, or null",
                got=self.new_item_reach,
                fix="choose one in that range",
            )
        if not self.splits or len(set(self.splits)) < len(self.splits):
            raise ConfigError(
                "recommend.splits", expected="validation, test or both", got=list(self.splits), fix="name each split once"
            )


def list_inputs(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the kinds of artifacts that lists need: generator, what it was trained on, what was fitted of the strategy."""
    decoding = component_class(config["decoding"], "decoding")
    fitted = decoding.needs if isinstance(decoding, FittedStrategy) else ()
    content = encoder_if_needed(config) if config.get("extends") and "sids" in model_inputs(config) else ()
    return tuple(dict.fromkeys((*model_inputs(config), "generator", *content, *sorted(fitted))))
