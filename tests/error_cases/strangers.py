"""What a stranger's bundle or model is refused for. The attacks, watched, are in tests/test_hostile_bundles.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hostile_bundles import attacks, unpacked
from small_bundle import listed_anew

import genrec
from error_cases import Case, Scene
from genrec.engine.components import UnknownKeyError, instantiate
from genrec.errors import ArtifactError, ConfigError
from genrec.nn.pretrained import check_folder
from genrec.recommender.command_options import parse_external

ATTACKS = {attack.name: attack for attack in attacks()}


def attacked(name: str) -> Callable[[Scene], Any]:
    """Opens a bundle that was changed so, and adds an item."""

    def trigger(scene: Scene) -> Any:
        attack, good, out = ATTACKS[name], unpacked(scene.path), scene.path / "out"
        out.mkdir()
        bundle = good / attack.of
        attack.change(bundle, out)
        if attack.sealed:
            listed_anew(bundle)
        external = {place: there.replace("OUT", str(out)) for place, there in attack.external.items()}
        genrec.load(bundle, external=external).add_items([{"item_id": "late", "title": "red soap"}])

    return trigger


def unreadable(scene: Scene) -> Any:
    (scene.path / "config.json").write_text("{", encoding="utf-8")
    return check_folder(scene.path, "encoder.model")


def activation(scene: Scene) -> Any:
    (scene.path / "config.json").write_text('{"activation_function": "os.system"}', encoding="utf-8")
    return check_folder(scene.path, "encoder.model")


def reference(scene: Scene) -> Any:
    return instantiate(
        {"_target_": "genrec.decoding.trie_beam.TrieBeam", "num_beams": "${oc.env:no_such_variable}"}, "decoding"
    )


CASES = [
    Case("a class of another kind", ConfigError, "Journal", attacked("B1 a journal as generator")),
    Case("no class of the training", ConfigError, "genrec.__main__.X", attacked("B3 the command line as train")),
    Case("no name of a class", ConfigError, "got 5", attacked("target 5")),
    Case("a key of Hydra's", UnknownKeyError, "_args_", attacked("the key _args_")),
    Case("what genrec supplies", ArtifactError, "generator.saved=", attacked("a run-time argument, saved")),
    Case("a place for vectors", ArtifactError, "/cache", attacked("a cache, 'OUT/cache'")),
    Case("a path", ArtifactError, "/etc/passwd", attacked("a text that leads out, '/etc/passwd'")),
    Case("a name that is a path", ArtifactError, "/etc/passwd", attacked("a name that leads out, '/etc/passwd'")),
    Case("a variable", ArtifactError, "${oc.env:HOME}", attacked("a text that leads out, '${oc.env:HOME}'")),
    Case("a hub id", ArtifactError, "someone/some-repo", attacked("B2 lc_rec with a hub id, nothing saved")),
    Case("beams without end", ArtifactError, "1000000000", attacked("a billion beams")),
    Case("no component at all", ArtifactError, "num_beams", attacked("no component")),
    Case("a base model that nobody named", ConfigError, "someone/x", attacked("a text encoder of a hub model")),
    Case("a place that it does not need", ConfigError, "decoding.model", attacked("a place that there is not")),
    Case("a base model that is not there", ConfigError, "/no/such", lambda scene: opened_with(scene, "/no/such")),
    Case("no place and path", ConfigError, "models", lambda scene: parse_external(["models"])),
    Case("a file elsewhere", ArtifactError, "/etc/passwd", attacked("a link to a secret")),
    Case("a pipe", ArtifactError, "got a pipe", attacked("a pipe")),
    Case("code", ArtifactError, "x.py", attacked("a .py file")),
    Case("a listed file elsewhere", ArtifactError, "/etc/passwd", attacked("a listed '/etc/passwd'")),
    Case("json without end", ArtifactError, "100,000 levels", attacked("bundle.json nested deeply")),
    Case("items that are not there", ArtifactError, "1000000000000", attacked("1000000000000 items in the generator")),
    Case("a share beyond all", ArtifactError, "got 5", attacked("5 of the list for new items")),
    Case("a reach beyond all", ArtifactError, "got 5", attacked("5 of the catalogue for new items")),
    Case("ids that are numbers", ArtifactError, "Int64", attacked("numbers for ids")),
    Case("a giant of a list", ArtifactError, "values in", attacked("lists of a giant")),
    Case("a giant of a text", ArtifactError, "360,011,273 in", attacked("a title of a giant in every row")),
    Case("histories that are none", ArtifactError, "{'a': 'b'}", attacked("histories to try: [{'a': 'b'}]")),
    Case("a rule that is none", ArtifactError, "'yes'", attacked("exclude_seen of 'yes'")),
    Case("parts that do not fit", ArtifactError, "codebooks", attacked("facts of the tokenizer forgotten")),
    Case("no decoding", ArtifactError, "{}", lambda scene: without_decoding(scene)),
    # models
    Case("a model with a module of its own", ConfigError, "evil.Module", attacked("a given model with a module of its own")),
    Case("a model that leads out", ConfigError, "../..", attacked("a given model whose module lies elsewhere")),
    Case("a model with code", ConfigError, "auto_map", attacked("a given model with code")),
    Case("an adapter", ConfigError, "adapter_config.json", attacked("a given adapter of a hub model")),
    Case("a pickle", ConfigError, "pytorch_model.bin", attacked("a given model with a pickle")),
    Case("a tokenizer elsewhere", ConfigError, "/etc/passwd", attacked("a given tokenizer that names a file")),
    Case("a model that cannot be read", ConfigError, "config.json", unreadable),
    Case("a function of another library", ConfigError, "os.system", activation),
    Case("an unknown language model", ConfigError, "'evil'", attacked("a language model with an unknown type")),
    Case(
        "a kernel to fetch", ConfigError, "kernels-community", attacked("a language model with an attention kernel of the hub")
    ),
    Case("a variable for a number", ConfigError, "no_such_variable", reference),
]


def opened_with(scene: Scene, place: str) -> Any:
    return genrec.load(unpacked(scene.path) / "text", external={"encoder.model": place})


def without_decoding(scene: Scene) -> Any:
    from hostile_bundles import edited

    bundle = unpacked(scene.path) / "codes"
    edited(bundle / "bundle.json", lambda content: content.update(config={}))
    listed_anew(bundle)
    return genrec.load(bundle)
