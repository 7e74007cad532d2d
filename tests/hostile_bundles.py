"""Bundles as an attacker makes them from good ones: changed, and sealed anew, for the seal tells damage and not origin."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from small_bundle import listed_anew

OLD_BUNDLES = Path(__file__).with_name("old_bundles.zip")  # made by commit fb88d67: codes, scores, text, language; and a model
Change = Callable[[Path, Path], Any]


@dataclass(frozen=True)
class Attack:
    """One way to make a bundle do more than it should.

    Args:
        name: what it tries.
        change: (bundle, folder outside it) -> changes the bundle.
        of: the good bundle that is changed.
        says: what the refusal must contain.
        sealed: write the manifest anew afterwards.
        plugins: that the caller allows.
        late: it may open, and is refused when an item is added.
    """

    name: str
    change: Change
    of: str = "codes"
    says: str = ""
    sealed: bool = True
    plugins: tuple[str, ...] = ()
    late: bool = False
    external: Mapping[str, str] = field(default_factory=dict)


def unpacked(folder: Path) -> Path:
    """The good bundles: ``codes``, ``scores``, ``text``, ``language``, and ``model``, the base model of ``text``."""
    with zipfile.ZipFile(OLD_BUNDLES) as archive:
        archive.extractall(folder)
    return folder


# --- changes ----------------------------------------------------------------------------------------------------------


def edited(file: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    changed = change(content)
    file.write_text(json.dumps(content if changed is None else changed), encoding="utf-8")


def node(group: str, **changes: Any) -> Change:
    """Another node in bundle.json; of the generator, in its own configuration as well. ``OUT`` stands for a path outside."""

    def change(bundle: Path, out: Path) -> None:
        told = with_out(changes, out)
        edited(bundle / "bundle.json", lambda content: replaced(content["config"], group, told))
        if group == "generator":
            edited(bundle / "generator" / "config.json", lambda content: replaced(content, group, told))

    return change


def in_bundle_json(**changes: Any) -> Change:
    return lambda bundle, out: edited(bundle / "bundle.json", lambda content: content.update(changes))


def setting(group: str, **changes: Any) -> Change:
    """Other or more arguments of a node."""

    def change(bundle: Path, out: Path) -> None:
        told = with_out(changes, out)
        edited(bundle / "bundle.json", lambda content: content["config"][group].update(told))
        if group == "generator":
            edited(bundle / "generator" / "config.json", lambda content: content[group].update(told))

    return change


def replaced(content: dict[str, Any], group: str, told: Any) -> None:
    content[group] = told


def with_out(value: Any, out: Path) -> Any:
    if isinstance(value, Mapping):
        return {key.replace("OUT", str(out)): with_out(item, out) for key, item in value.items()}
    if isinstance(value, list):
        return [with_out(item, out) for item in value]
    return value.replace("OUT", str(out)) if isinstance(value, str) else value


def written(name: str, content: bytes | str) -> Change:
    def change(bundle: Path, out: Path) -> None:
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        (bundle / name).write_bytes(data)

    return change


def all_of(*changes: Change) -> Change:
    def change(bundle: Path, out: Path) -> None:
        for one in changes:
            one(bundle, out)

    return change


def with_saved(change: Change) -> Change:
    """With the folder that once switched the checks off."""
    return all_of(change, written("generator/saved/x.txt", "x"))


def linked(name: str, target: str) -> Change:
    def change(bundle: Path, out: Path) -> None:
        (bundle / name).unlink(missing_ok=True)
        (bundle / name).symlink_to(target.replace("OUT", str(out)))

    return change


def moved_out(name: str) -> Change:
    """A file of the bundle, whole, outside; a link leads there."""

    def change(bundle: Path, out: Path) -> None:
        (bundle / name).rename(out / Path(name).name)
        (bundle / name).symlink_to(out / Path(name).name)

    return change


def manifest(change: Callable[[dict[str, Any]], Any]) -> Change:
    def apply(bundle: Path, out: Path) -> None:
        from genrec.engine.artifacts import seal_manifest

        listed_anew(bundle)
        content = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
        change(content)
        (bundle / "manifest.json").write_text(json.dumps(seal_manifest(content)), encoding="utf-8")

    return apply


def weights_of_a_giant(bundle: Path, out: Path) -> None:
    head = json.dumps({"w": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}}).encode()
    (bundle / "generator" / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + b"\0" * 64)


def array_of_objects(bundle: Path, out: Path) -> None:
    np.save(bundle / "tokenizer" / "codes.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


def array_of_a_giant(bundle: Path, out: Path) -> None:
    with (bundle / "tokenizer" / "codes.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<i8", "fortran_order": False, "shape": (10**12,)})
        file.write(b"\0" * 8)


def rows_of_nothing(bundle: Path, out: Path) -> None:
    pl.DataFrame({"item_id": pl.repeat("a", 20_000_000, eager=True)}).write_parquet(bundle / "items.parquet")


def codes_of_a_giant(bundle: Path, out: Path) -> None:
    from genrec.core.sids import SIDTable

    table = SIDTable.load(bundle / "sids")
    giant = SIDTable(table.codes, (10**12, *table.sizes[1:]), table.collision_level, table.codebooks)
    (bundle / "sids" / "layout.json").write_text(json.dumps(giant.facts()), encoding="utf-8")
    edited(bundle / "generator" / "config.json", lambda content: content.update(sids_layout=giant.layout))


def table(name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Change:
    """Another content of a parquet file."""
    return lambda bundle, out: change(pl.read_parquet(bundle / name)).write_parquet(bundle / name)


def lists_of_a_giant(bundle: Path, out: Path) -> None:
    lists = pl.Series("x", np.zeros((72, 500_000), dtype=np.int8), dtype=pl.Array(pl.Int8, 500_000)).arr.to_list()
    pl.read_parquet(bundle / "items.parquet").with_columns(lists).write_parquet(bundle / "items.parquet")


def pipe(bundle: Path, out: Path) -> None:
    os.mkfifo(bundle / "items2.json")


def custom_model(bundle: Path, out: Path) -> None:
    """B4: a sentence-transformers folder with a module of its own, inside the bundle."""
    folder = bundle / "encoder" / "fitted" / "m"
    folder.mkdir()
    modules = [{"idx": 0, "name": "0", "path": "", "type": "evil.Module"}]
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    (folder / "config_sentence_transformers.json").write_text("{}", encoding="utf-8")
    (folder / "evil.py").write_text(f"open({str(out / 'ran')!r}, 'w')", encoding="utf-8")
    edited(bundle / "bundle.json", lambda content: content["config"]["encoder"].update(model=str(folder)))


def without_code(bundle: Path, out: Path) -> None:
    """B4 with the code elsewhere on the path, so that no odd file gives it away."""
    custom_model(bundle, out)
    (bundle / "encoder" / "fitted" / "m" / "evil.py").rename(out / "evil.py")


def model_given(change: Callable[[Path], Any]) -> Change:
    """The folder that the caller allows is itself a stranger's."""

    def apply(bundle: Path, out: Path) -> None:
        from genrec.encoders.lib.vector_cache import model_identity

        folder = out / "model"
        shutil.copytree(bundle.parent / "model", folder)
        change(folder)
        identity = model_identity(str(folder), None)
        edited(bundle / "encoder" / "fitted" / "sentence_transformer.json", lambda state: state.update(identity=identity))

    return apply


