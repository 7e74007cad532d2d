"""Folders of pretrained models, looked at before a library reads them: no code of theirs, no pickle, nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from genrec.engine.plain_json import read_json
from genrec.errors import ConfigError

# Of sentence-transformers: those that take no class from their settings.
MODULES = ("Transformer", "Pooling", "Normalize", "Dense", "LayerNorm", "StaticEmbedding", "WeightedLayerPooling", "Dropout")
_MODULE = re.compile(rf"sentence_transformers(\.\w+)*\.({'|'.join(MODULES)})")
# Causal language models of transformers whose configuration alone says what they are.
LANGUAGE_MODELS = {
    *("bloom", "cohere", "cohere2", "falcon", "gemma", "gemma2", "gemma3_text", "glm", "glm4", "gpt2", "gpt_neo", "gpt_neox"),
    *("gpt_oss", "gptj", "granite", "granitemoe", "helium", "llama", "mistral", "mixtral", "mpt", "olmo", "olmo2", "olmo3"),
    *("opt", "persimmon", "phi", "phi3", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "smollm3", "stablelm", "starcoder2"),
}
_ADAPTER = "adapter_config.json"  # names a base model to load
_LARGE = "tokenizer.json"  # read by a library of its own, and by nobody as settings
_CODE = {"auto_map", "custom_pipelines"}
_INERT = {"_name_or_path", "name_or_path"}  # where a model once came from


def check_folder(folder: Path, where: str) -> None:
    """Looks at a folder with a model of transformers or sentence-transformers.

    Args:
        folder: of the model.
        where: the setting that names it, for messages.

    Raises:
        ConfigError: when it brings code, needs another model, keeps weights in a pickle only, has modules of other types, or
            its tokenizer names files elsewhere.
    """
    for file in sorted(folder.rglob("*.json")):
        if file.name == _LARGE or file.name.endswith(".index.json"):
            continue
        name = file.relative_to(folder).as_posix()
        content = _content(file, where)
        if file.name == _ADAPTER:
            raise _refusal(where, "a whole model; merge the adapter into its model first", f"{folder} with {name}")
        if file.name == "modules.json":
            _check_modules(content, folder, where)
        for key_path, value in _settings(content):
            key = key_path.rpartition(".")[2]
            if key in _CODE and value:
                raise _refusal(where, "a model without code of its own", f"{name}: {key_path}={value!r:.100}")
            if key.endswith("_file") and isinstance(value, str) and _leads_out(value):
                raise _refusal(where, "a model whose files lie in its folder", f"{name}: {key_path}={value}")
            if key == "activation_function" and isinstance(value, str) and "." in value and not _is_activation(value):
                raise _refusal(where, "an activation of torch.nn", f"{name}: {key_path}={value}")
    for pickled in (*folder.rglob("*.bin"), *folder.rglob("*.pt"), *folder.rglob("*.pkl"), *folder.rglob("*.ckpt")):
        if not any(pickled.parent.glob("*.safetensors")):
            raise _refusal(where, "weights in safetensors", f"{pickled.relative_to(folder)} in {folder}")


def check_saved(folder: Path, where: str) -> None:
    """Looks at the configuration and vocabulary of a language model, without weights, that a generator wrote.

    Args:
        folder: of them.
        where: the setting they belong to, for messages.

    Raises:
        ConfigError: for a type that is not on the list, and for settings that name anything else to load.
    """
    check_folder(folder, where)
    config = _content(folder / "config.json", where)
    kind = config.get("model_type") if isinstance(config, Mapping) else None
    if kind not in LANGUAGE_MODELS:
        raise _refusal(where, f"a language model of the types {', '.join(sorted(LANGUAGE_MODELS))}", repr(kind))
    for key_path, value in _settings(config):
        key = key_path.rpartition(".")[2]
        names_more = isinstance(value, str) and key not in _INERT and ("/" in value or "\\" in value)
        if names_more or key in ("quantization_config", "backbone") or (key == "model_type" and key_path != key):
            raise _refusal(where, "a configuration that names nothing else to load", f"config.json: {key_path}={value!r:.100}")


def _check_modules(content: Any, folder: Path, where: str) -> None:
    for module in content if isinstance(content, list) else [content]:
        kind, path = (module.get("type"), module.get("path", "")) if isinstance(module, Mapping) else (module, "")
        if not isinstance(kind, str) or not _MODULE.fullmatch(kind):
            raise _refusal(where, f"modules of sentence-transformers ({', '.join(MODULES)})", f"{kind!r} in {folder}")
        if not isinstance(path, str) or _leads_out(path):
            raise _refusal(where, "a model whose files lie in its folder", f"modules.json: path={path!r}")


def _leads_out(path: str) -> bool:
    parts = PurePosixPath(path.replace("\\", "/"))
    return parts.is_absolute() or ".." in parts.parts or bool(PureWindowsPath(path).drive) or path.startswith("~")


def _is_activation(value: str) -> bool:
    return re.fullmatch(r"torch\.nn\.(modules\.(activation|linear)\.)?[A-Z]\w*", value) is not None


def _content(file: Path, where: str) -> Any:
    try:
        return read_json(file)
    except (OSError, ValueError) as error:
        raise _refusal(where, f"a model with a readable {file.name}", f"{file} ({error})") from error


def _settings(node: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Place -> value of everything below, objects included."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            key_path = f"{where}.{key}" if where else str(key)
            yield key_path, value
            yield from _settings(value, key_path)
    elif isinstance(node, list):
        for value in node:
            yield from _settings(value, where)


def _refusal(where: str, expected: str, got: str) -> ConfigError:
    return ConfigError(where, expected=expected, got=got, fix="choose another model, or make one of it that is")
