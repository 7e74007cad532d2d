"""The items of the demo shop: words for departments, shelves, tastes and brands, and readable items composed of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import polars as pl

from genrec.types import ITEM_ID


@dataclass(frozen=True)
class Shelf:
    """One kind of product.

    Args:
        noun: what it is.
        price: a typical price in dollars.
        purpose: what it is for, ends the description.
        variants: what comes after the noun in a title.
        sizes: what comes last.
    """

    noun: str
    price: float
    purpose: str
    variants: tuple[str, ...]
    sizes: tuple[str, ...]


@dataclass(frozen=True)
class Taste:
    """The preference of a kind of customer; it determines brands, adjectives and prices."""

    price_factor: float
    promise: str
    adjectives: tuple[str, ...]


HAIR = ("for Curly Hair", "for Fine Hair", "for Dry Hair", "for Colored Hair", "with Argan Oil", "with Green Tea")
BREW = ("for Espresso", "for Filter Coffee", "for Cold Brew", "for the Office", "for Two", "for Travel")
RUN = ("for Women", "for Men", "for Trails", "for Winter", "for Long Distances", "for Beginners")
GROW = ("for Balconies", "for Herbs", "for Tomatoes", "for Flowers", "for Windowsills", "for Shade")

# Department (category path) -> its shelves. Their order here is unrelated to the order in which customers buy.
DEPARTMENTS: dict[tuple[str, ...], tuple[Shelf, ...]] = {
    ("Beauty", "Hair Care"): (
        Shelf("Shampoo", 9, "Cleans hair and scalp.", HAIR, ("250 ml", "400 ml", "1 l")),
        Shelf("Conditioner", 10, "Makes washed hair easy to comb.", HAIR, ("200 ml", "400 ml", "1 l")),
        Shelf("Hair Mask", 14, "A weekly treatment for tired ends.", HAIR, ("150 ml", "300 ml", "6 sachets")),
        Shelf("Styling Cream", 12, "Shapes and holds all day.", HAIR, ("75 ml", "125 ml", "200 ml")),
    ),
    ("Kitchen", "Coffee"): (
        Shelf("Coffee Beans", 13, "Roasted in small batches.", BREW, ("250 g", "500 g", "1 kg")),
        Shelf("Coffee Grinder", 45, "Grinds fresh, coarse to fine.", BREW, ("30 g", "60 g", "120 g")),
        Shelf("Coffee Maker", 70, "Brews at the right temperature.", BREW, ("2 cups", "4 cups", "8 cups")),
        Shelf("Milk Frother", 28, "Foams hot and cold milk.", BREW, ("150 ml", "250 ml", "350 ml")),
    ),
    ("Sports", "Running"): (
        Shelf("Running Shoes", 85, "Cushioned for many miles.", RUN, ("narrow fit", "regular fit", "wide fit")),
        Shelf("Running Socks", 11, "Prevents blisters.", RUN, ("1 pair", "3 pairs", "5 pairs")),
        Shelf("Running Shirt", 27, "Dries while you move.", RUN, ("slim", "regular", "loose")),
        Shelf("Hydration Belt", 24, "Carries water, phone and keys.", RUN, ("1 bottle", "2 bottles", "4 bottles")),
    ),
    ("Garden", "Urban Gardening"): (
        Shelf("Seed Set", 8, "Sprouts within two weeks.", GROW, ("6 bags", "12 bags", "24 bags")),
        Shelf("Planter Box", 32, "Drains well, stays outside in frost.", GROW, ("40 cm", "60 cm", "80 cm")),
        Shelf("Potting Soil", 12, "Light and peat free.", GROW, ("10 l", "20 l", "40 l")),
        Shelf("Plant Food", 9, "Feeds for a whole season.", GROW, ("500 ml", "1 l", "50 sticks")),
    ),
}
TASTES = (
    Taste(0.7, "Does its job at a small price", ("Everyday", "Basic", "Simple", "Handy")),
    Taste(1.1, "Made from natural materials, nothing else", ("Organic", "Botanical", "Pure", "Gentle")),
    Taste(1.4, "Engineered and tested in the laboratory", ("Advanced", "Precision", "Pro", "Smart")),
    Taste(2.2, "Finished by hand for those who want the best", ("Signature", "Velvet", "Prestige", "Royal")),
)
PATHS = [(*department, shelf.noun) for department, shelves in DEPARTMENTS.items() for shelf in shelves]
SHELVES = [shelf for shelves in DEPARTMENTS.values() for shelf in shelves]

STARTS = ("Lu", "Bren", "Cal", "Dor", "El", "Fen", "Gra", "Hol", "Ki", "Mar", "Nor", "Or", "Pel", "Sol", "Tam", "Ver")
MIDDLES = ("a", "i", "o", "ena", "ari", "ovi", "u", "este")
ENDS = ("mea", "na", "rin", "ta", "vo", "lis", "dan", "x")


def brands(count: int, rng: np.random.Generator) -> list[str]:
    """``count`` different invented names, at most 1,024."""
    names = ["".join(parts) for parts in product(STARTS, MIDDLES, ENDS)]
    return [names[i] for i in rng.permutation(len(names))[:count]]


def make_items(shelf: np.ndarray, taste: np.ndarray, *, brands_per_taste: int, rng: np.random.Generator) -> pl.DataFrame:
    """Composes the table of items: item_id, title, brand, categories, price, description. Titles are unique.

    Args:
        shelf: [items], index into ``SHELVES``.
        taste: [items], index into ``TASTES``.
        brands_per_taste: how many brands each department has for each taste.
        rng: draws names, prices and details.
    """
    num_items = len(shelf)
    department = np.repeat(np.arange(len(DEPARTMENTS)), [len(shelves) for shelves in DEPARTMENTS.values()])[shelf]
    names = brands(len(DEPARTMENTS) * len(TASTES) * brands_per_taste, rng)
    brand_of_item = (department * len(TASTES) + taste) * brands_per_taste + rng.integers(0, brands_per_taste, num_items)
    adjective, variant, size = (rng.integers(0, count, num_items) for count in (4, 6, 3))
    spread = np.exp(rng.normal(0.0, 0.15, num_items)) * (1 + 0.4 * size)

    rows: list[tuple[str, str, str, float, str]] = []
    editions: dict[str, int] = {}
    for i in range(num_items):
        kind, liked, brand = SHELVES[shelf[i]], TASTES[taste[i]], names[brand_of_item[i]]
        product_name = f"{liked.adjectives[adjective[i]]} {kind.noun} {kind.variants[variant[i]]}"
        title = f"{brand} {product_name}, {kind.sizes[size[i]]}"
        edition = editions[title] = editions.get(title, 0) + 1
        if edition > 1:
            title += f", No. {edition}"
        price = round(kind.price * liked.price_factor * spread[i]) + 0.99
        text = f"{product_name} by {brand}. {liked.promise}. {kind.purpose}"
        rows.append((title, brand, " > ".join(PATHS[shelf[i]]), price, text))
    ids = pl.Series(ITEM_ID, [f"item{i + 1:0{len(str(num_items))}d}" for i in range(num_items)])
    table = pl.DataFrame(rows, schema=["title", "brand", "categories", "price", "description"], orient="row")
    return table.insert_column(0, ids)