SASREC = "genrec.generators.sasrec.SASRec"
TEXT = "genrec.encoders.sentence_transformer.SentenceTransformerEncoder"
JOURNAL = {"_target_": "genrec.recommender.journal.Journal", "folder": "OUT/journal"}
LANGUAGE = {
    "_target_": "genrec.nn.language_model.LanguageModel",
    "source": "someone/some-repo",
    "revision": None,
    "num_new": 1,
    "lora_rank": None,
    "lora_alpha": 1.0,
    "lora_dropout": 0.0,
}
DEEP = "[" * 100_000 + "]" * 100_000


def attacks() -> Iterator[Attack]:
    """All of them: those of the review of 2026-11, and more."""
    # B1: writes files anywhere
    for slot in ("decoding", "generator", "encoder", "tokenizer", "collision"):
        yield Attack(f"B1 a journal as {slot}", node(slot, **JOURNAL), says="Journal")
        yield Attack(f"B1 a journal as {slot}, something saved", with_saved(node(slot, **JOURNAL)), says="Journal")
    # B2: reaches the network, or reads any folder
    yield Attack("B2 a language model as generator", with_saved(node("generator", **LANGUAGE)), says="LanguageModel")
    yield Attack("B2 of a local folder", with_saved(node("generator", **LANGUAGE | {"source": "OUT"})), says="LanguageModel")
    lc_rec = {"_target_": "genrec.generators.lc_rec.LCRec", "model": "someone/some-repo"}
    yield Attack("B2 lc_rec with a hub id, nothing saved", node("generator", **lc_rec), says="someone/some-repo")
    yield Attack(
        "B2 lc_rec with a folder, nothing saved", node("generator", **lc_rec | {"model": "OUT"}), says="generator.model"
    )
    yield Attack("B2 lc_rec with a hub id, nothing useful saved", with_saved(node("generator", **lc_rec)))
    # B3: runs the command line inside the host, and ends it
    for slot in ("decoding", "generator", "encoder", "tokenizer", "collision", "objective", "train"):
        yield Attack(f"B3 the command line as {slot}", node(slot, _target_="genrec.__main__.X"), says="genrec.__main__.X")
    # B4: runs code that lies in the bundle
    yield Attack("B4 a model with code in it", custom_model, of="text", says="evil.py")
    yield Attack("B4 a model with code on the path", without_code, of="text", says="encoder.model", late=True)
    bad_modules = [{"idx": 0, "name": "0", "path": "", "type": "evil.Module"}]
    given = {"encoder.model": "OUT/model"}
    yield from (
        Attack(name, model_given(change), of="text", says=says, late=True, external=given)
        for name, change, says in (
            (
                "a given model with a module of its own",
                lambda f: (f / "modules.json").write_text(json.dumps(bad_modules), encoding="utf-8"),
                "evil",
            ),
            (
                "a given model whose module lies elsewhere",
                lambda f: edited(f / "modules.json", lambda modules: modules[0].update(path="../..")),
                "../..",
            ),
            (
                "a given model with code",
                lambda f: (f / "config.json").write_text('{"auto_map": {"AutoModel": "x.Y"}}', encoding="utf-8"),
                "auto_map",
            ),
            (
                "a given adapter of a hub model",
                lambda f: (f / "adapter_config.json").write_text('{"base_model_name_or_path": "someone/x"}', encoding="utf-8"),
                "adapter",
            ),
            (
                "a given model with a pickle",
                lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
                "pytorch_model.bin",
            ),
            (
                "a given tokenizer that names a file",
                lambda f: (f / "tokenizer_config.json").write_text('{"vocab_file": "/etc/passwd"}', encoding="utf-8"),
                "/etc/passwd",
            ),
        )
    )
    yield from _targets()
    yield from _texts()
    yield from _files()
    yield from _tables()
    yield from _numbers()
    yield from _language_models()


