"""Real users: what they had, what came next, what was recommended. Half of them drawn among the users with a hit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from genrec.core.dataset import Dataset
from genrec.core.item_labels import item_titles
from genrec.reports.page import Markup, join, section, tag
from genrec.types import ITEM_ID, RANK, SPLIT, USER_ID, Split

SAMPLED_USERS = 20  # half of them drawn among the users with a hit, so that there is one to look at
SHOWN_ITEMS = 10
SHOWN_HISTORY = 5


def users_sections(dataset: Dataset, split: Split, table: pl.DataFrame, per_user: pl.DataFrame, k: int) -> Markup:
    """A card per sampled user, the same users in every report on the same users and hits.

    Args:
        dataset: for histories, targets and titles.
        split: of the targets.
        table: the model's recommendations.
        per_user: split, user_id and metric columns of the model, ``recall@k`` among them.
        k: list length that decides who has a hit.
    """
    scores = per_user.filter(pl.col(SPLIT) == split)
    rng = np.random.default_rng(0)
    anyone = rng.permutation(scores[USER_ID].to_numpy())[: SAMPLED_USERS // 2]
    lucky = scores.filter((pl.col(f"recall@{k}") > 0) & ~pl.col(USER_ID).is_in(anyone.tolist()))[USER_ID].to_numpy()
    lucky = rng.permutation(lucky)[: SAMPLED_USERS // 2]
    lists = table.filter((pl.col(SPLIT) == split) & pl.col(USER_ID).is_in([*anyone, *lucky])).sort(USER_ID, RANK)
    rows = {str(key[0]): frame for key, frame in lists.group_by(USER_ID)}
    row_of = {user: row for row, user in enumerate(dataset.user_ids)} if len(rows) else {}
    titles = item_titles(dataset)
    title_of = dict(zip(dataset.item_ids, titles, strict=True))

    def card(user: str) -> Markup:
        row = row_of[user]
        whole = dataset.histories(split)[row]
        history = [titles[i] for i in whole[-SHOWN_HISTORY:]]
        targets = {dataset.item_ids[int(i)]: titles[int(i)] for i in dataset.targets(split)[row]}
        listed = rows[user] if user in rows else lists.clear()
        hits = [rank for item, rank in zip(listed[ITEM_ID], listed[RANK], strict=True) if item in targets]
        pill = tag("span", f"hit at rank {hits[0]}", class_="pill good") if hits else tag("span", "no hit", class_="pill")
        shown = listed.filter(pl.col(RANK) <= SHOWN_ITEMS)[ITEM_ID]
        return tag(
            "article",
            tag("h3", f"User {user} ", pill),
            tag("h4", f"History, the last {len(history)} of {len(whole)}"),
            _items(history, start=len(whole) - len(history) + 1),
            tag("h4", "What came next"),
            tag("p", "; ".join(targets.values()), class_="next"),
            tag("h4", "Recommended"),
            _items([title_of.get(item, item) for item in shown], hits=[item in targets for item in shown]),
            class_="user",
        )

    groups = [("drawn at random", anyone), (f"drawn among those with a hit in the first {k}", lucky)]
    return join(
        *(
            section(f"{len(users)} {split} users, {how}", tag("div", *map(card, users), class_="users"))
            for how, users in groups
            if len(users)
        )
    )


def _items(titles: list[str], *, start: int = 1, hits: Sequence[bool] = ()) -> Markup:
    marked = {i for i, hit in enumerate(hits) if hit}
    entries = (
        tag("li", tag("span", "✓ hit: " if i in marked else "", title, class_="item"), class_="hit" if i in marked else "miss")
        for i, title in enumerate(titles)
    )
    return tag("ol", *entries, start=start)
