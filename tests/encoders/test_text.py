"""Texts as shops have them: any script, HTML, columns of any name."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from genrec.core.dataset import Sequences
from genrec.core.words import words
from genrec.data.lib.demo_catalog import make_items
from genrec.encoders.lib.item_text import item_texts, text_columns
from genrec.encoders.lib.svd import truncated_svd
from genrec.encoders.tfidf_svd import TfidfSVD
from genrec.engine.components import instantiate
from genrec.engine.config import compose
from genrec.errors import ConfigError, DataError

EMPTY = Sequences(np.zeros(0, np.int32), np.zeros(1, np.int64))
# Two alike, two others alike, in each language: matte red / matte pink lipstick; deep cleansing / deep moisturizing mask.
TITLES = {
    "English": ["matte red lipstick", "matte pink lipstick", "deep cleansing mask", "deep moisturizing mask"],
    "Chinese": ["哑光红色口红", "哑光粉色口红", "深层清洁面膜", "深层补水面膜"],
    "traditional Chinese": ["啞光紅色唇膏", "啞光粉色唇膏", "深層清潔面膜", "深層保濕面膜"],
    "Japanese": ["マットな赤い口紅", "マットなピンクの口紅", "毛穴洗浄パック", "毛穴保湿パック"],
    "half-width kana": ["ﾏｯﾄﾚｯﾄﾞﾘｯﾌﾟ", "ﾏｯﾄﾋﾟﾝｸﾘｯﾌﾟ", "ｸﾚﾝｼﾞﾝｸﾞﾊﾟｯｸ", "ｸﾚﾝｼﾞﾝｸﾞｵｲﾙ"],
    "Thai": ["ลิปสติกสีแดง", "ลิปสติกสีชมพู", "มาส์กทำความสะอาด", "มาส์กให้ความชุ่มชื้น"],
    "Lao": ["ລິບສະຕິກສີແດງ", "ລິບສະຕິກສີບົວ", "ໜ້າກາກທຳຄວາມສະອາດ", "ໜ້າກາກບຳລຸງຜິວ"],
    "Khmer": ["ក្រែមលាបមាត់ក្រហម", "ក្រែមលាបមាត់ផ្កាឈូក", "ម៉ាស់បិទមុខសម្អាត", "ម៉ាស់បិទមុខសំណើម"],
    "Burmese": ["နှုတ်ခမ်းနီအနီ", "နှုတ်ခမ်းနီပန်းရောင်", "မျက်နှာဖုံးသန့်", "မျက်နှာဖုံးစို"],
    "mixed": ["MAC哑光口红Ruby", "MAC哑光口红Rose", "SKII面膜 5片", "SKII面膜 10片"],
}


def catalogue(titles: list[str | None], **columns: list[str | None]) -> pl.DataFrame:
    return pl.DataFrame({"item_id": [f"i{place}" for place in range(len(titles))], "title": titles, **columns})


def cosines(titles: list[str | None]) -> np.ndarray:
    encoder = TfidfSVD()
    encoder.fit(catalogue(titles), EMPTY)
    vectors = encoder.encode(catalogue(titles))
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors @ vectors.T


@pytest.mark.parametrize("language", TITLES)
def test_alike_titles_are_alike_in_every_script(language: str) -> None:
    near = cosines(TITLES[language])
    assert min(near[0, 1], near[2, 3]) > 0.15
    assert min(near[0, 1], near[2, 3]) > 2 * max(near[0, 2], near[0, 3], near[1, 2], near[1, 3])


@pytest.mark.parametrize("language", sorted(set(TITLES) - {"English"}))
def test_scripts_without_blanks_are_named(language: str) -> None:
    encoder = TfidfSVD()
    encoder.fit(catalogue([*TITLES[language], "plain"]), EMPTY)
    assert any(note.startswith("4 of 5 items hold text without blanks between words") for note in encoder.notes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Size 5, red!", ["Size", "5", "red"]),
        ("Große Häuser", ["Große", "Häuser"]),
        ("cafe\u0301 noir", ["cafe\u0301", "noir"]),  # an accent of its own belongs to its letter
        ("किताब लाल", ["किताब", "लाल"]),
        ("빨간 립스틱", ["빨간", "립스틱"]),
        ("نعناع أخضر", ["نعناع", "أخضر"]),
        ("口红No5", ["口", "红", "No5"]),
        ("シャツ", ["シ", "ャ", "ツ"]),
        ("กา", ["กา"]),
        ("ก", ["ก"]),
        ("❤️ !?", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_english_vectors_are_those_of_plain_words() -> None:
    rng = np.random.default_rng(3)
    items = make_items(rng.integers(0, 4, 150), rng.integers(0, 3, 150), brands_per_taste=3, rng=rng)
    encoder = TfidfSVD(columns=["title", "description"], dim=16)
    encoder.fit(items, EMPTY)
    texts = [". ".join(row) for row in items.select("title", "description").iter_rows()]
    plain = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+", dtype=np.float64, max_features=20_000)
    weights = sparse.csr_array(plain.fit_transform(texts))
    right = truncated_svd(weights, 16)[2].astype(np.float32)
    assert np.array_equal(encoder.encode(items), np.asarray(weights @ right.T, np.float32))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("<p>Soft &amp; red<br/>lips</p>", "Soft & red lips"),
        ('<a href="http://x.y">A link</a>', "A link"),
        ("<script>var a = 1</script>Shown<style>p {}</style>", "Shown"),
        ("<!-- hidden -->Seen", "Seen"),
        ("&lt;b&gt;Bold&lt;/b&gt;", "Bold"),
        ("Tom &amp;amp; Ann&#39;s &#x41;&nbsp;B", "Tom & Ann's A B"),
        ("<DIV CLASS='x'>Upper</DIV>", "Upper"),
        ("x < y and z > w", "x < y and z > w"),
        ("AT&T R&D; i<3 you", "AT&T R&D; i<3 you"),
        ("<b>", ""),
        ("<unheard>of</unheard>", "<unheard>of</unheard>"),
    ],
)
def test_html_is_taken_out(raw: str, text: str) -> None:
    items = pl.DataFrame({"body": [raw]})
    assert " ".join(item_texts(items, ["body"])[0].split()) == text
    assert " ".join(item_texts(items.select(pl.concat_list("body", "body")), ["body"])[0].split()) == f"{text} {text}".strip()


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["price", "title", "brand", "categories", "description"], ["title", "brand", "categories", "description"]),
        (["name", "category"], ["name", "category"]),
        (["detail_desc", "prod_name", "product_type_name"], ["prod_name", "product_type_name", "detail_desc"]),
        (["genres", "Book-Title", "Book-Author"], ["Book-Title", "Book-Author", "genres"]),
        (["abstract", "category", "subcategory", "title"], ["title", "category", "subcategory", "abstract"]),
        (["Genre", "Movie Title", "tags"], ["Movie Title", "Genre", "tags"]),
        (["商品名称", "品牌", "类目"], ["商品名称", "品牌", "类目"]),
        (["Body (HTML)", "Vendor", "Title", "Handle"], ["Title", "Vendor", "Body (HTML)"]),
        (["url", "price"], []),
    ],
)
def test_text_columns_are_found_by_name(columns: list[str], expected: list[str]) -> None:
    items = pl.DataFrame({"item_id": ["a"], **{name: ["x"] for name in columns}})
    assert text_columns(items) == expected
    numbers = items.with_columns(pl.lit(1.5).alias(name) for name in columns)
    assert text_columns(numbers) == []


def test_the_columns_read_are_named() -> None:
    encoder = TfidfSVD()
    encoder.fit(catalogue(["red soap", "blue soap"], brand=[None, None], description=["a", "b"]).cast(pl.String), EMPTY)
    assert encoder.columns == ["title", "description"]
    assert "text columns: title, description (empty: brand)" in encoder.notes


@pytest.mark.parametrize(
    ("titles", "said"),
    [
        (["red soap", "green cream", "blue oil", "white wax"], "most words occur in one item only (8 of 8)"),
        (["a1", "b2", "c3"], "most words occur in one item only (3 of 3)"),
        (["red soap", "red cream", "red oil", "red wax"], None),
        (["soap"] * 5, None),
        (["soap one", "soap two"], None),  # half of the words
    ],
)
def test_words_of_one_item_only_are_told(titles: list[str], said: str | None) -> None:
    encoder = TfidfSVD()
    encoder.fit(catalogue(list(titles)), EMPTY)
    notes = [note for note in encoder.notes if "one item only" in note]
    assert [note.startswith(said) for note in notes] == ([True] if said else []) if said else notes == []


def test_items_without_a_word_are_counted_and_not_present() -> None:
    items = catalogue(["red soap", "red oil", None, "!?", "<br>"])
    encoder = TfidfSVD()
    encoder.fit(items, EMPTY)
    assert encoder.present(items).tolist() == [True, True, False, False, False]
    assert any(note.startswith("3 of 5 items have no word of the") for note in encoder.notes)
    small = TfidfSVD(max_features=1)  # a word that did not get into the vocabulary is none
    small.fit(catalogue(["red soap", "red oil", "wax"]), EMPTY)
    assert any(note.startswith("1 of 3 items have no word of the vocabulary of 1") for note in small.notes)


@pytest.mark.parametrize(
    ("encoder", "key", "override"),
    [
        ("tfidf_svd", "encoder.columns", "encoder.columns=[headline_of_it,detail_text]"),
        ("tfidf_collaborative", "encoder.sources.text.columns", "encoder.sources.text.columns=[headline_of_it,detail_text]"),
        ("sentence_transformer", "encoder.columns", "encoder.columns=[headline_of_it,detail_text]"),
        (
            "minilm_collaborative",
            "encoder.sources.text.columns",
            "encoder.sources.text.columns=[headline_of_it,detail_text]",
        ),
    ],
)
def test_the_remedy_names_the_key_of_the_encoder_that_is_chosen(encoder: str, key: str, override: str) -> None:
    items = pl.DataFrame(
        {"item_id": ["a", "b"], "headline_of_it": ["x y", "y z"], "price": [1.0, 2.0], "detail_text": ["p", "q"]}
    )
    model = {"sentence_transformer": ["encoder.model=/no"], "minilm_collaborative": ["encoder.sources.text.model=/no"]}
    settings = [f"encoder={encoder}", *model.get(encoder, [])]
    with pytest.raises(ConfigError) as caught:
        instantiate(compose(settings).tree["encoder"], "encoder").fit(items, EMPTY)
    assert caught.value.where == key
    assert f"give {override}, or choose encoder=collaborative" in str(caught.value)
    if not model:  # the advice, followed
        node = compose([*settings, override]).tree["encoder"]
        fitted = instantiate(node, "encoder")
        fitted.fit(items, EMPTY)
        assert fitted.present(items).all()


def test_a_remedy_for_names_with_blanks_can_be_typed() -> None:
    items = pl.DataFrame({"item_id": ["a", "b"], "what it is": ["x y", "y z"], "und so": ["p", "q"]})
    with pytest.raises(ConfigError) as caught:
        TfidfSVD().fit(items, EMPTY)
    assert """give 'encoder.columns=["what it is","und so"]'""" in str(caught.value)
    node = compose(["encoder=tfidf_svd", 'encoder.columns=["what it is","und so"]']).tree["encoder"]
    instantiate(node, "encoder").fit(items, EMPTY)


def test_a_wide_table_is_cut_in_the_message() -> None:
    items = pl.DataFrame({"item_id": ["a"], **{f"attribute_{place}": [1.0] for place in range(5000)}})
    with pytest.raises(ConfigError) as caught:
        TfidfSVD().fit(items, EMPTY)
    assert len(str(caught.value)) < 600
    assert "and 4,988 more" in str(caught.value)


def test_errors_of_a_source_that_are_about_data_name_its_key() -> None:
    node = compose(["encoder=tfidf_collaborative"]).tree["encoder"]
    with pytest.raises(DataError, match=r"name other columns with encoder\.sources\.text\.columns"):
        instantiate(node, "encoder").fit(catalogue(["!?", "..."]), EMPTY)