def _targets() -> Iterator[Attack]:
    for target in (
        *("os.system", "builtins.exec", "subprocess.Popen", "pathlib.Path", "importlib.import_module", "torch.load"),
        *(
            "genrec",
            "genrec.",
            ".genrec.X",
            "genrec..X",
            "",
            "genrec.generators.sasrec",
            "genrec.generators.sasrec.SASRec.forward",
        ),
        *(
            "genrec.engine.artifacts.Store",
            "genrec.engine.store_files.held",
            "genrec.data.lib.download.fetch",
            "genrec.data.movielens.MovieLens",
        ),
        *("genrec.stages.export.ExportSettings", "genrec.engine.tracking.csv_files.CSVLog", "genrec.engine.runs.Run"),
        *("genrеc.generators.sasrec.SASRec", "ｇenrec.generators.sasrec.SASRec", "genrec.generators.sasrec.SASRec "),
        *("genrec.generators.sasrec.SASRec\n", "genrec/generators/sasrec.SASRec", "genrec.commands.run.main"),
    ):
        yield Attack(f"target {target!r}", node("generator", _target_=target))
    for value in (None, 5, ["genrec.generators.sasrec.SASRec"], {"a": 1}, True):
        yield Attack(f"target {value!r}", node("decoding", _target_=value))
    for key in ("_args_", "_partial_", "_convert_", "_recursive_", "__class__", "args", "kwargs"):
        yield Attack(f"the key {key}", setting("decoding", **{key: [1]}), says=key)
        yield Attack(f"the key {key} of the encoder", setting("tokenizer", **{key: [1]}), says=key)
    for key in ("saved", "num_items", "sids", "trie", "item_vectors", "catalog", "train_counts", "item_labels", "device"):
        yield Attack(f"a run-time argument, {key}", setting("generator", **{key: "OUT"}), says=key)
        yield Attack(f"a run-time argument of the tokenizer, {key}", setting("tokenizer", **{key: "OUT"}), says=key)
    yield Attack("saved as a node", setting("generator", saved={"_target_": "pathlib.Path"}), says="saved")
    source = {"_target_": "genrec.data.tables.Tables", "interactions": "/etc/passwd"}
    yield Attack(
        "a data source below the encoder", node("encoder", _target_="genrec.encoders.concat.Concat", sources={"a": source})
    )
    yield Attack(
        "a journal below the encoder", node("encoder", _target_="genrec.encoders.concat.Concat", sources={"a": JOURNAL})
    )
    yield Attack("a journal below fusion", node("decoding", _target_="genrec.decoding.fusion.Fusion", scorers={"a": JOURNAL}))
    objective = {"_target_": "genrec.objectives.sid_cross_entropy.SIDCrossEntropy"}
    scorers = {"supervised": objective}
    yield Attack("an objective below fusion", node("decoding", _target_="genrec.decoding.fusion.Fusion", scorers=scorers))
    yield Attack("a node where a number belongs", setting("decoding", num_beams=JOURNAL), says="Journal")
    yield Attack("a node in a list", setting("decoding", num_beams=[JOURNAL]), says="Journal")
    yield Attack("a group of its own", node("evil", **JOURNAL), says="evil")
    yield Attack("no component", node("decoding", num_beams=5), says="num_beams")
    yield Attack("a class that another plug-in passes on", node("encoder", _target_="lent.Journal"), plugins=("lent",))
    yield Attack(
        "a plug-in's class of another kind", node("decoding", _target_="lent.Mailer"), plugins=("lent",), says="Mailer"
    )
    yield Attack(
        "a plug-in's private part", node("decoding", _target_="lent._inner.Decoding"), plugins=("lent",), says="_inner"
    )
    yield Attack("a plug-in's command line", node("decoding", _target_="lent.__main__.X"), plugins=("lent",), says="__main__")
    yield Attack("a plug-in that nobody allowed", node("decoding", _target_="lent.Mailer", to="OUT/mail"), says="lent")
    yield Attack("a plug-in that nobody allowed, of the training", node("train", _target_="lent.Mailer"), says="lent")


