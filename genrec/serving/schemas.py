"""The bodies of requests and answers, which also make the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from genrec.recommender.requests import (
    AnyRequest,
    BeamRequest,
    ExplainRequest,
    RecommendRequest,
    SimilarRequest,
    field_docs,
)
from genrec.serving.http_errors import UNKNOWN_KEY, short_repr

_RECOMMEND, _SIMILAR, _EXPLAIN, _BEAMS = map(field_docs, (RecommendRequest, SimilarRequest, ExplainRequest, BeamRequest))
Entry = Annotated[str | dict[str, Any], Field(union_mode="left_to_right")]  # what a mapping holds is checked by the request
History = Annotated[list[Entry], Field(fail_fast=True)]  # lengths are held against the limits before (see ``bodies``)
Times = Annotated[list[float | None], Field(fail_fast=True)]
Values = dict[str, str | int | float | bool | None]
Filter = Annotated[str, Field(max_length=10_000)]
_EXAMPLE: dict[str, Any] = {"histories": [["item001", "item002"]], "k": 10}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values: Any) -> Any:
        """Refuses the first unknown key before anything else, since it may be a misspelled key that is missing."""
        for key in values if isinstance(values, dict) else ():
            if key not in cls.model_fields:
                context = {"key": key[:100], "names": [*cls.model_fields], "got": short_repr(values[key])}
                raise PydanticCustomError(UNKNOWN_KEY, "a key of this call", context)
        return values


class _RequestBody(_Body):
    """The fields of a request; their descriptions come from the request."""

    kind: ClassVar[type[AnyRequest]]

    def asked(self) -> AnyRequest:
        """Returns the request that the body stands for.

        Raises:
            ConfigError, DataError: for values that it cannot have.
        """
        return self.kind(**{name: getattr(self, name) for name in type(self).model_fields})


class _ListBody(_RequestBody):
    k: Annotated[int, Field(ge=1, description=_RECOMMEND["k"])] = 10
    filter: Annotated[Filter | None, Field(description=_RECOMMEND["filter"])] = None
    steer: Annotated[dict[Filter, float], Field(description=_RECOMMEND["steer"])] = {}
    exclude_seen: Annotated[bool | None, Field(description=_RECOMMEND["exclude_seen"])] = None
    wish: Annotated[str | None, Field(description=_RECOMMEND["wish"])] = None
    wish_strength: Annotated[float | None, Field(description=_RECOMMEND["wish_strength"])] = None
    guidance: Annotated[float | None, Field(description=_RECOMMEND["guidance"])] = None


class RecommendBody(_ListBody):
    """Histories, and what their lists should be like. Requests that differ in histories only are decoded together."""

    kind = RecommendRequest
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                _EXAMPLE,
                _EXAMPLE | {"filter": 'brand == "OPI" or price < 10', "steer": {'brand == "Essie"': 0.5}, "exclude_seen": True},
            ]
        }
    )

    histories: Annotated[list[History], Field(min_length=1, fail_fast=True, description=_RECOMMEND["histories"])]
    times: Annotated[Annotated[list[Times], Field(fail_fast=True)] | None, Field(description=_RECOMMEND["times"])] = None
    request: Annotated[Values, Field(description=_RECOMMEND["request"])] = {}
    user: Annotated[Values, Field(description=_RECOMMEND["user"])] = {}
    query: Annotated[str | None, Field(description=_RECOMMEND["query"])] = None
    quota: Annotated[dict[str, Annotated[int, Field(ge=1)]], Field(description=_RECOMMEND["quota"])] = {}


class BeamsBody(_ListBody):
    """A history, and what its list should be like."""

    kind = BeamRequest
    model_config = ConfigDict(json_schema_extra={"examples": [{"history": ["item001", "item002"], "k": 10}]})

    history: Annotated[History, Field(description=_BEAMS["history"])]
    times: Annotated[Times | None, Field(description=_BEAMS["times"])] = None
    request: Annotated[Values, Field(description=_BEAMS["request"])] = {}
    user: Annotated[Values, Field(description=_BEAMS["user"])] = {}
    query: Annotated[str | None, Field(description=_BEAMS["query"])] = None


class ExplainBody(_RequestBody):
    """A history, and an item that may come next."""

    kind = ExplainRequest
    model_config = ConfigDict(json_schema_extra={"examples": [{"history": ["item001", "item002"], "item_id": "item003"}]})

    history: Annotated[History, Field(description=_EXPLAIN["history"])]
    times: Annotated[Times | None, Field(description=_EXPLAIN["times"])] = None
    request: Annotated[Values, Field(description=_EXPLAIN["request"])] = {}
    user: Annotated[Values, Field(description=_EXPLAIN["user"])] = {}
    query: Annotated[str | None, Field(description=_EXPLAIN["query"])] = None
    item_id: Annotated[str, Field(description=_EXPLAIN["item_id"])]
    last: Annotated[int, Field(ge=0, le=100, description=_EXPLAIN["last"])] = 20


class SimilarBody(_RequestBody):
    """An item of the catalogue."""

    kind = SimilarRequest
    model_config = ConfigDict(json_schema_extra={"examples": [{"item_id": "item001", "k": 5}]})

    item_id: Annotated[str, Field(description=_SIMILAR["item_id"])]
    k: Annotated[int, Field(ge=1, description=_SIMILAR["k"])] = 10
    filter: Annotated[Filter | None, Field(description=_SIMILAR["filter"])] = None


class ItemsBody(_Body):
    """New items, and known ones with the content they have now. What was taken down stays so."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [{"item_id": "item999", "title": "Red polish"}]}]})

    items: Annotated[
        list[dict[str, Any]],
        Field(
            min_length=1, fail_fast=True, description="`item_id` and columns of the catalogue; what is not named stays as it is"
        ),
    ]
    reassign: Annotated[bool, Field(description="known items whose content changes get the ID of their new content")] = False