def _texts() -> Iterator[Attack]:
    for text in (
        *(
            "/etc/passwd",
            "../../../etc/passwd",
            "~/.ssh/id_rsa",
            "~root/x",
            "C:\\Windows\\x",
            "c:/x",
            "\\\\host\\share",
            "file:///etc",
        ),
        *("https://example.org/x", "${oc.env:HOME}", "${oc.env:GENREC_ADMIN_TOKEN}", "a/../../b", "..", "x\0y", " /etc/passwd"),
    ):
        yield Attack(f"a text that leads out, {text!r}", setting("tokenizer", source=text))
        concat = {
            "_target_": "genrec.encoders.concat.Concat",
            "sources": {text: {"_target_": "genrec.encoders.tfidf_svd.TfidfSVD"}},
        }
        yield Attack(f"a name that leads out, {text!r}", node("encoder", **concat))
    for place in ("OUT/cache", "cache", "~/elsewhere", ""):
        yield Attack(f"a cache, {place!r}", setting("encoder", cache=place), of="text", says="encoder.cache")
    yield Attack(
        "a reference in a nested list", setting("encoder", columns=["title", "${oc.env:HOME}"]), of="text", says="HOME"
    )
    precomputed = {"_target_": "genrec.encoders.precomputed.Precomputed", "path": "/etc/passwd"}
    yield Attack("vectors from elsewhere", node("encoder", **precomputed), late=True)
    published = {"_target_": "genrec.tokenizers.published.Published", "path": "/etc/passwd"}
    yield Attack("codes from elsewhere", node("tokenizer", **published), late=True)
    image = {"_target_": "genrec.encoders.image.ImageEncoder", "model": "someone/clip", "folder": "/etc"}
    yield Attack("images from elsewhere", node("encoder", **image), says="encoder.", late=True)
    yield Attack(
        "a text encoder of a hub model", node("encoder", _target_=TEXT, model="someone/x"), says="someone/x", late=True
    )
    yield Attack("a place that there is not", setting("decoding"), external={"decoding.model": "OUT"}, says="decoding.model")


def _files() -> Iterator[Attack]:
    for name in (
        "items.parquet",
        "bundle.json",
        "generator/model.safetensors",
        "encoder/vectors/item.safetensors",
        "README.md",
    ):
        yield Attack(f"{name} lies elsewhere", moved_out(name), says="a way to")
    yield Attack("a link to a secret", linked("encoder/vectors/item.safetensors", "/etc/passwd"), says="/etc/passwd")
    yield Attack("a link to a secret that is not listed", linked("more.json", "/etc/passwd"), says="/etc/passwd", sealed=False)
    yield Attack("a hidden link", linked(".hidden", "/etc/passwd"), says="/etc/passwd", sealed=False)
    yield Attack("a link to a folder", linked("generator/saved", "OUT"), says="a way to", sealed=False)
    yield Attack("a link to a folder inside", linked("generator/saved", "../encoder"), says="a way to", sealed=False)
    yield Attack("a link in a circle", linked("more", "more"), sealed=False)
    yield Attack("the manifest is a link", moved_out("manifest.json"), says="manifest.json", sealed=False)
    yield Attack("a pipe", pipe, says="pipe", sealed=False)
    suffixes = (
        "py",
        "pkl",
        "pt",
        "bin",
        "so",
        "pth",
        "yaml",
        "sh",
        "zip",
        "gz",
        "h5",
        "ckpt",
        "dll",
        "pyc",
        "db",
        "toml",
        "PY",
        "exe",
    )
    for suffix in suffixes:
        yield Attack(f"a .{suffix} file", written(f"generator/x.{suffix}", "x"), says=f"x.{suffix}")
    nothing = {"bytes": 0, "sha256": ""}
    for name in ("../runs.json", "/etc/passwd", "a/../../b", "..\\x", "C:\\x", "~/x", "", ".", "x\0y"):
        yield Attack(f"a listed {name!r}", manifest(lambda m, name=name: m["files"].update({name: nothing})), sealed=False)
    yield Attack("no list of files", manifest(lambda m: m.pop("files")), sealed=False)
    yield Attack("another kind", manifest(lambda m: m.update(kind=["bundle"])), sealed=False)
    yield Attack("a list for files", manifest(lambda m: m.update(files=["/etc/passwd"])), sealed=False)
    for name in ("bundle.json", "generator/config.json", "sids/layout.json", "manifest.json"):
        yield Attack(f"{name} nested deeply", written(name, DEEP), sealed=name != "manifest.json", says=name)
        twice = written(name, '{"schema": 1, "schema": 2, "kind": "bundle"}')
        yield Attack(f"{name} with a key twice", twice, sealed=name != "manifest.json", says=name)
        yield Attack(f"{name} of another kind", written(name, "[1]"), sealed=name != "manifest.json")
        yield Attack(f"{name} not in utf-8", written(name, b"\xff\xfe{}"), sealed=name != "manifest.json")
    yield Attack("an array of objects", array_of_objects, says="Python objects")
    yield Attack(
        "a yaml in json's clothes", written("bundle.json", "config: !!python/object/apply:os.system [ls]"), says="bundle.json"
    )