class ItemIdsBody(_Body):
    """Items of the catalogue."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"item_ids": ["item001", "item002"]}]})

    item_ids: Annotated[
        list[str], Field(min_length=1, fail_fast=True, description="ids the catalogue does not have are named in the answer")
    ]
    absent: Annotated[
        bool, Field(description="remove: only because a full feed lacks them; restore: only what was removed so")
    ] = False


class Scored(BaseModel):
    """An item of a list."""

    item_id: str
    score: float


class Listed(BaseModel):
    """The list of one history."""

    items: list[Scored]
    unknown: Annotated[list[str], Field(description="ids of the history that the catalogue does not have; left out")]


class Recommendations(BaseModel):
    """A list for each history, in order."""

    lists: list[Listed]


class Similar(BaseModel):
    """The most similar items, best first."""

    items: list[Scored]


class Choice(BaseModel):
    """One level of an ID."""

    level: int
    code: int
    log_prob: Annotated[float, Field(description="of the code, given those before it")]
    choices: Annotated[int, Field(description="codes that items have there")]


class Weighed(BaseModel):
    """An item of a history."""

    item_id: str
    weight: Annotated[float, Field(description="how much less probable the other item were without this one, in nats")]


class Explained(BaseModel):
    """What a history has to do with an item, by the generator alone."""

    item_id: str
    log_prob: float
    path: Annotated[list[Choice] | None, Field(description="the levels of its ID; null for a model without IDs")]
    because: Annotated[list[Weighed], Field(description="the strongest first")]
    unknown: list[str]


class Beam(BaseModel):
    """A prefix that the search kept."""

    codes: list[int]
    log_prob: float
    num_items: Annotated[int, Field(description="that the filter leaves below it")]
    item_id: Annotated[str, Field(description="one of these")]


class Searched(BaseModel):
    """The prefixes after each level."""

    levels: list[list[Beam]]
    unknown: list[str]


class Item(BaseModel):
    """What the catalogue knows of an item."""

    item_id: str
    content: dict[str, Any]
    codes: list[int] | None
    status: Annotated[list[str], Field(description="active or removed; added or updated since the bundle was made")]


class FoundItems(BaseModel):
    """Items, best first or as asked for."""

    items: list[Item]
    num_found: Annotated[int, Field(description="how many there are in all")]
    unknown: Annotated[list[str], Field(description="ids that the catalogue does not have")]


class Changed(BaseModel):
    """What the catalogue has now, and what the call changed of it."""

    num_items: int
    num_removed: Annotated[int, Field(description="items that are not recommended, now")]
    num_added: Annotated[int, Field(description="items that are new")] = 0
    num_updated: Annotated[int, Field(description="known items whose content is another now")] = 0
    num_unchanged: Annotated[int, Field(description="items that were so already")] = 0
    num_taken_down: Annotated[int, Field(description="items that are not recommended any more")] = 0
    num_restored: Annotated[int, Field(description="items that are recommended again")] = 0
    num_still_removed: Annotated[int, Field(description="items that were given content and are not recommended")] = 0
    unknown: Annotated[list[str], Field(description="ids that the catalogue does not have; nothing was done")] = []


class Health(BaseModel):
    """Whether the service answers, and from what."""

    status: str
    bundle: Annotated[str, Field(description="fingerprint of the bundle that is answered from")]
    bundle_age_seconds: Annotated[int, Field(description="since the bundle was made")]
    num_items: int
    num_removed: int
    reloads: Annotated[int, Field(description="times that a bundle was opened anew since the start")]
    failed_reloads: Annotated[int, Field(description="times that it could not be opened, and the old one stayed")]


class Problem(BaseModel):
    """What is wrong with a request, in the same words as on the command line."""

    where: str
    expected: str
    got: str
    fix: str