def _tables() -> Iterator[Attack]:
    first = pl.int_range(pl.len()) == 0
    for name, ids, says in (
        ("no ids", pl.lit(None), "type Null"),
        ("numbers for ids", pl.int_range(pl.len()), "type Int64"),
        ("bytes for ids", pl.col("item_id").cast(pl.Binary), "type Binary"),
        ("lists for ids", pl.concat_list("item_id"), "type List"),
        ("objects for ids", pl.struct("item_id"), "type Struct"),
        ("categories for ids", pl.col("item_id").cast(pl.Categorical), "type Categorical"),
        ("an item without an id", pl.when(first).then(None).otherwise("item_id"), "an item without one"),
        ("one id for all", pl.lit("a"), "'a' twice"),
    ):
        yield Attack(name, table("items.parquet", lambda t, ids=ids: t.with_columns(item_id=ids)), says=says)
    yield Attack("no column of ids", table("items.parquet", lambda t: t.drop("item_id")), says="got columns ")
    yield Attack("lists of a giant", lists_of_a_giant, says="values in")
    much = table("items.parquet", lambda t: t.with_columns(title=pl.lit("x" * 5_000_000)))
    yield Attack("a title of a giant in every row", much, says="texts of not many more bytes")
    for kind, codes in (("bytes", pl.lit(b"abc")), ("a text", pl.lit("abc")), ("nothing", pl.lit(None))):
        yield Attack(f"{kind} for codes", table("sids/sids.parquet", lambda t, codes=codes: t.with_columns(codes=codes)))
    for samples in ("x", {"a": 1}, None, [[1, 2]], [[["a"]]], [{"a": "b"}], 5):
        yield Attack(f"histories to try: {samples!r}", written("samples.json", json.dumps(samples)), says="samples.json")
    for times in ("x", {"a": 1}, None, [[1, 2]], [["a"]], 5):
        yield Attack(f"times to try: {times!r}", written("sample_times.json", json.dumps(times)), says="sample_times.json")
    for rule in (["x"], "yes", 1, None):
        yield Attack(f"exclude_seen of {rule!r}", in_bundle_json(exclude_seen=rule), says="exclude_seen")
    yield Attack("a name that a terminal obeys", written("a\x1b[2Jb.py", "x"), says="a\\x1b[2Jb.py")
    forgotten = lambda bundle, out: edited(bundle / "bundle.json", lambda c: c["facts"].update(tokenizer={}))  # noqa: E731
    yield Attack("facts of the tokenizer forgotten", forgotten, says="codebooks", late=True)
    more = lambda bundle, out: shutil.copy(*(bundle / "encoder/vectors" / f"{name}.safetensors" for name in ("item", "more")))  # noqa: E731
    yield Attack("vectors that its encoder does not make", more, says="more", late=True)


def _numbers() -> Iterator[Attack]:
    yield Attack("weights of a giant", weights_of_a_giant)
    yield Attack("an array of a giant", array_of_a_giant, says="codes.npy")
    yield Attack("rows of nothing", rows_of_nothing, says="items.parquet")
    for number in (10**12, 10**30, -1, 0, 1.5, "72", None, True):
        config = lambda bundle, out, n=number: edited(bundle / "generator" / "config.json", lambda c: c.update(num_items=n))  # noqa: E731
        yield Attack(f"{number!r} items in the generator", config, of="scores", says="num_items")
    for number in (10**12, -1, "many", True):
        facts = lambda bundle, out, n=number: edited(  # noqa: E731
            bundle / "bundle.json", lambda c: c["facts"]["generator"].update(num_trained=n)
        )
        yield Attack(f"{number!r} items trained", facts, says="num_trained")
    for value in (5, -0.1, "all", True, 1e308):
        share = lambda bundle, out, v=value: edited(bundle / "bundle.json", lambda c: c.update(new_share=v))  # noqa: E731
        yield Attack(f"{value!r} of the list for new items", share, says="new_share")
    for key, number in (("dim", 1_000_000), ("max_history_len", 9_999_999), ("max_history_len", 10**12), ("num_heads", 10**9)):
        yield Attack(f"a generator with {key}={number}", setting("generator", **{key: number}))
    yield Attack("a generator of ten million layers", setting("generator", num_history_layers=9_000_000))
    yield Attack("a billion levels", setting("tokenizer", num_levels=10**9), says="num_levels")
    for value in (5, -1, "all", None):
        reach = in_bundle_json(new_reaches={"text": value}, revision=2)
        yield Attack(f"{value!r} of the catalogue for new items", reach, says="new_reaches.text")
    yield Attack("a billion beams", setting("decoding", num_beams=10**9), says="num_beams")
    yield Attack("beams that are no number", setting("decoding", num_beams=float("nan")), says="num_beams")
    yield Attack("a level of a million million codes", codes_of_a_giant)


def _language_models() -> Iterator[Attack]:
    def config(**changes: Any) -> Change:
        return lambda bundle, out: edited(
            bundle / "generator" / "saved" / "config.json", lambda c: c.update(with_out(changes, out))
        )

    def vocabulary(**changes: Any) -> Change:
        file = "tokenizer_config.json"
        return lambda bundle, out: edited(bundle / "generator" / "saved" / file, lambda c: c.update(with_out(changes, out)))

    adapter = '{"base_model_name_or_path": "someone/some-repo", "peft_type": "LORA"}'
    for name, change, says in (
        ("code of its own", config(auto_map={"AutoModelForCausalLM": "someone/x--modeling.Evil"}), "auto_map"),
        ("an attention kernel of the hub", config(_attn_implementation="kernels-community/flash-attn"), "kernels-community"),
        ("an unknown type", config(model_type="evil"), "evil"),
        ("a type with a part to load", config(model_type="llava", text_config={"model_type": "llama"}), "llava"),
        ("a part of another type", config(text_config={"model_type": "llama"}), "text_config"),
        ("a backbone", config(backbone="timm/resnet", use_pretrained_backbone=True), "backbone"),
        ("quantization", config(quantization_config={"quant_method": "gptq"}), "quantization_config"),
        ("a giant", config(hidden_size=2**20, intermediate_size=2**20, vocab_size=2**30), ""),
        ("a tokenizer with code", vocabulary(auto_map={"AutoTokenizer": ["someone/x--t.Evil", None]}), "auto_map"),
        ("a tokenizer of a file elsewhere", vocabulary(vocab_file="/etc/passwd"), "/etc/passwd"),
        ("a tokenizer of a relative file", vocabulary(tokenizer_file="../../../../etc/passwd"), "etc/passwd"),
        ("an adapter", written("generator/saved/adapter_config.json", adapter), "adapter"),
        ("code beside", written("generator/saved/modeling_x.py", "x"), "modeling_x.py"),
        ("weights in a pickle", written("generator/saved/pytorch_model.bin", b"x"), "pytorch_model.bin"),
        ("no mark that it was saved", lambda bundle, out: (bundle / "generator/saved/saved.txt").unlink(), ""),
    ):
        yield Attack(f"a language model with {name}", change, of="language", says=says)
